//! What nsys knows of a stack before it has asked it anything: its requests, its parts, how to sign in. No I/O.
//!
//! The notification service beside nsys is one such profile, [`Profile::companion`]; any other is read from a
//! file. What a profile does not name is absent, and what is absent was not measured: never 0, never green.

mod companion;
mod document;
mod offered;
mod status;
mod template;

pub use companion::CompanionLoad;
pub use offered::{HeaderTemplate, OfferedRequest, Variables};
pub use status::StatusSet;
pub use template::{Draw, Template, TemplatePiece};

use crate::error::nearest;
use std::collections::BTreeMap;

/// A stack as its user describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What it is called: `companion` for the one that is built in.
    pub name: String,
    /// Where it was read: a file, or nothing for the one that is built in.
    pub file: Option<String>,
    /// Path of the request that the service answers with a success when it can work.
    pub ready: Option<String>,
    /// Path of a request that asks no other part, to be made beside a load.
    pub control: Option<String>,
    /// How requests show who makes them.
    pub auth: ProfileAuth,
    /// What a load test asks, each with its weight.
    pub requests: Vec<ProfileRequest>,
    /// Topics with the groups that read them, the one that requests fill first.
    pub flows: Vec<ProfileFlow>,
    /// Where it can be counted what was acknowledged and is stored.
    pub ledger: Option<ProfileLedger>,
    /// Settings that follow from it, by key: the addresses of the parts.
    pub settings: BTreeMap<&'static str, String>,
    companion: bool,
}

/// How requests show who makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileAuth {
    /// They do not.
    Open,
    /// With a token of the account that nsys made: of the companion only.
    Account,
    /// With this header; its value begins with `prefix`, and the rest is the secret.
    Header {
        /// In lower case.
        name: String,
        /// `Bearer ` or nothing.
        prefix: &'static str,
        /// Where the secret is.
        secret: SecretSource,
    },
}

/// Where a secret is read when it is needed. A profile never holds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A variable of the environment.
    Variable(String),
    /// A file; a relative path begins at the profile.
    File(String),
}

/// One kind of request.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileRequest {
    /// What reports call it.
    pub name: String,
    /// How often it is made, against the weights of the others.
    pub weight: f64,
    /// `GET`, `POST`, ….
    pub method: String,
    /// Path with its query, behind the base address.
    pub path: Template,
    /// Names in lower case.
    pub headers: BTreeMap<String, Template>,
    /// The body; none is sent where there is none.
    pub body: Option<Template>,
    /// Statuses that are a success.
    pub success: StatusSet,
    /// Those of them by which the service acknowledges that it took something.
    pub acknowledged: StatusSet,
}

/// A topic with a group that reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileFlow {
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Where the group begins on a partition that it has not committed on.
    pub begins: FlowStart,
}

/// Where a group begins that has not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowStart {
    /// At the first message: all of them wait.
    Earliest,
    /// Behind the last one: what waits is not known before it commits.
    Latest,
}

/// Queries by which the ids of what is stored can be counted. Each takes the first part of the ids as `$1` and gives
/// ids in its only column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileLedger {
    /// Everything that is stored.
    pub stored: String,
    /// What of it is final; absent where the service knows no such thing.
    pub finished: Option<String>,
}

/// What a stack may have that not every one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Parts that nsys starts, stops, scales and reads the logs of.
    Lifecycle,
    /// Migrations that nsys applies.
    Migrations,
    /// Rows that nsys seeds and resets.
    Seed,
    /// Dead letters with an API.
    DeadLetters,
    /// Accounts with an API.
    Accounts,
    /// Notifications to send and to follow.
    Deliveries,
    /// Settings of service and parts that nsys changes.
    Tuning,
    /// A replica that draws its own flame graph.
    FlameGraph,
    /// A dashboard of its own.
    Dashboard,
    /// Metrics with names of nsys.
    NamedMetrics,
}

impl Capability {
    /// As `the profile shop has no …` ends.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lifecycle => "parts that nsys starts and stops",
            Self::Migrations => "migrations",
            Self::Seed => "seed",
            Self::DeadLetters => "dead letters",
            Self::Accounts => "accounts",
            Self::Deliveries => "notifications",
            Self::Tuning => "settings that nsys may change",
            Self::FlameGraph => "replica that draws a flame graph",
            Self::Dashboard => "mapping for what is watched live",
            Self::NamedMetrics => "mapping from the names of nsys to its metrics",
        }
    }
}

