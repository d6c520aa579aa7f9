//! What each generator of this machine makes of a second of CPU time, each as fast as it can in turn.

use super::other::{CONNECTIONS, Other};
use super::{Ask, BEFORE_LOAD, begin, turn};
use crate::domain::calibration::{Ceiling, ceiling};
use crate::domain::level::{Level, Model};
use crate::domain::scenario::LoadEngine;
use crate::error::Result;
use crate::loadtest::engine::LoadLock;
use crate::loadtest::interrupt::Interrupt;
use crate::permit::ChangePermit;
use crate::render::format;
use crate::render::progress::ProgressView;
use crate::stack::Stack;
use std::collections::BTreeMap;

/// Measures them all, `rounds` times in turn. What is not installed is left out.
///
/// # Errors
/// When the stack does not answer, an engine cannot be started, or Ctrl-C.
pub async fn ceilings(
    (permit, stack): (&ChangePermit, &Stack),
    path: &str,
    seconds: u64,
    rounds: u32,
    progress: &ProgressView,
) -> Result<Vec<Ceiling>> {
    let interrupt = Interrupt::listen();
    let _lock = LoadLock::take(&stack.layout.run())?;
    interrupt.or(begin(stack), BEFORE_LOAD).await?;
    let level = Level { vus: CONNECTIONS, rate: None, seconds, stages: Vec::new() };
    let ask = Ask { path: path.to_owned(), level, rounds };
    let url = format!("{}{path}", stack.endpoints.api_url());
    let mut found: BTreeMap<&str, Vec<(u64, f64)>> = BTreeMap::new();
    for round in 1..=rounds {
        for engine in [LoadEngine::K6, LoadEngine::Native] {
            let line = progress.line(&format!("{} {round}/{rounds}", engine.as_str()));
            line.update("as fast as it can");
            let turn = turn((permit, stack), &ask, engine, Model::Closed, &interrupt).await?;
            line.finish(&format::rate(turn.throughput_rps));
            if let Some(pct) = turn.cpu_pct.filter(|_| turn.error_rate == Some(0.0)) {
                let cpu_s = turn.requests as f64 / turn.throughput_rps * pct / 100.0;
                found.entry(engine.as_str()).or_default().push((turn.requests, cpu_s));
            }
        }
        for other in [Other::Oha, Other::Wrk] {
            let line = progress.line(&format!("{} {round}/{rounds}", other.name()));
            if !other.installed() {
                line.finish("not installed");
                continue;
            }
            let done = other.run(&url, seconds, None, &interrupt).await?;
            line.finish(&format::rate(done.rate_rps));
            if let Some(cores) = done.cores {
                let (whole, cpu_s) = (done.rate_rps * seconds as f64, cores * seconds as f64);
                found.entry(other.name()).or_default().push((whole as u64, cpu_s));
            }
        }
    }
    Ok(found.iter().filter_map(|(name, turns)| ceiling(name, turns)).collect())
}
