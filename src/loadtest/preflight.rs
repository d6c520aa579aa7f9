//! Checks before a run that the load can be offered and measured: facts of the machine and the stack.

mod described;
mod hosts;

use super::{engine, environment, sampler};
use crate::clients::postgres::Postgres;
use crate::clients::{process, prometheus};
use crate::clock::now_s;
use crate::domain::health::HealthStatus as Health;
use crate::domain::preflight::{PreflightFacts, PreflightFinding, PreflightStatus, arithmetic};
use crate::domain::profile::{ProfileAuth, ProfilePart};
use crate::domain::promql::Scope;
use crate::domain::scenario::{GeneratorPlacement, LoadEngine, LoadPlan};
use crate::error::{Error, Result};
use crate::stack::{Runtime, Stack, health};
use nsys_contract::{metrics, schema};

/// Metrics without which a level cannot be judged.
const NEEDED: [&str; 6] = [
    metrics::HTTP_REQUESTS_TOTAL,
    metrics::QUEUE_DEPTH,
    metrics::KAFKA_MESSAGES_PUBLISHED_TOTAL,
    metrics::CACHE_HITS_TOTAL,
    metrics::DB_CONNECTIONS_ACTIVE,
    metrics::DB_POOL_SIZE,
];

/// Labels that tell one stack from another.
const STACKS: [&str; 5] = ["stack", "namespace", "cluster", "environment", "env"];

/// The oldest k6 whose events and flags are known.
const OLDEST_K6: (u32, u32) = (0, 49);

/// Every check. Those of the stack are left out when it does not run.
///
/// # Errors
/// When the supervisor answers nonsense.
pub async fn check(stack: &Stack, plan: &LoadPlan) -> Result<Vec<PreflightFinding>> {
    let mut findings = Vec::new();
    match &plan.place {
        GeneratorPlacement::Here => {
            findings.extend(arithmetic(plan, &facts(stack)));
            findings.push(generator(stack, plan).await);
        }
        GeneratorPlacement::Hosts(names) => {
            let (machines, found) = hosts::probe_all(stack, names).await;
            findings.extend(arithmetic(plan, &hosts::facts(facts(stack), &machines)));
            findings.extend(found);
        }
        GeneratorPlacement::Cluster if stack.runtime != Runtime::Kubernetes => {
            let detail = "--distributed needs other machines: loadtest.hosts names none, and the stack is in no cluster";
            findings.push(
                PreflightFinding::new("generator", PreflightStatus::Refuse, detail)
                    .remedy("NSYS_LOADTEST__HOSTS='[\"user@first\", \"user@second\"]'"),
            );
        }
        GeneratorPlacement::Cluster => {
            findings.extend(arithmetic(
                plan,
                &PreflightFacts { memory_mb: None, files: None, ports: None, ..facts(stack) },
            ));
            findings.push(PreflightFinding::new(
                "generator",
                PreflightStatus::Unknown,
                "what the cluster's nodes have is not known",
            ));
        }
    }
    if let Err(error) = must_run(stack).await {
        let finding = PreflightFinding::new("stack", PreflightStatus::Unknown, error.message);
        findings.push(finding.remedy(error.hint.unwrap_or_default()));
        return Ok(findings);
    }
    findings.push(healthy(stack).await?);
    if stack.unnamed(ProfilePart::Metrics).is_none() {
        findings.push(measurable(stack).await);
    }
    if stack.unnamed(ProfilePart::Postgres).is_none() {
        findings.extend(data(stack).await);
    }
    findings.extend(described::findings(stack));
    Ok(findings)
}

/// Whether there is a service to ask.
///
/// # Errors
/// Unreachable when there is none, or the supervisor answers nonsense.
pub async fn must_run(stack: &Stack) -> Result<()> {
    if !stack.records().await?.is_empty() {
        return Ok(());
    }
    if stack.profile().is_companion() {
        return Err(Error::unreachable("the stack does not run").hint("nsys up"));
    }
    let why = health::probe(stack, "api")
        .await
        .err()
        .map_or_else(String::new, |error| format!(": {}", error.message));
    let what = format!("the service of the profile {} does not answer{why}", stack.profile().name);
    Err(Error::unreachable(what).hint("nsys profile check"))
}

/// Refuses when a check refuses; says everything else that must be known.
///
/// # Errors
/// Refused, with every reason and its arithmetic.
pub fn gate(findings: &[PreflightFinding], mut say: impl FnMut(&PreflightFinding)) -> Result<()> {
    let refused: Vec<_> = findings.iter().filter(|one| one.status == PreflightStatus::Refuse).collect();
    for finding in
        findings.iter().filter(|one| matches!(one.status, PreflightStatus::Warn | PreflightStatus::Unknown))
    {
        say(finding);
    }
    if refused.is_empty() {
        return Ok(());
    }
    let reasons: Vec<_> = refused.iter().map(|one| format!("{}: {}", one.name, one.detail)).collect();
    let hints: Vec<_> = refused.iter().filter_map(|one| one.remedy.clone()).collect();
    let error = Error::refused(format!("this load is not offered: {}", reasons.join("; ")));
    Err(if hints.is_empty() { error } else { error.hint(hints.join("; or ")) })
}

