//! `[db]`: PostgreSQL.

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[db]`: PostgreSQL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Db {
    /// Address of the primary. Empty: the one the local stack runs. Secret when it holds a password.
    pub url: String,
    /// Address of a read replica. Empty: that of the local stack while one runs. `none`: reads go to the
    /// primary. Secret when it holds a password.
    pub read_url: String,
    /// A replica that lags further behind than this is not read from.
    #[serde(with = "span")]
    pub read_max_lag: Duration,
    /// Most connections each process opens, beside five for the questions who somebody is and how it is.
    pub pool_size: u32,
    /// How many of these the API keeps for lists, counts and exports, so that they leave the others to short
    /// statements; half of them where this is 0. One tenant gets half of these at most.
    pub list_pool_size: u32,
    /// Maximum wait for a free connection.
    #[serde(with = "span")]
    pub pool_timeout: Duration,
    /// Longest time one statement may run.
    #[serde(with = "span")]
    pub statement_timeout: Duration,
}

impl Default for Db {
    fn default() -> Self {
        Self {
            url: String::new(),
            read_url: String::new(),
            read_max_lag: Duration::from_secs(5),
            pool_size: 10,
            list_pool_size: 0,
            pool_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
        }
    }
}
