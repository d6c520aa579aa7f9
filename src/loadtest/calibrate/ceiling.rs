//! What each generator of this machine makes of a second of CPU time, each as fast as it can in turn.

use super::{Ask, Meter, begin, turn};
use crate::domain::calibration::{Ceiling, ceiling};
use crate::domain::level::{Level, Model};
use crate::domain::scenario::Engine;
use crate::error::{Context, Error, Result};
use crate::loadtest::interrupt::Interrupt;
use crate::render::format;
use crate::render::progress::Progress;
use crate::stack::Stack;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Connections of every generator.
const CONNECTIONS: u32 = 64;

/// Programs that are measured beside the engines where they are installed.
#[derive(Clone, Copy, Debug)]
enum Other {
    Oha,
    Wrk,
}

impl Other {
    const fn name(self) -> &'static str {
        match self {
            Self::Oha => "oha",
            Self::Wrk => "wrk",
        }
    }

    fn command(self, url: &str, seconds: u64) -> Command {
        let (mut command, connections) = (Command::new(self.name()), CONNECTIONS.to_string());
        match self {
            Self::Oha => {
                command.args(["--no-tui", "--output-format", "json", "-c", &connections]);
                command.args(["-z", &format!("{seconds}s"), url]);
            }
            Self::Wrk => {
                command.args(["-t1", "-c", &connections, "-d", &format!("{seconds}s"), url]);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Requests per second that it made, from what it printed.
    fn rate(self, said: &str) -> Option<f64> {
        match self {
            Self::Oha => serde_json::from_str::<Value>(said).ok()?["summary"]["requestsPerSec"].as_f64(),
            Self::Wrk => {
                said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok())
            }
        }
    }
}

/// Measures them all, `rounds` times in turn. What is not installed is left out.
///
/// # Errors
/// When the stack does not answer, an engine cannot be started, or Ctrl-C.
pub async fn ceilings(
    stack: &Stack,
    path: &str,
    seconds: u64,
    rounds: u32,
    progress: &Progress,
) -> Result<Vec<Ceiling>> {
    begin(stack).await?;
    let interrupt = Interrupt::listen();
    let level = Level { vus: CONNECTIONS, rate: None, seconds, stages: Vec::new() };
    let ask = Ask { path: path.to_owned(), level, rounds };
    let url = format!("{}{path}", stack.endpoints.api_url());
    let mut found: BTreeMap<&str, Vec<(u64, f64)>> = BTreeMap::new();
    for round in 1..=rounds {
        for engine in [Engine::K6, Engine::Native] {
            let line = progress.line(&format!("{} {round}/{rounds}", engine.as_str()));
            line.update("as fast as it can");
            let turn = turn(stack, &ask, engine, Model::Closed, &interrupt).await?;
            line.finish(&format::rate(turn.throughput_rps));
            if let Some(pct) = turn.cpu_pct.filter(|_| turn.error_rate == Some(0.0)) {
                let cpu_s = turn.requests as f64 / turn.throughput_rps * pct / 100.0;
                found.entry(engine.as_str()).or_default().push((turn.requests, cpu_s));
            }
        }
        for other in [Other::Oha, Other::Wrk] {
            let line = progress.line(&format!("{} {round}/{rounds}", other.name()));
            match run_other(other, &url, seconds, &interrupt).await? {
                Some((requests, cpu_s)) => {
                    line.finish(&format::rate(requests as f64 / seconds as f64));
                    found.entry(other.name()).or_default().push((requests, cpu_s));
                }
                None => line.finish("not installed"),
            }
        }
    }
    Ok(found.iter().filter_map(|(name, turns)| ceiling(name, turns)).collect())
}

async fn run_other(
    other: Other,
    url: &str,
    seconds: u64,
    interrupt: &Interrupt,
) -> Result<Option<(u64, f64)>> {
    let child = match other.command(url, seconds).spawn() {
        Ok(child) => child,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(Error::failed(format!("cannot start {}: {cause}", other.name()))),
    };
    let pids: Vec<_> = child.id().and_then(|pid| i32::try_from(pid).ok()).into_iter().collect();
    let mut meter = Meter::new(&pids);
    meter.load_runs(seconds / 5);
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    let mut ended = std::pin::pin!(child.wait_with_output());
    let output = loop {
        tokio::select! {
            output = &mut ended => break output.with_context(|| format!("{} did not end", other.name()))?,
            () = interrupt.wait() => return Err(Error::interrupted("the calibration was interrupted")),
            _ = tick.tick() => meter.look(),
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let rate = other.rate(&said).ok_or_else(|| Error::failed(format!("{} told no rate", other.name())))?;
    let whole = rate * seconds as f64;
    Ok(meter.cores().map(|cores| (whole as u64, cores * seconds as f64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_from_what_the_programs_print() {
        let wrk = "Running 5s test\n  99800 requests in 5.10s, 12.00MB read\nRequests/sec:  19568.63\n";
        assert_eq!(Other::Wrk.rate(wrk), Some(19_568.63));
        assert_eq!(Other::Oha.rate(r#"{"summary": {"requestsPerSec": 123.5}}"#), Some(123.5));
        assert_eq!(Other::Oha.rate("error"), None);
    }
}