fn facts(stack: &Stack) -> PreflightFacts {
    let (load, config) = (&stack.loaded.config.loadtest, &stack.loaded.config);
    // Elsewhere the data is on another disk.
    let place = stack.loaded.state_dir.ancestors().find(|dir| dir.exists() && stack.runtime.is_here());
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let parallel = || std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let cpus = process::usable_cpus(own).unwrap_or_else(parallel);
    PreflightFacts {
        cpus,
        memory_mb: process::available_memory_mb(),
        // Generators raise their own limit up to the hard one.
        files: process::file_limit_hard(),
        ports: process::outgoing_ports(),
        disk_mb: place.and_then(process::free_disk).map(|bytes| bytes as f64 / f64::from(1 << 20)),
        token_s: (stack.profile().auth == ProfileAuth::Account).then_some(config.auth.token_ttl.as_secs()),
        k6_user_mb: load.k6_user_mb,
        k6_rate_per_cpu: load.k6_rate_per_cpu,
        native_rate_per_cpu: load.native_rate_per_cpu,
        create_share: stack.profile().is_companion().then_some(load.mix_create),
        bytes_per_notification: load.notification_bytes,
        p95_ms: config.objectives.p95_ms,
    }
}

async fn generator(stack: &Stack, plan: &LoadPlan) -> PreflightFinding {
    let name = "generator";
    let program = match environment::program(stack, plan.engine) {
        Ok(program) => program,
        Err(error) => {
            let finding = PreflightFinding::new(name, PreflightStatus::Refuse, error.message);
            return finding.remedy("nsys setup");
        }
    };
    if plan.engine == LoadEngine::Native {
        return PreflightFinding::new(name, PreflightStatus::Ok, "nsys itself");
    }
    match engine::version(&program).await {
        Ok(said) => version(&said),
        Err(error) => {
            PreflightFinding::new(name, PreflightStatus::Refuse, error.message).remedy("nsys setup")
        }
    }
}

/// `k6 v1.1.0 (go…)`, `k6 v2.2.0`.
pub(super) fn version(said: &str) -> PreflightFinding {
    let numbers = said.split(['v', ' ']).find_map(|word| {
        let mut parts = word.split('.');
        Some((parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?))
    });
    match numbers {
        None => PreflightFinding::new(
            "generator",
            PreflightStatus::Warn,
            format!("{said}: its version is not known"),
        ),
        Some(version) if version < OLDEST_K6 => PreflightFinding::new(
            "generator",
            PreflightStatus::Refuse,
            format!("{said}: {}.{} or newer is needed for its live events", OLDEST_K6.0, OLDEST_K6.1),
        )
        .remedy("nsys setup, or loadtest.k6"),
        Some(_) => PreflightFinding::new("generator", PreflightStatus::Ok, said),
    }
}

async fn healthy(stack: &Stack) -> Result<PreflightFinding> {
    let parts = health::probe_parts(stack).await?;
    let down: Vec<_> = parts
        .iter()
        .filter(|one| one.status == Health::Down)
        .map(|one| format!("{} ({})", one.name, one.detail))
        .collect();
    if down.is_empty() {
        return Ok(PreflightFinding::new("stack", PreflightStatus::Ok, format!("{} parts ok", parts.len())));
    }
    let detail = format!("down: {}", down.join(", "));
    Ok(PreflightFinding::new("stack", PreflightStatus::Refuse, detail).remedy("nsys health, then nsys up"))
}

/// Whether each metric that the report needs is there now.
async fn measurable(stack: &Stack) -> PreflightFinding {
    let (base, name, scope) = (stack.endpoints.prometheus_url(), "measurement", stack.scope().await);
    let mut missing = Vec::new();
    for metric in NEEDED {
        match prometheus::value(&base, &scope.metric(metric).now().count(), now_s()).await {
            Ok(Some(_)) => {}
            Ok(None) => missing.push(metric),
            Err(error) => {
                return PreflightFinding::new(name, PreflightStatus::Refuse, error.message)
                    .remedy("nsys restart prometheus");
            }
        }
    }
    let selector = scope.selector();
    if let Some(stacks) = mixed(stack, &scope).await {
        let detail = format!("{selector} fits the series of {stacks}; what they count is added up");
        return PreflightFinding::new(name, PreflightStatus::Warn, detail)
            .remedy("set metrics.selector to the labels of one");
    }
    if missing.len() == NEEDED.len() {
        let detail = format!("no series fits {selector}; what is judged by them will be unknown");
        return PreflightFinding::new(name, PreflightStatus::Warn, detail)
            .remedy("set metrics.selector, or see nsys doctor");
    }
    if missing.is_empty() {
        return PreflightFinding::new(
            name,
            PreflightStatus::Ok,
            format!("{} metrics are recorded", NEEDED.len()),
        );
    }
    let detail = format!("not recorded: {}; what is judged by them will be unknown", missing.join(", "));
    PreflightFinding::new(name, PreflightStatus::Warn, detail).remedy("nsys doctor")
}

