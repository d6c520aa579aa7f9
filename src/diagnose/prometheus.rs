//! What Prometheus kept of a window: means, shares and rates that no single look can show.

use crate::clients::prometheus;
use crate::domain::facts::Facts;
use crate::domain::questions::questions;
use crate::measured::Measured;
use crate::stack::Stack;

/// Asks everything about the `seconds` before `end_s`.
pub(super) async fn facts(stack: &Stack, end_s: f64, seconds: u64) -> Facts {
    let base = stack.endpoints.prometheus_url();
    let questions = questions(seconds.max(5));
    let answers = futures::future::join_all(
        questions.iter().map(|(_, promql, _)| prometheus::value(&base, promql, end_s)),
    );
    let mut facts = Facts::default();
    for ((name, promql, of), answer) in questions.iter().zip(answers.await) {
        match (answer, of) {
            (Ok(None), Some(of)) if prometheus::value(&base, of, end_s).await == Ok(Some(0.0)) => {
                facts.skip(*name, promql, "there was none of it in this time");
            }
            (Ok(value), _) => {
                let value = Measured::or_missing(value, "Prometheus has no series of it");
                facts.put(*name, value, "Prometheus", promql);
            }
            (Err(cause), _) => facts.miss(*name, "Prometheus", promql, &cause.message),
        }
    }
    facts
}
