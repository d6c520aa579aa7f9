//! The values of one source: the last one, those before it, and what is wrong with it now.

use std::collections::VecDeque;
use std::sync::Arc;

/// A value older than this is stale: sources answer once a second.
pub const STALE_S: f64 = 6.0;
/// Values that are kept one by one.
const RECENT: usize = 180;
/// Older ones are kept this far apart …
const APART_S: f64 = 15.0;
/// … and so many of them: an hour in all.
const OLDER: usize = 240;

/// What one source told. The last value outlives a failure; memory is bounded.
#[derive(Clone, Debug)]
pub struct SourceValue<T> {
    recent: VecDeque<(f64, Arc<T>)>,
    older: VecDeque<(f64, Arc<T>)>,
    failed: Option<(f64, String)>,
}

impl<T> Default for SourceValue<T> {
    fn default() -> Self {
        Self { recent: VecDeque::new(), older: VecDeque::new(), failed: None }
    }
}

impl<T> SourceValue<T> {
    /// Takes an answer.
    pub fn take(&mut self, at_s: f64, answer: Result<T, String>) {
        let value = match answer {
            Ok(value) => value,
            Err(error) => {
                // The first time is kept: it tells since when.
                let since = self.failed.as_ref().map_or(at_s, |(since, _)| *since);
                self.failed = Some((since, error));
                return;
            }
        };
        self.failed = None;
        self.recent.push_back((at_s, Arc::new(value)));
        if self.recent.len() > RECENT
            && let Some(oldest) = self.recent.pop_front()
            && self.older.back().is_none_or(|(last, _)| oldest.0 - last >= APART_S)
        {
            self.older.push_back(oldest);
            if self.older.len() > OLDER {
                self.older.pop_front();
            }
        }
    }

    /// The last value.
    #[must_use]
    pub fn last(&self) -> Option<&T> {
        self.recent.back().map(|(_, value)| value.as_ref())
    }

    /// The value that was the last one at a time, with its own time.
    #[must_use]
    pub fn at(&self, at_s: f64) -> Option<(f64, &T)> {
        let before = |values: &VecDeque<(f64, Arc<T>)>| values.partition_point(|(time, _)| *time <= at_s);
        match before(&self.recent) {
            0 => before(&self.older).checked_sub(1).map(|place| &self.older[place]),
            place => Some(&self.recent[place - 1]),
        }
        .map(|(time, value)| (*time, value.as_ref()))
    }

    /// How many values are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.recent.len() + self.older.len()
    }

    /// The oldest value at or after a time.
    #[must_use]
    pub fn first_since(&self, at_s: f64) -> Option<(f64, &T)> {
        let all = self.older.iter().chain(&self.recent);
        all.map(|(time, value)| (*time, value.as_ref())).find(|(time, _)| *time >= at_s)
    }

    /// Since when and why it fails, if it does.
    #[must_use]
    pub fn failure(&self) -> Option<(f64, &str)> {
        self.failed.as_ref().map(|(since, why)| (*since, why.as_str()))
    }

    /// Whether its value at a time can be taken for that of the time.
    #[must_use]
    pub fn fresh(&self, at_s: f64) -> bool {
        self.health(at_s) == SourceHealth::Fresh
    }

    /// How its value at a time is to be taken.
    #[must_use]
    pub fn health(&self, at_s: f64) -> SourceHealth<'_> {
        if let Some((_, why)) = self.failure().filter(|(since, _)| *since <= at_s) {
            return SourceHealth::Failed(why);
        }
        match self.at(at_s) {
            None => SourceHealth::Unasked,
            Some((time, _)) if at_s - time < STALE_S => SourceHealth::Fresh,
            Some(_) => SourceHealth::Stale,
        }
    }
}

/// How a value is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceHealth<'a> {
    /// There is none yet.
    Unasked,
    /// As that of now.
    Fresh,
    /// It is old, and nothing was said why.
    Stale,
    /// It is old, because of this.
    Failed(&'a str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_the_last_value_and_since_when() {
        let mut known = SourceValue::default();
        known.take(1.0, Ok(5));
        known.take(2.0, Err("nothing listens there".into()));
        known.take(3.0, Err("no answer".into()));
        assert_eq!((known.last(), known.failure()), (Some(&5), Some((2.0, "no answer"))));
        assert_eq!(known.health(3.0), SourceHealth::Failed("no answer"));
        known.take(4.0, Ok(6));
        assert_eq!((known.health(4.0), known.health(20.0)), (SourceHealth::Fresh, SourceHealth::Stale));
    }

    #[test]
    fn an_hour_can_be_looked_back_and_no_more_is_kept() {
        let mut known = SourceValue::default();
        for second in 0..86_400 {
            known.take(f64::from(second), Ok(second));
        }
        assert_eq!(known.at(86_300.0).map(|(_, value)| *value), Some(86_300));
        let (time, _) = known.at(84_000.0).unwrap();
        assert!((83_980.0..=84_000.0).contains(&time));
        assert!(known.len() <= RECENT + OLDER);
        assert_eq!(known.at(10.0), None);
        assert_eq!(known.first_since(86_399.0).map(|(_, value)| *value), Some(86_399));
    }
}
