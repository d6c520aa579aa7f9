//! A set of HTTP statuses, as people write one: `2xx`, `202`, `[200, 201]`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Statuses as ranges, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatusSet(Vec<(u16, u16)>);

impl StatusSet {
    /// These statuses.
    #[must_use]
    pub fn of(statuses: &[u16]) -> Self {
        Self(statuses.iter().map(|one| (*one, *one)).collect())
    }

    /// Every status from 200 to 299.
    #[must_use]
    pub fn successes() -> Self {
        Self(vec![(200, 299)])
    }

    /// Adds what a word says: `204`, or `2xx`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn add(&mut self, word: &str) -> Result<(), String> {
        let class = word.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok());
        let range = match class {
            Some(digit @ 1..=5) => Some((digit * 100, digit * 100 + 99)),
            Some(_) => None,
            None => word.parse::<u16>().ok().filter(|one| (100..600).contains(one)).map(|one| (one, one)),
        };
        self.0.push(range.ok_or_else(|| format!("{word} is no status: 202 or \"2xx\" is expected"))?);
        Ok(())
    }

    /// Whether the status is one of them.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&status))
    }

    /// Whether all of the other set are in this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(from, to)| (*from..=*to).all(|status| self.contains(status)))
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.0.iter().map(|(from, to)| match (from, to) {
            (from, to) if from == to => from.to_string(),
            (from, _) => format!("{}xx", from / 100),
        });
        f.write_str(&words.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_statuses_or_classes_of_them_and_nothing_else() {
        let mut set = StatusSet::default();
        for word in ["204", "3xx"] {
            set.add(word).unwrap();
        }
        assert!(set.contains(204) && set.contains(302) && !set.contains(200));
        assert_eq!(set.to_string(), "204, 3xx");
        for wrong in ["", "2x", "0xx", "9xx", "99", "600", "ok"] {
            assert!(set.add(wrong).is_err(), "{wrong}");
        }
        assert!(StatusSet::successes().covers(&StatusSet::of(&[201, 202])));
        assert!(!StatusSet::of(&[200]).covers(&StatusSet::successes()));
    }
}
