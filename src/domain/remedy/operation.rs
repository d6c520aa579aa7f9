//! The commands of nsys that a diagnosis points to: what they show helps to decide, or only people decide on
//! what they do.

use std::fmt;

/// A command line of nsys without a plan of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// What the cache holds and how it hits.
    CacheStats,
    /// Connections by state.
    DbConnections,
    /// Who waits for whom.
    DbLocks,
    /// Tables by size.
    DbSize,
    /// Statements by time.
    DbSlow,
    /// Dead letters.
    DeadLetters,
    /// Whether stack and measurement can work.
    Doctor,
    /// The latency of each part.
    Health,
    /// Lag by partition.
    Lag,
    /// What the parts wrote.
    Logs,
    /// Errors of the API.
    LogsOfErrors,
    /// What the workers wrote.
    LogsOfWorkers,
    /// A load that finds the limit.
    LoadFindMax,
    /// What this machine can offer.
    LoadPlan,
    /// A load that is long enough for a leak.
    LoadSoak,
    /// The parts and how they ended.
    Parts,
    /// What the API spends its processor time on.
    Profile,
    /// Starts the replicas of the service anew, one after the other.
    Restart,
    /// Starts the workers anew, one after the other.
    RestartWorkers,
    /// Why requests are refused.
    ShedReasons,
    /// CPU and memory of each part.
    Stats,
    /// The same, each second.
    StatsWatch,
    /// One notification on its way.
    Trace,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::CacheStats,
        Self::DbConnections,
        Self::DbLocks,
        Self::DbSize,
        Self::DbSlow,
        Self::DeadLetters,
        Self::Doctor,
        Self::Health,
        Self::Lag,
        Self::Logs,
        Self::LogsOfErrors,
        Self::LogsOfWorkers,
        Self::LoadFindMax,
        Self::LoadPlan,
        Self::LoadSoak,
        Self::Parts,
        Self::Profile,
        Self::Restart,
        Self::RestartWorkers,
        Self::ShedReasons,
        Self::Stats,
        Self::StatsWatch,
        Self::Trace,
    ];

    /// Its words, the program's name left out.
    #[must_use]
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::CacheStats => &["cache", "stats"],
            Self::DbConnections => &["db", "pool"],
            Self::DbLocks => &["db", "locks"],
            Self::DbSize => &["db", "size"],
            Self::DbSlow => &["db", "slow"],
            Self::DeadLetters => &["dlq", "list"],
            Self::Doctor => &["doctor"],
            Self::Health => &["health"],
            Self::Lag => &["lag"],
            Self::Logs => &["logs"],
            Self::LogsOfErrors => &["logs", "app", "--grep", "ERROR"],
            Self::LogsOfWorkers => &["logs", "worker"],
            Self::LoadFindMax => &["loadtest", "find-max"],
            Self::LoadPlan => &["loadtest", "plan", "incremental"],
            Self::LoadSoak => &["loadtest", "soak"],
            Self::Parts => &["ps"],
            Self::Profile => &["profile", "app"],
            Self::Restart => &["restart"],
            Self::RestartWorkers => &["restart", "worker"],
            Self::ShedReasons => &["metrics", "query", "sum by (reason) (shed_total)"],
            Self::Stats => &["stats"],
            Self::StatsWatch => &["stats", "--watch"],
            Self::Trace => &["trace"],
        }
    }
}

/// As a shell reads it.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nsys")?;
        for word in self.words() {
            if word.contains([' ', '(', ')']) { write!(f, " '{word}'")? } else { write!(f, " {word}")? }
        }
        Ok(())
    }
}
