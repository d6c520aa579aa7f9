//! Can this load be offered at all? The arithmetic before a run, each step with its numbers.

use super::level::Model;
use super::scenario::{LoadEngine, LoadPlan};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Memory of k6 without virtual users, in MiB: measured, k6 1.1 and 2.2.
const K6_BASE_MB: f64 = 80.0;
/// Memory of the native engine and of one of its connections, in MiB: measured.
const NATIVE_BASE_MB: f64 = 30.0;
const NATIVE_USER_MB: f64 = 0.05;
/// Files a generator opens beside its connections.
const OWN_FILES: u64 = 64;
/// Connections and files are taken up to this share of what there is.
const USABLE: f64 = 0.8;
/// Answer times at which a closed model's ceiling is stated, in ms.
const EXAMPLES_MS: [f64; 2] = [10.0, 100.0];

/// What the machine and the configuration offer.
#[derive(Clone, Copy, Debug)]
pub struct PreflightFacts {
    /// Processors that the generator may use; a part of one where a control group has a quota.
    pub cpus: f64,
    /// Memory that is available, in MiB.
    pub memory_mb: Option<f64>,
    /// Most files one process may open; absent when there is no limit.
    pub files: Option<u64>,
    /// Ports that outgoing connections may use.
    pub ports: Option<u64>,
    /// Free disk where the stack keeps its data, in MiB; absent when that is not on this machine.
    pub disk_mb: Option<f64>,
    /// How long a token lives, in seconds; absent where the requests carry none that nsys renews.
    pub token_s: Option<u64>,
    /// Memory of one k6 virtual user, in MiB.
    pub k6_user_mb: f64,
    /// Requests per second and core that k6 reaches at most.
    pub k6_rate_per_cpu: f64,
    /// Requests per second and core that the native engine reaches at most.
    pub native_rate_per_cpu: f64,
    /// Share of requests that create a notification; absent where the service is another one.
    pub create_share: Option<f64>,
    /// Disk that one notification takes in PostgreSQL and Kafka together, in bytes.
    pub bytes_per_notification: f64,
    /// The objective for the 95th percentile, in ms.
    pub p95_ms: f64,
}

/// Outcome of one check.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PreflightStatus {
    /// Nothing stands in the way.
    Ok,
    /// It could not be checked.
    Unknown,
    /// The run is possible, and its reader must know this.
    Warn,
    /// The run is not possible, or would measure nothing.
    Refuse,
}

impl PreflightStatus {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Refuse => "refuse",
        }
    }
}

/// One check with its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PreflightFinding {
    /// What it looks at.
    pub name: String,
    /// The outcome.
    pub status: PreflightStatus,
    /// The arithmetic.
    pub detail: String,
    /// What to do about it.
    #[serde(default, alias = "mend")]
    pub remedy: Option<String>,
}

impl PreflightFinding {
    /// A finding without a remedy.
    #[must_use]
    pub fn new(name: &str, status: PreflightStatus, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), status, detail: detail.into(), remedy: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn remedy(mut self, how: impl Into<String>) -> Self {
        self.remedy = Some(how.into());
        self
    }
}

/// Everything that follows from numbers alone.
#[must_use]
pub fn arithmetic(plan: &LoadPlan, facts: &PreflightFacts) -> Vec<PreflightFinding> {
    let mut findings = vec![concurrency(plan, facts)];
    findings.extend([rate(plan, facts), memory(plan, facts), files(plan, facts), ports(plan, facts)]);
    findings.extend(facts.create_share.map(|share| disk(plan, facts, share)));
    findings.extend(facts.token_s.map(|life| token(plan, life)));
    findings
}

