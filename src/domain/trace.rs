//! The way of one notification through the system, and what is known of recorded traces.

use serde::Serialize;

/// One station on the way.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Station {
    /// `answered`, `logged`, `stored`, `attempted` or `final`.
    pub name: &'static str,
    /// When it was reached, in ms after the request was sent; for what is polled, when it was seen.
    pub after_ms: f64,
    /// Where exactly.
    pub detail: String,
}

/// A recorded trace in one line.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct TraceSummary {
    /// Its id, 32 hexadecimal digits.
    pub trace_id: String,
    /// The operation of its root span.
    pub operation: String,
    /// Start, microseconds since the epoch.
    pub start_us: u64,
    /// From the start of its first span to the end of its last one, in ms.
    pub duration_ms: f64,
    /// How many spans it has.
    pub spans: usize,
    /// How many of them failed.
    pub errors: usize,
    /// The operation that took the longest by itself, its children left out, and that time in ms.
    pub slowest: Option<(String, f64)>,
}

/// One span, as far as a summary needs it.
#[derive(Clone, Debug)]
pub struct TraceSpan {
    /// Its id.
    pub id: String,
    /// The id of its parent; absent for a root.
    pub parent: Option<String>,
    /// What was done.
    pub operation: String,
    /// Start, microseconds since the epoch.
    pub start_us: u64,
    /// Length, in microseconds.
    pub duration_us: u64,
    /// Whether it is marked as failed.
    pub failed: bool,
}

/// Sums a trace up; absent for one without spans.
#[must_use]
pub fn summarise(trace_id: &str, spans: &[TraceSpan]) -> Option<TraceSummary> {
    let known = |id: &str| spans.iter().any(|span| span.id == id);
    let is_root = |span: &&TraceSpan| span.parent.as_deref().is_none_or(|parent| !known(parent));
    let root = spans.iter().filter(is_root).min_by_key(|span| span.start_us)?;
    let end_us = spans.iter().map(|span| span.start_us + span.duration_us).max()?;
    let own_us = |span: &TraceSpan| {
        let children = spans.iter().filter(|child| child.parent.as_deref() == Some(&span.id));
        // Children may run side by side, or go on after their parent.
        span.duration_us.saturating_sub(children.map(|child| child.duration_us).sum())
    };
    let slowest = spans.iter().max_by_key(|span| own_us(span));
    Some(TraceSummary {
        trace_id: trace_id.to_owned(),
        operation: root.operation.clone(),
        start_us: root.start_us,
        duration_ms: end_us.saturating_sub(root.start_us) as f64 / 1_000.0,
        spans: spans.len(),
        errors: spans.iter().filter(|span| span.failed).count(),
        slowest: slowest.map(|span| (span.operation.clone(), own_us(span) as f64 / 1_000.0)),
    })
}

/// The `traceparent` header of a sampled request, W3C Trace Context, version 00.
#[must_use]
pub fn traceparent(trace_id: &str, span_id: &str) -> String {
    format!("00-{trace_id}-{span_id}-01")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: Option<&str>, start_us: u64, duration_us: u64) -> TraceSpan {
        TraceSpan {
            id: id.into(),
            parent: parent.map(str::to_owned),
            operation: format!("op {id}"),
            start_us,
            duration_us,
            failed: id == "c",
        }
    }

    #[test]
    fn a_trace_lasts_from_its_first_span_to_the_end_of_its_last() {
        let spans = [
            span("b", Some("a"), 1_100, 500),
            span("a", None, 1_000, 2_000),
            span("c", Some("b"), 2_900, 900),
        ];
        let summary = summarise("t", &spans).unwrap();
        assert_eq!((summary.operation.as_str(), summary.spans, summary.errors), ("op a", 3, 1));
        assert!((summary.duration_ms - 2.8).abs() < 1e-9);
        assert_eq!(summary.slowest, Some(("op a".to_owned(), 1.5)));
    }

    #[test]
    fn a_span_whose_parent_was_not_recorded_is_a_root() {
        let summary = summarise("t", &[span("x", Some("gone"), 5, 10)]).unwrap();
        assert_eq!(summary.operation, "op x");
        assert_eq!(summarise("t", &[]), None);
    }
}
