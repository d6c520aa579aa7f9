//! `nsys version`: which program this is.

use crate::error::Result;
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report};
use serde::Serialize;

/// Which program this is.
#[derive(Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
struct Version {
    /// Its version.
    version: &'static str,
    /// The commit it was built from; `-changed` when files differed from it.
    commit: Option<&'static str>,
    /// Day of that commit.
    committed: Option<&'static str>,
    /// Why there is no commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<&'static str>,
}

impl Version {
    /// As build.rs told.
    const fn own() -> Self {
        Self::of(
            option_env!("NSYS_COMMIT"),
            option_env!("NSYS_COMMITTED"),
            option_env!("NSYS_SHIPPED").is_some(),
        )
    }

    const fn of(commit: Option<&'static str>, committed: Option<&'static str>, shipped: bool) -> Self {
        let unknown = match (commit, shipped) {
            (Some(_), _) => None,
            (None, true) => Some("built from sources without git"),
            (None, false) => Some("built for development"),
        };
        Self { version: env!("CARGO_PKG_VERSION"), commit, committed, unknown }
    }
}

impl Report for Version {
    fn text(&self) -> String {
        let of = match (self.commit, self.committed) {
            (Some(commit), Some(day)) => format!("commit {commit} of {day}"),
            (Some(commit), None) => format!("commit {commit}"),
            (None, _) => format!("commit not known: {}", self.unknown.unwrap_or_default()),
        };
        format!("nsys {} ({of})", self.version)
    }
}

pub(super) fn version(out: Out) -> Result<()> {
    out.report(&Version::own())
}

/// The shape of what this command answers.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<Version>("version", 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_a_commit_says_why() {
        let text = |commit, committed, shipped| Version::of(commit, committed, shipped).text();
        let own = env!("CARGO_PKG_VERSION");
        assert_eq!(
            text(Some("0123456789ab"), Some("2026-11-30"), true),
            format!("nsys {own} (commit 0123456789ab of 2026-11-30)")
        );
        assert_eq!(
            text(None, None, true),
            format!("nsys {own} (commit not known: built from sources without git)")
        );
        assert_eq!(text(None, None, false), format!("nsys {own} (commit not known: built for development)"));
    }
}
