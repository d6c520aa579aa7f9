//! What a generator process leaves: counts and histograms, which add up exactly with those of others.

use super::plan::GeneratorPlan;
use super::record::{Creations, ThreadCounts, WindowCounts, histogram};
use crate::domain::slices::SliceCounts;
use crate::error::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The summary of one process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessSummary {
    /// When the load began, seconds since the epoch.
    pub began_s: f64,
    /// Each window by its name.
    pub windows: BTreeMap<String, ProcessWindow>,
    /// The measured time in slices, where it was to be cut.
    #[serde(default)]
    pub slices: Vec<SliceCounts>,
    /// Requests that were acknowledged.
    pub accepted: u64,
    /// Requests that could not be started.
    pub dropped: u64,
    /// Failed requests by cause.
    pub errors: BTreeMap<String, u64>,
    /// Requests with ids of their own by the first part of these, behind which a number follows.
    pub creations: BTreeMap<String, Creations>,
    /// How late requests were sent although a connection was free, in µs, as [`ProcessWindow::answers`].
    pub late: String,
}

/// One window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessWindow {
    /// Whether it counts.
    pub measured: bool,
    /// Requests that were answered or failed.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// Time that virtual users were busy, in µs.
    pub busy_us: u64,
    /// Answer times of what succeeded, in µs: an HdrHistogram (V2, deflated) in base64.
    pub answers: String,
    /// How long everything that was due took or waited, whatever its end was, as [`ProcessWindow::answers`].
    pub due: String,
}

/// Writes the summary, all of it or nothing.
pub(super) fn write(path: &Path, plan: &GeneratorPlan, began_s: f64, counts: &ThreadCounts) -> Result<()> {
    let window = |(plan, counts): (&crate::domain::level::Window, &WindowCounts)| {
        let window = ProcessWindow {
            measured: plan.measured,
            requests: counts.requests,
            failed: counts.failed,
            busy_us: counts.busy_us,
            answers: encode(&counts.answers)?,
            due: encode(&counts.due)?,
        };
        Ok((plan.name.clone(), window))
    };
    let windows = plan.windows.iter().zip(&counts.windows).map(window).collect::<Result<_>>()?;
    let summary = ProcessSummary {
        began_s,
        windows,
        slices: counts.slices.clone(),
        accepted: counts.accepted,
        dropped: counts.dropped,
        errors: counts.errors.clone(),
        creations: counts.creations.clone(),
        late: encode(&counts.late)?,
    };
    let text = serde_json::to_string(&summary).context("cannot write the summary")?;
    crate::stack::layout::write_private(path, &text)
}

fn encode(histogram: &Histogram<u64>) -> Result<String> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    serializer.serialize(histogram, &mut bytes).context("cannot write a histogram")?;
    Ok(STANDARD.encode(bytes))
}

/// Reads a histogram of a summary.
///
/// # Errors
/// When the text is none.
pub fn decode(text: &str) -> Result<Histogram<u64>> {
    let bytes = STANDARD.decode(text).context("a histogram is not base64")?;
    let read: Histogram<u64> =
        Deserializer::new().deserialize(&mut bytes.as_slice()).context("a histogram is damaged")?;
    // Histograms add up only within common bounds.
    let mut whole = histogram()?;
    whole.add(&read).context("a histogram has other bounds")?;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_read_as_it_was_written_and_is_small() {
        let mut answers = histogram().unwrap();
        for us in (100..200_000).step_by(7) {
            answers.record(us).unwrap();
        }
        let text = encode(&answers).unwrap();
        assert!(text.len() < 20_000, "{}", text.len());
        let read = decode(&text).unwrap();
        assert_eq!(
            (read.len(), read.value_at_quantile(0.99)),
            (answers.len(), answers.value_at_quantile(0.99))
        );
        assert!(decode("nonsense").is_err());
    }
}
