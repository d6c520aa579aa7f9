//! The run: seed, then for each level offer, watch, drain, reconcile and judge. Saved after every level.

use super::engine::{self, Offer};
use super::measure::{self, Sampler};
use super::{Plan, store};
use crate::clients::process::Identity;
use crate::config::is_secret;
use crate::diagnose;
use crate::domain::facts::Facts;
use crate::domain::level::{Level, Model};
use crate::domain::run::{
    Cache, Db, Environment, Generator, Kafka, LevelResult, Reconciliation, Run, SCHEMA, Sample, Service,
};
use crate::domain::verdict::{Objectives, Verdict, judge, of_run};
use crate::error::{Context, Error, Result};
use crate::render::format;
use crate::render::progress::{Line, Progress};
use crate::stack::{Stack, setup, up};
use nsys_contract::schema;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// The next level begins when the service uses less than this of all cores.
const CALM_CPU_PCT: f64 = 20.0;

/// Runs a plan. Returns the directory and what was found, also when it was interrupted.
///
/// # Errors
/// When the stack does not answer, k6 is missing, or a result cannot be written.
pub async fn execute(stack: &Stack, plan: &Plan, progress: &Progress) -> Result<(PathBuf, Run)> {
    let records = stack.records().await?;
    if records.is_empty() {
        return Err(Error::unreachable("the stack does not run").hint("nsys up"));
    }
    let work = stack.layout.run();
    settle_abandoned(stack).await?;
    let k6 = match stack.loaded.config.loadtest.k6.as_str() {
        "" => setup::need(setup::k6(), "k6")?,
        path => PathBuf::from(path),
    };
    let replicas = |role: &str| records.iter().filter(|record| record.name.starts_with(role)).count();
    let started = jiff::Timestamp::now();
    let stamp = started.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y%m%d_%H%M%S").to_string();
    let id = format!("{}-{stamp}", plan.kind);
    let dir = stack.loaded.results_dir().join(&id);
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut run = Run {
        schema: SCHEMA.into(),
        kind: plan.kind.into(),
        id,
        state: "running".into(),
        started_at: started.to_string(),
        finished_at: None,
        model: plan.model,
        note: plan.note.clone(),
        environment: environment(stack, &k6, replicas("app-"), replicas("worker-")).await?,
        targets: serde_json::to_value(&stack.loaded.config.targets).context("cannot write the targets")?,
        levels: Vec::new(),
        verdict: Verdict::Unknown,
    };
    engine::claim(&work, &dir, None)?;
    store::save(&dir, &run)?;
    let outcome = levels(stack, plan, &k6, &dir, &mut run, progress).await;
    engine::release(&work);
    run.state = if matches!(outcome, Ok(true)) { "finished" } else { "interrupted" }.into();
    run.finished_at = Some(jiff::Timestamp::now().to_string());
    run.verdict = if run.state == "finished" { of_run(&run.levels) } else { Verdict::Interrupted };
    store::save(&dir, &run)?;
    outcome.map(|_| (dir, run))
}

/// Runs the levels; false when it was interrupted.
async fn levels(
    stack: &Stack,
    plan: &Plan,
    k6: &Path,
    dir: &Path,
    run: &mut Run,
    progress: &Progress,
) -> Result<bool> {
    let line = progress.line("seed");
    line.update("test data");
    let settings = &stack.loaded.config.loadtest;
    let added = measure::connect(stack).await?.seed(settings.seed_users, settings.seed_notifications).await?;
    line.finish(&format!("{} notifications ({added} new)", settings.seed_notifications));
    let token = up::loadtest_user(stack).await?;
    for (index, level) in plan.levels.iter().enumerate() {
        let line = progress.line(&format!("level {}/{}", index + 1, plan.levels.len()));
        let one = One { stack, plan, k6, dir, id: &run.id, number: index + 1, level: *level, token: &token };
        let (mut result, whole) = one.run(&line).await?;
        if whole {
            judge(&mut result, objectives(stack, plan.kind));
        }
        line.finish(&format!(
            "{}: {:.0}/s, p95 {}, errors {}",
            result.verdict.as_str(),
            result.throughput_rps,
            format::or_missing(result.latency_ms.p95, format::millis),
            format::or_missing(result.error_rate, format::percent),
        ));
        run.levels.push(result);
        run.verdict = of_run(&run.levels);
        store::save(dir, run)?;
        if !whole {
            return Ok(false);
        }
    }
    Ok(true)
}

