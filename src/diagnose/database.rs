//! What PostgreSQL counted in a window: time in statements, time in reading blocks, connections.

use super::PATIENCE;
use crate::clients::postgres::{Postgres, ServerCounters};
use crate::domain::facts::Facts;
use crate::stack::Stack;

/// The server's counters at one instant.
pub(super) type Counters = ServerCounters;

pub(super) async fn connect(stack: &Stack) -> Option<Postgres> {
    Postgres::connect(&stack.database_url().ok()?, PATIENCE).await.ok()
}

pub(super) async fn counters(stack: &Stack) -> Option<Counters> {
    connect(stack).await?.counters().await.ok()
}

/// Facts of the window between two readings; `known` holds what the service says of the same window.
pub(super) fn facts(
    before: Option<&Counters>,
    after: Option<&Counters>,
    known: &Facts,
    seconds: f64,
) -> Facts {
    let mut facts = Facts::default();
    let span = format!("difference over {seconds:.0} s");
    let statements = format!("sum(total_exec_time) of pg_stat_statements, {span}");
    // A reset in between leaves less than there was before: then the difference says nothing.
    let window = before.zip(after).filter(|(before, after)| after.exec_ms >= before.exec_ms);
    let exec_ms = window.map(|(before, after)| after.exec_ms - before.exec_ms);
    let io_ms = window.map(|(before, after)| after.io_ms - before.io_ms);
    facts.put("exec_ms_per_s", exec_ms.map(|ms| ms / seconds), "PostgreSQL", &statements);
    let outside = || {
        let (spent_s, rate) = (known.value("query_seconds_per_s")?, known.value("query_rate")?);
        (rate > 0.0).then_some((spent_s * 1_000.0 - exec_ms? / seconds) / rate)
    };
    facts.put(
        "db_network_ms",
        outside().map(|ms| ms.max(0.0)),
        "PostgreSQL",
        format!("(db_query_duration_seconds_sum, less {statements}) for each query"),
    );
    let share = io_ms.zip(exec_ms).map(|(io, all)| if all > 0.0 { io / all } else { 0.0 });
    facts.put("db_io_share", share, "PostgreSQL", format!("blk_read_time over total_exec_time, {span}"));
    let rows = "notifications with next_attempt_at within five minutes, scheduled ones left out";
    let waiting = after.map(|one| one.undelivered as f64);
    facts.put("undelivered", waiting, "PostgreSQL", rows);
    let late = waiting.zip(known.value("written_per_s")).map(|(rows, rate)| rows / rate.max(1.0));
    facts.put("undelivered_s", late, "PostgreSQL", format!("{rows}, over the rate of new ones"));
    let used = after.map(|one| one.connections as f64 / one.max_connections.max(1) as f64);
    facts.put("connections_share", used, "PostgreSQL", "pg_stat_activity over max_connections");
    facts
}
