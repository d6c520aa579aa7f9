//! Computes the numbers of a run again from what was kept raw: the generator's own summary, the
//! samples by second, the answers of the parts. Pure.

use super::run::{Latency, LevelResult, Run, Sample};
use super::verdict::{self, ObjectiveCheck, Verdict};
use crate::measured::Measured;
use serde::Serialize;
use serde_json::Value;

/// Means of samples may differ by this share: samples are rounded when they are written.
const ROUNDED: f64 = 0.005;
/// Standard errors within which the mean of a part lies.
const SURELY: f64 = 5.0;
/// Everything else may differ by this share: text holds fewer digits than memory.
const EXACT: f64 = 1e-9;

/// A number that is not what the raw data make of it.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Difference {
    /// Where it stands: a file, and the path of the value in it.
    pub place: String,
    /// What stands there.
    pub said: String,
    /// What it should be.
    pub found: String,
}

/// Compares a level with what its raw data make of it. `raw` is the level as it was kept when it was
/// measured, `summary` the generator's own.
#[must_use]
pub fn level(said: &LevelResult, raw: &LevelResult, summary: Option<&Value>) -> Vec<Difference> {
    let mut found = Vec::new();
    let again = recomputed(raw, summary);
    let (said, again) = (serde_json::to_value(said), serde_json::to_value(&again));
    if let (Ok(said), Ok(again)) = (said, again) {
        compare(&format!("results.json: level {}", raw.level), &said, &again, &mut found);
    }
    found
}

/// The verdict of a run against its levels.
#[must_use]
pub fn run(run: &Run) -> Vec<Difference> {
    let again = verdict::of_run(&run.levels);
    // A run that was cut short is not what its levels come to.
    if run.verdict == again || run.verdict == Verdict::Interrupted || run.state != "finished" {
        return Vec::new();
    }
    vec![Difference {
        place: "results.json: verdict".into(),
        said: run.verdict.as_str().into(),
        found: again.as_str().into(),
    }]
}