/// One level of one run.
struct One<'a> {
    stack: &'a Stack,
    plan: &'a Plan,
    k6: &'a Path,
    dir: &'a Path,
    id: &'a str,
    number: usize,
    level: Level,
    token: &'a str,
}

impl One<'_> {
    async fn run(&self, line: &Line) -> Result<(LevelResult, bool)> {
        let config = &self.stack.loaded.config;
        let (warmup, steady) = self.level.windows(config.loadtest.warmup_share);
        let prefix = format!("{}-L{}", self.id, self.number);
        let work = self.stack.layout.run();
        let offer = Offer {
            kind: self.plan.kind,
            plan: json!({
                "base_url": self.stack.endpoints.api_url(), "token": self.token, "model": self.plan.model,
                "rate": self.level.rate, "vus": self.level.vus, "warmup_s": warmup, "steady_s": steady, "prefix": prefix,
                "seed_users": config.loadtest.seed_users, "seed_notifications": config.loadtest.seed_notifications,
                "mix": {"create": config.loadtest.mix_create, "get": config.loadtest.mix_get,
                        "list": config.loadtest.mix_list, "correlation": config.loadtest.mix_correlation},
            }),
            work: work.clone(),
            log: self.dir.join(format!("level-{}-k6.log", self.number)),
        };
        let mut scans_before = None;
        if let Ok(mut database) = measure::connect(self.stack).await {
            scans_before = database.sequential_scans(schema::NOTIFICATIONS).await.ok();
            // Without the extension's right the statements cover more than the level; they are evidence, not a verdict.
            let _ = database.reset_statements().await;
        }
        let before = diagnose::before(self.stack).await;
        let mut child = engine::start(self.k6, &offer)?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(|| Error::failed("k6 ended at once"))?;
        engine::claim(&work, self.dir, Some(pid))?;
        let started = Instant::now();
        let steady_from_s = measure::now_s() + warmup as f64;
        let mut sampler = Sampler::new(self.stack, pid).await?;
        let mut samples = Vec::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let patience = Duration::from_secs(warmup + steady + 60);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status.ok(),
                _ = stop_signal() => break None,
                _ = tick.tick() => {
                    samples.push(sampler.sample().await);
                    self.show(line, started.elapsed(), &samples).await;
                    if started.elapsed() > patience { break None }
                }
            }
        };
        if status.is_none() {
            line.update("stopping k6");
            if let Some(generator) = Identity::of(pid) {
                generator.end(Duration::from_secs(20)).await;
            }
            let _ = child.wait().await;
        }
        let end_s = steady_from_s + steady as f64;
        let summary = engine::read_summary(&work);
        if let (Some(status), Err(_)) = (&status, &summary) {
            let log = std::fs::read_to_string(&offer.log).unwrap_or_default();
            let last = log.lines().last().unwrap_or("it said nothing").to_owned();
            return Err(Error::failed(format!("k6 ended with {status} and left no summary: {last}"))
                .hint(format!("see {}", offer.log.display())));
        }
        let summary = summary.unwrap_or_default();
        let mut result = self.result(&summary, warmup, steady, steady_from_s, samples);
        result.generator.exit = status.and_then(|status| status.code());
        result.facts = diagnose::since(self.stack, &before).await;
        if let (Some(before), Ok(mut database)) = (scans_before, measure::connect(self.stack).await)
            && let Ok(after) = database.sequential_scans(schema::NOTIFICATIONS).await
        {
            result.db.seq_scans = Some((after.0 - before.0).max(0));
            result.db.seq_rows_read = Some((after.1 - before.1).max(0));
        }
        let whole = status.is_some()
            && self.drain(&mut result, &mut sampler, line, summary.accepted, &prefix).await?;
        if whole {
            let seen = measure::window(self.stack, end_s, steady).await;
            measure::fill_series(self.stack, &mut result.samples).await;
            result.service.p95_ms = seen.p95_ms;
            result.service.p99_ms = seen.p99_ms;
            result.db.query_p95_ms = seen.query_p95_ms;
            result.kafka.published_per_s = seen.published_per_s;
            result.kafka.consumed_per_s = seen.consumed_per_s;
            result.cache.hit_rate = seen.hit_rate;
        } else {
            result.verdict = Verdict::Interrupted;
        }
        Ok((result, whole))
    }

    async fn show(&self, line: &Line, elapsed: Duration, samples: &[Sample]) {
        // On a terminal every second, in a log every five.
        if !line.is_live() && !elapsed.as_secs().is_multiple_of(5) {
            return;
        }
        let last = samples.last();
        let live = measure::live(self.stack).await;
        let load =
            self.level.rate.map_or_else(|| format!("{} VUs", self.level.vus), |rate| format!("{rate}/s"));
        let number =
            |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.0} %"));
        line.update(&format!(
            "{load}, {} s left, {}, p95 {}, errors {}, lag {}, service CPU {}, k6 CPU {}",
            self.level.seconds.saturating_sub(elapsed.as_secs()),
            format::or_missing(live.rate, format::rate),
            format::or_missing(live.p95_ms, format::millis),
            format::or_missing(live.errors, format::rate),
            last.and_then(|one| one.lag).map_or_else(|| "–".to_owned(), |lag| lag.to_string()),
            number(last.and_then(|one| one.service_cpu_pct)),
            number(last.and_then(|one| one.generator_cpu_pct)),
        ));
    }

    fn result(
        &self,
        summary: &engine::Summary,
        warmup: u64,
        steady: u64,
        steady_from_s: f64,
        samples: Vec<Sample>,
    ) -> LevelResult {
        let window: Vec<_> = samples
            .iter()
            .filter(|one| one.at_s >= steady_from_s && one.at_s <= steady_from_s + steady as f64)
            .collect();
        let mean = |of: fn(&Sample) -> Option<f64>| {
            let values: Vec<_> = window.iter().filter_map(|one| of(one)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let most = |of: fn(&Sample) -> Option<f64>| samples.iter().filter_map(of).reduce(f64::max);
        LevelResult {
            level: self.number,
            vus: self.level.vus,
            target_rps: self.level.rate,
            duration_s: warmup + steady,
            steady_s: steady,
            steady_from_s,
            requests: summary.requests,
            throughput_rps: summary.requests as f64 / steady as f64,
            error_rate: summary.error_rate,
            latency_ms: summary.latency(),
            dropped_iterations: summary.dropped,
            generator: Generator {
                cpu_pct: mean(|one| one.generator_cpu_pct),
                rss_mb: most(|one| one.generator_rss_mb),
                ..Generator::default()
            },
            service: Service {
                cpu_pct: mean(|one| one.service_cpu_pct),
                rss_mb: most(|one| one.service_rss_mb),
                p95_ms: None,
                p99_ms: None,
            },
            db: Db {
                connections_max: samples.iter().filter_map(|one| one.db_connections).max(),
                pool_size: self.stack.loaded.config.db.pool_size,
                ..Db::default()
            },
            kafka: Kafka { lag_max: samples.iter().filter_map(|one| one.lag).max(), ..Kafka::default() },
            cache: Cache::default(),
            facts: Facts::default(),
            reconciliation: Reconciliation {
                acknowledged: Some(summary.accepted),
                ..Reconciliation::default()
            },
            samples,
            verdict: Verdict::Unknown,
            checks: Vec::new(),
        }
    }

    /// Waits until nothing waits and everything acknowledged is stored and final; false on Ctrl-C.
    async fn drain(
        &self,
        result: &mut LevelResult,
        sampler: &mut Sampler,
        line: &Line,
        accepted: u64,
        prefix: &str,
    ) -> Result<bool> {
        let started = Instant::now();
        let deadline = started + self.plan.stabilise;
        result.kafka.lag_end = measure::total_lag(self.stack).await.ok();
        let mut database = measure::connect(self.stack).await?;
        result.db.top = database.top_statements(5, 0.0).await.unwrap_or_default();
        loop {
            let now = sampler.sample().await;
            let (lag, cpu) = (now.lag, now.service_cpu_pct);
            let calm = cpu.is_none_or(|cpu| cpu < CALM_CPU_PCT);
            let (stored, settled) = database.count_run(prefix).await?;
            result.reconciliation.stored = Some(stored);
            result.reconciliation.r#final = Some(settled);
            if lag == Some(0) && settled >= accepted && calm {
                result.kafka.drain_s = Some(started.elapsed().as_secs_f64());
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(true);
            }
            line.update(&format!(
                "draining: {} wait, {settled} of {accepted} are final",
                lag.unwrap_or_default()
            ));
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
                _ = stop_signal() => return Ok(false),
            }
        }
    }
}

