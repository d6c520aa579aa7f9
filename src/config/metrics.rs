//! `[metrics]`: which series in Prometheus are the stack's.

use crate::domain::promql::Selector;
use crate::error::{Error, Result};
use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[metrics]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Label matchers that every query carries; empty: what tells a stack of nsys.
    pub selector: String,
    /// How often Prometheus scrapes a stack that runs elsewhere; 0: found out.
    #[serde(with = "span")]
    pub scrape_interval: Duration,
}

impl Metrics {
    /// The configured selector; absent when none is.
    ///
    /// # Errors
    /// When it is not a list of label matchers.
    pub fn selector(&self) -> Result<Option<Selector>> {
        if self.selector.trim().is_empty() {
            return Ok(None);
        }
        let wrong = |why| {
            Error::usage(format!("metrics.selector = {:?}: {why}", self.selector))
                .hint("for example: job=\"orders\",env=\"production\"")
        };
        Selector::parse(&self.selector).map(Some).map_err(wrong)
    }
}
