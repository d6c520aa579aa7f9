//! Checks before a run that the load can be offered and measured: facts of the machine and the stack.

mod hosts;

use super::{engine, environment, sampler};
use crate::clients::{process, prometheus};
use crate::domain::health::Status as Health;
use crate::domain::preflight::{Facts, Finding, Status, arithmetic};
use crate::domain::scenario::{Engine, LoadPlan, Place};
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

/// The oldest k6 whose events and flags are known.
const OLDEST_K6: (u32, u32) = (0, 49);

/// Every check. Those of the stack are left out when it does not run.
///
/// # Errors
/// When the supervisor answers nonsense.
pub async fn check(stack: &Stack, plan: &LoadPlan) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    match &plan.place {
        Place::Here => {
            findings.extend(arithmetic(plan, &facts(stack)));
            findings.push(generator(stack, plan).await);
        }
        Place::Hosts(names) => {
            let (machines, found) = hosts::look(stack, names).await;
            findings.extend(arithmetic(plan, &hosts::facts(facts(stack), &machines)));
            findings.extend(found);
        }
        Place::Cluster if stack.runtime != Runtime::Kubernetes => {
            let detail = "--distributed needs other machines: loadtest.hosts names none, and the stack is in no cluster";
            findings.push(
                Finding::new("generator", Status::Refuse, detail)
                    .mend("NSYS_LOADTEST__HOSTS='[\"user@first\", \"user@second\"]'"),
            );
        }
        Place::Cluster => {
            findings.extend(arithmetic(
                plan,
                &Facts { memory_mb: None, files: None, ports: None, ..facts(stack) },
            ));
            findings.push(Finding::new(
                "generator",
                Status::Unknown,
                "what the cluster's nodes have is not known",
            ));
        }
    }
    if stack.records().await?.is_empty() {
        findings.push(Finding::new("stack", Status::Unknown, "does not run").mend("nsys up"));
        return Ok(findings);
    }
    findings.push(healthy(stack).await?);
    findings.push(measurable(stack).await);
    findings.extend(data(stack).await);
    Ok(findings)
}

/// Refuses when a check refuses; says everything else that must be known.
///
/// # Errors
/// Refused, with every reason and its arithmetic.
pub fn gate(findings: &[Finding], mut say: impl FnMut(&Finding)) -> Result<()> {
    let refused: Vec<_> = findings.iter().filter(|one| one.status == Status::Refuse).collect();
    for finding in findings.iter().filter(|one| matches!(one.status, Status::Warn | Status::Unknown)) {
        say(finding);
    }
    if refused.is_empty() {
        return Ok(());
    }
    let reasons: Vec<_> = refused.iter().map(|one| format!("{}: {}", one.name, one.detail)).collect();
    let hints: Vec<_> = refused.iter().filter_map(|one| one.mend.clone()).collect();
    let error = Error::refused(format!("this load is not offered: {}", reasons.join("; ")));
    Err(if hints.is_empty() { error } else { error.hint(hints.join("; or ")) })
}

fn facts(stack: &Stack) -> Facts {
    let (load, config) = (&stack.loaded.config.loadtest, &stack.loaded.config);
    // Elsewhere the data is on another disk.
    let place = stack.loaded.state_dir.ancestors().find(|dir| dir.exists() && stack.runtime.is_here());
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let cpus = process::allowed_cpus(own)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    Facts {
        cpus,
        memory_mb: process::available_memory_mb(),
        // Generators raise their own limit up to the hard one.
        files: process::file_limit_hard(),
        ports: process::outgoing_ports(),
        disk_mb: place.and_then(process::free_disk).map(|bytes| bytes as f64 / f64::from(1 << 20)),
        token_s: config.auth.token_ttl.as_secs(),
        k6_user_mb: load.k6_user_mb,
        k6_rate_per_cpu: load.k6_rate_per_cpu,
        native_rate_per_cpu: load.native_rate_per_cpu,
        create_share: load.mix_create,
        bytes_per_notification: load.notification_bytes,
        p95_ms: config.targets.p95_ms,
    }
}

async fn generator(stack: &Stack, plan: &LoadPlan) -> Finding {
    let name = "generator";
    let program = match environment::program(stack, plan.engine) {
        Ok(program) => program,
        Err(error) => {
            let finding = Finding::new(name, Status::Refuse, error.message);
            return finding.mend("nsys setup");
        }
    };
    if plan.engine == Engine::Native {
        return Finding::new(name, Status::Ok, "nsys itself");
    }
    match engine::version(&program).await {
        Ok(said) => version(&said),
        Err(error) => Finding::new(name, Status::Refuse, error.message).mend("nsys setup"),
    }
}

