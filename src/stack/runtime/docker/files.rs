//! The files Compose works on: shipped in nsys, unpacked into the state directory, with the
//! variables that make them this stack's.

use crate::config::variable;
use crate::error::{Context, Result};
use crate::stack::Stack;
use crate::stack::layout::write_private;
use crate::stack::prepare::rules_for;
use nsys_contract::config::ServiceConfig;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Value;

macro_rules! shipped {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../../compose/", $path)))),*]
    };
}

/// Every file under `compose/` that a stack needs at run time.
pub(crate) const SHIPPED: [(&str, &str); 11] = shipped![
    "compose.yaml",
    "haproxy/haproxy.cfg",
    "kafka/ready.sh",
    "prometheus/prometheus.yml",
    "prometheus/alerts.rules.yml",
    "prometheus/recording.rules.yml",
    "grafana/provisioning/datasources/nsys.yaml",
    "grafana/provisioning/dashboards/nsys.yaml",
    "grafana/dashboards/overview.json",
    "grafana/dashboards/parts.json",
    "grafana/dashboards/service.json",
];

/// Where the files of a stack are.
pub(super) fn dir(stack: &Stack) -> PathBuf {
    stack.layout.path("compose")
}

/// The files that Compose is given: the shipped one, then the user's own.
pub(super) fn compose_files(stack: &Stack) -> Vec<PathBuf> {
    let own = stack.loaded.config.docker.files.iter().map(|file| stack.loaded.base_dir.join(file));
    std::iter::once(dir(stack).join("compose.yaml")).chain(own).collect()
}

/// Writes the files, as this nsys ships them.
pub(super) fn unpack(stack: &Stack) -> Result<()> {
    let dir = dir(stack);
    let interval = stack.loaded.config.stack.scrape_interval.as_millis();
    for (path, text) in SHIPPED {
        let target = dir.join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        let text = if path.ends_with("prometheus.yml") {
            let name = &stack.loaded.config.stack.name;
            let text = text
                .replace("replacement: nsys", &format!("replacement: {name:?}"))
                .replace("{stack: nsys}", &format!("{{stack: {name:?}}}"));
            text.replacen("scrape_interval: 1s", &format!("scrape_interval: {interval}ms"), 1).replacen(
                "scrape_timeout: 1s",
                &format!("scrape_timeout: {interval}ms"),
                1,
            )
        } else if path.ends_with(".rules.yml") {
            rules_for(text, stack.loaded.config.stack.scrape_interval)
        } else {
            text.replace("timeInterval: 1s", &format!("timeInterval: {interval}ms"))
        };
        // Containers read them as other users; there is no secret in them.
        std::fs::write(&target, text).with_context(|| format!("cannot write {}", target.display()))?;
    }
    write_private(&dir.join("service.env"), &environment_file(&stack.service_config()))?;
    let lines = variables(stack)?.into_iter().map(|(name, value)| format!("{name}={value}\n"));
    write_private(&dir.join("compose.env"), &lines.collect::<String>())
}

