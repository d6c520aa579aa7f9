//! The parts of the stack as the supervisor is to run them. No I/O but finding programs.

use super::spec::Spec;
use super::{Stack, prepare, replica, setup};
use crate::error::{Context, Error, Result};
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

fn spec(stack: &Stack, name: &str, program: PathBuf, args: Vec<String>, port: u16) -> Spec {
    let kept = ["PATH", "HOME", "LANG", "TZ"];
    let env = kept.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
    Spec {
        name: name.to_owned(),
        program,
        args,
        env,
        user: None,
        listen: None,
        port,
        stage: 0,
        stop_by_interrupt: false,
        stop_timeout_s: 20,
        restart_limit: stack.loaded.config.stack.restart_limit,
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The parts that the service stands on, in the order they are shown.
pub const INFRASTRUCTURE: [&str; 4] = ["postgres", "redis", "kafka", "prometheus"];
/// Parts that run only when they are asked for.
pub const OPTIONAL: [&str; 1] = ["jaeger"];

/// The chosen parts beside the service itself.
///
/// # Errors
/// When a program is missing or its data cannot be made.
pub async fn infrastructure(stack: &Stack, chosen: &[&'static str]) -> Result<Vec<Spec>> {
    let one = async |part: &'static str| match part {
        "postgres" => {
            let data = prepare::postgres(&stack.layout).await?;
            server(stack, "postgres", &data, stack.endpoints.postgres())
        }
        "redis" => redis(stack),
        "kafka" => kafka(stack).await,
        "prometheus" => prometheus(stack),
        _ => jaeger(stack),
    };
    futures::future::try_join_all(chosen.iter().map(|part| one(part))).await
}

fn redis(stack: &Stack) -> Result<Spec> {
    let data = stack.layout.path("data/redis");
    std::fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
    let port = stack.endpoints.redis();
    let memory = stack.loaded.config.stack.redis_max_memory_mb;
    let args = [
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--dir",
        &text(&data),
        "--appendonly",
        "yes",
        "--save",
        "",
        "--maxmemory",
        &format!("{memory}mb"),
        "--maxmemory-policy",
        "volatile-lru",
    ];
    let program = setup::need(setup::on_path("redis-server"), "redis-server")?;
    Ok(spec(stack, "redis", program, args.map(str::to_owned).into(), port))
}

async fn kafka(stack: &Stack) -> Result<Spec> {
    let settings = prepare::kafka(stack).await?;
    let mut args = prepare::kafka_jvm(&stack.layout, stack.loaded.config.stack.kafka_heap_mb);
    args.extend(["kafka.Kafka".into(), text(&settings)]);
    let program = setup::need(setup::on_path("java"), "java")?;
    Ok(spec(stack, "kafka", program, args, stack.endpoints.kafka()))
}

fn prometheus(stack: &Stack) -> Result<Spec> {
    let port = stack.endpoints.prometheus();
    let args = [
        format!("--config.file={}", text(&stack.layout.run().join("prometheus.yml"))),
        format!("--storage.tsdb.path={}", text(&stack.layout.path("data/prometheus"))),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--web.enable-admin-api".into(),
        "--web.enable-remote-write-receiver".into(),
        "--storage.tsdb.retention.time=7d".into(),
        "--log.level=warn".into(),
    ];
    let program = setup::need(setup::on_path("prometheus"), "prometheus")?;
    Ok(spec(stack, "prometheus", program, args.into(), port))
}

fn jaeger(stack: &Stack) -> Result<Spec> {
    let program = setup::jaeger().ok_or_else(|| {
        Error::failed("jaeger is not installed")
            .hint("run: nsys setup --with jaeger (it builds for some minutes)")
    })?;
    let config = prepare::jaeger(stack)?;
    Ok(spec(stack, "jaeger", program, vec!["--config".into(), text(&config)], stack.endpoints.jaeger()))
}

/// The streaming replica of PostgreSQL. It needs its copy of the data.
///
/// # Errors
/// When PostgreSQL is not installed.
pub fn database_replica(stack: &Stack) -> Result<Spec> {
    server(stack, replica::PART, &replica::data(stack), stack.endpoints.replica())
}

/// A PostgreSQL server on a data directory.
fn server(stack: &Stack, name: &str, data: &Path, port: u16) -> Result<Spec> {
    let args = [
        "-D".to_owned(),
        text(data),
        format!("--port={port}"),
        "--listen_addresses=127.0.0.1".into(),
        "--unix_socket_directories=".into(),
        "--shared_preload_libraries=pg_stat_statements".into(),
        "--track_io_timing=on".into(),
        "--max_connections=200".into(),
        "--shared_buffers=256MB".into(),
        "--max_wal_size=4GB".into(),
        // What a replica that restarts still finds.
        "--wal_keep_size=1GB".into(),
    ];
    let program = setup::need(setup::postgres("postgres"), "postgres")?;
    let mut spec = spec(stack, name, program, args.into(), port);
    spec.user = prepare::postgres_user()?;
    // SIGINT ends its sessions at once; SIGTERM would wait for them.
    spec.stop_by_interrupt = true;
    Ok(spec)
}

/// One replica of `app` or `worker`. The environment carries a digest of the configuration, so that
/// a replica with an older one is another spec and is restarted.
///
/// # Errors
/// When the service's program is missing.
pub fn replica(stack: &Stack, role: &str, index: u32, config: &Path) -> Result<Spec> {
    let metrics = stack.endpoints.metrics(role, index);
    let api = SocketAddr::from((Ipv4Addr::LOCALHOST, stack.endpoints.api()));
    let is_app = role == "app";
    let mut args = vec!["--config".to_owned(), text(config), "--role".into()];
    args.push(if is_app { "api" } else { "worker" }.into());
    args.extend(["--metrics-listen".into(), format!("127.0.0.1:{metrics}")]);
    if is_app {
        args.extend(["--listen".into(), "fd:0".into()]);
    }
    let port = if is_app { stack.endpoints.api() } else { metrics };
    let mut spec = spec(stack, &format!("{role}-{index}"), setup::service()?, args, port);
    spec.listen = is_app.then_some(api);
    spec.stage = 1;
    spec.stop_timeout_s = 25;
    let digest = Sha256::digest(std::fs::read(config).unwrap_or_default());
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    spec.env.push(("CONFIG_DIGEST".into(), digest));
    Ok(spec)
}