/// Resolves on Ctrl-C or SIGTERM.
async fn stop_signal() -> Option<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok()?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Some(()),
        _ = terminate.recv() => Some(()),
    }
}

/// Ends a generator whose nsys was killed and marks its run.
///
/// # Errors
/// Refused while another nsys runs a load test on this stack.
pub async fn settle_abandoned(stack: &Stack) -> Result<()> {
    if let Some(left) = engine::recover(&stack.layout.run()).await? {
        mark_interrupted(&left);
    }
    Ok(())
}

/// A run whose nsys was killed is not running any more.
fn mark_interrupted(dir: &Path) {
    if let Ok(mut run) = store::load(dir) {
        run.state = "interrupted".into();
        run.verdict = Verdict::Interrupted;
        // The next command tries again; what is on disk stays readable either way.
        let _ = store::save(dir, &run);
    }
}

fn objectives(stack: &Stack, kind: &str) -> Objectives {
    let (goals, load) = (&stack.loaded.config.targets, &stack.loaded.config.loadtest);
    Objectives {
        p95_ms: goals.p95_ms,
        p99_ms: goals.p99_ms,
        error_rate: goals.error_rate,
        cpu_pct: goals.cpu_pct,
        memory_mb: goals.memory_mb,
        db_connections: goals.db_connections,
        lag: goals.lag,
        cache_hit_rate: (kind != "smoke").then_some(goals.cache_hit_rate),
        generator_cpu_pct: load.generator_cpu_pct,
        min_offered_share: load.min_offered_share,
    }
}

