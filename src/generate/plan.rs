//! What the generator is told: the same plan file that the k6 script reads.

use crate::domain::level::{GRACE_S, Model, TIMEOUT_S, Window};
use crate::domain::profile::OfferedRequest;
use crate::domain::slices::Slicing;
use crate::error::{Context, Error, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// One level as it is told.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct GeneratorPlan {
    /// `http://HOST:PORT`, without a path: that is in the requests.
    pub(super) base_url: String,
    pub(super) model: Model,
    pub(super) vus: u32,
    pub(super) windows: Vec<Window>,
    /// How the measured time is cut; absent: it is not.
    #[serde(default)]
    pub(super) slices: Option<Slicing>,
    /// The level's name: ids begin with it.
    pub(super) prefix: String,
    /// What is asked, each with its weight.
    pub(super) requests: Vec<OfferedRequest>,
    /// Longest time that a request may take, in seconds.
    #[serde(default = "timeout_s")]
    pub(super) timeout_s: u64,
    /// So long after the load requests in progress are given up, in seconds.
    #[serde(default = "grace_s")]
    pub(super) grace_s: u64,
    /// Which of several generators this is, from 0.
    #[serde(default)]
    pub(super) share: u32,
    /// How many there are.
    #[serde(default = "one")]
    pub(super) of: u32,
    /// Threads; absent: one for each processor.
    #[serde(default)]
    pub(super) threads: Option<usize>,
    /// Where the summary goes.
    pub(super) summary: PathBuf,
}

const fn one() -> u32 {
    1
}

const fn timeout_s() -> u64 {
    TIMEOUT_S
}

const fn grace_s() -> u64 {
    GRACE_S
}

impl GeneratorPlan {
    /// Reads a plan file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no plan of a level", path.display()))
    }

    /// Host and port.
    pub(super) fn authority(&self) -> Result<&str> {
        let authority = self.base_url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        authority.filter(|authority| !authority.is_empty() && !authority.contains('/')).ok_or_else(|| {
            Error::usage(format!(
                "{}: the native engine speaks plain HTTP to http://HOST:PORT",
                self.base_url
            ))
            .hint("--engine k6")
        })
    }

    /// Where connections go.
    pub(super) fn address(&self) -> Result<String> {
        let authority = self.authority()?;
        // The colons of an address of IPv6 stand in brackets.
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        Ok(if has_port { authority.to_owned() } else { format!("{authority}:80") })
    }

    /// Numbers of requests are unlike in every thread of every generator: each takes one of so many.
    pub(super) fn stride(&self) -> u64 {
        self.threads_wanted() as u64 * u64::from(self.of.max(1))
    }

    /// The first number of a thread.
    pub(super) fn first_number(&self, thread: usize) -> u64 {
        u64::from(self.share) * self.threads_wanted() as u64 + thread as u64
    }

    /// Length of all windows, in seconds.
    pub(super) fn seconds(&self) -> u64 {
        self.windows.iter().map(|window| window.start_s + window.seconds).max().unwrap_or(0)
    }

    /// Virtual users of this process.
    pub(super) fn own_users(&self) -> usize {
        let (users, of) = (self.vus, self.of.max(1));
        (users / of + u32::from(self.share < users % of)).max(1) as usize
    }

    /// Threads of this process.
    pub(super) fn own_threads(&self) -> usize {
        self.threads_wanted().min(self.own_users())
    }

    /// Threads of each process, where it has a user for each.
    fn threads_wanted(&self) -> usize {
        let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(cpus).max(1)
    }
}
