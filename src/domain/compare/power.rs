//! How small a change runs can show, how long they must be to show a tenth, and how many it takes to prove one.

use super::metrics::{Family, KINDS, PRIMARY};
use super::{Comparison, LevelComparison, SIGNIFICANCE, TENTH, client};
use crate::domain::statistics;
use serde::Serialize;

/// The metric that people look at first.
const METRIC: &str = "p95_ms";

impl Comparison {
    /// What the runs can show of p95, in a sentence; absent where it cannot be told, as of repeated runs.
    #[must_use]
    pub fn power(&self) -> Option<String> {
        let p95 = |level: &LevelComparison| {
            let metric = level.metrics.iter().find(|one| one.name == METRIC)?;
            Some(LevelPower {
                level: level.level,
                least: metric.detectable?,
                tenth_needs_s: metric.tenth_needs_s,
            })
        };
        let rows: Vec<_> = self.levels.iter().filter_map(p95).collect();
        let least = |row: &LevelPower| format!("{:.0} % on level {}", (row.least * 100.0).ceil(), row.level);
        let least: Vec<_> = rows.iter().map(least).collect();
        (!least.is_empty()).then(|| {
            format!(
                "Nine times in ten these runs show an increase of {METRIC} from {} on{}.",
                least.join(", "),
                longer(&rows)
            )
        })
    }
}

/// How many runs it takes on each side to prove a difference, known before the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct RunsNeeded {
    /// Runs on each side for a difference in throughput, errors or p95.
    pub primary: usize,
    /// … in any other metric.
    pub others: usize,
    /// … in how much runs scatter.
    pub spread: usize,
    /// Levels, counted from 1, that are too short for one run on each side to prove anything.
    pub too_short: Vec<usize>,
}

impl RunsNeeded {
    /// Of runs whose levels measure so many seconds each.
    #[must_use]
    pub fn of(measured_s: &[u64]) -> Self {
        let levels = measured_s.len();
        let short = measured_s.iter().enumerate().filter(|(_, seconds)| !client::is_long_enough(**seconds));
        let of = |family| needed(family, looks(family, levels));
        Self {
            primary: of(Family::Primary),
            others: of(Family::Rest),
            spread: of(Family::Spread),
            too_short: short.map(|(index, _)| index + 1).collect(),
        }
    }

    /// In words.
    #[must_use]
    pub fn sentence(&self) -> String {
        let short: Vec<_> = self.too_short.iter().map(ToString::to_string).collect();
        let single = match short.as_slice() {
            [] => "one run on each side is judged by its parts".to_owned(),
            some => format!("with one run on each side level {} is too short to show any", some.join(", ")),
        };
        format!(
            "To prove a difference, repeated runs are needed on each side: {} for throughput, errors and p95, {} for \
             another metric, {} for how runs scatter; {single}.",
            self.primary, self.others, self.spread
        )
    }
}

/// How many runs of so many levels each side needs until a difference in what users feel can be proved.
#[must_use]
pub fn runs_needed(levels: usize) -> usize {
    needed(Family::Primary, looks(Family::Primary, levels))
}

/// How many metrics of a family are looked at on so many levels.
const fn looks(family: Family, levels: usize) -> usize {
    let metrics = match family {
        Family::Primary => PRIMARY,
        Family::Rest => KINDS.len() - PRIMARY,
        Family::Spread => PRIMARY - 1,
    };
    levels * metrics
}

fn needed(family: Family, looks: usize) -> usize {
    let runs = statistics::runs_needed(SIGNIFICANCE * family.weight() / looks.max(1) as f64);
    // Of an odd number the one in the middle does not scatter.
    if family == Family::Spread { runs + runs % 2 } else { runs }
}

/// Whether the rarest order of so many runs is rare enough among so many looks.
fn is_enough((before, after): (usize, usize), family: Family, looks: usize) -> bool {
    let odd = if family == Family::Spread { (before % 2, after % 2) } else { (0, 0) };
    let least = statistics::smallest_p(before - odd.0, after - odd.1);
    least * looks as f64 / family.weight() < SIGNIFICANCE
}

/// Why nothing can be proved with so few runs; none where something can.
pub(super) fn lacking(runs: (usize, usize), family: Family, looks: usize) -> Option<String> {
    (!is_enough(runs, family, looks))
        .then(|| format!("{} runs on each side are needed to prove anything", needed(family, looks)))
}

