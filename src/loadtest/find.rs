//! Searches the highest rate that keeps the objectives: each probe is a level of the run.

use super::context::RunContext;
use super::level;
use super::store;
use crate::domain::level::Level;
use crate::domain::run::{LevelResult, Run};
use crate::domain::search::{Next, ProbeOutcome, Searcher};
use crate::domain::verdict::{CheckStatus, Verdict};
use crate::error::{ErrorKind, Result};
use crate::render::format;

/// A lag that grows by more than this share of the rate is a backlog without end.
const LAG_GROWTH: f64 = 0.02;

/// Searches; false when it was interrupted.
///
/// # Errors
/// As a level.
pub(super) async fn search(context: &RunContext<'_>, run: &mut Run) -> Result<bool> {
    let first = context.plan.levels.first();
    let (rate, probe_s) = first.map_or((1, 20), |level| (level.rate.unwrap_or(1), level.seconds));
    let confirm_s = context.stack.loaded.config.loadtest.find_confirm.as_secs().max(probe_s);
    let mut searcher = Searcher::new(rate);
    let mut gave_way = Vec::new();
    loop {
        let next = searcher.next();
        let (rate, seconds, name) = match next {
            Next::Probe(rate) => (rate, probe_s, format!("try {rate}/s")),
            Next::Confirm(rate) => (rate, confirm_s, format!("confirm {rate}/s")),
            Next::Done => break,
        };
        let probe = Level::open(rate, seconds);
        let result = match Box::pin(level::run(context, run, &probe, &name)).await {
            Ok(result) => result,
            Err(error) if error.kind == ErrorKind::Interrupted => return Ok(false),
            Err(error) if run.levels.is_empty() => return Err(error),
            Err(error) => {
                run.broken_off = Some(format!("{rate}/s could not be tried: {}", error.message));
                return Ok(false);
            }
        };
        context.stream.level(&result);
        let (whole, broken) = (!level::interrupted(&result), broken(&result));
        searcher.take(next, outcome(&result, &broken));
        if searcher.result().broke_at_rps == Some(rate) {
            gave_way = broken;
        }
        let mut found = searcher.result();
        found.gave_way.clone_from(&gave_way);
        run.search = Some(found);
        store::save(context.dir, run)?;
        if !whole || context.interrupt.is_set() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the probe broke, client and server alike.
fn broken(result: &LevelResult) -> Vec<String> {
    let failed = result.checks.iter().filter(|check| check.status == CheckStatus::Fail);
    let mut broken: Vec<_> = failed
        .map(|check| {
            let value = format::measured_in_words(&check.value, |value| format!("{value:.2}"));
            format!("{} is {value}, {} wanted", check.metric, check.objective)
        })
        .collect();
    let growth =
        result.kafka.lag_slope_per_s.value().filter(|slope| *slope > result.throughput_rps * LAG_GROWTH);
    broken.extend(growth.map(|slope| format!("lag grows by {slope:.0} messages a second")));
    broken
}

fn outcome(result: &LevelResult, broken: &[String]) -> ProbeOutcome {
    match result.verdict {
        Verdict::GeneratorLimited => ProbeOutcome::NotOffered,
        // It was not judged: nothing that it showed so far says what the rest would have shown.
        Verdict::Interrupted => ProbeOutcome::Undecided,
        _ if !broken.is_empty() || result.stopped_by.is_some() => ProbeOutcome::Broke,
        Verdict::Failed => ProbeOutcome::Broke,
        Verdict::Unknown => ProbeOutcome::Undecided,
        Verdict::Passed => ProbeOutcome::Kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_backlog_breaks_a_probe_whose_answers_are_quick() {
        let mut result = crate::domain::run::test_run(&[10.0]).levels.remove(0);
        assert_eq!(outcome(&result, &broken(&result)), ProbeOutcome::Kept);
        result.kafka.lag_slope_per_s = 100.0.into();
        let found = broken(&result);
        assert_eq!(outcome(&result, &found), ProbeOutcome::Broke);
        assert!(found[0].contains("100 messages a second"));
    }

    #[test]
    fn a_probe_that_was_cut_short_or_could_not_be_judged_kept_nothing() {
        let mut result = crate::domain::run::test_run(&[10.0]).levels.remove(0);
        for verdict in [Verdict::Unknown, Verdict::Interrupted] {
            result.verdict = verdict;
            assert_eq!(outcome(&result, &[]), ProbeOutcome::Undecided);
        }
        result.verdict = Verdict::Unknown;
        assert_eq!(outcome(&result, &["p95_ms".into()]), ProbeOutcome::Broke, "what was measured broke");
    }

    #[test]
    fn a_rate_that_was_not_offered_says_nothing_about_the_service() {
        let mut result = crate::domain::run::test_run(&[10.0]).levels.remove(0);
        result.verdict = Verdict::GeneratorLimited;
        assert_eq!(outcome(&result, &[]), ProbeOutcome::NotOffered);
    }
}
