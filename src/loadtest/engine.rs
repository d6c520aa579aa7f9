//! Offers one level with k6 and reads its summary. A k6 that lost its nsys is ended by the next one.

use crate::clients::process::Identity;
use crate::domain::run::Latency;
use crate::error::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::{Child, Command};

const LEVEL: &str = include_str!("../../load-tests/lib/level.js");
const SMOKE: &str = include_str!("../../load-tests/smoke.js");
const INCREMENTAL: &str = include_str!("../../load-tests/incremental.js");

/// What k6 is told about one level.
#[derive(Clone, Debug)]
pub struct Offer {
    /// `smoke` or `incremental`: which script.
    pub kind: &'static str,
    /// `open` or `closed`, rate, VUs, windows, prefix, … as the script reads it.
    pub plan: Value,
    /// Where the script, the plan and the summary go; private.
    pub work: PathBuf,
    /// k6's own log.
    pub log: PathBuf,
}

/// A load test in progress, for the next nsys.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claim {
    owner: Identity,
    generator: Option<Identity>,
    run: PathBuf,
}

fn claim_file(work: &Path) -> PathBuf {
    work.join("loadtest.json")
}

/// Ends a generator whose nsys is gone. Returns the run it left behind.
///
/// # Errors
/// Refused while another nsys runs a load test on this stack.
pub async fn recover(work: &Path) -> Result<Option<PathBuf>> {
    let Ok(text) = std::fs::read_to_string(claim_file(work)) else { return Ok(None) };
    let Ok(claim) = serde_json::from_str::<Claim>(&text) else { return Ok(None) };
    if claim.owner.runs() {
        return Err(Error::refused(format!(
            "a load test runs already (pid {}): {}",
            claim.owner.pid,
            claim.run.display()
        )));
    }
    if let Some(generator) = &claim.generator {
        generator.end(Duration::from_secs(5)).await;
    }
    release(work);
    Ok(Some(claim.run))
}

/// Notes that this nsys runs a load test, and with which generator.
///
/// # Errors
/// When it cannot be written.
pub fn claim(work: &Path, run: &Path, generator: Option<i32>) -> Result<()> {
    let own = i32::try_from(std::process::id()).ok().and_then(Identity::of);
    let owner = own.ok_or_else(|| Error::failed("cannot read /proc"))?;
    let claim = Claim { owner, generator: generator.and_then(Identity::of), run: run.to_owned() };
    let text = serde_json::to_string(&claim).context("cannot write the claim")?;
    crate::stack::layout::write_private(&claim_file(work), &text)
}

/// Forgets the claim.
pub fn release(work: &Path) {
    // When it is gone already, that is what was wanted.
    let _ = std::fs::remove_file(claim_file(work));
}

/// Starts k6 on a level.
///
/// # Errors
/// When a file cannot be written or k6 cannot be started.
pub fn start(k6: &Path, offer: &Offer) -> Result<Child> {
    let scripts = offer.work.join("k6");
    std::fs::create_dir_all(scripts.join("lib"))
        .with_context(|| format!("cannot create {}", scripts.display()))?;
    let script = scripts.join(format!("{}.js", offer.kind));
    let (plan, summary) = (offer.work.join("level-plan.json"), offer.work.join("level-summary.json"));
    let _ = std::fs::remove_file(&summary);
    let mut told = offer.plan.clone();
    told["summary"] = json!(summary);
    let text = if offer.kind == "smoke" { SMOKE } else { INCREMENTAL };
    crate::stack::layout::write_private(&script, text)?;
    crate::stack::layout::write_private(&scripts.join("lib/level.js"), LEVEL)?;
    crate::stack::layout::write_private(&plan, &told.to_string())?;
    let log = std::fs::File::create(&offer.log)
        .with_context(|| format!("cannot create {}", offer.log.display()))?;
    let errors = log.try_clone().context("cannot share the log")?;
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|free| free.local_addr())
        .context("no free port")?;
    let mut command = Command::new(k6);
    command.args(["run", "--quiet", "--no-color", "--address", &port.to_string()]).arg(&script);
    command.env("NSYS_PLAN", &plan).env("K6_NO_USAGE_REPORT", "true");
    command.stdin(std::process::Stdio::null()).stdout(log).stderr(errors).process_group(0);
    command.spawn().with_context(|| format!("cannot start {}", k6.display()))
}

/// Identifies what is offered: the script, and what it is told beside rates.
#[must_use]
pub fn script_digest(told: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new().chain_update(LEVEL).chain_update(told).finalize();
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// What k6 says about itself.
///
/// # Errors
/// When it cannot be started.
pub async fn version(k6: &Path) -> Result<String> {
    let output = Command::new(k6).arg("version").output().await;
    let output = output.with_context(|| format!("cannot start {}", k6.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or("unknown").trim().to_owned())
}

/// What matters of k6's summary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Requests of the steady window.
    pub requests: u64,
    /// Share of failed ones; none when there was no request.
    pub error_rate: Option<f64>,
    /// Iterations that could not be started in the steady window.
    pub dropped: u64,
    /// Answers 201, warm-up included.
    pub accepted: u64,
    /// Answer times; empty when nothing succeeded.
    pub latency: [Option<f64>; 7],
}

impl Summary {
    /// Answer times by name.
    #[must_use]
    pub const fn latency(&self) -> Latency {
        let [min, p50, p90, p95, p99, p999, max] = self.latency;
        Latency { min, p50, p90, p95, p99, p999, max }
    }
}

/// Reads the summary that the script wrote.
///
/// # Errors
/// When there is none: k6 ended before its end.
pub fn read_summary(work: &Path) -> Result<Summary> {
    let path = work.join("level-summary.json");
    let text = std::fs::read_to_string(&path).context("k6 left no summary")?;
    let data: Value = serde_json::from_str(&text).context("k6's summary is damaged")?;
    Ok(summary_of(&data))
}

fn summary_of(data: &Value) -> Summary {
    let value = |metric: &str, key: &str| data["metrics"][metric]["values"][key].as_f64();
    let count = |metric: &str| value(metric, "count").unwrap_or(0.0) as u64;
    let requests = count("http_reqs{scenario:steady}");
    let error_rate = value("http_req_failed{scenario:steady}", "rate").filter(|_| requests > 0);
    let steady = "http_req_duration{scenario:steady}";
    // Refused connections count as answers of 0 ms; where nothing succeeded, there is no answer time.
    let answered = error_rate.is_some_and(|rate| rate < 1.0);
    let latency = ["min", "med", "p(90)", "p(95)", "p(99)", "p(99.9)", "max"]
        .map(|key| value(steady, key).filter(|_| answered));
    Summary {
        requests,
        error_rate,
        dropped: count("dropped_iterations{scenario:steady}"),
        accepted: count("accepted"),
        latency,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(failed: f64) -> Value {
        json!({"metrics": {
            "http_reqs{scenario:steady}": {"values": {"count": 100.0}},
            "http_req_failed{scenario:steady}": {"values": {"rate": failed}},
            "http_req_duration{scenario:steady}": {"values": {"min": 0.0, "med": 1.0, "p(95)": 2.0}},
            "accepted": {"values": {"count": 60.0}}
        }})
    }

    #[test]
    fn refused_connections_have_no_answer_time() {
        assert_eq!(summary_of(&data(0.0)).latency().p95, Some(2.0));
        assert_eq!(summary_of(&data(1.0)).latency().p95, None);
    }

    #[test]
    fn an_empty_summary_claims_nothing() {
        assert_eq!(summary_of(&json!({})), Summary::default());
    }
}
