//! What measuring a level costs: the CPU of nsys itself, and the statements that it asks PostgreSQL.

use crate::clients::{postgres, process};
use crate::domain::run::Measuring;
use crate::measured::Measured;
use std::time::Instant;

/// Counters of this process at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnCounters {
    at: Instant,
    cpu_s: Option<f64>,
    statements: u64,
}

impl OwnCounters {
    /// As they are now.
    pub(super) fn now() -> Self {
        let pid = i32::try_from(std::process::id()).ok();
        let cpu_s = pid.and_then(process::usage).map(|used| used.0);
        Self { at: Instant::now(), cpu_s, statements: postgres::statements_asked() }
    }

    /// What was used until `end`.
    pub(super) fn until(&self, end: &Self) -> Measuring {
        let elapsed = end.at.saturating_duration_since(self.at).as_secs_f64();
        if elapsed <= 0.0 {
            return Measuring::default();
        }
        let cpu = self.cpu_s.zip(end.cpu_s).map(|(then, now)| (now - then) / elapsed * 100.0);
        Measuring {
            cpu_pct: Measured::or_missing(cpu, "/proc does not tell the CPU of nsys"),
            queries_per_s: Measured::Value(end.statements.saturating_sub(self.statements) as f64 / elapsed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_used_between_two_instants_is_told_by_the_second() {
        let before = OwnCounters { cpu_s: Some(2.0), statements: 10, ..OwnCounters::now() };
        let after = OwnCounters { at: before.at + Duration::from_secs(4), cpu_s: Some(3.0), statements: 18 };
        let used = before.until(&after);
        assert_eq!((used.cpu_pct.value(), used.queries_per_s.value()), (Some(25.0), Some(2.0)));
        let blind = before.until(&OwnCounters { cpu_s: None, ..after });
        assert_eq!((blind.cpu_pct.value(), blind.queries_per_s.value()), (None, Some(2.0)));
        assert!(!before.until(&before).queries_per_s.is_measured(), "no time has passed");
    }
}
