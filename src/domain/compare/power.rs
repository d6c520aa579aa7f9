//! How small a change runs can show, and how long they must be to show a tenth.

use super::{Comparison, LevelComparison, TENTH};

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
    use crate::domain::compare::{NoiseFloor, compare};
    use crate::domain::run::{Run, test_run};

    /// A run whose p95 swings by a third from one five seconds to the next.
    fn swinging(phase: usize) -> Run {
        let mut run = test_run(&[20.0]);
        for (second, sample) in run.levels[0].samples.iter_mut().enumerate() {
            let swing = [0.7, 1.0, 1.3][(second / 5 + phase) % 3];
            sample.p95_ms = sample.p95_ms.map(|ms| ms * swing);
        }
        run
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
