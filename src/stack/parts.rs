//! The parts of the stack as the supervisor is to run them. No I/O but finding programs: what a part
//! needs beside its program is made in `prepare`.

use super::spec::{CONFIG_DIGEST, Spec};
use super::{Stack, prepare, replica, setup};
use crate::clients::program::{ChildEnvironment, Purpose};
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

fn spec(stack: &Stack, name: &str, program: PathBuf, args: Vec<String>, port: u16) -> Spec {
    Spec {
        name: name.to_owned(),
        program,
        args,
        env: ChildEnvironment::new(Purpose::Part).pairs(),
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

/// What runs, as it was started. A part that runs keeps its programs as long as they are there: another
/// PATH or home of whoever calls is no reason to restart it.
#[derive(Clone, Copy, Debug)]
pub struct StartedParts<'a>(pub &'a [Spec]);

impl StartedParts<'_> {
    /// How this part was started.
    #[must_use]
    pub fn of(&self, part: &str) -> Option<&Spec> {
        self.0.iter().find(|spec| spec.name == part)
    }

    fn program(&self, part: &str, search: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
        match self.of(part).map(|spec| &spec.program).filter(|program| program.is_file()) {
            Some(program) => Ok(program.clone()),
            None => search(),
        }
    }

    /// The class path's directory of a broker that runs.
    fn jars(&self) -> Option<PathBuf> {
        let args = &self.of("kafka")?.args;
        let after = args.iter().position(|arg| arg == "-cp")? + 1;
        Some(PathBuf::from(args.get(after)?.strip_suffix("/*")?)).filter(|jars| jars.is_dir())
    }
}

