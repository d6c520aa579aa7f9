//! Waits after a level until the stack has calmed down, and says what it still waits for.

use super::level::Context;
use super::logs::Logs;
use super::{prometheus, sampler};
use crate::domain::run::{Condition, LevelResult};
use crate::error::Result;
use crate::render::progress::Line;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How often everything is looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// Waits until nothing waits, everything acknowledged is final, no request is in progress, the service
/// rests and the logs are quiet; at most as long as the plan allows. Answers false on Ctrl-C.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn stabilise(
    context: &Context<'_>,
    result: &mut LevelResult,
    logs: &mut Logs,
    line: &Line,
) -> Result<bool> {
    let (started, stack) = (Instant::now(), context.stack);
    let deadline = started + Duration::from_secs(context.plan.stabilise_s);
    let mut sampler = sampler::Sampler::new(stack, Vec::new()).await?;
    let mut database = sampler::connect(stack).await?;
    let accepted = result.reconciliation.acknowledged.unwrap_or(0);
    let prefix = context.prefix(result.level);
    let replicas = context.environment.app.max(1) as f64;
    loop {
        let (now, in_flight) = tokio::join!(sampler.sample(), prometheus::in_flight(stack));
        let (stored, settled) = database.count_run(&prefix).await?;
        (result.reconciliation.stored, result.reconciliation.r#final) = (Some(stored), Some(settled));
        let fresh = logs.errors();
        let quiet = fresh.values().sum::<u64>() as f64;
        add(&mut result.log_errors, fresh);
        let open = accepted.saturating_sub(settled) as f64;
        let drained = now.lag == Some(0) && open <= 0.0;
        if drained && result.kafka.drain_s.is_none() {
            result.kafka.drain_s = Some(started.elapsed().as_secs_f64());
        }
        let conditions = vec![
            Condition::at_most("lag", now.lag.map(|lag| lag as f64), 0.0),
            Condition::at_most("not_final", Some(open), 0.0),
            // A replica that is asked for its metrics counts that request.
            Condition::at_most("in_flight", in_flight, replicas),
            Condition::at_most("db_active", now.db_active.map(|count| count as f64), 2.0),
            Condition::at_most("service_cpu_pct", now.service_cpu_pct, context.calm_cpu_pct()),
            Condition::at_most("log_errors", Some(quiet), 0.0),
        ];
        context.stream.waiting(result.level, &conditions);
        let done = conditions.iter().all(|one| one.met);
        line.update(&checklist(&conditions));
        result.stabilised = conditions;
        if done || Instant::now() > deadline {
            return Ok(true);
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = context.interrupt.wait() => return Ok(false),
        }
    }
}

/// Adds counts by name.
pub(super) fn add(sum: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (name, count) in more {
        *sum.entry(name).or_default() += count;
    }
}

/// What is still waited for, in one line.
fn checklist(conditions: &[Condition]) -> String {
    let open = conditions.iter().filter(|one| !one.met).map(|one| {
        let value = one.value.map_or_else(|| "not known".to_owned(), |value| format!("{value:.0}"));
        format!("{} {value} (at most {:.0})", one.name, one.target)
    });
    let open: Vec<_> = open.collect();
    let met = conditions.len() - open.len();
    if open.is_empty() {
        format!("calm: {met} of {met} conditions hold")
    } else {
        format!("waits for {}; {met} of {} conditions hold", open.join(", "), conditions.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checklist_names_what_is_open_and_what_cannot_be_known() {
        let conditions =
            [Condition::at_most("lag", Some(12.0), 0.0), Condition::at_most("in_flight", None, 1.0)];
        assert_eq!(
            checklist(&conditions),
            "waits for lag 12 (at most 0), in_flight not known (at most 1); 0 of 2 conditions hold"
        );
        let calm = [Condition::at_most("lag", Some(0.0), 0.0)];
        assert_eq!(checklist(&calm), "calm: 1 of 1 conditions hold");
    }
}