/// A level with every number that follows from others computed again.
fn recomputed(raw: &LevelResult, summary: Option<&Value>) -> LevelResult {
    let mut level = raw.clone();
    if let Some(counted) = summary.and_then(SummaryCounts::of) {
        level.requests = counted.requests;
        level.error_rate = counted.error_rate;
        level.latency_ms = counted.due;
        level.success_ms = counted.succeeded;
    }
    level.throughput_rps = level.requests as f64 / level.steady_s.max(1) as f64;
    let again = |stored: &Measured<f64>, of: fn(&Sample) -> Option<f64>| {
        let values: Vec<_> = steady(raw).filter_map(of).collect();
        near(stored, mean(&values), if is_thinned(raw) { uncertainty(&values) } else { 0.0 })
    };
    level.generator.cpu_pct = again(&raw.generator.cpu_pct, |one| one.generator_cpu_pct);
    level.service.cpu_pct = again(&raw.service.cpu_pct, |one| one.service_cpu_pct);
    for check in &mut level.checks {
        let value = value_of(raw, check);
        // Why there is none was known when it was judged.
        let both_lack = !value.is_measured() && !check.value.is_measured();
        let value = if both_lack { check.value.clone() } else { value };
        *check = ObjectiveCheck::new(&check.metric, value, check.objective, check.at_least, &check.source);
    }
    if level.verdict != Verdict::Interrupted {
        level.verdict = verdict::of_level(&level);
    }
    level
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Whether the samples are only some of those that were taken: of a long level every second, third, …
/// is kept, while its means are those of all.
fn is_thinned(level: &LevelResult) -> bool {
    let times: Vec<_> = level.samples.iter().map(|one| one.at_s).collect();
    let mut gaps: Vec<_> = times.windows(2).map(|two| two[1] - two[0]).collect();
    gaps.sort_by(f64::total_cmp);
    gaps.get(gaps.len() / 2).is_some_and(|usual| *usual > 1.5)
}

/// How far the mean of all may lie from that of a part of them, hardly ever further.
fn uncertainty(values: &[f64]) -> f64 {
    let (Some(mean), count) = (mean(values), values.len() as f64) else { return 0.0 };
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    SURELY * (squares / (count - 1.0).max(1.0) / count).sqrt()
}

/// What is stored, when it is what was found up to rounding and `apart`; else what was found.
fn near(stored: &Measured<f64>, found: Option<f64>, apart: f64) -> Measured<f64> {
    let is_same = |one: f64, two: f64| (one - two).abs() <= ROUNDED * one.abs().max(1.0) + apart;
    match (stored.value(), found) {
        (Some(stored), Some(found)) if is_same(stored, found) => stored.into(),
        (_, Some(found)) => found.into(),
        (_, None) => stored.clone(),
    }
}

fn value_of(level: &LevelResult, check: &ObjectiveCheck) -> Measured<f64> {
    match check.metric.as_str() {
        "p95_ms" => level.judged_ms(|one| one.p95),
        "p99_ms" => level.judged_ms(|one| one.p99),
        "standstill_s" => level.generator.standstill_s.clone(),
        "error_rate" => level.error_rate.clone(),
        "throughput_rps" => level.throughput_rps.into(),
        "service_cpu_pct" => level.service.cpu_pct.clone(),
        "service_memory_mb" => level.service.rss_mb.clone(),
        "db_connections" => level.db.connections_max.clone().map(|open| open as f64),
        "lag_end" => level.kafka.lag_end.clone().map(|lag| lag as f64),
        "cache_hit_rate" => level.cache.hit_rate.clone(),
        "acknowledged_not_stored" => level.reconciliation.missing().map(|missing| missing as f64),
        _ => check.value.clone(),
    }
}

fn steady(level: &LevelResult) -> impl Iterator<Item = &Sample> {
    let (from, to) = (level.steady_from_s, level.steady_from_s + level.steady_s as f64);
    level.samples.iter().filter(move |one| one.at_s >= from && one.at_s <= to)
}

/// What k6's summary says of everything that was measured.
struct SummaryCounts {
    requests: u64,
    error_rate: Measured<f64>,
    due: Latency,
    succeeded: Latency,
}

impl SummaryCounts {
    fn of(summary: &Value) -> Option<Self> {
        let values = |metric: &str| &summary["metrics"][metric]["values"];
        let count = |metric: &str| Some(values(metric)["count"].as_f64()? as u64);
        let share = |failed: u64, of: u64| {
            let share = (of > 0).then(|| failed as f64 / of as f64);
            Measured::or_missing(share, "there was no request")
        };
        let Some(requests) = count("started{measured:yes}") else {
            // Scripts of older versions kept the answer times of what succeeded alone.
            let requests = count("http_reqs{measured:yes}")?;
            // In this metric what "passes" are the failed requests.
            let failed = values("http_req_failed{measured:yes}")["passes"].as_f64().unwrap_or(0.0) as u64;
            let durations = values("http_req_duration{expected_response:true,measured:yes}");
            let due = latency(durations, requests > failed);
            let error_rate = share(failed, requests);
            return Some(Self { requests, error_rate, due, succeeded: Latency::default() });
        };
        let times = |metric: &str| latency(values(metric), count(metric) > Some(0));
        let unanswered = requests.saturating_sub(count("request_time{measured:yes}").unwrap_or(0));
        let failed = count("failures{measured:yes}").unwrap_or(0) + unanswered;
        Some(Self {
            requests,
            error_rate: share(failed, requests),
            due: times("request_time{measured:yes}"),
            succeeded: times("request_time{ok:yes,measured:yes}"),
        })
    }
}

/// Where there is nothing k6 shows zeros; there is no time then.
fn latency(values: &Value, there: bool) -> Latency {
    let at = |key: &str| values[key].as_f64().filter(|_| there);
    Latency {
        min: at("min"),
        p50: at("med"),
        p90: at("p(90)"),
        p95: at("p(95)"),
        p99: at("p(99)"),
        p999: at("p(99.9)"),
        max: at("max"),
    }
}

fn compare(place: &str, said: &Value, again: &Value, into: &mut Vec<Difference>) {
    match (said, again) {
        (Value::Object(one), Value::Object(two)) => {
            let keys: std::collections::BTreeSet<_> = one.keys().chain(two.keys()).collect();
            for key in keys {
                let of = |all: &serde_json::Map<String, Value>| all.get(key).cloned().unwrap_or(Value::Null);
                compare(&format!("{place}.{key}"), &of(one), &of(two), into);
            }
        }
        (Value::Array(one), Value::Array(two)) if one.len() == two.len() => {
            for (index, (one, two)) in one.iter().zip(two).enumerate() {
                compare(&format!("{place}[{index}]"), one, two, into);
            }
        }
        (Value::Number(one), Value::Number(two)) => {
            let (one, two) = (one.as_f64().unwrap_or(f64::NAN), two.as_f64().unwrap_or(f64::NAN));
            if (one - two).abs() > EXACT * one.abs().max(two.abs()).max(1.0) {
                into.push(Difference { place: place.into(), said: one.to_string(), found: two.to_string() });
            }
        }
        (one, two) if one == two => {}
        (one, two) => {
            into.push(Difference { place: place.into(), said: one.to_string(), found: two.to_string() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;
    use serde_json::json;

    fn summary() -> Value {
        json!({"metrics": {
            "started{measured:yes}": {"values": {"count": 30_000.0}},
            "failures{measured:yes}": {"values": {"count": 0.0}},
            "request_time{measured:yes}":
                {"values": {"count": 30_000.0, "med": 5.0, "p(95)": 20.0, "p(99)": 40.0}},
            "request_time{ok:yes,measured:yes}": {"values": {"count": 0.0, "med": 0.0}}
        }})
    }

    /// As a script of an older version left it.
    fn older_summary() -> Value {
        json!({"metrics": {
            "http_reqs{measured:yes}": {"values": {"count": 30_000.0}},
            "http_req_failed{measured:yes}": {"values": {"passes": 0.0}},
            "http_req_duration{expected_response:true,measured:yes}": {"values": {"med": 5.0, "p(95)": 20.0, "p(99)": 40.0}}
        }})
    }

    /// A level whose means are those of its samples.
    fn measured() -> LevelResult {
        let mut level = test_run(&[20.0]).levels.remove(0);
        let values: Vec<_> = steady(&level).filter_map(|one| one.service_cpu_pct).collect();
        level.service.cpu_pct = (values.iter().sum::<f64>() / values.len() as f64).into();
        level.checks = vec![ObjectiveCheck::new("p95_ms", 20.0.into(), 100.0, false, "k6")];
        level
    }

    fn places(said: &LevelResult, raw: &LevelResult, summary: &Value) -> Vec<String> {
        level(said, raw, Some(summary)).into_iter().map(|one| one.place).collect()
    }

    #[test]
    fn what_was_measured_is_found_again() {
        let same = measured();
        for summary in [summary(), older_summary()] {
            assert_eq!(places(&same, &same, &summary), Vec::<String>::new());
        }
    }

    #[test]
    fn an_altered_result_is_found() {
        let raw = measured();
        let mut said = raw.clone();
        said.latency_ms.p95 = Some(15.0);
        said.facts.put("cache_mean_ms", 1.0, "Prometheus", "q");
        said.checks[0].status = verdict::CheckStatus::Fail;
        let found = places(&said, &raw, &summary());
        for wanted in ["latency_ms.p95", "facts.cache_mean_ms", "checks[0].status"] {
            assert!(found.iter().any(|place| place.ends_with(wanted)), "{wanted}: {found:?}");
        }
    }

    #[test]
    fn a_long_level_is_not_accused_for_the_samples_it_no_longer_has() {
        let mut said = measured();
        let first = said.samples[0].clone();
        // Every fourth of an hour's samples, of a value that wavers much.
        let waver = |second: u32| 20.0 + 15.0 * f64::from((second * 7_919) % 101) / 101.0;
        let all: Vec<f64> = (0..3_600).map(waver).collect();
        let sample = |second: u32| Sample {
            at_s: 1_000.0 + f64::from(second),
            service_cpu_pct: Some(waver(second)),
            ..first.clone()
        };
        said.samples = (0..3_600).step_by(4).map(sample).collect();
        (said.steady_s, said.requests) = (3_600, 30_000);
        said.throughput_rps = 30_000.0 / 3_600.0;
        said.service.cpu_pct = mean(&all).unwrap().into();
        let found = places(&said, &said, &summary());
        assert!(!found.iter().any(|place| place.contains("cpu_pct")), "{found:?}");
        said.service.cpu_pct = (mean(&all).unwrap() * 1.2).into();
        let found = places(&said, &said, &summary());
        assert!(found.iter().any(|place| place.ends_with("service.cpu_pct")), "{found:?}");
    }

    #[test]
    fn an_altered_raw_value_is_found() {
        let said = measured();
        let mut other = summary();
        other["metrics"]["started{measured:yes}"]["values"]["count"] = json!(29_000.0);
        let found = places(&said, &said, &other);
        assert!(found.iter().any(|place| place.ends_with("requests")), "{found:?}");
        let mut raw = said.clone();
        raw.samples[30].service_cpu_pct = Some(2_000.0);
        let found = places(&said, &raw, &summary());
        assert!(found.iter().any(|place| place.contains("samples[30]")), "{found:?}");
        assert!(found.iter().any(|place| place.ends_with("service.cpu_pct")), "{found:?}");
    }
}
