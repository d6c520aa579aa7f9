//! Every call the dashboard made, as somebody would make it by hand. A repeated call is one line.

use super::super::update::Call;
use std::collections::VecDeque;

/// Different calls that are kept.
const MOST: usize = 200;

/// A call, and how often it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct CallCount {
    /// The call as it went last.
    pub last: Call,
    /// When that was, in seconds since the epoch.
    pub at_s: f64,
    /// How often it was made.
    pub count: u64,
    /// How often it failed.
    pub failed: u64,
}

/// The calls.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    made: VecDeque<CallCount>,
}

impl Calls {
    /// Takes a call.
    pub fn take(&mut self, at_s: f64, call: Call) {
        let failed = u64::from(call.error.is_some());
        if let Some(known) = self.made.iter_mut().find(|known| known.last.command == call.command) {
            *known = CallCount { last: call, at_s, count: known.count + 1, failed: known.failed + failed };
            return;
        }
        if self.made.len() == MOST {
            self.made.pop_front();
        }
        self.made.push_back(CallCount { last: call, at_s, count: 1, failed });
    }

    /// The calls in the order in which they were first made.
    pub fn iter(&self) -> impl Iterator<Item = &CallCount> {
        self.made.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_call_is_one_line() {
        let mut calls = Calls::default();
        let call = |error: Option<&str>| Call {
            command: "redis-cli INFO".into(),
            took_ms: 1.0,
            error: error.map(str::to_owned),
        };
        calls.take(1.0, call(None));
        calls.take(2.0, call(Some("refused")));
        let made: Vec<_> = calls.iter().collect();
        assert_eq!((made.len(), made[0].count, made[0].failed, made[0].at_s), (1, 2, 1, 2.0));
    }
}