/// `k6 v1.1.0 (go…)`, `k6 v2.2.0`.
pub(super) fn version(said: &str) -> Finding {
    let numbers = said.split(['v', ' ']).find_map(|word| {
        let mut parts = word.split('.');
        Some((parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?))
    });
    match numbers {
        None => Finding::new("generator", Status::Warn, format!("{said}: its version is not known")),
        Some(version) if version < OLDEST_K6 => Finding::new(
            "generator",
            Status::Refuse,
            format!("{said}: {}.{} or newer is needed for its live events", OLDEST_K6.0, OLDEST_K6.1),
        )
        .mend("nsys setup, or loadtest.k6"),
        Some(_) => Finding::new("generator", Status::Ok, said),
    }
}

async fn healthy(stack: &Stack) -> Result<Finding> {
    let components = health::components(stack).await?;
    let down: Vec<_> = components
        .iter()
        .filter(|one| one.status == Health::Down)
        .map(|one| format!("{} ({})", one.name, one.detail))
        .collect();
    if down.is_empty() {
        return Ok(Finding::new("stack", Status::Ok, format!("{} components ok", components.len())));
    }
    let detail = format!("down: {}", down.join(", "));
    Ok(Finding::new("stack", Status::Refuse, detail).mend("nsys health, then nsys up"))
}

/// Whether each metric that the report needs is there now.
async fn measurable(stack: &Stack) -> Finding {
    let promql = format!("count by (__name__) ({{__name__=~\"{}\"}})", NEEDED.join("|"));
    let (base, name) = (stack.endpoints.prometheus_url(), "measurement");
    let series = match prometheus::instant(&base, &promql, None, prometheus::PATIENCE).await {
        Ok(series) => series,
        Err(error) => {
            return Finding::new(name, Status::Refuse, error.message).mend("nsys restart prometheus");
        }
    };
    let there = |metric: &str| series.iter().any(|one| one.labels.contains(&format!("\"{metric}\"")));
    let missing: Vec<_> = NEEDED.into_iter().filter(|metric| !there(metric)).collect();
    if missing.is_empty() {
        return Finding::new(name, Status::Ok, format!("{} metrics are recorded", NEEDED.len()));
    }
    let detail = format!("not recorded: {}; what is judged by them will be unknown", missing.join(", "));
    Finding::new(name, Status::Warn, detail).mend("nsys doctor")
}

/// Volume of the data and the clock, as PostgreSQL tells them.
async fn data(stack: &Stack) -> Vec<Finding> {
    let Ok(mut database) = sampler::connect(stack).await else {
        return vec![Finding::new("data", Status::Unknown, "PostgreSQL does not answer")];
    };
    let tables = database.table_sizes().await.unwrap_or_default();
    let rows = tables.iter().find(|one| one.table == schema::NOTIFICATIONS).map_or(0, |one| one.live_rows);
    let wanted = i64::from(stack.loaded.config.loadtest.seed_notifications);
    let volume = if rows < wanted {
        format!("{rows} notifications; filled up to {wanted} before the first level")
    } else {
        format!("{rows} notifications")
    };
    let here = crate::clock::now_s();
    let apart = database.clock_s().await.ok().map(|theirs| (theirs - here).abs());
    let clock = match apart {
        None => Finding::new("clock", Status::Unknown, "PostgreSQL does not tell its time"),
        Some(apart) if apart < 1.0 => Finding::new("clock", Status::Ok, format!("{apart:.3} s apart")),
        Some(apart) => Finding::new(
            "clock",
            Status::Warn,
            format!("PostgreSQL's is {apart:.1} s apart: windows and series do not match"),
        )
        .mend("set the clock (NTP)"),
    };
    let statements = match database.statement_counts().await {
        Ok(_) => Finding::new("statements", Status::Ok, "pg_stat_statements is on"),
        Err(_) => {
            Finding::new("statements", Status::Warn, "pg_stat_statements is off: no statement is named")
                .mend("nsys doctor --explain NSYS-D009")
        }
    };
    vec![Finding::new("data", Status::Ok, volume), clock, statements]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_k6_is_judged_by_its_version() {
        assert_eq!(version("k6 v1.1.0 (go1.24.3, linux/amd64)").status, Status::Ok);
        assert_eq!(version("k6 v2.2.0").status, Status::Ok);
        assert_eq!(version("k6 v0.40.0").status, Status::Refuse);
        assert_eq!(version("k6 (devel)").status, Status::Warn);
    }

    #[test]
    fn every_refusal_is_named_with_its_way_out() {
        let findings = [
            Finding::new("memory", Status::Refuse, "10 GiB are needed").mend("fewer"),
            Finding::new("rate", Status::Warn, "too much"),
            Finding::new("open files", Status::Refuse, "10064 are needed").mend("ulimit"),
        ];
        let mut said = Vec::new();
        let error = gate(&findings, |one| said.push(one.name.clone())).unwrap_err();
        assert!(error.message.contains("memory: 10 GiB") && error.message.contains("open files: 10064"));
        assert_eq!((error.hint.as_deref(), said), (Some("fewer; or ulimit"), vec!["rate".to_owned()]));
        assert!(gate(&findings[1..2], |_| ()).is_ok());
    }
}