/// The variables of compose.yaml. They are in compose.env too, so that Compose can be called by hand:
/// `docker compose --env-file compose.env -p NAME ps`.
pub(super) fn variables(stack: &Stack) -> Result<Vec<(String, String)>> {
    let (ports, config) = (&stack.endpoints, &stack.loaded.config);
    let settings = &config.stack;
    let mut variables = vec![
        ("STACK_NAME", settings.name.clone()),
        ("API_PORT", ports.api().to_string()),
        ("POSTGRES_PORT", ports.postgres().to_string()),
        ("REDIS_PORT", ports.redis().to_string()),
        ("KAFKA_PORT", ports.kafka().to_string()),
        ("PROMETHEUS_PORT", ports.prometheus().to_string()),
        ("GRAFANA_PORT", ports.grafana().to_string()),
        ("JAEGER_PORT", ports.jaeger().to_string()),
        ("OTLP_GRPC_PORT", ports.otlp_grpc().to_string()),
        ("OTLP_HTTP_PORT", ports.otlp_http().to_string()),
        ("KAFKA_UI_PORT", ports.kafka_ui().to_string()),
        ("POSTGRES_PASSWORD", stack.layout.secret("postgres")?),
        ("GRAFANA_PASSWORD", stack.layout.secret("grafana")?),
        ("REDIS_MEMORY_MB", settings.redis_max_memory_mb.to_string()),
        ("KAFKA_HEAP_MB", settings.kafka_heap_mb.to_string()),
        ("KAFKA_MEMORY", format!("{}m", settings.kafka_heap_mb + 1_024)),
        ("KAFKA_RETENTION_BYTES", settings.kafka_retention_bytes.to_string()),
        ("SERVICE_ENV", text(&dir(stack).join("service.env"))),
        ("SERVICE_IMAGE", config.docker.service_image.clone()),
        ("NSYS_IMAGE", config.docker.nsys_image.clone()),
    ];
    if let Some(source) = source_dir(stack) {
        variables.push(("SOURCE_DIR", text(&source)));
    }
    Ok(variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Where traces go, if not to the project's own collector: where the configuration says, or nowhere,
/// because nobody would take them.
pub(super) fn collector(configured: &str, services: &[String]) -> Option<String> {
    let own = services.iter().any(|service| service == "jaeger");
    (!configured.is_empty() || !own).then(|| configured.to_owned())
}

/// The checkout that the images can be built from, when nsys runs in one.
pub(super) fn source_dir(stack: &Stack) -> Option<PathBuf> {
    let base = &stack.loaded.base_dir;
    let here = std::env::current_dir().ok();
    [Some(base.clone()), here].into_iter().flatten().find(|dir| dir.join("service/Cargo.toml").is_file())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// What differs from the service's defaults, as keys with their values. Addresses and the place of the
/// key are those of where the service runs, and stand in its manifests.
pub(crate) fn service_environment(config: &ServiceConfig) -> Vec<(String, String)> {
    const FILLED_IN: [&str; 5] =
        ["db.url", "cache.url", "kafka.brokers", "auth.signing_key_file", "telemetry.otlp_url"];
    let defaults = flat(&ServiceConfig::default());
    let changed = flat(config).into_iter().filter(|(key, value)| defaults.get(key) != Some(value));
    changed.filter(|(key, _)| !FILLED_IN.contains(&key.as_str())).collect()
}

/// The same as lines of an environment file.
fn environment_file(config: &ServiceConfig) -> String {
    // In single quotes everything stands for itself; Compose knows \' in them.
    let line =
        |(key, value): (String, String)| format!("{}='{}'\n", variable(&key), value.replace('\'', "\\'"));
    service_environment(config).into_iter().map(line).collect()
}

/// Every key with its value as text, in order of the keys.
fn flat(config: &ServiceConfig) -> BTreeMap<String, String> {
    let table = toml::Table::try_from(config).unwrap_or_default();
    let sections = table.into_iter().filter_map(|(name, value)| match value {
        Value::Table(keys) => Some((name, keys)),
        _ => None,
    });
    sections
        .flat_map(|(name, keys)| {
            keys.into_iter().map(move |(key, value)| (format!("{name}.{key}"), word(&value)))
        })
        .collect()
}

/// A value as an environment variable carries it.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_changed_is_told_and_addresses_never() {
        let mut config = ServiceConfig::default();
        config.db.url = "postgres://user:secret@host/db".into();
        config.db.pool_size = 20;
        config.limits.exempt = vec!["a@example.com".into(), "b@example.com".into()];
        config.telemetry.service_name = "it's".into();
        assert_eq!(
            environment_file(&config),
            "NSYS_DB__POOL_SIZE='20'\nNSYS_LIMITS__EXEMPT='a@example.com,b@example.com'\n\
             NSYS_TELEMETRY__SERVICE_NAME='it\\'s'\n"
        );
    }

    #[test]
    fn traces_go_where_somebody_takes_them() {
        let with = ["app".to_owned(), "jaeger".to_owned()];
        assert_eq!(collector("", &with), None);
        assert_eq!(collector("", &with[..1]).as_deref(), Some(""));
        assert_eq!(collector("http://there:4318", &with).as_deref(), Some("http://there:4318"));
    }

    #[test]
    fn every_file_of_the_stack_is_shipped() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose");
        let mut pending = vec![root.clone()];
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                pending.extend(std::fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            let elsewhere = ["offline/", "k8s/", "Dockerfile", "README.md", "prometheus/rules_test.yml"];
            let wanted = !elsewhere.iter().any(|other| name.starts_with(other));
            assert_eq!(wanted, SHIPPED.iter().any(|(shipped, _)| *shipped == name), "{name}");
        }
    }
}
