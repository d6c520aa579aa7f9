//! Waits after a level until the stack has settled, and says what it still waits for.

use super::context::RunContext;
use super::engine::GeneratorSummary;
use super::logs::{self, LogPositions};
use super::prometheus;
use super::sampler::{self, Sampler};
use crate::clients::postgres::StoredRows;
use crate::domain::profile::ProfilePart;
use crate::domain::run::{Condition, LevelResult, Sample};
use crate::error::{Error, Result};
use crate::measured::Measured;
use crate::render::format;
use crate::render::progress::ProgressLine;
use crate::stack::Stack;
use crate::stack::reserve::ReservedConnection;
use std::time::Duration;
use tokio::time::Instant;

/// How often everything is looked at …
const INTERVAL: Duration = Duration::from_millis(250);
/// … and the level's rows are counted, which reads many of them.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// A count that takes longer is no answer.
const COUNT_TIMEOUT: Duration = Duration::from_secs(30);
/// A database that did not answer for so long after the load is a finding.
const SILENCE: Duration = Duration::from_secs(5);
/// Why a condition that a sample tells is not known.
const UNSEEN: &str = "it was not answered for";
/// Lost notifications that are named.
const NAMED: i64 = 20;

/// Waits until nothing waits, everything acknowledged is final, no request is in progress, the service
/// rests and the logs are quiet; at most as long as the plan allows. Answers false on Ctrl-C. What does
/// not answer meanwhile is a finding of the level and loses nothing.
pub(super) async fn stabilise(
    context: &RunContext<'_>,
    result: &mut LevelResult,
    sent: &GeneratorSummary,
    logs: &mut LogPositions,
    line: &ProgressLine,
) -> bool {
    let (started, stack) = (Instant::now(), context.stack);
    let deadline = started + Duration::from_secs(context.plan.stabilise_s);
    let mut sampler: Option<Sampler> = None;
    let within_s = (result.duration_s + context.plan.stabilise_s) as f64;
    let mut rows = RowCounter::new(stack, context.prefix(result.level), within_s, sent);
    let replicas = context.environment.app.max(1) as f64;
    result.kafka.drain_s = Measured::missing("it did not drain in the time that was watched");
    let settled = loop {
        // Tried again in every turn: what does not answer right after the load may do so a moment later.
        if sampler.is_none() {
            sampler = Sampler::new(stack, Vec::new()).await.ok();
        }
        let sample = async {
            match &mut sampler {
                Some(sampler) => sampler.sample().await,
                None => Sample::default(),
            }
        };
        let in_flight = stack.if_named(ProfilePart::Metrics, prometheus::in_flight(stack));
        let (now, in_flight, ()) = tokio::join!(sample, in_flight, rows.count());
        let fresh = logs.errors();
        let quiet = fresh.as_ref().map(|fresh| fresh.values().sum::<u64>() as f64);
        logs::add(&mut result.log_errors, fresh.unwrap_or_default());
        let open = rows.open();
        if !result.kafka.drain_s.is_measured() && is_drained(now.lag, &open) {
            result.kafka.drain_s = started.elapsed().as_secs_f64().into();
        }
        let lag = Measured::or_missing(now.lag, UNSEEN).map(|lag| lag as f64);
        let active = Measured::or_missing(now.db_active, UNSEEN).map(|count| count as f64);
        let cpu = Measured::or_missing(now.service_cpu_pct, UNSEEN);
        let errors = Measured::or_missing(quiet, logs::UNKNOWN);
        // Nobody waits for what the profile does not name.
        let condition = |part, name, value, most| {
            stack.unnamed(part).is_none().then(|| Condition::at_most(name, value, most))
        };
        let conditions: Vec<_> = [
            condition(ProfilePart::Flows, "lag", lag, 0.0),
            condition(ProfilePart::Ledger, "not_final", open.map(|open| open as f64), 0.0),
            // A replica that is asked for its metrics counts that request.
            condition(ProfilePart::Metrics, "in_flight", in_flight, replicas),
            condition(ProfilePart::Postgres, "db_active", active, 2.0),
            condition(ProfilePart::Processes, "service_cpu_pct", cpu, context.settled_cpu_pct()),
            condition(ProfilePart::Processes, "log_errors", errors, 0.0),
        ]
        .into_iter()
        .flatten()
        .collect();
        context.stream.waiting(result.level, &conditions);
        // Logs that are elsewhere will not be known by waiting.
        let done = conditions.iter().all(|one| one.met || (one.name == "log_errors" && quiet.is_none()));
        line.update(&checklist(&conditions));
        result.stabilised = conditions;
        if done || Instant::now() > deadline {
            break true;
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = context.interrupt.wait() => break false,
        }
    };
    rows.conclude(result).await;
    settled
}