async fn environment(stack: &Stack, k6: &Path, app: usize, worker: usize) -> Result<Environment> {
    let of_service = |key: &str| {
        !["stack.", "loadtest.", "targets.", "tune.", "diagnose."]
            .iter()
            .any(|section| key.starts_with(section))
    };
    let settings = stack.loaded.settings.iter().filter(|(key, _)| of_service(key) && !is_secret(key));
    let told = stack.loaded.settings.iter().filter(|(key, _)| {
        key.starts_with("loadtest.mix_")
            || key.starts_with("loadtest.seed_")
            || *key == "loadtest.warmup_share"
    });
    let told: String = told.map(|(key, setting)| format!("{key}={}\n", setting.value)).collect();
    let tables = measure::connect(stack).await?.table_sizes().await?;
    let rows = tables.iter().find(|one| one.table == schema::NOTIFICATIONS).map(|one| one.live_rows);
    let around = Box::pin(diagnose::surroundings(stack)).await;
    let mut system = sysinfo::System::new().context("cannot read the system's state")?;
    system.refresh_memory();
    Ok(Environment {
        nsys: env!("CARGO_PKG_VERSION").into(),
        k6: engine::version(k6).await?,
        os: sysinfo::System::long_os_version().unwrap_or_else(|_| "unknown".into()),
        cpus: std::thread::available_parallelism().map_or(0, usize::from),
        memory_mb: system.total_memory() >> 20,
        app,
        worker,
        shared_machine: true,
        host: around.host,
        runtime: Some(stack.runtime.as_str().to_owned()),
        disk: around.disk,
        versions: around.versions,
        script: engine::script_digest(&told),
        rows,
        settings: settings.map(|(key, setting)| (key.clone(), setting.value.to_string())).collect(),
    })
}

/// Length and ceiling of a plan, in words.
#[must_use]
pub fn describe(plan: &Plan) -> String {
    let model = match plan.model {
        Model::Open => "open model: requests start at the stated rate, whatever the answers do",
        Model::Closed => {
            "closed model: each virtual user waits for its answer; the rate is at most VUs / answer time"
        }
    };
    let mut table =
        crate::render::table::Table::new(["level", "rate", "VUs", "seconds"]).right(&[0, 1, 2, 3]);
    for (index, level) in plan.levels.iter().enumerate() {
        let rate = format::or_missing(level.rate, |rate| format!("{rate}/s"));
        table.row([(index + 1).to_string(), rate, level.vus.to_string(), level.seconds.to_string()]);
    }
    let length = format::duration(Duration::from_secs(plan.seconds()));
    format!("{} ({model})\n{}\n{length}, and the time each backlog takes to drain", plan.kind, table.text())
}
