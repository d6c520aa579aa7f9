//! What a report says beside its run: what was changed before it, and what that did.
//!
//! Kept in the run's directory when the report is first written, so that writing it again gives the
//! same report whatever was changed since.

use crate::domain::compare::Comparison;
use crate::domain::run::Run;
use crate::domain::verdict::Verdict;
use crate::measured::Measured;
use crate::secret::CommandLine;
use serde::{Deserialize, Serialize};

/// Name of the file in the run's directory.
pub const FILE: &str = "context.json";

/// One change of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalChange {
    /// Its id in the journal.
    pub id: String,
    /// When it began, RFC 3339.
    pub at: String,
    /// What it was for.
    pub title: String,
    /// The command line, without the program and its secrets.
    pub command: CommandLine,
}

impl JournalChange {
    /// In one line.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {} (`nsys {}`)", self.id, self.title, self.command)
    }
}

/// Changes between two runs of the same load, and what they did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Improvement {
    /// What was changed after the first run and before the second.
    pub changes: Vec<JournalChange>,
    /// The two runs, compared.
    pub comparison: Comparison,
}

/// One run of a series of comparable ones, by its last level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesRun {
    /// Its id.
    pub id: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// Requests per second of its last level.
    pub throughput_rps: f64,
    /// Median of its last level, ms.
    pub p50_ms: Option<f64>,
    /// 95th percentile of its last level, ms.
    pub p95_ms: Option<f64>,
    /// 99th percentile of its last level, ms.
    pub p99_ms: Option<f64>,
    /// Share of failed requests of its last level, 0 to 1.
    pub error_rate: Measured<f64>,
    /// Of the whole run.
    pub verdict: Verdict,
}

impl SeriesRun {
    /// Comparable runs have the same levels: the last one is the highest load of each. None without a level.
    #[must_use]
    pub fn of(run: &Run) -> Option<Self> {
        let level = run.levels.last()?;
        Some(Self {
            id: run.id.clone(),
            started_at: run.started_at.clone(),
            throughput_rps: level.throughput_rps,
            p50_ms: level.latency_ms.p50,
            p95_ms: level.latency_ms.p95,
            p99_ms: level.latency_ms.p99,
            error_rate: level.error_rate.clone(),
            verdict: run.verdict,
        })
    }
}

/// What a report says beside its run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReportContext {
    /// Changes that were in force when the run began, oldest first.
    pub changes: Vec<JournalChange>,
    /// The steps of the way here, oldest first: each pair of comparable runs with changes between.
    pub improvements: Vec<Improvement>,
    /// Changes and restarts while the run went on, for the charts.
    pub during: Vec<JournalChange>,
    /// The first comparable run against this one, when changes lie between.
    pub overall: Option<Comparison>,
    /// Comparable runs, oldest first, this one last. Absent in contexts of older versions.
    #[serde(default)]
    pub series: Vec<SeriesRun>,
    /// The bounds of the diagnosis when the report was first written.
    pub bounds: std::collections::BTreeMap<String, f64>,
    /// When the run ended that this was made for; one that was gone on with since has another context.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// Share of a bound above which a value is near it.
    pub warn_share: f64,
}
