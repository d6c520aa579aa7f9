//! Makes what the parts need before their first start: data directories and generated configurations.

use super::{Layout, Stack, layout::write_private, setup};
use crate::clients::program::{Purpose, command};
use crate::domain::promql::{Scope, Selector};
use crate::error::{Context, Error, Result};
use sha2::{Digest, Sha256};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The user PostgreSQL runs as when nsys is root.
///
/// # Errors
/// When there is no such user.
pub fn postgres_user() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let ids = line.and_then(|line| {
        let fields: Vec<_> = line.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    });
    ids.map(Some).ok_or_else(|| {
        Error::failed("PostgreSQL refuses to run as root, and there is no user postgres")
            .hint("run: nsys setup")
    })
}

/// Where the database cluster is.
#[must_use]
pub fn postgres_data(layout: &Layout) -> PathBuf {
    layout.postgres_home(rustix::process::geteuid().is_root()).join("data")
}

/// Creates the database cluster on first use.
///
/// # Errors
/// When initdb fails.
pub async fn postgres(layout: &Layout) -> Result<()> {
    let user = postgres_user()?;
    let home = layout.postgres_home(user.is_some());
    // A cluster that was cut short while it was made must not be taken for a whole one.
    let (data, part) = (postgres_data(layout), home.join("data.part"));
    let (owner, own) = (home.join("owner"), fingerprint(&layout.secret("postgres")?));
    if data.join("PG_VERSION").is_file() {
        // As root the cluster lies outside the state directory. When that was deleted and made anew,
        // nobody knows the cluster's password any more: it is kept, but not used.
        match std::fs::read_to_string(&owner) {
            Ok(known) if known != own => set_aside(&home)?,
            Ok(_) => return Ok(()),
            Err(_) => return write_private(&owner, &own),
        }
    }
    std::fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    let password_file = home.join("initial-password");
    write_private(&password_file, &layout.secret("postgres")?)?;
    let _ = std::fs::remove_dir_all(&part);
    let mut initdb = command(Purpose::Part, setup::need(setup::postgres("initdb"), "initdb")?);
    if let Some((user, group)) = user {
        hand_to_postgres(&home, (user, group))?;
        hand_to_postgres(&password_file, (user, group))?;
        initdb.uid(user).gid(group).current_dir("/");
    }
    initdb.args(["-U", "nsys", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "-D"]).arg(&part);
    let output =
        initdb.kill_on_drop(true).arg(format!("--pwfile={}", password_file.display())).output().await;
    let _ = std::fs::remove_file(&password_file);
    let output = output.context("cannot start initdb")?;
    if !output.status.success() {
        let _ = std::fs::remove_dir_all(&part);
        return Err(Error::failed(format!(
            "initdb failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    write_private(&owner, &own)?;
    std::fs::rename(&part, &data).with_context(|| format!("cannot move {} into place", data.display()))
}

/// Makes the server's user the owner of a path below the directory that everybody may enter.
///
/// # Errors
/// When it cannot be handed over.
pub(super) fn hand_to_postgres(path: &Path, (user, group): (u32, u32)) -> Result<()> {
    std::os::unix::fs::chown(path, Some(user), Some(group))
        .with_context(|| format!("cannot hand over {}", path.display()))?;
    std::fs::set_permissions("/var/lib/nsys", std::fs::Permissions::from_mode(0o755))
        .context("cannot open /var/lib/nsys")
}

/// Says whose cluster it is without saying the password.
fn fingerprint(password: &str) -> String {
    Sha256::digest(password).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn set_aside(home: &Path) -> Result<()> {
    let stamp = crate::clock::now().as_second();
    let aside = PathBuf::from(format!("{}.left-{stamp}", home.display()));
    std::fs::rename(home, &aside).with_context(|| format!("cannot set {} aside", home.display()))?;
    tracing::warn!("the data of an earlier stack of this name was kept in {}", aside.display());
    std::fs::create_dir_all(home).with_context(|| format!("cannot create {}", home.display()))
}

/// Directories and files below the stack's own directory, in which its parts run: no part has to be told
/// of a path that holds characters its configuration means something else by.
pub const KAFKA_SETTINGS: &str = "run/kafka.properties";
const KAFKA_DATA: &str = "data/kafka";
const LOG4J_FILE: &str = "run/log4j2.properties";
/// Prometheus' configuration; its patterns are relative to it.
pub const PROMETHEUS_SETTINGS: &str = "run/prometheus.yml";
/// Jaeger's configuration.
pub const JAEGER_SETTINGS: &str = "run/jaeger.yaml";
const LOG4J: &str = "appender.out.type=Console\nappender.out.name=out\nappender.out.layout.type=PatternLayout\n\
    appender.out.layout.pattern=%d{ISO8601} %p %m (%c)%n\nrootLogger.level=WARN\nrootLogger.appenderRef.out.ref=out\n";

/// Makes what a part needs before it starts: its configuration, and its data on first use.
///
/// # Errors
/// When a file cannot be written, or the tool that makes the data fails.
pub async fn part(stack: &Stack, name: &str, program: &Path) -> Result<()> {
    for (file, text) in files(stack, name) {
        write_private(&stack.layout.path(file), &text)?;
    }
    match name {
        "postgres" => postgres(&stack.layout).await,
        "redis" => {
            let data = stack.layout.path("data/redis");
            std::fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))
        }
        "kafka" => format_kafka(stack, program).await,
        _ => Ok(()),
    }
}

/// The configuration files of a part, as it is to have them.
#[must_use]
pub fn files(stack: &Stack, name: &str) -> Vec<(&'static str, String)> {
    match name {
        "kafka" => vec![(KAFKA_SETTINGS, kafka_settings(stack)), (LOG4J_FILE, LOG4J.to_owned())],
        "prometheus" => {
            let interval = stack.loaded.config.stack.scrape_interval;
            let rules = RULES.map(|(file, text)| (file, rules_for(text, interval)));
            rules.into_iter().chain([(PROMETHEUS_SETTINGS, prometheus_settings(stack))]).collect()
        }
        "jaeger" => vec![(JAEGER_SETTINGS, jaeger_settings(stack))],
        _ => Vec::new(),
    }
}

/// Formats the broker's storage on first use.
async fn format_kafka(stack: &Stack, java: &Path) -> Result<()> {
    let data = stack.layout.path(KAFKA_DATA);
    if data.join("meta.properties").is_file() {
        return Ok(());
    }
    let _ = std::fs::remove_dir_all(&data);
    let id = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        uuid::Uuid::new_v4().as_bytes(),
    );
    let mut format = command(Purpose::Part, java);
    format.current_dir(stack.layout.path("")).kill_on_drop(true);
    format.args(kafka_jvm(&setup::jars_dir(), 256)).args([
        "kafka.tools.StorageTool",
        "format",
        "--standalone",
        // As one argument: an id may begin with a dash.
        &format!("--cluster-id={id}"),
        "-c",
        KAFKA_SETTINGS,
    ]);
    let output = format.output().await.context("cannot start Kafka's storage tool")?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    // A trace says in its first line what happened, and below it where.
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
    tracing::debug!(%text, "Kafka's storage tool");
    Err(Error::failed(format!("cannot format Kafka's storage in {}: {line}", data.display()))
        .hint("nsys doctor"))
}

/// Arguments of the JVM up to the class to run.
#[must_use]
pub fn kafka_jvm(jars: &Path, heap_mb: u32) -> Vec<String> {
    vec![
        format!("-Xmx{heap_mb}m"),
        format!("-Xms{}m", heap_mb.min(256)),
        "-XX:+UseG1GC".into(),
        format!("-Dlog4j2.configurationFile={LOG4J_FILE}"),
        "-cp".into(),
        format!("{}/*", jars.display()),
    ]
}

fn kafka_settings(stack: &Stack) -> String {
    let (broker, controller) = (stack.endpoints.kafka(), stack.endpoints.kafka_controller());
    let retention_bytes = stack.loaded.config.stack.kafka_retention_bytes;
    // One broker: its own copies are all there are. The short session lets it back in 5 s after a kill.
    format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{broker}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={KAFKA_DATA}\n\
         auto.create.topics.enable=false\nmin.insync.replicas=1\noffsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=10\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\nbroker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n\
         log.retention.bytes={retention_bytes}\nlog.segment.bytes=134217728\n"
    )
}

/// Windows of the rules as they are shipped, in seconds.
const RULE_WINDOW_S: u64 = 300;
/// What Prometheus computes and when somebody has to look, on every runtime.
const RULES: [(&str, &str); 2] = [
    ("run/recording.rules.yml", include_str!("../../compose/prometheus/recording.rules.yml")),
    ("run/alerts.rules.yml", include_str!("../../compose/prometheus/alerts.rules.yml")),
];

/// The rules with windows that hold as many scrapes as a rate needs.
pub(in crate::stack) fn rules_for(text: &str, interval: Duration) -> String {
    let shortest = Scope::new(Selector::default(), interval).at_least(RULE_WINDOW_S).seconds();
    text.replace(&format!("[{}m]", RULE_WINDOW_S / 60), &format!("[{shortest}s]"))
}

fn prometheus_settings(stack: &Stack) -> String {
    let interval = stack.loaded.config.stack.scrape_interval.as_millis();
    // Its paths are relative to where this file lies.
    format!(
        "rule_files: ['*.rules.yml']\nglobal:\n  scrape_interval: {interval}ms\n  scrape_timeout: {interval}ms\n\
         scrape_configs:\n  - job_name: notification-service\n    \
         file_sd_configs:\n      - files: ['targets.json']\n        refresh_interval: 2s\n"
    )
}

/// Writes the list of replicas that Prometheus scrapes.
///
/// # Errors
/// When it cannot be written.
pub fn targets(stack: &Stack, replicas: &[(&str, u32)]) -> Result<()> {
    let targets: Vec<_> = replicas
        .iter()
        .map(|(role, index)| {
            let address = format!("127.0.0.1:{}", stack.endpoints.metrics(role, *index));
            serde_json::json!({"targets": [address], "labels": {"stack": stack.loaded.config.stack.name, "role": role, "replica": format!("{role}-{index}")}})
        })
        .collect();
    write_private(&stack.layout.run().join("targets.json"), &serde_json::Value::from(targets).to_string())
}

/// Traces in memory, everything on the loopback.
fn jaeger_settings(stack: &Stack) -> String {
    let (query, otlp) = (stack.endpoints.jaeger(), stack.endpoints.otlp_http());
    include_str!("jaeger.yaml")
        .replace("QUERY", &format!("127.0.0.1:{query}"))
        .replace("OTLP", &format!("127.0.0.1:{otlp}"))
}

/// Optional parts of ours that the service uses when they run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Helpers {
    /// A replica of PostgreSQL takes reads.
    pub replicated: bool,
    /// A Jaeger takes traces.
    pub traced: bool,
}

/// Writes the service's effective configuration. Returns its path and its text.
///
/// # Errors
/// When it cannot be written.
pub fn service(stack: &Stack, helpers: Helpers) -> Result<(PathBuf, String)> {
    let mut config = stack.service_config();
    config.db.url = stack.database_url()?;
    if helpers.replicated && config.db.read_url.is_empty() {
        config.db.read_url = stack.endpoints.replica_url(&stack.layout.secret("postgres")?);
    }
    config.cache.url = stack.endpoints.redis_url();
    config.kafka.brokers = stack.endpoints.brokers().to_string();
    if config.auth.signing_key_file.is_empty() {
        config.auth.signing_key_file = stack.layout.path("secrets/signing-key.pem").display().to_string();
    }
    if helpers.traced && config.telemetry.otlp_url.is_empty() {
        config.telemetry.otlp_url = stack.endpoints.otlp_url();
    }
    let path = stack.layout.path("secrets").join("service.toml");
    let text = toml::to_string(&config).context("cannot write the service's configuration")?;
    write_private(&path, &text)?;
    Ok((path, text))
}