/// Little's law: what answer time the virtual users allow, or what rate they can reach.
fn concurrency(plan: &LoadPlan, facts: &PreflightFacts) -> PreflightFinding {
    let name = "concurrency";
    if plan.model == Model::Closed {
        let ceiling = |ms: f64| {
            let rates = plan.levels.iter().map(|level| format!("{:.0}", f64::from(level.vus) * 1_000.0 / ms));
            format!("{} /s at {ms:.0} ms an answer", rates.collect::<Vec<_>>().join(", "))
        };
        let text = EXAMPLES_MS.map(ceiling).join("; ");
        return PreflightFinding::new(
            name,
            PreflightStatus::Ok,
            format!("at most {text} (virtual users / answer time)"),
        );
    }
    let mut allowed = plan
        .levels
        .iter()
        .filter_map(|level| Some((f64::from(level.vus) * 1_000.0 / f64::from(level.rate?), level)))
        .collect::<Vec<_>>();
    allowed.sort_by(|one, two| one.0.total_cmp(&two.0));
    let Some((ms, level)) = allowed.first() else {
        return PreflightFinding::new(name, PreflightStatus::Unknown, "no level has a rate");
    };
    let load = level.rate.unwrap_or_default();
    let mut detail = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        detail,
        "{} virtual users carry {load}/s while answers take {ms:.0} ms on average ({} / {load})",
        level.vus, level.vus
    );
    if *ms < facts.p95_ms / 2.0 {
        let _ = write!(detail, ", less than half of the objective of {:.0} ms", facts.p95_ms);
        return PreflightFinding::new(name, PreflightStatus::Warn, detail);
    }
    PreflightFinding::new(name, PreflightStatus::Ok, detail)
}

fn rate(plan: &LoadPlan, facts: &PreflightFacts) -> PreflightFinding {
    let name = "rate";
    let (engine, per_cpu) = match plan.engine {
        LoadEngine::K6 => ("k6", facts.k6_rate_per_cpu),
        LoadEngine::Native => ("the native engine", facts.native_rate_per_cpu),
    };
    let ceiling = per_cpu * facts.cpus;
    let sum = format!("{engine} reaches about {ceiling:.0}/s ({per_cpu:.0}/s × {} cores)", facts.cpus);
    let beyond: Vec<_> =
        plan.levels.iter().filter(|level| level.rate.is_some_and(|rate| f64::from(rate) > ceiling)).collect();
    let Some(first) = beyond.first() else { return PreflightFinding::new(name, PreflightStatus::Ok, sum) };
    let detail = format!(
        "{sum}: {} of {} levels, from {} on, cannot be offered in full and will say generator-limited",
        beyond.len(),
        plan.levels.len(),
        first.load()
    );
    let finding = PreflightFinding::new(name, PreflightStatus::Warn, detail);
    match plan.engine {
        LoadEngine::K6 if facts.native_rate_per_cpu > facts.k6_rate_per_cpu => {
            finding.remedy("--engine native")
        }
        _ => finding.remedy("more cores, or --distributed"),
    }
}

fn memory(plan: &LoadPlan, facts: &PreflightFacts) -> PreflightFinding {
    let (users, generators) = (f64::from(plan.most_users()), f64::from(plan.generators));
    let (base, each) = match plan.engine {
        LoadEngine::K6 => (K6_BASE_MB, facts.k6_user_mb),
        LoadEngine::Native => (NATIVE_BASE_MB, NATIVE_USER_MB),
    };
    let need = base * generators + users * each;
    let sum = format!("{need:.0} MiB ({base:.0} + {users:.0} virtual users × {each} MiB)");
    let name = "memory";
    match facts.memory_mb {
        None => PreflightFinding::new(
            name,
            PreflightStatus::Unknown,
            format!("{sum} are needed; what is free is not known"),
        ),
        Some(free) if need > free * USABLE => PreflightFinding::new(
            name,
            PreflightStatus::Refuse,
            format!("{sum} are needed, {free:.0} MiB are available"),
        )
        .remedy("fewer virtual users, or --engine native"),
        Some(free) => {
            PreflightFinding::new(name, PreflightStatus::Ok, format!("{sum} of {free:.0} MiB available"))
        }
    }
}

