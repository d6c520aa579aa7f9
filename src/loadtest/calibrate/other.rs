//! Programs of somebody else's that the engines are held against, where they are installed.

use super::Meter;
use crate::clients::program::{Purpose, command};
use crate::domain::run::Latency;
use crate::error::{Context, Error, Result};
use crate::loadtest::interrupt::Interrupt;
use crate::stack::setup;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Connections of every generator.
pub(super) const CONNECTIONS: u32 = 64;

/// One of the programs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Other {
    Oha,
    /// Has no rate to keep and measures no time from a plan.
    Wrk,
}

/// What a program did.
#[derive(Debug)]
pub(super) struct ProgramResult {
    pub(super) rate_rps: f64,
    /// Null where it does not say.
    pub(super) success: Option<f64>,
    pub(super) latency_ms: Latency,
    /// Cores that it used.
    pub(super) cores: Option<f64>,
}

impl Other {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Oha => "oha",
            Self::Wrk => "wrk",
        }
    }

    pub(super) fn installed(self) -> bool {
        setup::on_path(self.name()).is_some()
    }

    /// As fast as it can; oha at a rate where one is given, with answer times from the planned start.
    fn command(self, url: &str, seconds: u64, rate: Option<u32>) -> Command {
        let (mut command, connections) = (command(Purpose::Load, self.name()), CONNECTIONS.to_string());
        match self {
            Self::Oha => {
                command.args(["--no-tui", "--output-format", "json", "-c", &connections]);
                if let Some(rate) = rate {
                    command.args(["--latency-correction", "-q", &rate.to_string()]);
                }
                command.args(["-z", &format!("{seconds}s"), url]);
            }
            Self::Wrk => {
                command.args(["-t1", "-c", &connections, "-d", &format!("{seconds}s"), url]);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub(super) async fn run(
        self,
        url: &str,
        seconds: u64,
        rate: Option<u32>,
        interrupt: &Interrupt,
    ) -> Result<ProgramResult> {
        let child = self.command(url, seconds, rate).spawn();
        let child = child.with_context(|| format!("cannot start {}", self.name()))?;
        let pids: Vec<_> = child.id().and_then(|pid| i32::try_from(pid).ok()).into_iter().collect();
        let mut meter = Meter::new(&pids);
        meter.load_runs(seconds / 5);
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        let mut ended = std::pin::pin!(child.wait_with_output());
        let output = loop {
            tokio::select! {
                output = &mut ended => break output.with_context(|| format!("{} did not end", self.name()))?,
                () = interrupt.wait() => return Err(Error::interrupted("the calibration was interrupted")),
                _ = tick.tick() => meter.sample(),
            }
        };
        let said = self.read(&String::from_utf8_lossy(&output.stdout));
        let said = said.ok_or_else(|| Error::failed(format!("{} told no rate", self.name())))?;
        Ok(ProgramResult { cores: meter.cores(), ..said })
    }

    /// What it did, from what it printed.
    fn read(self, said: &str) -> Option<ProgramResult> {
        let none = Latency::default();
        let (rate_rps, success, latency_ms) = match self {
            Self::Oha => {
                let answer: Value = serde_json::from_str(said).ok()?;
                let ms = |name: &str| Some(answer["latencyPercentiles"][name].as_f64()? * 1_000.0);
                let latency =
                    Latency { p50: ms("p50"), p90: ms("p90"), p95: ms("p95"), p99: ms("p99"), ..none };
                let summary = &answer["summary"];
                (summary["requestsPerSec"].as_f64()?, summary["successRate"].as_f64(), latency)
            }
            Self::Wrk => {
                let line = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"))?;
                (line.trim().parse().ok()?, None, none)
            }
        };
        Some(ProgramResult { rate_rps, success, latency_ms, cores: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_programs_print_is_read() {
        let wrk = "Running 5s test\n  99800 requests in 5.10s, 12.00MB read\nRequests/sec:  19568.63\n";
        assert_eq!(Other::Wrk.read(wrk).unwrap().rate_rps, 19_568.63);
        let oha = r#"{"summary": {"requestsPerSec": 123.5, "successRate": 1.0},
            "latencyPercentiles": {"p50": 0.0005, "p99": null}}"#;
        let oha = Other::Oha.read(oha).unwrap();
        assert_eq!((oha.rate_rps, oha.success), (123.5, Some(1.0)));
        assert_eq!((oha.latency_ms.p50, oha.latency_ms.p99), (Some(0.5), None));
        assert!(Other::Oha.read("error").is_none());
    }
}
