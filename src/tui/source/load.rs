//! The load test that runs, or the one that ran last, as its own files tell: reading never delays it.

use super::{UpdateSender, now_s, ticks};
use crate::clients::process::{self, Identity};
use crate::domain::check::{CheckStatus, Verdict};
use crate::domain::progress::Follower;
use crate::domain::run::LevelResult;
use crate::domain::usage::{Usage, cpu_pct};
use crate::render::format;
use crate::stack::Stack;
use crate::tui::update::{LevelDone, Load, Update};
use serde_json::Value;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes of the stream that are read in one look: a look must not take long.
const MOST: u64 = 8 << 20;
/// The first bytes tell one run's stream from the next one's in the same file.
const HEAD: usize = 256;

/// What is kept between two looks.
#[derive(Default)]
struct LoadSource {
    head: Vec<u8>,
    offset: u64,
    follower: Option<Follower>,
    levels: Option<(PathBuf, SystemTime, Vec<LevelDone>)>,
    generator: Option<Usage>,
}

pub(super) async fn run(stack: Arc<Stack>, sender: UpdateSender) {
    let mut kept = LoadSource::default();
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        if !sender.send(Update::Load(Ok(fetch(&stack, &mut kept)))).await {
            return;
        }
    }
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

fn fetch(stack: &Stack, kept: &mut LoadSource) -> Option<Load> {
    let run = stack.layout.run();
    follow(&crate::loadtest::stream::path(stack), kept);
    let claim = json(&run.join("loadtest.json"));
    let owned =
        claim.as_ref().and_then(|claim| serde_json::from_value::<Identity>(claim["owner"].clone()).ok());
    let progress = &mut kept.follower.as_mut()?.progress;
    if progress.runs() && owned.is_none_or(|owner| !owner.runs()) {
        progress.interrupt(now_s());
    }
    let progress = progress.clone();
    let plan = progress.runs().then(|| json(&run.join("level-plan.json"))).flatten().unwrap_or_default();
    let number = |key: &str| plan[key].as_u64().and_then(|number| u32::try_from(number).ok());
    let pid = claim.filter(|_| progress.runs()).and_then(|claim| claim["generator"]["pid"].as_i64());
    let pid = pid.and_then(|pid| i32::try_from(pid).ok());
    Some(Load {
        run: progress.run.clone(),
        done: judged(levels(Path::new(&progress.dir), &mut kept.levels), progress.runs()),
        target: number("rate"),
        vus: number("vus"),
        generator_cpu_pct: pid.and_then(|pid| generator_cpu(pid, &mut kept.generator)),
        progress: Some(Box::new(progress)),
    })
}

/// Takes what was added to the stream. A line without an end is still being written.
fn follow(path: &Path, kept: &mut LoadSource) {
    let Ok(mut file) = std::fs::File::open(path) else {
        *kept = LoadSource::default();
        return;
    };
    let mut head = Vec::new();
    if (&mut file).take(HEAD as u64).read_to_end(&mut head).is_err() {
        return;
    }
    let length = file.metadata().map_or(0, |meta| meta.len());
    // Another run began the file anew.
    if length < kept.offset || !head.starts_with(&kept.head) {
        *kept = LoadSource::default();
    }
    // It may be longer than before: the file was shorter than a head then.
    kept.head = head;
    let mut added = Vec::new();
    let sought = file.seek(SeekFrom::Start(kept.offset)).is_ok();
    if !sought || file.take(MOST).read_to_end(&mut added).is_err() {
        return;
    }
    let whole = added.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for line in added[..whole].split(|byte| *byte == b'\n') {
        // Unknown events are those of a newer version.
        if let Ok(event) = serde_json::from_slice(line) {
            kept.follower.get_or_insert_default().take(event);
        }
    }
    kept.offset += whole as u64;
}

