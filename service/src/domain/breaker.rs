//! Circuit breakers: a destination that keeps failing gets no attempts for a while. Pure; time is given.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Most destinations remembered.
const MAX_DESTINATIONS: usize = 10_000;
/// Part of them that is forgotten at once when there are too many, so that one more does not cost a search each
/// time.
const FORGOTTEN: usize = MAX_DESTINATIONS / 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CircuitState {
    /// It works, or failed this often in a row.
    Closed { failures: u32 },
    /// Nothing goes there before this instant.
    Open { until: Instant },
    /// One attempt is under way to see whether it works again.
    Trying { until: Instant },
}

impl CircuitState {
    /// When the next attempt may be made; `None`: at any time.
    const fn until(self) -> Option<Instant> {
        match self {
            Self::Closed { .. } => None,
            Self::Open { until } | Self::Trying { until } => Some(until),
        }
    }
}

/// Whether an attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Yes.
    Go,
    /// Not before this long.
    Hold(Duration),
}

/// The breakers of every destination of a process.
#[derive(Debug)]
pub(crate) struct Breakers {
    failures: u32,
    cooldown: Duration,
    states: HashMap<String, CircuitState>,
}

impl Breakers {
    /// Opens after `failures` in a row, for `cooldown`. 0 failures: never.
    pub(crate) fn new(failures: u32, cooldown: Duration) -> Self {
        Self { failures, cooldown, states: HashMap::new() }
    }

    /// Asks before an attempt. After the cooldown one attempt is let through.
    pub(crate) fn admit(&mut self, destination: &str, now: Instant) -> Admission {
        let Some(state) = self.states.get_mut(destination) else { return Admission::Go };
        match *state {
            CircuitState::Closed { .. } => Admission::Go,
            // An attempt whose end nobody recorded is over by then.
            CircuitState::Open { until } | CircuitState::Trying { until } if until <= now => {
                *state = CircuitState::Trying { until: now + self.cooldown };
                Admission::Go
            }
            CircuitState::Open { until } | CircuitState::Trying { until } => Admission::Hold(until - now),
        }
    }

    /// Records how an attempt ended.
    pub(crate) fn record(&mut self, destination: &str, worked: bool, now: Instant) {
        if worked || self.failures == 0 {
            self.states.remove(destination);
            return;
        }
        if self.states.len() >= MAX_DESTINATIONS && !self.states.contains_key(destination) {
            self.forget(now);
        }
        let open = CircuitState::Open { until: now + self.cooldown };
        let state = self.states.entry(destination.to_owned()).or_insert(CircuitState::Closed { failures: 0 });
        *state = match *state {
            CircuitState::Closed { failures } if failures + 1 < self.failures => {
                CircuitState::Closed { failures: failures + 1 }
            }
            CircuitState::Closed { .. } | CircuitState::Trying { .. } => open,
            // Attempts that began before it opened do not lengthen the cooldown.
            still @ CircuitState::Open { .. } => still,
        };
    }

    /// Evicts: first goes what may be tried anyway, then those that may be tried soonest.
    fn forget(&mut self, now: Instant) {
        self.states.retain(|_, state| state.until().is_some_and(|until| until > now));
        let excess = (self.states.len() + FORGOTTEN).saturating_sub(MAX_DESTINATIONS);
        if excess == 0 {
            return;
        }
        let mut ends: Vec<_> = self.states.values().filter_map(|state| state.until()).collect();
        let (_, last, _) = ends.select_nth_unstable(excess - 1);
        let mut left = excess;
        let last = *last;
        self.states.retain(|_, state| {
            let goes = left > 0 && state.until().is_none_or(|until| until <= last);
            left -= usize::from(goes);
            !goes
        });
    }

    /// Destinations whose circuit is open now.
    pub(crate) fn open_circuits(&self, now: Instant) -> Vec<&str> {
        let is_open = |state: &CircuitState| state.until().is_some_and(|until| until > now);
        self.states
            .iter()
            .filter(|(_, state)| is_open(state))
            .map(|(destination, _)| destination.as_str())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Duration = Duration::from_secs(30);

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let (mut breakers, now) = (Breakers::new(3, COOLDOWN), Instant::now());
        for worked in [false, false, true, false, false] {
            breakers.record("a", worked, now);
        }
        assert_eq!(breakers.admit("a", now), Admission::Go);
        breakers.record("a", false, now);
        assert_eq!(breakers.admit("a", now), Admission::Hold(COOLDOWN));
        assert_eq!(breakers.admit("b", now), Admission::Go);
        assert_eq!(breakers.open_circuits(now), ["a"]);
    }

    #[test]
    fn one_attempt_is_let_through_after_the_cooldown_and_decides() {
        let (mut breakers, start) = (Breakers::new(1, COOLDOWN), Instant::now());
        breakers.record("a", false, start);
        let later = start + COOLDOWN;
        assert_eq!(breakers.admit("a", later), Admission::Go);
        assert_eq!(breakers.admit("a", later), Admission::Hold(COOLDOWN));
        breakers.record("a", false, later);
        assert_eq!(breakers.admit("a", later), Admission::Hold(COOLDOWN));
        let last = later + COOLDOWN;
        assert_eq!(breakers.admit("a", last), Admission::Go);
        breakers.record("a", true, last);
        assert_eq!(breakers.admit("a", last), Admission::Go);
        assert!(breakers.open_circuits(last).is_empty());
    }

    #[test]
    fn a_probe_that_never_ended_does_not_shut_it_for_ever() {
        let (mut breakers, start) = (Breakers::new(1, COOLDOWN), Instant::now());
        breakers.record("a", false, start);
        assert_eq!(breakers.admit("a", start + COOLDOWN), Admission::Go);
        assert_eq!(breakers.admit("a", start + COOLDOWN * 2), Admission::Go);
    }

    #[test]
    fn destinations_are_bounded() {
        for failures in [1, 2] {
            let (mut breakers, now) = (Breakers::new(failures, COOLDOWN), Instant::now());
            for one in 0..3 * MAX_DESTINATIONS {
                breakers.record(&one.to_string(), false, now);
                assert!(breakers.states.len() <= MAX_DESTINATIONS);
            }
        }
    }

    #[test]
    fn open_ones_expire_before_others_are_forgotten() {
        let (mut breakers, start) = (Breakers::new(1, COOLDOWN), Instant::now());
        for one in 0..MAX_DESTINATIONS / 2 {
            breakers.record(&format!("old {one}"), false, start);
        }
        let later = start + COOLDOWN / 2;
        for one in 0..MAX_DESTINATIONS / 2 {
            breakers.record(&format!("new {one}"), false, later);
        }
        breakers.record("one more", false, start + COOLDOWN);
        assert_eq!(breakers.open_circuits(start + COOLDOWN).len(), MAX_DESTINATIONS / 2 + 1);
        assert_eq!(breakers.states.len(), MAX_DESTINATIONS / 2 + 1);
    }
}
