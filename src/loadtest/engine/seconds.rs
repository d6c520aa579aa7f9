//! The seconds that several generators tell of, put together. No I/O.

use crate::domain::stream::Tick;
use std::collections::BTreeMap;

/// Seconds of all generators together. Each begins its own at another fraction of the clock's second, and
/// a second of one belongs to exactly one of the others.
#[derive(Clone, Debug, Default)]
pub struct Seconds {
    /// Where in the clock's second each generator ends its own.
    phases: BTreeMap<usize, f64>,
    ticks: BTreeMap<i64, Tick>,
}

impl Seconds {
    /// Takes a second that a generator tells of.
    pub fn take(&mut self, generator: usize, tick: Tick) {
        let phase = *self.phases.entry(generator).or_insert_with(|| tick.at_s.rem_euclid(1.0));
        let second = (tick.at_s - phase).round() as i64;
        match self.ticks.get_mut(&second) {
            Some(one) => *one = one.plus(&tick),
            None => {
                self.ticks.insert(second, tick);
            }
        }
    }

    /// The newest one.
    #[must_use]
    pub fn last(&self) -> Option<&Tick> {
        self.ticks.values().next_back()
    }

    /// All of them, in order.
    #[must_use]
    pub fn into_ticks(self) -> Vec<Tick> {
        self.ticks.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_that_began_at_any_fraction_of_a_second_make_one_series() {
        let mut seconds = Seconds::default();
        // Each a little late now and then.
        for second in 0..20 {
            for (generator, phase) in [(0, 0.0), (1, 0.4), (2, 0.8)] {
                let at_s = 100.0 + f64::from(second) + phase + f64::from((second * 7) % 3) * 0.1;
                seconds.take(generator, Tick { at_s, rate: 10.0, ..Tick::default() });
            }
        }
        let ticks = seconds.into_ticks();
        assert_eq!(ticks.len(), 20);
        assert!(ticks.iter().all(|tick| (tick.rate - 30.0).abs() < f64::EPSILON), "{ticks:?}");
    }
}
