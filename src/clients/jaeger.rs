//! Traces from Jaeger's query API.

use super::http;
use crate::domain::trace::{TraceSpan, TraceSummary, summarise};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::time::Duration;

/// Which traces.
#[derive(Clone, Debug)]
pub struct TraceSearch {
    /// The service's name in traces.
    pub service: String,
    /// One operation alone.
    pub operation: Option<String>,
    /// Only those with an error.
    pub errors: bool,
    /// Only those at least this long.
    pub min: Option<Duration>,
    /// How far back to search.
    pub since: Duration,
    /// Most of them.
    pub limit: u32,
}

#[derive(Deserialize)]
struct FoundTraces {
    data: Vec<Trace>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    #[serde(rename = "traceID")]
    trace_id: String,
    spans: Vec<RawSpan>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSpan {
    #[serde(rename = "spanID")]
    span_id: String,
    operation_name: String,
    #[serde(default)]
    references: Vec<Reference>,
    start_time: u64,
    duration: u64,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    value: serde_json::Value,
}

impl From<RawSpan> for TraceSpan {
    fn from(raw: RawSpan) -> Self {
        let failed =
            raw.tags.iter().any(|tag| tag.key == "error" && tag.value == serde_json::Value::Bool(true));
        Self {
            id: raw.span_id,
            parent: raw.references.into_iter().next().map(|reference| reference.span_id),
            operation: raw.operation_name,
            start_us: raw.start_time,
            duration_us: raw.duration,
            failed,
        }
    }
}

/// Traces that fit, slowest first.
///
/// # Errors
/// When Jaeger does not answer, or answers nonsense.
pub async fn search(base: &str, search: &TraceSearch) -> Result<Vec<TraceSummary>> {
    let lookback = format!("{}s", search.since.as_secs().max(1));
    // Jaeger gives the newest ones; more are asked for, so that the slow ones among them are found.
    let limit = search.limit.saturating_mul(10).clamp(100, 1_500).to_string();
    let mut query = vec![("service", search.service.clone()), ("lookback", lookback), ("limit", limit)];
    let end_us = crate::clock::now().as_microsecond();
    let start_us = end_us.saturating_sub(i64::try_from(search.since.as_micros()).unwrap_or(i64::MAX));
    query.extend([("start", start_us.to_string()), ("end", end_us.to_string())]);
    query.extend(search.operation.clone().map(|operation| ("operation", operation)));
    query.extend(search.min.map(|min| ("minDuration", format!("{}us", min.as_micros()))));
    query.extend(search.errors.then(|| ("tags", r#"{"error":"true"}"#.to_owned())));
    let answer = http::get_with(&format!("{base}/api/traces"), &query, Duration::from_secs(10)).await?;
    if answer.status != 200 {
        return Err(Error::failed(format!("Jaeger answers {}: {}", answer.status, answer.body)));
    }
    let found: FoundTraces = serde_json::from_value(answer.body)
        .map_err(|cause| Error::failed(format!("Jaeger's answer cannot be read: {cause}")))?;
    let mut traces: Vec<TraceSummary> = found
        .data
        .into_iter()
        .filter_map(|trace| {
            let spans: Vec<TraceSpan> = trace.spans.into_iter().map(TraceSpan::from).collect();
            summarise(&trace.trace_id, &spans)
        })
        .collect();
    traces.sort_by(|a, b| b.duration_ms.total_cmp(&a.duration_ms));
    traces.truncate(usize::try_from(search.limit).unwrap_or(usize::MAX));
    Ok(traces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jaegers_spans_are_read_with_parent_and_error() {
        let text = r#"{"data":[{"traceID":"ab","spans":[
            {"traceID":"ab","spanID":"2","operationName":"INSERT","references":[{"refType":"CHILD_OF","traceID":"ab","spanID":"1"}],
             "startTime":110,"duration":40,"tags":[{"key":"error","type":"bool","value":true}]},
            {"traceID":"ab","spanID":"1","operationName":"POST /notifications","startTime":100,"duration":90}]}]}"#;
        let found: FoundTraces = serde_json::from_str(text).unwrap();
        let spans: Vec<TraceSpan> =
            found.data.into_iter().flat_map(|trace| trace.spans).map(TraceSpan::from).collect();
        let summary = summarise("ab", &spans).unwrap();
        assert_eq!((summary.operation.as_str(), summary.errors), ("POST /notifications", 1));
    }
}
