//! What Prometheus kept of a window: means, shares and rates that no single look can show.

use super::Span;
use crate::clients::prometheus;
use crate::domain::facts::Facts;
use crate::domain::questions::{FactQuery, questions};
use crate::measured::Measured;
use crate::stack::Stack;

/// Why nothing is told of a window that Prometheus has not seen as a whole.
const UNSEEN: &str = "Prometheus did not scrape at the beginning or at the end of this window";

/// Asks everything about the window of about `seconds` before `end_s`.
pub async fn facts(stack: &Stack, end_s: f64, seconds: u64, span: Span) -> Facts {
    let (base, scope) = (stack.endpoints.prometheus_url(), stack.scope().await);
    let mut facts = Facts::default();
    let window = match span {
        Span::AtLeast => Ok(scope.at_least(seconds.max(5))),
        // Whole seconds: a window that was measured half a second less is as long as it was planned.
        Span::Exactly => scope.exactly(seconds.max(5)),
    };
    let window = match window {
        Ok(window) => window,
        Err(why) => {
            for FactQuery { name, promql, .. } in questions(&scope, scope.shortest()) {
                facts.miss(name, "Prometheus", promql.as_str(), &why);
            }
            return facts;
        }
    };
    let questions = questions(&scope, window);
    let seen = prometheus::value(&base, &scope.seen_at_both_ends(window), end_s).await;
    let answers =
        futures::future::join_all(questions.iter().map(|one| prometheus::value(&base, &one.promql, end_s)));
    for (FactQuery { name, promql, of }, answer) in questions.iter().zip(answers.await) {
        let promql = promql.as_str();
        match (answer, of, &seen) {
            (Ok(_), _, Ok(None)) if *name != "scraped_share" => {
                facts.miss(*name, "Prometheus", promql, UNSEEN);
            }
            (Ok(None), Some(of), _) if prometheus::value(&base, of, end_s).await == Ok(Some(0.0)) => {
                facts.skip(*name, promql, "no such request in this window");
            }
            (Ok(value), _, _) => {
                let value = Measured::or_missing(value, "Prometheus has no series of it");
                facts.put(*name, value, "Prometheus", promql);
            }
            (Err(cause), _, _) => facts.miss(*name, "Prometheus", promql, &cause.message),
        }
    }
    facts
}
