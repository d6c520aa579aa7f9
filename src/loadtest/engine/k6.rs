//! k6 as the generator: its script, its arguments, its summary.

use super::live;
use super::summary::{Bucket, GeneratorSummary, Histogram, TimeDistribution, WindowSummary};
use super::{GeneratorProcesses, News, Offer, plan_file, summary_file};
use crate::clients::process;
use crate::clients::program::{ChildEnvironment, Purpose, command};
use crate::domain::distribution::Distribution;
use crate::domain::run::Latency;
use crate::domain::scenario::Scenario;
use crate::domain::slices::{SliceCounts, Slicing};
use crate::error::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::process::Child;
use tokio::sync::mpsc::Receiver;

pub(super) const LEVEL: &str = include_str!("../../../load-tests/lib/level.js");

/// What the script writes before the id of a creation that has no answer 201.
const UNACKNOWLEDGED: &str = "msg=\"unacknowledged ";
/// Ports that are tried below those of outgoing connections …
const PORTS: u16 = 4_096;
/// … but none below this.
const LOWEST_PORT: u16 = 10_000;
/// From so many percentiles on a summary holds a whole distribution.
const FEWEST_POINTS: usize = 50;

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
pub fn script_digest(content: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new().chain_update(LEVEL).chain_update(content).finalize();
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// What k6 says about itself.
///
/// # Errors
/// When it cannot be started.
pub async fn version(k6: &Path) -> Result<String> {
    let output = command(Purpose::Load, k6).arg("version").output().await;
    let output = output.with_context(|| format!("cannot start {}", k6.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or("unknown").trim().to_owned())
}

/// Starts the k6 processes of a level; each takes its segment of it.
pub(super) fn start(offer: &Offer) -> Result<(GeneratorProcesses, Receiver<News>)> {
    let scripts = scripts_dir(&offer.work);
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
    Ok((GeneratorProcesses::new(children)?, news))
}

fn spawn(offer: &Offer, script: &Path, index: u32, dashboard: u16, log: &std::fs::File) -> Result<Child> {
    let (plan, summary) = (plan_file(&offer.work, index), summary_file(&offer.work, index));
    // One that is left from the level before must not be taken for this one's.
    let _ = std::fs::remove_file(&summary);
    let mut content = offer.plan.clone();
    content["summary"] = json!(summary);
    crate::stack::layout::write_private(&plan, &content.to_string())?;
    let mut command = environment(&scripts_dir(&offer.work), &plan, dashboard).command(&offer.program);
    command
        .args(arguments(index, offer.generators))
        // By default the API of every k6 would listen on the same port; nobody asks it.
        .args(["--address", "127.0.0.1:0"]);
    command.arg(script);
    let share = |log: &std::fs::File| log.try_clone().context("cannot share the log");
    // A group of its own: Ctrl-C in the terminal reaches nsys alone, which then ends the generators in order.
    command.stdin(Stdio::null()).stdout(share(log)?).stderr(share(log)?).process_group(0);
    // One that nobody holds any more, whatever failed, must not go on offering load.
    command.kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {}", offer.program.display()))
}

/// All that k6 is told by its environment. Its variables and the config.json of its home are stronger
/// than the script, so neither is the user's: its home is where its scripts are.
fn environment(home: &Path, plan: &Path, dashboard: u16) -> ChildEnvironment {
    ChildEnvironment::new(Purpose::Load)
        .with("HOME", home)
        .with("NSYS_PLAN", plan)
        .with("K6_NO_USAGE_REPORT", "true")
        // Its built-in dashboard tells each second while it runs. On one address only: by default it
        // listens on all of them.
        .with("K6_WEB_DASHBOARD", "true")
        .with("K6_WEB_DASHBOARD_PERIOD", "1s")
        .with("K6_WEB_DASHBOARD_HOST", "127.0.0.1")
        .with("K6_WEB_DASHBOARD_PORT", dashboard.to_string())
}

fn scripts_dir(work: &Path) -> PathBuf {
    work.join("k6")
}

/// Arguments of the `index`-th of several k6, each with its segment of the whole.
pub(super) fn arguments(index: u32, of: u32) -> Vec<String> {
    let mut arguments = ["run", "--quiet", "--no-color"].map(str::to_owned).to_vec();
    if of > 1 {
        // All get the same sequence: else each k6 rounds its share by itself, and the sum may differ.
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

/// A port for a program that can be told one and handed no socket. It is given back at once, and somebody may take
/// it in between: so it is none of those that outgoing connections get, of which a load opens many.
pub(super) fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = process::first_outgoing_port().unwrap_or(32_768);
    let bind =
        |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).and_then(|free| free.local_addr());
    let span = PORTS.min(first.saturating_sub(LOWEST_PORT));
    // Each nsys begins elsewhere.
    let own = std::process::id() as u16;
    for _ in 0..span {
        let step = own.wrapping_mul(61).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        if let Ok(free) = bind(first - 1 - step % span) {
            return Ok(free.port());
        }
    }
    Ok(bind(0).context("no free port")?.port())
}

/// Reads the summary that the script wrote.
pub(super) fn read_summary(offer: &Offer, index: u32) -> Result<GeneratorSummary> {
    let text = std::fs::read_to_string(summary_file(&offer.work, index)).context("k6 left no summary")?;
    let data: Value = serde_json::from_str(&text).context("k6's summary is damaged")?;
    let windows: Vec<_> = offer.windows.iter().map(|window| window.name.as_str()).collect();
    let mut summary = summary_of(&data, &windows);
    let cut: Option<Slicing> = serde_json::from_value(offer.plan["slices"].clone()).ok();
    summary.slices =
        cut.map_or_else(Vec::new, |cut| (0..cut.count).map(|index| slice_of(&data, index)).collect());
    Ok(summary)
}

/// The ids of creations without an answer 201 that the script named in the log of all k6 of a level. None
/// when it does not name as many as there are: an iteration was cut, or the log is elsewhere.
pub(super) fn unacknowledged(log: &str, created: u64, accepted: u64) -> Option<Vec<String>> {
    let ids = log.lines().filter_map(|line| line.split_once(UNACKNOWLEDGED)?.1.split(['"', ' ']).next());
    let ids: Vec<_> = ids.map(str::to_owned).collect();
    (ids.len() as u64 == created.saturating_sub(accepted)).then_some(ids)
}

fn value(data: &Value, metric: &str, key: &str) -> Option<f64> {
    data["metrics"][metric]["values"][key].as_f64()
}

fn count(data: &Value, metric: &str) -> u64 {
    value(data, metric, "count").unwrap_or(0.0) as u64
}

fn summary_of(data: &Value, windows: &[&str]) -> GeneratorSummary {
    let errors = data["metrics"].as_object().into_iter().flatten().filter_map(|(name, metric)| {
        let cause = name.strip_prefix("failures{cause:")?.strip_suffix('}')?;
        let count = metric["values"]["count"].as_f64()? as u64;
        (count > 0).then(|| (cause.replace('_', " "), count))
    });
    let mut errors: BTreeMap<_, _> = errors.collect();
    let requests = count(data, "started");
    // Iterations that were cut because the level was stopped.
    let cut = requests.saturating_sub(count(data, "request_time"));
    if cut > 0 {
        *errors.entry("unanswered".to_owned()).or_default() += cut;
    }
    GeneratorSummary {
        measured: window_of(data, "measured:yes"),
        windows: windows
            .iter()
            .map(|name| ((*name).to_owned(), window_of(data, &format!("window:{name}"))))
            .collect(),
        slices: Vec::new(),
        began_s: data["setup_data"]["began_ms"].as_f64().map(|ms| ms / 1_000.0),
        requests,
        failed: count(data, "failures") + cut,
        accepted: count(data, "accepted"),
        created: count(data, "creates"),
        unacknowledged: None,
        sent: Vec::new(),
        dropped: count(data, "dropped_iterations"),
        errors,
        late_p99_ms: None,
    }
}

fn window_of(data: &Value, tag: &str) -> WindowSummary {
    let requests = count(data, &format!("started{{{tag}}}"));
    let all = format!("request_time{{{tag}}}");
    let cut = requests.saturating_sub(count(data, &all));
    WindowSummary {
        requests,
        failed: count(data, &format!("failures{{{tag}}}")) + cut,
        due: times_of(data, &all),
        succeeded: times_of(data, &format!("request_time{{ok:yes,{tag}}}")),
        busy_ms: value(data, &all, "avg").filter(|_| requests > cut),
    }
}

fn slice_of(data: &Value, index: u64) -> SliceCounts {
    let WindowSummary { requests, failed, due, .. } = window_of(data, &format!("slice:{index}"));
    let ended = count(data, &format!("request_time{{slice:{index}}}"));
    let due = due.histogram.map(|all| distribution(&all, ended)).unwrap_or_default();
    SliceCounts { requests, failed, due }
}

/// So many times as k6's percentiles tell of them. k6 counts shares from the smallest, 0, to the largest, 1.
fn distribution(content: &Histogram, count: u64) -> Distribution {
    let mut made = Distribution::default();
    let (mut buckets, mut below) = (content.buckets.iter(), 0.0);
    let Some(mut at) = buckets.next() else { return made };
    for rank in 0..count {
        let rank = rank as f64 / (count - 1).max(1) as f64 * count as f64;
        while rank > below + at.count {
            below += at.count;
            match buckets.next() {
                Some(next) => at = next,
                None => break,
            }
        }
        let share = if at.count > 0.0 { ((rank - below) / at.count).clamp(0.0, 1.0) } else { 1.0 };
        made.record_ms(at.from_ms + (at.to_ms - at.from_ms) * share, 1);
    }
    made
}

/// A trend of the script. Where nothing was counted k6 shows zeros; then there is nothing.
fn times_of(data: &Value, metric: &str) -> TimeDistribution {
    let of = count(data, metric);
    if of == 0 {
        return TimeDistribution::default();
    }
    let at = |key| value(data, metric, key);
    let latency = Latency {
        min: at("min"),
        p50: at("med"),
        p90: at("p(90)"),
        p95: at("p(95)"),
        p99: at("p(99)"),
        p999: at("p(99.9)"),
        max: at("max"),
    };
    let points = data["metrics"][metric]["values"].as_object().into_iter().flatten();
    let points = points.filter_map(|(key, ms)| {
        Some((key.strip_prefix("p(")?.strip_suffix(')')?.parse::<f64>().ok()? / 100.0, ms.as_f64()?))
    });
    let mut points: Vec<_> = points.collect();
    // A few percentiles are no distribution.
    let histogram = (points.len() > FEWEST_POINTS).then(|| {
        points.extend(latency.min.map(|ms| (0.0, ms)).into_iter().chain(latency.max.map(|ms| (1.0, ms))));
        points.sort_by(|one, two| one.0.total_cmp(&two.0).then(one.1.total_cmp(&two.1)));
        let between = points.windows(2).map(|two| Bucket {
            from_ms: two[0].1,
            to_ms: two[1].1,
            count: (two[1].0 - two[0].0) * of as f64,
        });
        Histogram { buckets: between.collect() }
    });
    TimeDistribution { latency, histogram }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 requests of the warm-up and 100 of the measured time, of which some failed; `cut` never ended.
    fn data(failed: u64, cut: u64) -> Value {
        let (ended, succeeded) = (100 - cut, 100 - cut - failed);
        json!({"metrics": {
            "started": {"values": {"count": 120}},
            "request_time": {"values": {"count": 120 - cut}},
            "failures": {"values": {"count": failed}},
            "started{measured:yes}": {"values": {"count": 100}},
            "failures{measured:yes}": {"values": {"count": failed}},
            "request_time{measured:yes}": {"values": {"count": ended, "min": 0.5, "med": 1.0, "max": 9.0}},
            "request_time{ok:yes,measured:yes}": {"values": {"count": succeeded, "min": 0.0, "p(95)": 2.0}},
            "started{window:steady}": {"values": {"count": 100}},
            "request_time{window:steady}": {"values": {"count": ended, "avg": 3.0}},
            "failures{cause:status_503}": {"values": {"count": failed}},
            "failures{cause:refused}": {"values": {"count": 0}},
            "accepted": {"values": {"count": 60.0}}
        }})
    }

    #[test]
    fn where_nothing_succeeded_there_is_no_answer_time_and_a_time_until_the_failure() {
        assert_eq!(summary_of(&data(0, 0), &["steady"]).measured.succeeded.latency.p95, Some(2.0));
        let refused = summary_of(&data(100, 0), &["steady"]);
        assert_eq!(refused.measured.succeeded, TimeDistribution::default());
        assert_eq!(refused.measured.due.latency.max, Some(9.0));
        assert_eq!(refused.measured.error_rate().value(), Some(1.0));
        assert_eq!(refused.errors, [("status 503".to_owned(), 100)].into());
    }

    #[test]
    fn a_port_is_none_that_an_outgoing_connection_may_get_meanwhile() {
        let first = process::first_outgoing_port().unwrap();
        let (one, two) = (free_port().unwrap(), free_port().unwrap());
        assert!(one != two && one < first && two < first, "{one} and {two}, outgoing from {first} on");
    }

    #[test]
    fn each_window_has_its_own_counts() {
        let summary = summary_of(&data(7, 0), &["warmup", "steady"]);
        assert_eq!((summary.requests, summary.failed, summary.accepted), (120, 7, 60));
        assert_eq!(summary.windows["steady"].busy_ms, Some(3.0));
        assert_eq!(summary.windows["warmup"].requests, 0);
    }

    #[test]
    fn a_request_that_never_ended_has_failed() {
        let summary = summary_of(&data(7, 3), &["steady"]);
        assert_eq!((summary.requests, summary.failed), (120, 10));
        assert_eq!((summary.measured.requests, summary.measured.failed), (100, 10));
        assert_eq!(summary.errors, [("status 503".to_owned(), 7), ("unanswered".to_owned(), 3)].into());
    }

    #[test]
    fn creations_without_an_acknowledgement_are_named_by_the_log_or_not_known() {
        let log = "time=\"t\" level=warning msg=\"Request Failed\" error=\"request timeout\"\n\
                   time=\"t\" level=info msg=\"unacknowledged run-L1.0-7-3\" source=console\n";
        assert_eq!(unacknowledged(log, 10, 9), Some(vec!["run-L1.0-7-3".to_owned()]));
        assert_eq!(unacknowledged("", 10, 10), Some(Vec::new()));
        assert_eq!(unacknowledged(log, 10, 8), None, "one was cut");
    }

    #[test]
    fn many_percentiles_are_a_distribution_and_a_few_are_none() {
        let values: serde_json::Map<_, _> =
            (1..200).map(|half| (format!("p({})", f64::from(half) / 2.0), json!(f64::from(half)))).collect();
        let mut values = Value::Object(values);
        (values["count"], values["min"], values["max"]) = (json!(1_000), json!(0.0), json!(200.0));
        let times = times_of(&json!({"metrics": {"t": {"values": values}}}), "t");
        let found = times.histogram.unwrap();
        assert!((found.buckets.iter().map(|one| one.count).sum::<f64>() - 1_000.0).abs() < 1e-6);
        assert!((found.quantile(0.5).unwrap() - 100.0).abs() < 0.1);
        let few = json!({"metrics": {"t": {"values": {"count": 9, "p(95)": 1.0, "max": 2.0}}}});
        assert_eq!(times_of(&few, "t").histogram, None);
    }

    #[test]
    fn a_slice_has_as_many_times_as_requests_ended_in_it_and_those_without_an_end_have_failed() {
        let values: serde_json::Map<_, _> =
            (1..200).map(|half| (format!("p({})", f64::from(half) / 2.0), json!(f64::from(half)))).collect();
        let mut times = Value::Object(values);
        (times["count"], times["min"], times["max"]) = (json!(1_000), json!(0.0), json!(200.0));
        let slice = slice_of(
            &json!({"metrics": {
                "started{slice:3}": {"values": {"count": 1_003}},
                "failures{slice:3}": {"values": {"count": 4}},
                "request_time{slice:3}": {"values": times}
            }}),
            3,
        );
        assert_eq!((slice.requests, slice.failed, slice.due.count()), (1_003, 7, 1_000));
        for share in [0.1, 0.5, 0.95] {
            let (content, truth) = (slice.due.quantile_ms(share).unwrap(), share * 200.0);
            assert!((content - truth).abs() <= truth * 0.02, "{share}: {content}, not {truth}");
        }
        assert_eq!(slice_of(&json!({}), 0), SliceCounts::default());
    }

    #[test]
    fn nothing_of_the_users_k6_reaches_it() {
        let pairs = environment(Path::new("/run/k6"), Path::new("/run/plan.json"), 99).pairs();
        let of_k6: Vec<_> = pairs.iter().filter(|(name, _)| name.starts_with("K6_")).collect();
        assert_eq!(of_k6.len(), 5, "{pairs:?}");
        let home = |name: &str| pairs.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str());
        assert_eq!((home("HOME"), home("XDG_CONFIG_HOME")), (Some("/run/k6"), None));
    }

    #[test]
    fn an_empty_summary_claims_nothing() {
        let empty = summary_of(&json!({}), &[]);
        assert_eq!(empty, GeneratorSummary::default());
    }

    #[test]
    fn segments_cover_the_whole() {
        let edges: Vec<_> = (0..=3).map(|part| fraction(part, 3)).collect();
        assert_eq!(edges, ["0", "1/3", "2/3", "1"]);
    }
}