/// What a level is measured by, beside its own requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfilePart {
    /// A database that nsys may look into.
    Postgres,
    /// A Redis.
    Redis,
    /// Topics and the groups that read them.
    Flows,
    /// What the service counts of itself.
    Metrics,
    /// The processes of the service.
    Processes,
    /// Where it can be counted what was acknowledged and is stored.
    Ledger,
}

impl ProfilePart {
    /// Every part.
    pub const ALL: [Self; 6] =
        [Self::Postgres, Self::Redis, Self::Flows, Self::Metrics, Self::Processes, Self::Ledger];

    /// As `the profile shop names no …` ends.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
            Self::Flows => "topic with its consumer group",
            Self::Metrics => "metrics of the service",
            Self::Processes => "processes of the service",
            Self::Ledger => "ledger of what was acknowledged",
        }
    }

    /// What is not measured without it.
    #[must_use]
    pub const fn without(self) -> &'static str {
        match self {
            Self::Postgres => "connections, locks and statements",
            Self::Redis => "the cache",
            Self::Flows => "lag",
            Self::Metrics => "what the service counts of itself",
            Self::Processes => "CPU and memory of the service",
            Self::Ledger => "whether everything acknowledged was stored",
        }
    }
}

impl ProfileRequest {
    /// Whether it is acknowledged and has an id of its own, by which it can be told whether it was stored.
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        let templates = [Some(&self.path), self.body.as_ref()].into_iter().flatten();
        !self.acknowledged.is_empty() && templates.chain(self.headers.values()).any(Template::has_id)
    }
}

impl Profile {
    /// The profile of a file. `file` is where it was read, for messages.
    ///
    /// # Errors
    /// Why it is none: the line, what is wrong there, and the nearest right word where a name is unknown.
    pub fn parse(text: &str, file: &str) -> Result<Self, ProfileError> {
        document::parse(text, file, false)
    }

    /// The same, of the section `[profile]` of a configuration file; none where it has no such section.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_section(text: &str, file: &str) -> Result<Option<Self>, ProfileError> {
        if document::has_section(text) { document::parse(text, file, true).map(Some) } else { Ok(None) }
    }

    /// The notification service that nsys was made for.
    #[must_use]
    pub fn companion(load: &CompanionLoad) -> Self {
        companion::profile(load)
    }

    /// Whether this is the service that nsys was made for.
    #[must_use]
    pub const fn is_companion(&self) -> bool {
        self.companion
    }

    /// Whether it has this.
    #[must_use]
    pub const fn has(&self, _capability: Capability) -> bool {
        self.companion
    }

    /// Why nothing is known of a part that it does not name.
    #[must_use]
    pub fn names_no(&self, part: ProfilePart) -> String {
        format!("the profile {} names no {}", self.name, part.as_str())
    }

    /// Whether a request of it is acknowledged.
    #[must_use]
    pub fn acknowledges(&self) -> bool {
        self.requests.iter().any(|one| !one.acknowledged.is_empty())
    }

    /// Identifies what is asked: two profiles with one digest make the same requests.
    #[must_use]
    pub fn content(&self) -> String {
        let of = |one: &ProfileRequest| {
            let headers: Vec<_> =
                one.headers.iter().map(|(name, value)| format!("{name}: {}", value.source())).collect();
            format!(
                "{} {} {} {} [{}] {} {} {}\n",
                one.name,
                one.weight,
                one.method,
                one.path.source(),
                headers.join("; "),
                one.body.as_ref().map_or("", Template::source),
                one.success,
                one.acknowledged
            )
        };
        self.requests.iter().map(of).collect()
    }
}

/// The word that was meant, as a hint.
fn nearest_of(word: &str, known: &[&str]) -> Option<String> {
    let near = nearest(word, known.iter().copied()).map(|near| format!("did you mean {near}? "));
    (!known.is_empty()).then(|| format!("{}there are {}", near.unwrap_or_default(), known.join(", ")))
}

/// Why a file is no profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    /// `shop.toml:7: …`.
    pub message: String,
    /// What was meant, or what to write.
    pub hint: Option<String>,
}

#[cfg(test)]
mod tests;