/// Whether so few runs were compared that nothing of what users feel could have been found.
pub(super) fn of_sets_is_blind(runs: (usize, usize), levels: usize) -> bool {
    // One metric at least scatters.
    !is_enough(runs, Family::Primary, levels.max(1))
}

/// What sets of so many runs can show at all.
pub(super) fn of_sets(runs: (usize, usize), levels: usize) -> Option<String> {
    let families = [
        (Family::Primary, "throughput, errors and p95"),
        (Family::Rest, "the other metrics"),
        (Family::Spread, "how runs scatter"),
    ];
    let told: Vec<_> = families
        .into_iter()
        .map(|(family, what)| (family, looks(family, levels), what))
        .filter(|(family, looks, _)| !is_enough(runs, *family, *looks))
        .map(|(family, looks, what)| format!("{} for {what}", needed(family, looks)))
        .collect();
    let least = statistics::smallest_p(runs.0, runs.1);
    (!told.is_empty()).then(|| {
        format!(
            "with {} and {} runs no order is rarer than {:.1} %; each side needs {}",
            runs.0,
            runs.1,
            least * 100.0,
            told.join(", ")
        )
    })
}

/// What one level shows of the metric.
struct LevelPower {
    level: usize,
    /// The smallest increase, as a share.
    least: f64,
    tenth_needs_s: Option<f64>,
}

/// What it takes to show a tenth where these runs do not.
fn longer(rows: &[LevelPower]) -> String {
    let hidden: Vec<_> = rows.iter().filter(|row| row.least > TENTH).collect();
    if hidden.is_empty() {
        return String::new();
    }
    match hidden.iter().map(|row| row.tenth_needs_s).collect::<Option<Vec<_>>>() {
        Some(seconds) => {
            let minutes = (seconds.into_iter().fold(0.0, f64::max) / 60.0).ceil();
            format!("; 10 % takes levels of about {minutes:.0} min")
        }
        None => "; 10 % is lost in the noise, however long they are".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::compare::{NoiseFloor, compare};
    use crate::domain::distribution::Distribution;
    use crate::domain::run::{Run, test_run};

    /// A run whose p95 swings up and down from one six seconds to the next.
    fn swinging(phase: usize) -> Run {
        let mut run = test_run(&[20.0]);
        for (index, slice) in run.levels[0].slices.iter_mut().enumerate() {
            let swing = [0.5, 1.6, 1.0, 0.7, 1.4, 0.6, 2.0, 0.9, 1.2, 0.8][(index / 3 + phase) % 10];
            slice.counts.due = Distribution::default();
            slice.counts.due.record_ms(5.0, 900);
            slice.counts.due.record_ms(20.0 * swing, 100);
        }
        run
    }

    #[test]
    fn how_many_runs_it_takes_is_said_before_they_are_made() {
        assert_eq!((runs_needed(1), runs_needed(4)), (5, 6));
        // As docs/ACCURACY.md shows it.
        let needs = |levels: usize| {
            let needs = RunsNeeded::of(&vec![60; levels]);
            (needs.others, needs.spread)
        };
        assert_eq!((needs(1), needs(4)), ((7, 6), (8, 8)));
        let said = of_sets((4, 4), 1).unwrap();
        assert!(said.contains("no order is rarer than 2.9 %") && said.contains("5 for throughput"), "{said}");
        assert!(of_sets_is_blind((3, 3), 1) && !of_sets_is_blind((5, 5), 1));
        assert_eq!(of_sets((9, 9), 1), None);
        let plan = RunsNeeded::of(&[60, 60, 6, 60]);
        assert_eq!((plan.primary, plan.others, plan.spread, plan.too_short.as_slice()), (6, 8, 8, &[3][..]));
        assert!(plan.sentence().contains("level 3 is too short"), "{}", plan.sentence());
        assert!(RunsNeeded::of(&[8]).sentence().contains("5 for throughput, errors and p95, 7 for"));
    }

    #[test]
    fn short_runs_say_what_they_cannot_show() {
        let found = compare(&swinging(0), &swinging(1), &NoiseFloor::default(), Vec::new());
        let said = found.power().unwrap();
        assert!(said.contains("% on level 1 on; 10 % takes levels of about"), "{said}");
    }

    #[test]
    fn what_is_lost_in_the_noise_needs_no_longer_runs() {
        let floor = NoiseFloor { shares: [("p95_ms".to_owned(), 0.2)].into(), origin: "test".into() };
        let said = compare(&swinging(0), &swinging(1), &floor, Vec::new()).power().unwrap();
        assert!(said.contains("lost in the noise"), "{said}");
    }
}