fn digest(files: &[(&str, String)]) -> String {
    let mut digest = Sha256::new();
    for (name, text) in files {
        digest.update(name);
        digest.update(text);
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The parts that the service stands on, in the order they are shown.
pub const INFRASTRUCTURE: [&str; 4] = ["postgres", "redis", "kafka", "prometheus"];
/// Parts that run only when they are asked for.
pub const OPTIONAL: [&str; 1] = ["jaeger"];

/// The chosen parts beside the service itself.
///
/// # Errors
/// When a program is missing or too old.
pub fn infrastructure(stack: &Stack, chosen: &[&str], known: StartedParts<'_>) -> Result<Vec<Spec>> {
    let one = |part: &&str| {
        let mut spec = match *part {
            "postgres" => {
                let data = prepare::postgres_data(&stack.layout);
                server(stack, "postgres", &data, stack.endpoints.postgres(), known)
            }
            "redis" => redis(stack, known),
            "kafka" => kafka(stack, known),
            "prometheus" => prometheus(stack, known),
            _ => jaeger(stack, known),
        }?;
        let files = prepare::files(stack, part);
        if !files.is_empty() {
            spec.env.push((CONFIG_DIGEST.into(), digest(&files)));
        }
        Ok(spec)
    };
    chosen.iter().map(one).collect()
}

fn redis(stack: &Stack, known: StartedParts<'_>) -> Result<Spec> {
    let port = stack.endpoints.redis();
    let memory = stack.loaded.config.stack.redis_max_memory_mb;
    let args = [
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--dir",
        "data/redis",
        "--appendonly",
        "yes",
        "--save",
        "",
        "--maxmemory",
        &format!("{memory}mb"),
        "--maxmemory-policy",
        "volatile-lru",
    ];
    let program = known.program("redis", || setup::need(setup::on_path("redis-server"), "redis-server"))?;
    Ok(spec(stack, "redis", program, args.map(str::to_owned).into(), port))
}

fn kafka(stack: &Stack, known: StartedParts<'_>) -> Result<Spec> {
    let program = known.program("kafka", setup::need_java)?;
    let jars = known.jars().unwrap_or_else(setup::jars_dir);
    let jars = setup::need(Some(jars).filter(|jars| jars.is_dir()), "Kafka")?;
    if text(&jars).contains(':') {
        let why = format!("{} holds ':', at which Java splits its class path", jars.display());
        return Err(Error::usage(why).hint("move the tools elsewhere: XDG_DATA_HOME"));
    }
    let mut args = prepare::kafka_jvm(&jars, stack.loaded.config.stack.kafka_heap_mb);
    args.extend(["kafka.Kafka".into(), prepare::KAFKA_SETTINGS.into()]);
    Ok(spec(stack, "kafka", program, args, stack.endpoints.kafka()))
}

fn prometheus(stack: &Stack, known: StartedParts<'_>) -> Result<Spec> {
    let port = stack.endpoints.prometheus();
    let args = [
        format!("--config.file={}", prepare::PROMETHEUS_SETTINGS),
        "--storage.tsdb.path=data/prometheus".into(),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--web.enable-admin-api".into(),
        "--web.enable-remote-write-receiver".into(),
        "--storage.tsdb.retention.time=7d".into(),
        "--log.level=warn".into(),
    ];
    let program = known.program("prometheus", || setup::need(setup::on_path("prometheus"), "prometheus"))?;
    Ok(spec(stack, "prometheus", program, args.into(), port))
}

fn jaeger(stack: &Stack, known: StartedParts<'_>) -> Result<Spec> {
    let search = || {
        setup::jaeger().ok_or_else(|| {
            Error::failed("jaeger is not installed")
                .hint("run: nsys setup --with jaeger (it builds for some minutes)")
        })
    };
    let args = vec!["--config".into(), prepare::JAEGER_SETTINGS.into()];
    Ok(spec(stack, "jaeger", known.program("jaeger", search)?, args, stack.endpoints.jaeger()))
}

/// The streaming replica of PostgreSQL. It needs its copy of the data.
///
/// # Errors
/// When PostgreSQL is not installed.
pub fn database_replica(stack: &Stack, known: StartedParts<'_>) -> Result<Spec> {
    server(stack, replica::PART, &replica::data(stack), stack.endpoints.replica(), known)
}

/// A PostgreSQL server on a data directory.
fn server(stack: &Stack, name: &str, data: &Path, port: u16, known: StartedParts<'_>) -> Result<Spec> {
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
        // Whatever the zone of the machine that made the data.
        "--log_timezone=UTC".into(),
    ];
    let program = known.program(name, || setup::need(setup::postgres("postgres"), "postgres"))?;
    let mut spec = spec(stack, name, program, args.into(), port);
    spec.user = prepare::postgres_user()?;
    // SIGINT ends its sessions at once; SIGTERM would wait for them.
    spec.stop_by_interrupt = true;
    Ok(spec)
}

/// One replica of `app` or `worker`, with this configuration in that file. The environment carries a
/// digest of the configuration, so that a replica with an older one is another spec and is restarted.
///
/// # Errors
/// When the service's program is missing.
pub fn replica(
    stack: &Stack,
    role: &str,
    index: u32,
    (file, config): (&Path, &str),
    known: StartedParts<'_>,
) -> Result<Spec> {
    let metrics = stack.endpoints.metrics(role, index);
    let api = SocketAddr::from((Ipv4Addr::LOCALHOST, stack.endpoints.api()));
    let is_app = role == "app";
    let mut args = vec!["--config".to_owned(), text(file), "--role".into()];
    args.push(if is_app { "api" } else { "worker" }.into());
    args.extend(["--metrics-listen".into(), format!("127.0.0.1:{metrics}")]);
    if is_app {
        args.extend(["--listen".into(), "fd:0".into()]);
    }
    let port = if is_app { stack.endpoints.api() } else { metrics };
    let name = format!("{role}-{index}");
    // The one beside this nsys is its own; of those on a PATH the one that runs stays.
    let program = match setup::service_beside()? {
        Some(own) => own,
        None => known.program(&name, setup::service)?,
    };
    let mut spec = spec(stack, &name, program, args, port);
    spec.listen = is_app.then_some(api);
    spec.stage = 1;
    // Requests and batches end, then the producer flushes: each for the shutdown timeout at most.
    spec.stop_timeout_s = 2 * stack.loaded.config.service.shutdown_timeout.as_secs() + 5;
    spec.env.push((CONFIG_DIGEST.into(), digest(&[("", config.to_owned())])));
    Ok(spec)
}