fn files(plan: &LoadPlan, facts: &PreflightFacts) -> PreflightFinding {
    let need = u64::from(plan.most_users().div_ceil(plan.generators)) + OWN_FILES;
    match facts.files {
        None => PreflightFinding::new(
            "open files",
            PreflightStatus::Ok,
            format!("{need} are needed; there is no limit"),
        ),
        Some(limit) if need > limit => PreflightFinding::new(
            "open files",
            PreflightStatus::Refuse,
            format!("{need} are needed (one for each virtual user), a process may open {limit}"),
        )
        .remedy(format!("ulimit -n {need}, or fewer virtual users")),
        Some(limit) => PreflightFinding::new("open files", PreflightStatus::Ok, format!("{need} of {limit}")),
    }
}

fn ports(plan: &LoadPlan, facts: &PreflightFacts) -> PreflightFinding {
    let (name, need) = ("outgoing ports", u64::from(plan.most_users()));
    match facts.ports {
        None => PreflightFinding::new(
            name,
            PreflightStatus::Unknown,
            format!("{need} are needed; the range is not known"),
        ),
        Some(there) if need as f64 > there as f64 * USABLE => PreflightFinding::new(
            name,
            PreflightStatus::Refuse,
            format!("{need} connections to one address are needed, {there} ports are there"),
        )
        .remedy("sysctl net.ipv4.ip_local_port_range='10000 65000', or fewer virtual users"),
        Some(there) => PreflightFinding::new(name, PreflightStatus::Ok, format!("{need} of {there}")),
    }
}

fn disk(plan: &LoadPlan, facts: &PreflightFacts, create_share: f64) -> PreflightFinding {
    let name = "disk";
    let ceiling = facts.cpus
        * match plan.engine {
            LoadEngine::K6 => facts.k6_rate_per_cpu,
            LoadEngine::Native => facts.native_rate_per_cpu,
        };
    let requests = plan.levels.iter().map(|level| {
        let rate = level.planned_requests().map_or_else(
            || f64::from(level.vus) * 1_000.0 / EXAMPLES_MS[0],
            |requests| requests as f64 / level.seconds.max(1) as f64,
        );
        rate.min(ceiling) * level.seconds as f64
    });
    let rows = requests.sum::<f64>() * create_share;
    let need = rows * facts.bytes_per_notification / f64::from(1 << 20);
    let sum = format!(
        "{need:.0} MiB at most ({rows:.0} notifications × {:.0} bytes in PostgreSQL and Kafka)",
        facts.bytes_per_notification
    );
    match facts.disk_mb {
        None => PreflightFinding::new(
            name,
            PreflightStatus::Unknown,
            format!("{sum} are needed; what is free is not known"),
        ),
        Some(free) if need > free => PreflightFinding::new(
            name,
            PreflightStatus::Refuse,
            format!("{sum} are needed, {free:.0} MiB are free"),
        )
        .remedy("shorter levels, --rates of your own, or --quick"),
        Some(free) if need > free * USABLE => {
            PreflightFinding::new(name, PreflightStatus::Warn, format!("{sum} of {free:.0} MiB free"))
        }
        Some(free) => {
            PreflightFinding::new(name, PreflightStatus::Ok, format!("{sum} of {free:.0} MiB free"))
        }
    }
}

