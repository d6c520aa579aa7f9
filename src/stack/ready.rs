//! Waits for a condition, not for a time: until a part can do its work, until every component is ok.

use super::spec::PartState;
use super::{Runtime, Stack, health};
use crate::domain::health::{HealthStatus, overall};
use crate::error::{Error, Result};
use crate::render::progress::ProgressView;
use std::time::Duration;
use tokio::time::Instant;

/// Waits until a part can do its work, showing what it still waits for.
///
/// # Errors
/// When the deadline passes, or the part failed for good.
pub async fn wait_ready(stack: &Stack, part: &str, deadline: Instant, progress: &ProgressView) -> Result<()> {
    let (line, started) = (progress.line(part), Instant::now());
    loop {
        let reason = match health::probe(stack, part).await {
            Ok(_) => {
                line.finish("ready");
                return Ok(());
            }
            Err(error) => error.message,
        };
        let record = stack.records().await?.into_iter().find(|record| record.name == part);
        if record.is_none() && stack.runtime == Runtime::Local {
            // It was just started by this supervisor.
            line.finish("stopped");
            return Err(
                Error::refused(format!("{part} was stopped by another nsys meanwhile")).hint("nsys up")
            );
        }
        let failed = record.as_ref().is_some_and(|record| record.state == PartState::Failed);
        if failed || Instant::now() > deadline {
            let how = record.and_then(|record| record.last_exit).map(|how| format!("; it exited with {how}"));
            let tail: String =
                stack.log_tail(part, 5).await.iter().map(|line| format!("\n  {line}")).collect();
            line.finish("not ready");
            return Err(Error::unreachable(format!(
                "{part} is not ready: {reason}{}{tail}",
                how.unwrap_or_default()
            ))
            .hint(format!("nsys logs {part}")));
        }
        let slow = Instant::now() > started + Duration::from_secs(10);
        let last = if slow { stack.log_tail(part, 1).await.pop() } else { None };
        let last = last.map(|line| format!(" | log: {line}")).unwrap_or_default();
        line.update(&format!("waits: {reason}{last}"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until every component is ok.
///
/// # Errors
/// When one is still down at the deadline; the message names it.
pub async fn wait_until_ready(stack: &Stack, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    loop {
        // What the log has lost stays lost: that is told by `health`, and not waited for.
        let reports = Box::pin(health::probe_running(stack)).await?;
        if overall(&reports) == HealthStatus::Ok {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let down = reports.iter().filter(|one| one.status != HealthStatus::Ok);
            let down: Vec<_> = down.map(|one| one.name.clone()).collect();
            return Err(Error::unreachable(format!("not ready: {}", down.join(", "))).hint("nsys health"));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
