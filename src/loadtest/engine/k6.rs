//! k6 as the generator: its script, its arguments, its summary.

use super::live;
use super::summary::{Histogram, Summary, WindowSummary};
use super::{Generator, News, Offer, plan_file, summary_file};
use crate::domain::run::Latency;
use crate::domain::scenario::Scenario;
use crate::error::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::Receiver;

pub(super) const LEVEL: &str = include_str!("../../../load-tests/lib/level.js");

/// Buckets of the script's histogram, each an eighth of a doubling wide.
const BUCKETS: u32 = 160;
/// Upper bound of the first one, in ms.
const FIRST_BUCKET_MS: f64 = 0.05;

const fn script(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Smoke => include_str!("../../../load-tests/smoke.js"),
        Scenario::Baseline => include_str!("../../../load-tests/baseline.js"),
        Scenario::Incremental => include_str!("../../../load-tests/incremental.js"),
        Scenario::Stress => include_str!("../../../load-tests/stress.js"),
        Scenario::Spike => include_str!("../../../load-tests/spike.js"),
        Scenario::Soak => include_str!("../../../load-tests/soak.js"),
        Scenario::FindMax => include_str!("../../../load-tests/find-max.js"),
    }
}

/// Identifies what is offered: the script, and what it is told beside rates.
#[must_use]
pub fn script_digest(told: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new().chain_update(LEVEL).chain_update(told).finalize();
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// What k6 says about itself.
///
/// # Errors
/// When it cannot be started.
pub async fn version(k6: &Path) -> Result<String> {
    let output = Command::new(k6).arg("version").output().await;
    let output = output.with_context(|| format!("cannot start {}", k6.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or("unknown").trim().to_owned())
}

/// Starts the k6 processes of a level; each takes its segment of it.
pub(super) fn start(offer: &Offer) -> Result<(Generator, Receiver<News>)> {
    let scripts = offer.work.join("k6");
    std::fs::create_dir_all(scripts.join("lib"))
        .with_context(|| format!("cannot create {}", scripts.display()))?;
    let file = scripts.join(format!("{}.js", offer.scenario.as_str()));
    crate::stack::layout::write_private(&file, script(offer.scenario))?;
    crate::stack::layout::write_private(&scripts.join("lib/level.js"), LEVEL)?;
    let log = std::fs::File::create(&offer.log)
        .with_context(|| format!("cannot create {}", offer.log.display()))?;
    let (mut children, mut dashboards) = (Vec::new(), Vec::new());
    for index in 0..offer.generators {
        let dashboard = free_port()?;
        children.push(spawn(offer, &file, index, dashboard, &log)?);
        dashboards.push(dashboard);
    }
    let news = live::listen(dashboards);
    Ok((Generator::new(children)?, news))
}

fn spawn(offer: &Offer, script: &Path, index: u32, dashboard: u16, log: &std::fs::File) -> Result<Child> {
    let (plan, summary) = (plan_file(&offer.work, index), summary_file(&offer.work, index));
    let _ = std::fs::remove_file(&summary);
    let mut told = offer.plan.clone();
    (told["summary"], told["histogram"]) = (json!(summary), json!(offer.generators > 1));
    crate::stack::layout::write_private(&plan, &told.to_string())?;
    let mut command = Command::new(&offer.program);
    command
        .args(arguments(index, offer.generators))
        .args(["--address", &format!("127.0.0.1:{}", free_port()?)]);
    command.arg(script).env("NSYS_PLAN", &plan).env("K6_NO_USAGE_REPORT", "true");
    // Its built-in dashboard tells each second while it runs. On one address only: by default it
    // listens on all of them.
    command.env("K6_WEB_DASHBOARD", "true").env("K6_WEB_DASHBOARD_PERIOD", "1s");
    command.env("K6_WEB_DASHBOARD_HOST", "127.0.0.1").env("K6_WEB_DASHBOARD_PORT", dashboard.to_string());
    let share = |log: &std::fs::File| log.try_clone().context("cannot share the log");
    command.stdin(Stdio::null()).stdout(share(log)?).stderr(share(log)?).process_group(0);
    command.spawn().with_context(|| format!("cannot start {}", offer.program.display()))
}

/// Arguments of the `index`-th of several k6, each with its segment of the whole.
pub(super) fn arguments(index: u32, of: u32) -> Vec<String> {
    let mut arguments = ["run", "--quiet", "--no-color"].map(str::to_owned).to_vec();
    if of > 1 {
        let sequence: Vec<_> = (0..=of).map(|edge| fraction(edge, of)).collect();
        arguments.push("--execution-segment".into());
        arguments.push(format!("{}:{}", fraction(index, of), fraction(index + 1, of)));
        arguments.extend(["--execution-segment-sequence".into(), sequence.join(",")]);
    }
    arguments
}

fn fraction(part: u32, of: u32) -> String {
    match part {
        0 => "0".into(),
        part if part == of => "1".into(),
        part => format!("{part}/{of}"),
    }
}

pub(super) fn free_port() -> Result<u16> {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
    Ok(free.context("no free port")?.port())
}

/// Reads the summary that the script wrote.
pub(super) fn read_summary(offer: &Offer, index: u32) -> Result<Summary> {
    let text = std::fs::read_to_string(summary_file(&offer.work, index)).context("k6 left no summary")?;
    let data: Value = serde_json::from_str(&text).context("k6's summary is damaged")?;
    let windows: Vec<_> = offer.windows.iter().map(|window| window.name.as_str()).collect();
    Ok(summary_of(&data, &windows))
}

fn value(data: &Value, metric: &str, key: &str) -> Option<f64> {
    data["metrics"][metric]["values"][key].as_f64()
}

fn count(data: &Value, metric: &str) -> u64 {
    value(data, metric, "count").unwrap_or(0.0) as u64
}

fn summary_of(data: &Value, windows: &[&str]) -> Summary {
    let errors = data["metrics"].as_object().into_iter().flatten().filter_map(|(name, metric)| {
        let cause = name.strip_prefix("failures{cause:")?.strip_suffix('}')?;
        let count = metric["values"]["count"].as_f64()? as u64;
        (count > 0).then(|| (cause.replace('_', " "), count))
    });
    Summary {
        measured: window_of(data, "measured:yes"),
        windows: windows
            .iter()
            .map(|name| ((*name).to_owned(), window_of(data, &format!("window:{name}"))))
            .collect(),
        began_s: data["setup_data"]["began_ms"].as_f64().map(|ms| ms / 1_000.0),
        requests: count(data, "http_reqs"),
        // In this metric what "passes" are the failed requests.
        failed: value(data, "http_req_failed", "passes").unwrap_or(0.0) as u64,
        accepted: count(data, "accepted"),
        dropped: count(data, "dropped_iterations"),
        errors: errors.collect(),
        late_p99_ms: None,
    }
}

fn window_of(data: &Value, tag: &str) -> WindowSummary {
    let requests = count(data, &format!("http_reqs{{{tag}}}"));
    let failed = value(data, &format!("http_req_failed{{{tag}}}"), "passes").unwrap_or(0.0) as u64;
    let answers = format!("http_req_duration{{expected_response:true,{tag}}}");
    // Where nothing succeeded k6 shows zeros; there is no answer time.
    let [min, p50, p90, p95, p99, p999, max] = ["min", "med", "p(90)", "p(95)", "p(99)", "p(99.9)", "max"]
        .map(|key| value(data, &answers, key).filter(|_| requests > failed));
    let buckets = (0..BUCKETS).filter_map(|bucket| {
        let count = count(data, &format!("answer_time{{measured:yes,bucket:{bucket}}}"));
        let bound = FIRST_BUCKET_MS * (f64::from(bucket) / 8.0).exp2();
        (count > 0).then_some((bound, count))
    });
    let buckets: Vec<_> = if tag == "measured:yes" { buckets.collect() } else { Vec::new() };
    WindowSummary {
        requests,
        failed,
        latency: Latency { min, p50, p90, p95, p99, p999, max },
        busy_ms: value(data, &format!("iteration_duration{{{tag}}}"), "avg").filter(|_| requests > 0),
        histogram: (!buckets.is_empty()).then_some(Histogram { buckets }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(failed: u64) -> Value {
        json!({"metrics": {
            "http_reqs": {"values": {"count": 120.0}},
            "http_req_failed": {"values": {"passes": failed, "rate": 0.5}},
            "http_reqs{measured:yes}": {"values": {"count": 100.0}},
            "http_req_failed{measured:yes}": {"values": {"passes": failed}},
            "http_req_duration{expected_response:true,measured:yes}":
                {"values": {"min": 0.0, "med": 1.0, "p(95)": 2.0}},
            "http_reqs{window:steady}": {"values": {"count": 100.0}},
            "iteration_duration{window:steady}": {"values": {"avg": 3.0}},
            "failures{cause:status_503}": {"values": {"count": failed}},
            "failures{cause:refused}": {"values": {"count": 0}},
            "accepted": {"values": {"count": 60.0}}
        }})
    }

    #[test]
    fn refused_connections_have_no_answer_time() {
        assert_eq!(summary_of(&data(0), &["steady"]).measured.latency.p95, Some(2.0));
        let refused = summary_of(&data(100), &["steady"]);
        assert_eq!(refused.measured.latency.p95, None);
        assert_eq!(refused.measured.error_rate(), Some(1.0));
        assert_eq!(refused.errors, [("status 503".to_owned(), 100)].into());
    }

    #[test]
    fn each_window_has_its_own_counts() {
        let summary = summary_of(&data(7), &["warmup", "steady"]);
        assert_eq!((summary.requests, summary.failed, summary.accepted), (120, 7, 60));
        assert_eq!(summary.windows["steady"].busy_ms, Some(3.0));
        assert_eq!(summary.windows["warmup"].requests, 0);
    }

    #[test]
    fn an_empty_summary_claims_nothing() {
        let empty = summary_of(&json!({}), &[]);
        assert_eq!(empty, Summary::default());
    }

    #[test]
    fn segments_cover_the_whole() {
        let edges: Vec<_> = (0..=3).map(|part| fraction(part, 3)).collect();
        assert_eq!(edges, ["0", "1/3", "2/3", "1"]);
    }
}
