//! Looks at a running stack for a while: what a level measures, without a load test.

use super::{Before, before, database, since};
use crate::domain::diagnosis::{Look, derive};
use crate::error::{Error, Result};
use crate::stack::Stack;
use std::time::Duration;
use tokio::time::Instant;

/// How often locks are looked at.
const STEP: Duration = Duration::from_millis(500);

/// Watches for `span` and tells what was seen. `tick` hears how long it still takes.
///
/// # Errors
/// When nothing runs.
pub async fn look(stack: &Stack, span: Duration, mut tick: impl FnMut(Duration)) -> Result<Look> {
    if stack.records().await?.is_empty() {
        return Err(Error::unreachable("the stack does not run").hint("nsys up"));
    }
    let start: Before = before(stack).await;
    let deadline = Instant::now() + span;
    let mut waiters = Vec::new();
    let mut connection = database::connect(stack).await;
    while Instant::now() < deadline {
        tick(deadline.saturating_duration_since(Instant::now()));
        let waits = match &mut connection {
            Some(database) => database.lock_waits().await.ok(),
            None => None,
        };
        waiters.push(waits.map(|all| all.len() as f64));
        tokio::time::sleep(STEP).await;
    }
    let mut facts = since(stack, &start).await;
    let seen: Option<Vec<f64>> = waiters.into_iter().collect();
    let mean = seen.as_ref().map(|all| all.iter().sum::<f64>() / all.len().max(1) as f64);
    facts.put("lock_waiters", mean, "PostgreSQL", "pg_blocking_pids, every half second");
    derive(&mut facts);
    let series = seen.map(|all| ("lock_waiters", all)).into_iter().collect();
    Ok(Look { level: 1, facts, series })
}
