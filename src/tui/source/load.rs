//! The load test that runs, as its own files tell: reading them never delays it.

use super::{Teller, ticks};
use crate::clients::process;
use crate::domain::usage::{Usage, cpu_pct};
use crate::stack::Stack;
use crate::tui::update::{LevelDone, Load, Update};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) async fn run(stack: Arc<Stack>, teller: Teller) {
    let mut look = None;
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        if !teller.tell(Update::Load(Ok(fetch(&stack, &mut look)))).await {
            return;
        }
    }
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

fn fetch(stack: &Stack, look: &mut Option<Usage>) -> Option<Load> {
    let claim = json(&stack.layout.run().join("loadtest.json"))?;
    let run = crate::loadtest::store::load(&PathBuf::from(claim["run"].as_str()?)).ok()?;
    let plan = json(&stack.layout.run().join("level-plan.json")).unwrap_or_default();
    let number = |key: &str| plan[key].as_u64().and_then(|number| u32::try_from(number).ok());
    let pid = claim["generator"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let done = run.levels.iter().map(|level| LevelDone {
        target: level.target_rps,
        achieved: level.throughput_rps,
        p95_ms: level.latency_ms.p95,
        verdict: level.verdict.as_str().to_owned(),
    });
    Some(Load {
        done: done.collect(),
        run: run.id,
        target: number("rate"),
        vus: number("vus"),
        generator_cpu_pct: pid.and_then(|pid| generator_cpu(pid, look)),
    })
}

fn generator_cpu(pid: i32, before: &mut Option<Usage>) -> Option<f64> {
    let now = process::look(pid)?;
    cpu_pct(&before.replace(now)?, &now)
}