/// A token is renewed before each level, so only the longest one matters.
fn token(plan: &LoadPlan, life: u64) -> PreflightFinding {
    let longest = plan.levels.iter().map(|level| level.seconds).max().unwrap_or(0);
    let name = "token";
    if longest + 60 > life {
        return PreflightFinding::new(
            name,
            PreflightStatus::Refuse,
            format!("the longest level takes {longest} s, a token lives {life} s"),
        )
        .remedy(format!("NSYS_AUTH__TOKEN_TTL={}h nsys up", longest / 3_600 + 2));
    }
    let detail = format!("lives {life} s, renewed before each level; the longest takes {longest} s");
    PreflightFinding::new(name, PreflightStatus::Ok, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::level::Level;
    use crate::domain::scenario::Scenario;
    use std::collections::BTreeMap;

    const FACTS: PreflightFacts = PreflightFacts {
        cpus: 2.0,
        memory_mb: Some(20_000.0),
        files: Some(20_000),
        ports: Some(28_232),
        disk_mb: Some(100_000.0),
        token_s: Some(43_200),
        k6_user_mb: 1.0,
        k6_rate_per_cpu: 11_000.0,
        native_rate_per_cpu: 40_000.0,
        create_share: Some(0.6),
        bytes_per_notification: 2_000.0,
        p95_ms: 100.0,
    };

    fn plan(model: Model, levels: &[&str]) -> LoadPlan {
        let read = |text: &&str| match model {
            Model::Open => Level::by_rate(text).unwrap(),
            Model::Closed => Level::by_users(text).unwrap(),
        };
        LoadPlan {
            scenario: Scenario::Incremental,
            model,
            engine: LoadEngine::K6,
            levels: levels.iter().map(read).collect(),
            stabilise_s: 60,
            stop: Vec::new(),
            before_level: None,
            reconcile: false,
            generators: 1,
            place: crate::domain::scenario::GeneratorPlacement::Here,
            note: None,
            engineer: None,
            tags: BTreeMap::new(),
        }
    }

    fn status(plan: &LoadPlan, facts: &PreflightFacts, name: &str) -> (PreflightStatus, String) {
        let found = arithmetic(plan, facts).into_iter().find(|one| one.name == name).unwrap();
        (found.status, found.detail)
    }

    #[test]
    fn a_laptop_s_ladder_is_fine() {
        let small = plan(Model::Open, &["100/s:20s", "1000/s:20s"]);
        let worst = arithmetic(&small, &FACTS).into_iter().max_by_key(|one| one.status).unwrap();
        assert_eq!(worst.status, PreflightStatus::Ok, "{worst:?}");
    }

    #[test]
    fn ten_thousand_users_are_refused_with_the_arithmetic_where_they_cannot_be() {
        let big = plan(Model::Open, &["100000/s:5m"]);
        let poor =
            PreflightFacts { memory_mb: Some(8_000.0), files: Some(1_024), ports: Some(10_000), ..FACTS };
        let (memory, said) = status(&big, &poor, "memory");
        assert_eq!(memory, PreflightStatus::Refuse);
        assert!(said.contains("10080 MiB (80 + 10000 virtual users × 1 MiB)"), "{said}");
        assert_eq!(status(&big, &poor, "open files").0, PreflightStatus::Refuse);
        assert_eq!(status(&big, &poor, "outgoing ports").0, PreflightStatus::Refuse);
        assert_eq!(status(&big, &FACTS, "memory").0, PreflightStatus::Ok);
    }

    #[test]
    fn a_rate_beyond_the_engine_is_offered_and_marked() {
        let (found, said) = status(&plan(Model::Open, &["1000/s:5m", "50000/s:5m"]), &FACTS, "rate");
        assert_eq!(found, PreflightStatus::Warn);
        assert!(said.contains("22000/s") && said.contains("1 of 2 levels, from 50000/s on"), "{said}");
    }

    #[test]
    fn the_closed_model_states_its_ceiling() {
        let (_, said) = status(&plan(Model::Closed, &["100:5m"]), &FACTS, "concurrency");
        assert!(said.contains("10000 /s at 10 ms") && said.contains("1000 /s at 100 ms"), "{said}");
    }

    #[test]
    fn a_level_longer_than_a_token_lives_is_refused() {
        let long = plan(Model::Open, &["10/s:13h"]);
        assert_eq!(status(&long, &FACTS, "token").0, PreflightStatus::Refuse);
    }

    #[test]
    fn what_is_not_known_is_unknown() {
        let blind = PreflightFacts { memory_mb: None, ports: None, disk_mb: None, ..FACTS };
        let small = plan(Model::Open, &["100/s:20s"]);
        for name in ["memory", "outgoing ports", "disk"] {
            assert_eq!(status(&small, &blind, name).0, PreflightStatus::Unknown, "{name}");
        }
    }
}