/// The stacks whose series fit the selector, when there is more than one.
async fn mixed(stack: &Stack, scope: &Scope) -> Option<String> {
    let apart = scope.replicas("up").now().count_by(&STACKS);
    let base = stack.endpoints.prometheus_url();
    let found = prometheus::instant(&base, &apart, None, prometheus::TIMEOUT).await.ok()?;
    (found.len() > 1).then(|| found.iter().map(|one| one.labels.as_str()).collect::<Vec<_>>().join(" and "))
}

/// Volume of the data and the clock, as PostgreSQL tells them.
async fn data(stack: &Stack) -> Vec<PreflightFinding> {
    let Ok(mut database) = sampler::connect(stack).await else {
        return vec![PreflightFinding::new("data", PreflightStatus::Unknown, "PostgreSQL does not answer")];
    };
    let volume = if stack.profile().is_companion() { Some(volume(stack, &mut database).await) } else { None };
    let here = now_s();
    let apart = database.clock_s().await.ok().map(|theirs| (theirs - here).abs());
    let clock = match apart {
        None => {
            PreflightFinding::new("clock", PreflightStatus::Unknown, "PostgreSQL does not report its time")
        }
        Some(apart) if apart < 1.0 => {
            PreflightFinding::new("clock", PreflightStatus::Ok, format!("{apart:.3} s apart"))
        }
        Some(apart) => PreflightFinding::new(
            "clock",
            PreflightStatus::Warn,
            format!("PostgreSQL's is {apart:.1} s apart: windows and series do not match"),
        )
        .remedy("set the clock (NTP)"),
    };
    let statements = match database.statement_counts().await {
        Ok(_) => PreflightFinding::new("statements", PreflightStatus::Ok, "pg_stat_statements is on"),
        Err(_) => PreflightFinding::new(
            "statements",
            PreflightStatus::Warn,
            "pg_stat_statements is off: no statement is named",
        )
        .remedy("nsys doctor --explain NSYS-D009"),
    };
    volume.into_iter().chain([clock, statements]).collect()
}

async fn volume(stack: &Stack, database: &mut Postgres) -> PreflightFinding {
    let wanted = i64::from(stack.loaded.config.loadtest.seed_notifications);
    let tables = database.table_sizes().await;
    let rows =
        tables.map(|all| all.iter().find(|one| one.table == schema::NOTIFICATIONS).map(|one| one.live_rows));
    match rows {
        Ok(Some(rows)) if rows >= wanted => {
            PreflightFinding::new("data", PreflightStatus::Ok, format!("{rows} notifications"))
        }
        Ok(Some(rows)) => PreflightFinding::new(
            "data",
            PreflightStatus::Ok,
            format!("{rows} notifications; filled up to {wanted} before the first level"),
        ),
        Ok(None) => {
            let detail = format!("the table {} is not there", schema::NOTIFICATIONS);
            PreflightFinding::new("data", PreflightStatus::Unknown, detail).remedy("nsys db migrate")
        }
        Err(error) => PreflightFinding::new(
            "data",
            PreflightStatus::Unknown,
            format!("rows could not be counted: {}", error.message),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_k6_is_judged_by_its_version() {
        assert_eq!(version("k6 v1.1.0 (go1.24.3, linux/amd64)").status, PreflightStatus::Ok);
        assert_eq!(version("k6 v2.2.0").status, PreflightStatus::Ok);
        assert_eq!(version("k6 v0.40.0").status, PreflightStatus::Refuse);
        assert_eq!(version("k6 (devel)").status, PreflightStatus::Warn);
    }

    #[test]
    fn every_refusal_is_named_with_its_way_out() {
        let findings = [
            PreflightFinding::new("memory", PreflightStatus::Refuse, "10 GiB are needed").remedy("fewer"),
            PreflightFinding::new("rate", PreflightStatus::Warn, "too much"),
            PreflightFinding::new("open files", PreflightStatus::Refuse, "10064 are needed").remedy("ulimit"),
        ];
        let mut said = Vec::new();
        let error = gate(&findings, |one| said.push(one.name.clone())).unwrap_err();
        assert!(error.message.contains("memory: 10 GiB") && error.message.contains("open files: 10064"));
        assert_eq!((error.hint.as_deref(), said), (Some("fewer; or ulimit"), vec!["rate".to_owned()]));
        assert!(gate(&findings[1..2], |_| ()).is_ok());
    }
}
