//! What a run's numbers are held against later: each level as it was measured, kept apart when it is
//! final, with a digest of every raw file. A level that is offered again is kept anew; the others stay.

use super::store;
use crate::domain::recompute::Difference;
use crate::domain::run::LevelResult;
use crate::error::{Context, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// SHA-256 of every raw file, by its name.
const DIGESTS: &str = "raw.sha256.json";
/// The whole run, as older versions kept it when its report was first written.
const WHOLE: &str = "raw.json";

/// The file of a level as it was measured.
fn name_of(level: usize) -> String {
    format!("level-{level}-raw.json")
}

/// Keeps a final level: its numbers, and digests of them and of what its generators wrote.
///
/// # Errors
/// When it cannot be written.
pub(super) fn keep(dir: &Path, level: &LevelResult) -> Result<()> {
    store::write(&dir.join(name_of(level.level)), &store::level_text(level)?)?;
    let own = format!("level-{}-", level.level);
    let mut digests = digests(dir)?;
    digests.retain(|name, _| !name.starts_with(&own));
    let files = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for name in files.flatten().filter_map(|file| file.file_name().into_string().ok()) {
        let is_raw = name.starts_with(&own) && (name.contains("-summary") || name == name_of(level.level));
        if let Some(digest) = digest(&dir.join(&name)).filter(|_| is_raw) {
            digests.insert(name, digest);
        }
    }
    let text = serde_json::to_string_pretty(&digests).context("cannot write the digests")?;
    store::write(&dir.join(DIGESTS), &text)
}

/// The levels of a run as they were measured, by number; empty when none was kept.
///
/// # Errors
/// When one is damaged.
pub fn kept(dir: &Path) -> Result<BTreeMap<usize, LevelResult>> {
    let mut levels = BTreeMap::new();
    let names: Vec<String> = digests(dir)?.into_keys().collect();
    for name in names.iter().filter(|name| name.ends_with("-raw.json")) {
        // One that is gone is told by its digest.
        let Ok(text) = std::fs::read_to_string(dir.join(name)) else { continue };
        let level: LevelResult =
            serde_json::from_str(&text).with_context(|| format!("{name} of {} is damaged", dir.display()))?;
        levels.insert(level.level, level);
    }
    // A run of an older version that was resumed has its first levels in this file alone.
    if let Ok(text) = std::fs::read_to_string(dir.join(WHOLE)) {
        let run: crate::domain::run::Run = serde_json::from_str(&text)
            .with_context(|| format!("{WHOLE} of {} is damaged", dir.display()))?;
        for level in run.levels {
            levels.entry(level.level).or_insert(level);
        }
    }
    Ok(levels)
}

/// Raw files that are not what they were when they were kept.
///
/// # Errors
/// When the digests cannot be read.
pub fn altered(dir: &Path) -> Result<Vec<Difference>> {
    let differs = |(name, kept): (String, String)| {
        let now = digest(&dir.join(&name)).unwrap_or_else(|| "missing".into());
        (now != kept).then_some(Difference { place: name, said: now, found: kept })
    };
    Ok(digests(dir)?.into_iter().filter_map(differs).collect())
}

fn digests(dir: &Path) -> Result<BTreeMap<String, String>> {
    match std::fs::read_to_string(dir.join(DIGESTS)) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{DIGESTS} is damaged")),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(cause) => Err(cause).with_context(|| format!("cannot read {DIGESTS}")),
    }
}

fn digest(path: &Path) -> Option<String> {
    let text = std::fs::read(path).ok()?;
    Some(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;

    #[test]
    fn a_level_that_is_offered_again_is_kept_anew_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let run = test_run(&[10.0, 20.0]);
        let summary = dir.path().join("level-2-k6-summary.json");
        std::fs::write(dir.path().join("level-1-k6-summary.json"), "{}").unwrap();
        std::fs::write(&summary, "first").unwrap();
        keep(dir.path(), &run.levels[0]).unwrap();
        keep(dir.path(), &run.levels[1]).unwrap();
        assert!(altered(dir.path()).unwrap().is_empty());
        std::fs::write(&summary, "offered again").unwrap();
        assert_eq!(altered(dir.path()).unwrap()[0].place, "level-2-k6-summary.json");
        keep(dir.path(), &run.levels[1]).unwrap();
        assert!(altered(dir.path()).unwrap().is_empty());
        assert_eq!(kept(dir.path()).unwrap().keys().copied().collect::<Vec<_>>(), [1, 2]);
        // A level of before cannot be changed with another one's coming.
        std::fs::write(dir.path().join("level-1-k6-summary.json"), "altered").unwrap();
        keep(dir.path(), &run.levels[1]).unwrap();
        assert_eq!(altered(dir.path()).unwrap()[0].place, "level-1-k6-summary.json");
    }
}