/// The rows of a level, counted over a connection that is made anew whenever it fails.
struct RowCounter<'a> {
    stack: &'a Stack,
    prefix: String,
    /// No row of the level is older, by one clock.
    within_s: f64,
    sent: &'a GeneratorSummary,
    kept: Option<ReservedConnection>,
    /// The newest count, or why the last try failed.
    stored: Measured<StoredRows>,
    counted: Option<Instant>,
    silent: Silence,
}

/// For how long the database did not answer.
#[derive(Debug, Default)]
struct Silence {
    since: Option<Instant>,
    longest: Duration,
    why: String,
}

impl Silence {
    fn failed(&mut self, error: &Error) {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.longest = self.longest.max(since.elapsed());
        self.why.clone_from(&error.message);
    }

    fn answered(&mut self) {
        if let Some(since) = self.since.take() {
            self.longest = self.longest.max(since.elapsed());
        }
    }

    /// What is to be said of it, when it was long or has not ended.
    fn finding(&self) -> Option<String> {
        let seconds = self.longest.as_secs();
        match self.since {
            Some(_) => {
                Some(format!("PostgreSQL did not answer for {seconds} s after the load: {}", self.why))
            }
            None if self.longest >= SILENCE => {
                Some(format!("PostgreSQL did not answer for {seconds} s after the load, then it did"))
            }
            None => None,
        }
    }
}

impl<'a> RowCounter<'a> {
    fn new(stack: &'a Stack, prefix: String, within_s: f64, sent: &'a GeneratorSummary) -> Self {
        Self {
            stack,
            prefix,
            within_s,
            sent,
            kept: None,
            stored: Measured::default(),
            counted: None,
            silent: Silence::default(),
        }
    }

