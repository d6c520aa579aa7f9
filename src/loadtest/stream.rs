//! Writes the stream of a run in progress; [`crate::domain::stream`] is its schema.

use crate::clock::now_s;
use crate::domain::level::Level;
use crate::domain::run::{Condition, LevelResult, Run, Sample};
use crate::domain::stream::{PlannedLevel, RunPhase, StreamEvent};
use crate::stack::Stack;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The file that followers read.
#[must_use]
pub fn path(stack: &Stack) -> PathBuf {
    stack.layout.run().join("loadtest.ndjson")
}

/// The writing end. A stream that cannot be written is no reason to end a load test.
#[derive(Debug)]
pub struct Stream {
    file: Mutex<Option<std::fs::File>>,
}

impl Stream {
    /// Begins the file anew.
    #[must_use]
    pub fn begin(stack: &Stack, run: &Run, dir: &Path, levels: &[Level]) -> Self {
        let file = std::fs::File::create(path(stack));
        if let Err(cause) = &file {
            tracing::warn!("cannot write the stream of the run: {cause}");
        }
        let stream = Self { file: Mutex::new(file.ok()) };
        let planned =
            levels.iter().map(|one| PlannedLevel { vus: one.vus, rate: one.rate, seconds: one.seconds });
        stream.write(&StreamEvent::Start {
            at_s: now_s(),
            run: run.id.clone(),
            dir: dir.display().to_string(),
            kind: run.kind.clone(),
            engine: run.plan.as_ref().map_or("k6", |plan| plan.engine.as_str()).to_owned(),
            levels: planned.collect(),
        });
        stream
    }

    /// Something else is done from now on.
    pub fn phase(&self, level: usize, phase: RunPhase, until_s: Option<f64>) {
        self.write(&StreamEvent::Phase { at_s: now_s(), level, phase, until_s });
    }

    /// One second of a level.
    pub fn second(&self, level: usize, sample: &Sample) {
        self.write(&StreamEvent::Second { level, sample: Box::new(sample.clone()) });
    }

    /// What is waited for.
    pub fn waiting(&self, level: usize, conditions: &[Condition]) {
        self.write(&StreamEvent::Waiting { at_s: now_s(), level, conditions: conditions.to_vec() });
    }

    /// A level ended.
    pub fn level(&self, result: &LevelResult) {
        self.write(&StreamEvent::Level {
            at_s: now_s(),
            level: result.level,
            verdict: result.verdict,
            throughput_rps: result.throughput_rps,
            p95_ms: result.latency_ms.p95,
            error_rate: result.error_rate.value(),
        });
    }

    /// The run ended.
    pub fn end(&self, run: &Run) {
        self.write(&StreamEvent::End { at_s: now_s(), state: run.state.clone(), verdict: run.verdict });
    }

    fn write(&self, event: &StreamEvent) {
        let Ok(mut line) = serde_json::to_string(event) else { return };
        line.push('\n');
        let Ok(mut file) = self.file.lock() else { return };
        // One write for each line, so that a follower sees lines whole.
        if let Some(file) = file.as_mut()
            && let Err(cause) = file.write_all(line.as_bytes())
        {
            tracing::debug!("cannot write the stream of the run: {cause}");
        }
    }
}
