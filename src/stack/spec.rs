//! What the supervisor is told about a part, and what it tells about it.

use crate::clients::process::Identity;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// How to run one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Name, unique in the stack: `postgres`, `app-1`.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment on top of a clean one.
    pub env: Vec<(String, String)>,
    /// User and group to run as; absent: our own.
    pub user: Option<(u32, u32)>,
    /// A listening socket that is passed as standard input; replicas with the same address share it.
    pub listen: Option<SocketAddr>,
    /// The port to show.
    pub port: u16,
    /// Stopped before those of lower stages.
    pub stage: u8,
    /// Whether SIGINT, not SIGTERM, is the gentle way to stop it.
    pub stop_by_interrupt: bool,
    /// Seconds before it is killed.
    pub stop_timeout_s: u64,
    /// Restarts before it is left down.
    pub restart_limit: u32,
}

/// Where the digest of a part's configuration stands among its variables, so that a part with another
/// configuration is another specification.
pub const CONFIG_DIGEST: &str = "CONFIG_DIGEST";
/// Parts that hold data: stopping one is an outage of the stack.
const HOLD_DATA: [&str; 4] = ["postgres", "replica", "redis", "kafka"];

impl Spec {
    /// Whether stopping this part is an outage of the stack.
    #[must_use]
    pub fn holds_data(&self) -> bool {
        HOLD_DATA.contains(&self.name.as_str())
    }

    /// In what `wanted` differs from this, in words; absent when they are equal.
    #[must_use]
    pub fn difference(&self, wanted: &Self) -> Option<String> {
        if self == wanted {
            return None;
        }
        let mut found = Vec::new();
        if self.program != wanted.program {
            found.push(format!("{} instead of {}", wanted.program.display(), self.program.display()));
        }
        let less = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|arg| !other.contains(arg)).cloned().collect()
        };
        let (new, old) = (less(&wanted.args, &self.args), less(&self.args, &wanted.args));
        match (new.is_empty(), old.is_empty()) {
            (true, true) => {}
            (false, true) => found.push(format!("with {}", new.join(" "))),
            (true, false) => found.push(format!("without {}", old.join(" "))),
            (false, false) => found.push(format!("{} instead of {}", new.join(" "), old.join(" "))),
        }
        let other = |pairs: &[(String, String)], than: &[(String, String)]| -> Vec<String> {
            pairs.iter().filter(|pair| !than.contains(pair)).map(|(name, _)| name.clone()).collect()
        };
        let mut variables = other(&wanted.env, &self.env);
        variables.extend(other(&self.env, &wanted.env));
        variables.sort();
        variables.dedup();
        if variables.iter().any(|name| name == CONFIG_DIGEST) {
            found.push("another configuration".into());
            variables.retain(|name| name != CONFIG_DIGEST);
        }
        if !variables.is_empty() {
            found.push(format!("another {}", variables.join(", ")));
        }
        if found.is_empty() {
            found.push("other settings of the supervisor".into());
        }
        Some(found.join("; "))
    }
}

/// What a part does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartState {
    /// Its process runs.
    Running,
    /// It ended and waits for its next start.
    Restarting,
    /// It ended too often and is left down.
    Failed,
    /// It is being stopped.
    Stopping,
    /// It is there, but waits for what it depends on, or for its first good health check.
    Waiting,
    /// It runs, but fails its health check or is held still.
    Unhealthy,
    /// It did its work once and ended well.
    Done,
}

impl PartState {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
            Self::Stopping => "stopping",
            Self::Waiting => "waiting",
            Self::Unhealthy => "unhealthy",
            Self::Done => "done",
        }
    }
}

/// One line of `ps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name.
    pub name: String,
    /// What it does.
    pub state: PartState,
    /// The running process, where it is one of this machine.
    pub process: Option<Identity>,
    /// Its container or pod, where it is one.
    #[serde(default)]
    pub container: Option<String>,
    /// Where it serves metrics and its own health, as `host:port`; replicas have one.
    #[serde(default)]
    pub address: Option<String>,
    /// The port to show.
    pub port: u16,
    /// Start of the running process, seconds since the epoch.
    pub started_s: i64,
    /// Restarts since it was asked for.
    pub restarts: u32,
    /// How it last ended.
    pub last_exit: Option<String>,
}

impl Record {
    /// `app` or `worker` when this is a replica of the service.
    #[must_use]
    pub fn role(&self) -> Option<&str> {
        let (role, _) = self.name.rsplit_once('-')?;
        matches!(role, "app" | "worker").then_some(role)
    }
}

/// How many replicas of `app` and of `worker` there are.
#[must_use]
pub fn replicas(records: &[Record]) -> (u32, u32) {
    let count = |role: &str| {
        u32::try_from(records.iter().filter(|record| record.role() == Some(role)).count()).unwrap_or(u32::MAX)
    };
    (count("app"), count("worker"))
}

/// A request to the supervisor: one JSON line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "do")]
pub enum Request {
    /// What runs?
    Ps,
    /// What runs, and how it was started?
    Specs,
    /// Start these; a part that runs with the same spec is left alone, with another it is restarted.
    Start {
        /// The parts.
        specs: Vec<Spec>,
    },
    /// Stop these and forget them.
    Stop {
        /// Their names.
        names: Vec<String>,
    },
    /// Stop and start these.
    Restart {
        /// Their names.
        names: Vec<String>,
    },
    /// Stop everything and end.
    Shutdown,
}

/// The supervisor's answer: one JSON line.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reply {
    /// What went wrong, if anything.
    pub error: Option<String>,
    /// The parts now.
    pub parts: Vec<Record>,
    /// How they were started, when that was asked for.
    #[serde(default)]
    pub specs: Vec<Spec>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_in_words() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let old = Spec {
            name: "kafka".into(),
            program: "/usr/bin/java".into(),
            args: vec!["-Xmx512m".into(), "kafka.Kafka".into()],
            env: vec![pair("TZ", "UTC"), pair(CONFIG_DIGEST, "1")],
            user: None,
            listen: None,
            port: 9092,
            stage: 0,
            stop_by_interrupt: false,
            stop_timeout_s: 20,
            restart_limit: 5,
        };
        let difference = |change: fn(&mut Spec)| {
            let mut new = old.clone();
            change(&mut new);
            old.difference(&new)
        };
        assert_eq!(difference(|_| ()), None);
        assert_eq!(difference(|new| new.args[0] = "-Xmx1g".into()).unwrap(), "-Xmx1g instead of -Xmx512m");
        assert_eq!(difference(|new| new.env[1].1 = "2".into()).unwrap(), "another configuration");
        assert_eq!(difference(|new| new.env[0].1 = "CET".into()).unwrap(), "another TZ");
        let program = difference(|new| new.program = "/opt/java".into()).unwrap();
        assert_eq!(program, "/opt/java instead of /usr/bin/java");
        // Whatever differs is told.
        assert!(difference(|new| new.restart_limit = 6).is_some() && old.holds_data());
    }
}