    /// Ids that may be stored or not; none known is none left out.
    fn unacknowledged(&self) -> &'a [String] {
        self.sent.unacknowledged.as_deref().unwrap_or_default()
    }

    /// Acknowledged notifications that are not final.
    fn open(&self) -> Measured<u64> {
        self.stored.clone().map(|stored| self.sent.accepted.saturating_sub(stored.r#final))
    }

    async fn count(&mut self) {
        if let Some(why) = self.stack.unnamed(ProfilePart::Ledger) {
            self.stored = Measured::NotApplicable(why);
            return;
        }
        if self.counted.is_some_and(|counted| counted.elapsed() < COUNT_INTERVAL) {
            return;
        }
        self.counted = Some(Instant::now());
        match self.ask().await {
            Ok(stored) => {
                self.stored = stored.into();
                self.silent.answered();
            }
            Err(error) => {
                (self.kept, self.stored) = (None, Measured::missing(error.message.clone()));
                self.silent.failed(&error);
            }
        }
    }

    async fn ask(&mut self) -> Result<StoredRows> {
        // Taken out while it is asked: after an error or a timeout it is not there to be asked again.
        let mut database = match self.kept.take() {
            Some(kept) => kept,
            None => sampler::connect(self.stack).await?,
        };
        let counting = async {
            let (prefix, left_out) = (&self.prefix, self.unacknowledged());
            match &self.stack.profile().ledger {
                Some(ledger) => {
                    let finished = ledger.finished.as_deref();
                    database.count_ledger(&ledger.stored, finished, prefix, left_out).await
                }
                None => database.count_stored(prefix, left_out, self.within_s).await,
            }
        };
        let stored = tokio::time::timeout(COUNT_TIMEOUT, counting).await;
        let stored = stored.map_err(|_| {
            Error::unreachable(format!("rows were not counted within {} s", COUNT_TIMEOUT.as_secs()))
        })??;
        self.kept = Some(database);
        Ok(stored)
    }

    /// Puts the last count, and what went wrong, into the level.
    async fn conclude(mut self, result: &mut LevelResult) {
        let found = &mut result.reconciliation;
        let unnamed = "the generator cannot name the ids of all that was not acknowledged";
        let named = Measured::or_missing(self.sent.unacknowledged.as_ref(), unnamed);
        found.unacknowledged = named.clone().map(|ids| ids.len() as u64);
        found.stored = self.stored.clone().map(|stored| stored.all);
        found.acknowledged_stored = named.zip(self.stored.clone()).map(|(_, stored)| stored.acknowledged);
        found.r#final = self.stored.clone().map(|stored| stored.r#final);
        result.problems.extend(self.silent.finding());
        if found.missing().value().is_some_and(|missing| missing > 0)
            && let Some(mut database) = self.kept.take()
        {
            // To be named is more than to be counted; that it failed is no finding of its own.
            let (sent, left_out) = (&self.sent.sent, self.unacknowledged());
            let naming = async {
                match &self.stack.profile().ledger {
                    Some(ledger) => {
                        database
                            .list_lost_of_ledger(&ledger.stored, &self.prefix, sent, left_out, NAMED)
                            .await
                    }
                    None => database.list_lost(sent, left_out, NAMED).await,
                }
            };
            found.lost = tokio::time::timeout(COUNT_TIMEOUT, naming)
                .await
                .ok()
                .and_then(Result::ok)
                .unwrap_or_default();
        }
    }
}

/// Whether nothing waits any more: no message, and nothing acknowledged where a ledger tells of it.
fn is_drained(lag: Option<i64>, open: &Measured<u64>) -> bool {
    lag == Some(0) && (open.is_not_applicable() || open.value() == Some(0))
}

/// What is still waited for, in one line.
fn checklist(conditions: &[Condition]) -> String {
    let open = conditions.iter().filter(|one| !one.met).map(|one| {
        let value = format::measured_in_words(&one.value, |value| format!("{value:.0}"));
        format!("{} {value} (at most {:.0})", one.name, one.target)
    });
    let open: Vec<_> = open.collect();
    let met = conditions.len() - open.len();
    if open.is_empty() {
        format!("settled: {met} of {met} conditions hold")
    } else {
        format!("waits for {}; {met} of {} conditions hold", open.join(", "), conditions.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_does_not_answer_is_a_finding_and_a_hiccup_is_none() {
        let mut silent = Silence::default();
        assert_eq!(silent.finding(), None);
        silent.failed(&Error::unreachable("sorry, too many clients already"));
        let said = silent.finding().unwrap();
        assert!(said.ends_with("after the load: sorry, too many clients already"), "{said}");
        silent.answered();
        assert_eq!(silent.finding(), None, "a moment");
        silent.longest = Duration::from_secs(20);
        assert_eq!(
            silent.finding().as_deref(),
            Some("PostgreSQL did not answer for 20 s after the load, then it did")
        );
    }

    #[test]
    fn what_has_no_ledger_is_drained_by_its_lag_alone() {
        let drained = |lag, open| is_drained(lag, &open);
        assert!(drained(Some(0), Measured::Value(0)) && !drained(Some(0), Measured::Value(3)));
        assert!(drained(Some(0), Measured::not_applicable("the profile shop names no ledger")));
        assert!(!drained(Some(0), Measured::missing("PostgreSQL did not answer")));
        assert!(
            !drained(None, Measured::Value(0)) && !drained(Some(7), Measured::not_applicable("no ledger"))
        );
    }

    #[test]
    fn the_checklist_names_what_is_open_and_what_cannot_be_known() {
        let conditions = [
            Condition::at_most("lag", 12.0.into(), 0.0),
            Condition::at_most("in_flight", Measured::missing("Prometheus is away"), 1.0),
        ];
        assert_eq!(
            checklist(&conditions),
            "waits for lag 12 (at most 0), in_flight not measured: Prometheus is away (at most 1); 0 of 2 conditions hold"
        );
        let settled = [Condition::at_most("lag", 0.0.into(), 0.0)];
        assert_eq!(checklist(&settled), "settled: 1 of 1 conditions hold");
    }
}
