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

/// Held while a load test runs on a stack, from before its preflight on: two at once would measure each
/// other. The kernel gives it back however its nsys ends.
#[derive(Debug)]
pub struct LoadLock {
    _file: std::fs::File,
}

impl LoadLock {
    /// Takes the lock of the stack whose run-time files lie in `work`.
    ///
    /// # Errors
    /// Refused while another nsys holds it.
    pub fn take(work: &Path) -> Result<Self> {
        std::fs::create_dir_all(work).with_context(|| format!("cannot create {}", work.display()))?;
        let file = std::fs::File::create(work.join("loadtest.lock"))
            .context("cannot create the lock of the load test")?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(running(work)),
            Err(std::fs::TryLockError::Error(cause)) => {
                Err(cause).context("cannot lock the stack for the load test")
            }
        }
    }
}

/// Why no load test can begin, with who runs one as far as it tells.
fn running(work: &Path) -> Error {
    let text = std::fs::read_to_string(claim_file(work)).ok();
    let claim = text.and_then(|text| serde_json::from_str::<Claim>(&text).ok());
    let who = claim.map(|claim| format!(" (pid {}): {}", claim.owner.pid, claim.run.display()));
    Error::refused(format!("a load test is already running on this stack{}", who.unwrap_or_default()))
        .hint("wait for it, follow it with nsys watch load, or stop it with Ctrl-C")
}

fn claim_file(work: &Path) -> PathBuf {
    work.join("loadtest.json")
}

/// Ends generators whose nsys is gone, and lets `settle` mark the run that it left behind. The claim is forgotten
/// only after that: killed in between, or on a full disk, the next nsys does it again.
///
/// # Errors
/// Refused while another nsys runs a load test on this stack; those of `settle`.
pub async fn recover(work: &Path, settle: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(claim_file(work)) else { return Ok(()) };
    let Ok(claim) = serde_json::from_str::<Claim>(&text) else { return Ok(()) };
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    // One of our own is left from an earlier load of this process, and is settled like that of a dead one.
    if claim.owner.runs() && claim.owner.pid != own {
        return Err(running(work));
    }
    for generator in claim.generator.iter().chain(&claim.more) {
        generator.end(Duration::from_secs(5)).await;
    }
    forget_plans(work);
    settle(&claim.run)?;
    release(work);
    Ok(())
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

/// Forgets the claim, and what the generators were told.
pub fn release(work: &Path) {
    // When it is gone already, that is what was wanted.
    let _ = std::fs::remove_file(claim_file(work));
    forget_plans(work);
}

/// Forgets what the generators were told: a token is in it.
pub fn forget_plans(work: &Path) {
    let mut plans = (0..).map(|index| super::plan_file(work, index));
    while plans.next().is_some_and(|plan| std::fs::remove_file(plan).is_ok()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_claim_is_forgotten_after_its_run_was_settled_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let (work, run) = (dir.path(), dir.path().join("run"));
        claim(work, &run, &[]).unwrap();
        std::fs::write(super::super::plan_file(work, 0), "token").unwrap();
        let full = recover(work, |_| Err(Error::failed("no space left"))).await;
        assert!(full.is_err() && claim_file(work).exists(), "the next nsys settles it");
        assert!(!super::super::plan_file(work, 0).exists(), "a token does not wait for that");
        let settled = std::cell::Cell::new(false);
        let settle = |dir: &Path| {
            settled.set(dir == run && claim_file(work).exists());
            Ok(())
        };
        recover(work, settle).await.unwrap();
        assert!(settled.get() && !claim_file(work).exists());
    }
}
