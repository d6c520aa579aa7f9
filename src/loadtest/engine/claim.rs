//! The mark of a load test in progress: who runs it, and which generators a killed nsys left behind.

use crate::clients::process::Identity;
use crate::error::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A load test in progress, for the next nsys.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claim {
    owner: Identity,
    /// The first generator.
    generator: Option<Identity>,
    /// The others, when several share the load.
    #[serde(default)]
    more: Vec<Identity>,
    run: PathBuf,
}

fn claim_file(work: &Path) -> PathBuf {
    work.join("loadtest.json")
}

/// Ends generators whose nsys is gone. Returns the run that it left behind.
///
/// # Errors
/// Refused while another nsys runs a load test on this stack.
pub async fn recover(work: &Path) -> Result<Option<PathBuf>> {
    let Ok(text) = std::fs::read_to_string(claim_file(work)) else { return Ok(None) };
    let Ok(claim) = serde_json::from_str::<Claim>(&text) else { return Ok(None) };
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    if claim.owner.runs() && claim.owner.pid != own {
        return Err(Error::refused(format!(
            "a load test runs already (pid {}): {}",
            claim.owner.pid,
            claim.run.display()
        ))
        .hint("nsys watch load"));
    }
    for generator in claim.generator.iter().chain(&claim.more) {
        generator.end(Duration::from_secs(5)).await;
    }
    release(work);
    Ok(Some(claim.run))
}

/// Notes that this nsys runs a load test, and with which generators.
///
/// # Errors
/// When it cannot be written.
pub fn claim(work: &Path, run: &Path, generators: &[i32]) -> Result<()> {
    let own = i32::try_from(std::process::id()).ok().and_then(Identity::of);
    let owner = own.ok_or_else(|| Error::failed("cannot read /proc"))?;
    let mut generators = generators.iter().filter_map(|pid| Identity::of(*pid));
    let generator = generators.next();
    let claim = Claim { owner, generator, more: generators.collect(), run: run.to_owned() };
    let text = serde_json::to_string(&claim).context("cannot write the claim")?;
    crate::stack::layout::write_private(&claim_file(work), &text)
}

/// Forgets the claim.
pub fn release(work: &Path) {
    // When it is gone already, that is what was wanted.
    let _ = std::fs::remove_file(claim_file(work));
}
