//! Looks at a running stack for a while: what a level measures, without a load test.

use super::{Span, before, since};
use crate::domain::diagnosis::{Observation, derive};
use crate::error::{Error, Result};
use crate::stack::Stack;
use std::time::Duration;
use tokio::time::Instant;

/// How often the time that is left is told.
const STEP: Duration = Duration::from_millis(500);
/// Facts that only a load test has.
const OF_A_LOAD_TEST: [&str; 4] =
    ["generator_limited", "outside_ms", "flat_growth", "memory_growth_mb_per_min"];

/// Watches for `span` and tells what was seen. `tick` hears how long it still takes.
///
/// # Errors
/// When nothing runs.
pub async fn observe(stack: &Stack, span: Duration, mut tick: impl FnMut(Duration)) -> Result<Observation> {
    if stack.records().await?.is_empty() {
        return Err(Error::unreachable("the stack does not run").hint("nsys up"));
    }
    let start = before(stack).await;
    let deadline = Instant::now() + span;
    while Instant::now() < deadline {
        tick(deadline.saturating_duration_since(Instant::now()));
        tokio::time::sleep(STEP).await;
    }
    let mut facts = since(stack, &start, Span::AtLeast).await;
    for name in OF_A_LOAD_TEST {
        facts.skip(name, "a load test", "there is no load test");
    }
    // Whoever makes the load is not known here, so the rest of the machine cannot be told from it.
    facts.skip("other_cpu_pct", "machine_cpu_pct", "the load generator is not known");
    let busy = facts.measured("machine_cpu_pct");
    facts.put("own_cpu_pct", busy, "/proc/stat", "busy over all time, whoever it was");
    derive(&mut facts);
    let series = [("lock_waiters", start.lock_waiters())].into_iter().collect();
    Ok(Observation { level: 1, facts, series })
}