/// The finished levels, read anew when the results were written since.
fn levels(dir: &Path, kept: &mut Option<(PathBuf, SystemTime, Vec<LevelDone>)>) -> Vec<LevelDone> {
    let written = std::fs::metadata(dir.join("results.json")).and_then(|meta| meta.modified());
    let Ok(written) = written else { return Vec::new() };
    if let Some((known, at, done)) = kept
        && known == dir
        && *at == written
    {
        return done.clone();
    }
    let Ok(run) = crate::loadtest::store::load(dir) else { return Vec::new() };
    let done: Vec<_> = run.levels.iter().map(done).collect();
    *kept = Some((dir.to_owned(), written, done.clone()));
    done
}

/// The levels that have a verdict. One that was offered is stored as interrupted before it is judged, so that
/// nothing of it is lost: while the run goes on, the last one may be just that.
fn judged(mut levels: Vec<LevelDone>, is_running: bool) -> Vec<LevelDone> {
    let interrupted = Verdict::Interrupted.as_str();
    if is_running && levels.last().is_some_and(|last| last.verdict == interrupted) {
        levels.pop();
    }
    levels
}

fn done(level: &LevelResult) -> LevelDone {
    let mut reasons = level.generator.reasons.clone();
    reasons.extend(level.stopped_by.clone());
    let missed = level.checks.iter().filter(|check| check.status == CheckStatus::Fail);
    reasons.extend(missed.map(|check| {
        let side = if check.at_least { "below" } else { "above" };
        let value = format::measured(&check.value, |value| format!("{value:.3}"));
        format!("{} is {value}, {side} its objective {}", check.metric, check.objective)
    }));
    LevelDone {
        target: level.target_rps,
        achieved: level.throughput_rps,
        p50_ms: level.latency_ms.p50,
        p95_ms: level.latency_ms.p95,
        p99_ms: level.latency_ms.p99,
        error_rate: level.error_rate.value(),
        not_started: Some(level.dropped_iterations),
        verdict: level.verdict.as_str().to_owned(),
        reasons,
    }
}

fn generator_cpu(pid: i32, before: &mut Option<Usage>) -> Option<f64> {
    let now = process::usage_of(pid)?;
    cpu_pct(&before.replace(now)?, &now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::progress::RunProgress;
    use std::io::Write;

    fn pending(kept: &LoadSource) -> Option<&RunProgress> {
        kept.follower.as_ref().map(|follower| &follower.progress)
    }

    #[test]
    fn a_level_that_is_not_judged_yet_is_not_told_as_interrupted() {
        let level = |verdict: &str| LevelDone {
            target: Some(100),
            achieved: 100.0,
            p95_ms: None,
            verdict: verdict.into(),
            p50_ms: None,
            p99_ms: None,
            error_rate: None,
            not_started: None,
            reasons: Vec::new(),
        };
        let levels = vec![level("passed"), level("interrupted")];
        assert_eq!(judged(levels.clone(), true).len(), 1);
        assert_eq!(judged(levels.clone(), false), levels);
        assert_eq!(judged(levels[..1].to_vec(), true).len(), 1);
    }

    #[test]
    fn a_stream_is_followed_line_by_line_and_a_new_run_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loadtest.ndjson");
        let start = |run: &str| {
            format!(
                "{{\"event\":\"start\",\"at_s\":1.0,\"run\":\"{run}\",\"dir\":\"/d\",\"kind\":\"smoke\",\"engine\":\"k6\",\"levels\":[]}}\n"
            )
        };
        let phase = "{\"event\":\"phase\",\"at_s\":2.0,\"level\":1,\"phase\":\"steady\",\"until_s\":9.0}\n";
        std::fs::write(&path, start("one") + &phase[..20]).unwrap();
        let mut kept = LoadSource::default();
        follow(&path, &mut kept);
        assert_eq!(pending(&kept).map(|one| (one.run.as_str(), one.level)), Some(("one", 0)));
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&phase.as_bytes()[20..]).unwrap();
        follow(&path, &mut kept);
        assert_eq!(pending(&kept).map(|one| (one.level, one.phase.as_str())), Some((1, "steady")));
        std::fs::write(&path, start("another") + phase + phase).unwrap();
        follow(&path, &mut kept);
        assert_eq!(pending(&kept).map(|one| one.run.as_str()), Some("another"));
    }
}
