//! Where a run is measured: program versions, machine, replicas, settings.

use super::{engine, sampler};
use crate::clients::machine;
use crate::config::Loaded;
use crate::diagnose;
use crate::domain::guard;
use crate::domain::objectives::LevelCriteria;
use crate::domain::run::Environment;
use crate::domain::scenario::{GeneratorPlacement, LoadEngine, LoadPlan};
use crate::error::{Context, Error, Result};
use crate::secret::is_secret;
use crate::stack::spec::replicas;
use crate::stack::{Stack, setup, whereabouts};
use nsys_contract::schema;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Keys of `[stack]` that make a part another one to measure; the others say where it is, or how many
/// replicas there are, which a run records by themselves.
const STACK_KEYS: [&str; 4] = [
    "stack.kafka_heap_mb",
    "stack.kafka_retention_bytes",
    "stack.redis_max_memory_mb",
    "stack.scrape_interval",
];

/// What of the configuration another value makes another measurement: all that the service is told, and
/// what the parts under it are started with. Secrets are left out.
fn of_measurement(loaded: &Loaded) -> BTreeMap<String, String> {
    let service = toml::Table::try_from(loaded.config.service_config()).unwrap_or_default();
    let counts = |key: &str| {
        let section = key.split('.').next().unwrap_or_default();
        !is_secret(key) && (service.contains_key(section) || STACK_KEYS.contains(&key))
    };
    let settings = loaded.settings.iter().filter(|(key, _)| counts(key));
    settings.map(|(key, setting)| (key.clone(), setting.value.to_string())).collect()
}

/// The generator's program.
///
/// # Errors
/// When it is missing.
pub(super) fn program(stack: &Stack, engine: LoadEngine) -> Result<PathBuf> {
    match (engine, stack.loaded.config.loadtest.k6.as_str()) {
        (LoadEngine::Native, _) => std::env::current_exe().context("cannot find nsys itself"),
        (LoadEngine::K6, "") => setup::need(setup::k6(), "k6"),
        (LoadEngine::K6, path) => Ok(PathBuf::from(path)),
    }
}

/// The program that makes the load of a plan, where it makes it.
///
/// # Errors
/// When it is missing on this machine.
pub(super) fn program_of(stack: &Stack, plan: &LoadPlan) -> Result<PathBuf> {
    match plan.place {
        GeneratorPlacement::Here => program(stack, plan.engine),
        GeneratorPlacement::Hosts(_) | GeneratorPlacement::Cluster => {
            Ok(PathBuf::from(&stack.loaded.config.loadtest.remote_k6))
        }
    }
}

/// What the generator says of itself; on several hosts, what each says when they differ.
async fn version(stack: &Stack, plan: &LoadPlan) -> Result<String> {
    match (&plan.place, plan.engine) {
        (_, LoadEngine::Native) => Ok(format!("nsys {} (native engine)", env!("CARGO_PKG_VERSION"))),
        (GeneratorPlacement::Hosts(hosts), LoadEngine::K6) => {
            let far = engine::Far::of(&stack.loaded.config);
            let asked = hosts.iter().map(|host| engine::probe(&far, host));
            let mut said = Vec::new();
            for machine in futures::future::join_all(asked).await {
                said.push(machine?.k6);
            }
            said.sort();
            said.dedup();
            Ok(said.join(", "))
        }
        (GeneratorPlacement::Cluster, LoadEngine::K6) => Ok(stack.loaded.config.loadtest.k6_image.clone()),
        (GeneratorPlacement::Here, LoadEngine::K6) => engine::version(&program(stack, plan.engine)?).await,
    }
}

/// Describes it.
///
/// # Errors
/// When the supervisor or the database does not answer, or the generator cannot be started.
pub(super) async fn describe(stack: &Stack, plan: &LoadPlan) -> Result<Environment> {
    let (app, worker) = replicas(&stack.records().await?);
    let settings = &stack.loaded.settings;
    let relevant = settings.iter().filter(|(key, _)| {
        ["loadtest.mix_", "loadtest.seed_", "loadtest.warmup_share"].iter().any(|own| key.starts_with(own))
    });
    let relevant = relevant.map(|(key, setting)| format!("{key}={}\n", setting.value));
    let is_companion = stack.profile().is_companion();
    let offered: String = if is_companion { relevant.collect() } else { stack.profile().content() };
    let rows = if is_companion { rows(stack).await? } else { None };
    let around = Box::pin(diagnose::surroundings(stack)).await;
    let stack_here = Box::pin(whereabouts::is_here(stack)).await;
    let mut system = sysinfo::System::new().context("cannot read the system's state")?;
    system.refresh_memory();
    Ok(Environment {
        nsys: env!("CARGO_PKG_VERSION").into(),
        k6: version(stack, plan).await?,
        os: sysinfo::System::long_os_version().unwrap_or_else(|_| "unknown".into()),
        cpus: machine::processors()
            .ok_or_else(|| Error::failed("/proc/stat does not tell the processors"))?,
        memory_mb: system.total_memory() >> 20,
        app: app as usize,
        worker: worker as usize,
        shared_machine: plan.place.is_here() && stack_here == Some(true),
        stack_here,
        host: around.host,
        runtime: Some(stack.runtime.as_str().to_owned()),
        disk: around.disk,
        versions: around.versions,
        script: engine::script_digest(&offered),
        rows,
        // Those are the companion's; what another service is told nobody knows.
        settings: if is_companion { of_measurement(&stack.loaded) } else { BTreeMap::new() },
    })
}

