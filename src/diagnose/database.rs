//! What PostgreSQL counted in a window: time in statements, time in reading blocks, connections.

use super::TIMEOUT;
use crate::clients::postgres::ServerCounters;
use crate::domain::facts::Facts;
use crate::domain::snapshot::CountedStatement;
use crate::error::Result;
use crate::measured::Measured;
use crate::stack::Stack;
use crate::stack::reserve::ReservedConnection;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The server's counters at one instant, and its statements.
#[derive(Debug)]
pub(super) struct DatabaseCounters {
    server: ServerCounters,
    statements: Vec<CountedStatement>,
}

pub(super) async fn connect(stack: &Stack) -> Result<ReservedConnection> {
    stack.kept_postgres(TIMEOUT).await
}

pub(super) async fn counters(stack: &Stack) -> Measured<DatabaseCounters> {
    let asked = async {
        let mut database = connect(stack).await?;
        Ok(DatabaseCounters { server: database.counters().await?, statements: database.statements().await? })
    };
    asked.await.into()
}

/// How often locks are looked at.
const STEP: Duration = Duration::from_millis(500);

/// Looks at locks for as long as it lives.
#[derive(Debug)]
pub(super) struct LockWatch {
    seen: Arc<Mutex<Vec<(f64, f64)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl LockWatch {
    pub(super) fn begin(stack: &Stack) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(watch_locks(stack.clone(), Arc::clone(&seen)));
        Self { seen, task }
    }

    /// Seconds since the first look and sessions that waited then, oldest first; looks that failed are left
    /// out.
    pub(super) fn seen(&self) -> Vec<(f64, f64)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The mean of them as a fact.
    pub(super) fn fact(&self, into: &mut Facts) {
        let seen = self.seen();
        let mean =
            (!seen.is_empty()).then(|| seen.iter().map(|(_, waits)| waits).sum::<f64>() / seen.len() as f64);
        let mean = Measured::or_missing(mean, "PostgreSQL could not be asked");
        into.put("lock_waiters", mean, "PostgreSQL", "pg_blocking_pids, every half second");
    }
}

impl Drop for LockWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch_locks(stack: Stack, into: Arc<Mutex<Vec<(f64, f64)>>>) {
    let (mut database, began) = (None, Instant::now());
    loop {
        if database.is_none() {
            database = connect(&stack).await.ok();
        }
        let waits = match &mut database {
            Some(database) => {
                // One that hangs is asked anew over another connection, and counts as not answered.
                tokio::time::timeout(TIMEOUT, database.lock_waits()).await.ok().and_then(Result::ok)
            }
            None => None,
        };
        match waits {
            Some(waits) => {
                let look = (began.elapsed().as_secs_f64(), waits.len() as f64);
                into.lock().unwrap_or_else(PoisonError::into_inner).push(look);
            }
            None => database = None,
        }
        tokio::time::sleep(STEP).await;
    }
}

/// The longest mean time of the statements that ran five times and more between two readings; 0 when
/// none did.
fn slowest(before: &[CountedStatement], after: &[CountedStatement]) -> f64 {
    let mean = |now: &CountedStatement| {
        let then = before.iter().find(|then| then.id == now.id && then.calls <= now.calls);
        let (calls, ms) = then.map_or((0, 0.0), |then| (then.calls, then.total_ms));
        (now.calls - calls >= 5).then(|| (now.total_ms - ms) / (now.calls - calls) as f64)
    };
    after.iter().filter_map(mean).fold(0.0, f64::max)
}

/// Facts of the window between two readings; `known` holds what the service says of the same window.
pub(super) fn facts(
    before: &Measured<DatabaseCounters>,
    after: &Measured<DatabaseCounters>,
    known: &Facts,
    seconds: f64,
) -> Facts {
    let mut facts = Facts::default();
    let both = before.as_ref().zip(after.as_ref());
    let slowest = both.clone().map(|(one, two)| slowest(&one.statements, &two.statements));
    facts.put(
        "slowest_statement_ms",
        slowest,
        "PostgreSQL",
        format!(
            "largest mean time of pg_stat_statements, difference over {seconds:.0} s, five calls and more"
        ),
    );
    let after = after.as_ref().map(|one| one.server);
    let both = both.map(|(one, two)| (one.server, two.server));
    let span = format!("difference over {seconds:.0} s");
    let statements = format!("sum(total_exec_time) of pg_stat_statements, {span}");
    // A reset in between leaves less than there was before: then the difference says nothing.
    let window = both.clone().filter(
        |(before, after)| after.exec_ms >= before.exec_ms,
        "the statistics of the statements were reset meanwhile",
    );
    let exec_ms = window.clone().map(|(before, after)| after.exec_ms - before.exec_ms);
    let io_ms = window.map(|(before, after)| after.io_ms - before.io_ms);
    facts.put("exec_ms_per_s", exec_ms.clone().map(|ms| ms / seconds), "PostgreSQL", &statements);
    let asked = known.measured("query_seconds_per_s").zip(known.measured("query_rate"));
    let asked = asked.filter(|(_, rate)| *rate > 0.0, "no query was made");
    let outside = asked
        .zip(exec_ms.clone())
        .map(|((spent_s, rate), exec_ms)| (spent_s * 1_000.0 - exec_ms / seconds) / rate);
    facts.put(
        "db_network_ms",
        outside.map(|ms| ms.max(0.0)),
        "PostgreSQL",
        format!("(db_query_duration_seconds_sum, less {statements}) for each query"),
    );
    let share = io_ms.zip(exec_ms).map(|(io, all)| if all > 0.0 { io / all } else { 0.0 });
    facts.put("db_io_share", share, "PostgreSQL", format!("blk_read_time over total_exec_time, {span}"));
    let scans = both.map(|(one, two)| {
        let (scans, rows) = (two.scans.0 - one.scans.0, two.scans.1 - one.scans.1);
        // A few scans are housekeeping; reads that lack an index come by the hundred.
        let few = known.value("request_rate").map_or(10.0, |rate| (rate * seconds * 0.03).max(10.0));
        if (scans as f64) < few { 0.0 } else { rows as f64 / scans as f64 }
    });
    facts.put(
        "rows_per_sequential_scan",
        scans,
        "PostgreSQL",
        format!("seq_tup_read over seq_scan of notifications, {span}"),
    );
    let rows = "notifications with next_attempt_at within five minutes, scheduled ones left out";
    let waiting = after.map(|one| one.undelivered as f64);
    facts.put("undelivered", waiting.clone(), "PostgreSQL", rows);
    let late = waiting.zip(known.measured("written_per_s")).map(|(rows, rate)| rows / rate.max(1.0));
    facts.put("undelivered_s", late, "PostgreSQL", format!("{rows}, over the rate of new ones"));
    facts
}
