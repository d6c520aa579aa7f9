//! How a part is: what runs it and what it says itself, taken together. One answer for dots and rows.

use super::State;
use super::source_value::SourceHealth;
use super::sources::failures;
use crate::render::Tone;
use crate::tui::update::PartSample;

/// How a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartHealth {
    /// It runs and answers, or it has done its work.
    Well,
    /// It has done its work and ended.
    Done,
    /// It is on its way up or down.
    Changing,
    /// It runs, but does not answer.
    Silent,
    /// It does not run.
    Broken,
    /// What runs it does not answer: this is what it was.
    Stale,
}

impl PartHealth {
    /// What it means.
    #[must_use]
    pub const fn tone(self) -> Tone {
        match self {
            Self::Well => Tone::Good,
            Self::Done | Self::Stale => Tone::Dim,
            Self::Changing => Tone::Warn,
            Self::Silent | Self::Broken => Tone::Bad,
        }
    }

    /// The word for it, where the part's own state says something else.
    #[must_use]
    pub fn word(self, state: &str) -> String {
        match self {
            Self::Silent => "no answer".to_owned(),
            Self::Stale => format!("was {state}"),
            _ => state.to_owned(),
        }
    }
}

/// How a part is at a moment. A running process that does not answer is not well.
#[must_use]
pub fn health(state: &State, part: &PartSample, at_s: f64) -> PartHealth {
    if !matches!(state.data.parts.health(at_s), SourceHealth::Fresh) {
        return PartHealth::Stale;
    }
    match part.state.as_str() {
        "running" if answers(state, &part.name, at_s) == Some(false) => PartHealth::Silent,
        "running" => PartHealth::Well,
        "done" => PartHealth::Done,
        "restarting" | "stopping" | "starting" | "waiting" => PartHealth::Changing,
        _ => PartHealth::Broken,
    }
}

/// Whether a part answers: its own source, or the scrape of a replica. None where nobody asks it.
fn answers(state: &State, name: &str, at_s: f64) -> Option<bool> {
    let source = failures(state, at_s).into_iter().find(|(source, ..)| *source == name);
    if let Some((.., health)) = source {
        return match health {
            SourceHealth::Fresh => Some(true),
            SourceHealth::Failed(_) => Some(false),
            SourceHealth::Stale | SourceHealth::Unasked => None,
        };
    }
    let sample = state.data.service.at(at_s).filter(|_| state.data.service.fresh(at_s));
    sample.and_then(|(_, sample)| sample.answers.get(name).copied())
}
