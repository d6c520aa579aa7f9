//! Runs on disk: results.json is the truth, everything else is made from it.

use crate::domain::run::{LevelResult, Run, SCHEMA};
use crate::error::{Context, Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Writes results.json, all of it or nothing.
///
/// # Errors
/// When it cannot be written.
pub fn save(dir: &Path, run: &Run) -> Result<()> {
    write(&dir.join("results.json"), &text_of(run)?)
}

/// The run as JSON: pretty, but each sample on one line and its numbers rounded, so that a level of any
/// length stays below a megabyte.
fn text_of(run: &Run) -> Result<String> {
    let mut value = serde_json::to_value(run).context("cannot write the results")?;
    let mut lines = Vec::new();
    for level in value["levels"].as_array_mut().into_iter().flatten() {
        let Some(samples) = level["samples"].as_array_mut() else { continue };
        for sample in samples {
            round(sample);
            let line = serde_json::to_string(sample).context("cannot write a sample")?;
            // A marker in its place: the pretty printer cannot leave one object on one line.
            *sample = Value::String(format!("@sample {}@", lines.len()));
            lines.push(line);
        }
    }
    let pretty = serde_json::to_string_pretty(&value).context("cannot write the results")?;
    let mut text = String::with_capacity(pretty.len() + lines.iter().map(String::len).sum::<usize>());
    let mut lines = lines.iter();
    for line in pretty.lines() {
        let trimmed = line.trim_start();
        match trimmed.starts_with("\"@sample ").then(|| lines.next()).flatten() {
            Some(sample) => {
                text.push_str(&line[..line.len() - trimmed.len()]);
                text.push_str(sample);
                if trimmed.ends_with(',') {
                    text.push(',');
                }
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    Ok(text)
}

/// A level as [`save`] writes it: the numbers of its samples rounded.
///
/// # Errors
/// When it cannot be written as JSON.
pub(super) fn level_text(level: &LevelResult) -> Result<String> {
    let mut value = serde_json::to_value(level).context("cannot write the level")?;
    value["samples"].as_array_mut().into_iter().flatten().for_each(round);
    serde_json::to_string(&value).context("cannot write the level")
}

/// Thousandths are finer than anything that is measured.
fn round(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(round),
        Value::Number(number) if number.is_f64() => {
            let rounded = number.as_f64().map(|number| (number * 1_000.0).round() / 1_000.0);
            if let Some(rounded) = rounded.and_then(serde_json::Number::from_f64) {
                *number = rounded;
            }
        }
        _ => {}
    }
}

/// Makes the directory of a new run, named by its kind and its start. Two runs of one second get two
/// names.
///
/// # Errors
/// When it cannot be made.
pub fn new_dir(results: &Path, kind: &str, started: jiff::Timestamp) -> Result<(String, PathBuf)> {
    std::fs::create_dir_all(results).with_context(|| format!("cannot create {}", results.display()))?;
    for later in 0..60 {
        let at = started + jiff::SignedDuration::from_secs(later);
        let stamp = at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y%m%d_%H%M%S").to_string();
        let id = format!("{kind}-{stamp}");
        let dir = results.join(&id);
        // Not `create_dir_all`, which is content with a directory that is there: two runs would share it.
        match std::fs::create_dir(&dir) {
            Ok(()) => return Ok((id, dir)),
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(Error::failed(format!("cannot create {}: {cause}", dir.display()))),
        }
    }
    Err(Error::failed(format!("{} holds too many runs of this minute", results.display())))
}

/// Deletes a run. Returns how many bytes that freed.
///
/// # Errors
/// When it cannot be deleted.
pub fn remove(dir: &Path) -> Result<u64> {
    let freed = size(dir);
    std::fs::remove_dir_all(dir).with_context(|| format!("cannot delete {}", dir.display()))?;
    Ok(freed)
}

/// Bytes of a run's files.
#[must_use]
pub fn size(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

/// Writes a file of a run, all of it or nothing.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, text)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a run.
///
/// # Errors
/// When there is none, it is damaged, or it is of another schema.
pub fn load(dir: &Path) -> Result<Run> {
    let path = dir.join("results.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let damaged = |error: Error| error.hint(format!("nsys loadtest rm {name}"));
    let value: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged", path.display()))
        .map_err(damaged)?;
    // Later versions only add fields under this name; whatever has another one means something else.
    let schema = value["schema"].as_str().unwrap_or_default();
    if schema != SCHEMA {
        return Err(Error::failed(format!("{} has the schema {schema:?}, not {SCHEMA:?}", path.display()))
            .hint("read it with the nsys that wrote it"));
    }
    serde_json::from_value(value).with_context(|| format!("{} is damaged", path.display())).map_err(damaged)
}

/// The directories of all runs, oldest first.
#[must_use]
pub fn list(results: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(results).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut runs: Vec<_> = entries.filter(|path| path.join("results.json").is_file()).collect();
    // The stamp behind the kind orders them.
    runs.sort_by_key(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.rsplit_once('-').map(|(_, stamp)| stamp.to_owned())
    });
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;

    #[test]
    fn a_run_is_read_as_it_was_written_and_samples_take_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = test_run(&[10.0, 20.0]);
        run.levels[0].samples[0].client_p95_ms = Some(1.234_567);
        save(dir.path(), &run).unwrap();
        let read = load(dir.path()).unwrap();
        assert_eq!(read.levels[1].samples.len(), run.levels[1].samples.len());
        assert_eq!(read.levels[0].samples[0].client_p95_ms, Some(1.235));
        let text = std::fs::read_to_string(dir.path().join("results.json")).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains("\"at_s\"")).count(), 120);
    }

    #[test]
    fn an_hour_of_samples_stays_below_a_megabyte() {
        let mut run = test_run(&[10.0]);
        let mut sample = run.levels[0].samples[0].clone();
        let third = Some(1_234.567_891);
        (sample.client_rps, sample.client_p50_ms, sample.client_p95_ms) = (third, third, third);
        (sample.client_p99_ms, sample.planned_rps, sample.control_ms) = (third, third, third);
        (sample.pool_active, sample.pool_size, sample.pool_wait_p95_ms) = (third, third, third);
        (sample.published_per_s, sample.consumed_per_s, sample.hit_rate) = (third, third, third);
        (sample.redis_ops_per_s, sample.redis_memory_mb, sample.machine_cpu_pct) = (third, third, third);
        for part in ["postgres", "redis", "kafka", "prometheus", "app-1", "worker-1"] {
            sample.cpu_pct.insert(part.into(), 123.456_789);
            sample.rss_mb.insert(part.into(), 123.456_789);
        }
        run.levels[0].samples = vec![sample; 900];
        let bytes = text_of(&run).unwrap().len();
        assert!(bytes < 1_000_000, "{bytes}");
    }

    #[test]
    fn runs_of_one_second_have_two_names_and_the_newest_is_last() {
        let dir = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        for kind in ["smoke", "find-max", "find-max"] {
            let (_, made) = new_dir(dir.path(), kind, now).unwrap();
            save(&made, &test_run(&[1.0])).unwrap();
        }
        let newest = list(dir.path()).pop().unwrap();
        assert!(newest.ends_with("find-max-20270115_080001"), "{}", newest.display());
    }

    #[test]
    fn a_run_of_another_schema_is_not_taken_for_one_of_this() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = test_run(&[1.0]);
        run.schema = "0".into();
        save(dir.path(), &run).unwrap();
        let error = load(dir.path()).unwrap_err();
        assert!(error.message.contains("the schema \"0\""), "{}", error.message);
    }
}