/// Notifications that are stored, as the statistics estimate them.
async fn rows(stack: &Stack) -> Result<Option<i64>> {
    let tables = sampler::connect(stack).await?.table_sizes().await?;
    Ok(tables.iter().find(|one| one.table == schema::NOTIFICATIONS).map(|one| one.live_rows))
}

/// What is different between two places of measurement and would make levels of one run incomparable,
/// as sentences.
#[must_use]
pub(super) fn differences(before: &Environment, now: &Environment) -> Vec<String> {
    let pairs = [
        ("nsys", before.nsys.clone(), now.nsys.clone()),
        ("load generator", before.k6.clone(), now.k6.clone()),
        ("load script", before.script.clone(), now.script.clone()),
        ("processors", before.cpus.to_string(), now.cpus.to_string()),
        ("api replicas", before.app.to_string(), now.app.to_string()),
        ("worker replicas", before.worker.to_string(), now.worker.to_string()),
    ];
    let mut found: Vec<_> = pairs
        .into_iter()
        .filter(|(_, then, now)| then != now)
        .map(|(what, then, now)| format!("{what}: was {then}, is {now}"))
        .collect();
    let keys: std::collections::BTreeSet<_> = before.settings.keys().chain(now.settings.keys()).collect();
    for key in keys {
        let (then, now) = (before.settings.get(key), now.settings.get(key));
        if then != now {
            let show = |value: Option<&String>| value.map_or("not there", String::as_str).to_owned();
            found.push(format!("{key}: was {}, is {}", show(then), show(now)));
        }
    }
    found
}

/// What the levels of a run are judged by.
pub(super) fn criteria(stack: &Stack, plan: &LoadPlan) -> LevelCriteria {
    let load = &stack.loaded.config.loadtest;
    LevelCriteria {
        objectives: stack.loaded.config.objectives,
        warms_caches: plan.scenario.warms_caches(),
        generator: guard::GeneratorBounds {
            cpu_pct: load.generator_cpu_pct,
            offered_share: load.min_offered_share,
            rate_per_cpu: match plan.engine {
                LoadEngine::K6 => load.k6_exact_per_cpu,
                LoadEngine::Native => load.native_exact_per_cpu,
            },
        },
        reconcile: plan.reconcile,
        reports_seconds: plan.place != GeneratorPlacement::Cluster,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_measurement_is_recorded_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.toml");
        std::fs::write(&config, "").unwrap();
        let with = |name: &str, value: &str| {
            let variable = std::iter::once((name.to_owned(), value.to_owned()));
            of_measurement(&Loaded::load(Some(&config), Some(dir.path()), variable).unwrap())
        };
        let usual = with("NSYS_STACK__NAME", "nsys");
        for (name, value) in [
            ("NSYS_WATCH__ASCII", "true"),
            ("NSYS_STACK__PORT_OFFSET", "400"),
            ("NSYS_STACK__PROTECTED", "true"),
            ("NSYS_DOCKER__NSYS_IMAGE", "other"),
            ("NSYS_KUBERNETES__NAMESPACE", "other"),
            ("NSYS_TARGETS__P95_MS", "7"),
            ("NSYS_KAFKA__SASL_PASSWORD", "secret"),
        ] {
            assert_eq!(with(name, value), usual, "{name} is no other measurement");
        }
        for (name, value) in [
            ("NSYS_STACK__REDIS_MAX_MEMORY_MB", "64"),
            ("NSYS_STACK__KAFKA_HEAP_MB", "512"),
            ("NSYS_STACK__KAFKA_RETENTION_BYTES", "1000000000"),
            ("NSYS_STACK__SCRAPE_INTERVAL", "5s"),
            ("NSYS_DB__POOL_SIZE", "7"),
        ] {
            assert_ne!(with(name, value), usual, "{name} is another measurement");
        }
    }

    #[test]
    fn another_setting_or_replica_count_is_a_difference() {
        let before = crate::domain::run::test_run(&[1.0]).environment;
        assert!(differences(&before, &before).is_empty());
        let mut now = before.clone();
        now.worker = 3;
        now.settings.insert("db.pool_size".into(), "20".into());
        assert_eq!(
            differences(&before, &now),
            ["worker replicas: was 1, is 3", "db.pool_size: was not there, is 20"]
        );
    }
}
