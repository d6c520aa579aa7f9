//! What a play comes to when nsys judges it as a level, and whom that blames. Everything that the prescribed
//! server has not (processes, PostgreSQL, Kafka, a log) is well, so that the load alone decides.

use super::scenario::{Blamed, SECONDS, Scenario};
use nsys::config::{Config, DEFAULTS};
use nsys::domain::check::{CheckStatus, Verdict};
use nsys::domain::diagnosis::{FindingRole, diagnose};
use nsys::domain::guard::GeneratorBounds;
use nsys::domain::level::{Level, Model};
use nsys::domain::objectives::{LevelCriteria, Objectives};
use nsys::domain::run::{Environment, LevelResult, Run, SCHEMA};
use nsys::domain::scenario::LoadEngine;
use nsys::domain::stream::Tick;
use nsys::domain::verdict::judge;
use nsys::loadtest::engine::{GeneratorSummary, Offer};
use nsys::loadtest::level::{ClientLoad, of_client};
use nsys::measured::Measured;

/// What the plays are judged by.
const P95_MS: f64 = 500.0;
const P99_MS: f64 = 1_000.0;
/// A generator that sends so late at the 99th percentile had no processor, in ms; nsys' own bound.
pub(super) const LATE_MS: f64 = 10.0;

/// A judgement: what was said, what had to be said.
pub(super) struct Judgement {
    pub(super) question: &'static str,
    pub(super) told: String,
    pub(super) truth: String,
}

/// What the server counted: its own percentiles, in ms.
#[derive(Clone, Copy)]
pub(super) struct ServerTimes {
    pub(super) p95: f64,
    pub(super) p99: f64,
}

fn configuration() -> Config {
    toml::from_str(DEFAULTS).expect("the defaults are valid")
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Requests per second from which on nsys says that an engine's own time is in the answer times.
pub(super) fn ceiling(engine: LoadEngine) -> f64 {
    let settings = configuration().loadtest;
    let each = match engine {
        LoadEngine::K6 => settings.k6_exact_per_cpu,
        LoadEngine::Native => settings.native_exact_per_cpu,
    };
    each * processors() as f64
}

fn criteria(engine: LoadEngine) -> LevelCriteria {
    let settings = configuration();
    LevelCriteria {
        objectives: Objectives { p95_ms: P95_MS, p99_ms: P99_MS, ..settings.objectives },
        warms_caches: false,
        generator: GeneratorBounds {
            cpu_pct: settings.loadtest.generator_cpu_pct,
            offered_share: settings.loadtest.min_offered_share,
            rate_per_cpu: ceiling(engine) / processors() as f64,
        },
        reconcile: false,
        reports_seconds: true,
    }
}

/// The level that a play is, and everything beside its load in order.
pub(super) fn level(
    scenario: &Scenario,
    offer: &Offer,
    summary: &GeneratorSummary,
    ticks: &[Tick],
    server: ServerTimes,
) -> LevelResult {
    let (_, rate, vus) = scenario.offered();
    let level = Level { vus, rate, seconds: SECONDS, stages: Vec::new() };
    let load = ClientLoad {
        number: 1,
        level: &level,
        offer,
        began_s: summary.began_s.unwrap_or_default(),
        cpus: Some(processors() as f64),
        exit: Some(0),
        ticks,
    };
    let mut level = of_client(load, summary);
    (level.service.cpu_pct, level.service.rss_mb) = (20.0.into(), 60.0.into());
    (level.service.p95_ms, level.service.p99_ms) = (server.p95.into(), server.p99.into());
    level.db.connections_max = 8.into();
    level.kafka.lag_end = 0.into();
    level.reconciliation.stored = summary.accepted.into();
    level
}

/// Judges it: as it is, and as if nobody had measured the service.
pub(super) fn judgements(
    scenario: &Scenario,
    engine: LoadEngine,
    level: &LevelResult,
    is_limit: bool,
) -> Vec<Judgement> {
    let all_failed = level.error_rate.value() == Some(1.0);
    let blamed = if is_limit && !all_failed { Blamed::Generator } else { scenario.blamed };
    let (verdict, unmeasured) = match blamed {
        Blamed::Nobody => (Verdict::Passed, Verdict::Unknown),
        Blamed::Service => (Verdict::Failed, Verdict::Failed),
        Blamed::Generator => (Verdict::GeneratorLimited, Verdict::GeneratorLimited),
    };
    let judged = |mut level: LevelResult| {
        judge(&mut level, &criteria(engine));
        level
    };
    let whole = judged(level.clone());
    let mut lacking = level.clone();
    lacking.service.cpu_pct = Measured::missing("nobody measured it");
    vec![
        Judgement {
            question: "verdict",
            told: whole.verdict.as_str().to_owned(),
            truth: verdict.as_str().to_owned(),
        },
        Judgement {
            question: "verdict without the service's own numbers",
            told: judged(lacking).verdict.as_str().to_owned(),
            truth: unmeasured.as_str().to_owned(),
        },
        Judgement {
            question: "blames",
            told: of_diagnosis(whole),
            truth: format!("{blamed:?}").to_lowercase(),
        },
    ]
}

/// Why it was judged so, for who reads the table.
pub(super) fn why(level: &LevelResult, engine: LoadEngine) -> String {
    let mut level = level.clone();
    judge(&mut level, &criteria(engine));
    let missed = level.checks.iter().filter(|one| one.status == CheckStatus::Fail);
    let missed = missed.map(|one| format!("{} {:?}", one.metric, one.value.value()));
    level.generator.reasons.iter().cloned().chain(missed).collect::<Vec<_>>().join("; ")
}

/// Whom the diagnosis of a run of this level alone blames.
fn of_diagnosis(level: LevelResult) -> String {
    let run = run(level);
    let found = diagnose(&run, &configuration().bounds());
    let blamed = found.causes().map(|one| match (one.role, one.rule) {
        (FindingRole::Measurement, "generator-limited") => "generator".to_owned(),
        (FindingRole::Measurement, rule) => rule.to_owned(),
        (FindingRole::Cause | FindingRole::Symptom, _) => "service".to_owned(),
    });
    // What is in doubt is said first, and whatever comes after is of that.
    match blamed.into_iter().next() {
        Some(first) => first,
        // A level may fail by what no rule looks at; the verdict blames the service then.
        None if run.levels.iter().any(|one| one.verdict == Verdict::Failed) => "service".to_owned(),
        None => "nobody".to_owned(),
    }
}

fn run(level: LevelResult) -> Run {
    let environment = Environment {
        nsys: String::new(),
        k6: String::new(),
        os: String::new(),
        cpus: processors(),
        memory_mb: 1,
        app: 1,
        worker: 1,
        shared_machine: true,
        stack_here: Some(true),
        host: None,
        runtime: None,
        disk: None,
        versions: Default::default(),
        script: String::new(),
        rows: None,
        settings: Default::default(),
    };
    Run {
        schema: SCHEMA.into(),
        kind: "baseline".into(),
        id: "truth".into(),
        stack: None,
        state: "finished".into(),
        started_at: String::new(),
        finished_at: None,
        model: if level.target_rps.is_some() { Model::Open } else { Model::Closed },
        note: None,
        engineer: None,
        tags: Default::default(),
        plan: None,
        resume_points: Vec::new(),
        stopped_by: None,
        profile: None,
        broken_off: None,
        search: None,
        environment,
        objectives: serde_json::Value::Null,
        verdict: level.verdict,
        levels: vec![level],
    }
}
