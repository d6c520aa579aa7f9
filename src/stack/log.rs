//! The log: whether it keeps what nobody has read yet, and what it has lost.

use super::Stack;
use crate::clients::{kafka, postgres::Postgres};
use crate::domain::health::{HealthStatus, PartReport};
use crate::domain::lag::PartitionLag;
use crate::domain::lag::retention::RetentionUse;
use crate::error::{ErrorKind, Result};
use crate::permit::ChangePermit;
use nsys_contract::topics;
use std::time::Duration;

/// Its name among the parts.
const NAME: &str = "log";

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Corrects the topics of a stack that nsys runs itself: none is bounded by bytes or compacted. Elsewhere nothing
/// is changed; `health`, `doctor` and the service say what is wrong there.
///
/// # Errors
/// When Kafka does not answer, or refuses.
pub async fn keep_by_time(permit: &ChangePermit, stack: &Stack) -> Result<()> {
    if stack.runtime.is_elsewhere() {
        return Ok(());
    }
    let (brokers, time) = (stack.endpoints.brokers(), stack.loaded.config.kafka.retention);
    for topic in topics::ALL {
        if let Some(why) = kafka::retention(&brokers, topic, TIMEOUT).await?.risk() {
            tracing::warn!("{topic}: {why}; it is kept by time alone from now on");
            kafka::keep_by_time(permit, &brokers, topic, time, TIMEOUT).await?;
        }
    }
    Ok(())
}

/// Why the log may delete what nobody has read yet: one line for each topic.
///
/// # Errors
/// When Kafka does not answer, or does not tell.
pub async fn risks(stack: &Stack) -> Result<Vec<String>> {
    let brokers = stack.endpoints.brokers();
    let mut risks = Vec::new();
    for topic in topics::ALL {
        let risk = kafka::retention(&brokers, topic, TIMEOUT).await?.risk();
        risks.extend(risk.map(|why| format!("{topic}: {why}")));
    }
    Ok(risks)
}

/// What corrects them.
#[must_use]
pub fn remedy(stack: &Stack) -> &'static str {
    if stack.runtime.is_elsewhere() {
        "kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config cleanup.policy=delete,retention.bytes=-1"
    } else {
        "nsys up"
    }
}

/// What workers read.
const READ: [&str; 2] = [topics::NOTIFICATIONS, topics::RETRY];

/// Messages that are gone although the workers have not read them, as the log stands now; and what retention
/// will delete before a worker reads it, if it goes on so.
async fn unread(stack: &Stack) -> (Result<i64>, Result<Option<String>>) {
    let brokers = stack.endpoints.brokers();
    match kafka::lag(&brokers, topics::WORKER_GROUP, &READ.map(str::to_owned), TIMEOUT).await {
        Ok(lags) => (Ok(lags.iter().map(|one| one.lost).sum()), overtaken(stack, &lags).await),
        // Why nobody knows is told once.
        Err(error) => (Err(error), Ok(None)),
    }
}

async fn overtaken(stack: &Stack, lags: &[PartitionLag]) -> Result<Option<String>> {
    let brokers = stack.endpoints.brokers();
    if lags.iter().all(|one| one.lag == 0) {
        return Ok(None);
    }
    let kept = kafka::retentions(&brokers, &READ, TIMEOUT).await?;
    let now_ms = crate::clock::now().as_millisecond();
    let mut worst: Option<(f64, String)> = None;
    for topic in READ {
        let Some(time) = kept.get(topic).and_then(|kept| kept.time) else { continue };
        let waits = lags.iter().filter(|one| one.topic == topic && one.lag > 0);
        let starts = waits.map(|one| (one.partition, one.end - one.lag)).collect();
        for (partition, first) in kafka::first_records(&brokers, topic, starts, TIMEOUT).await? {
            let kafka::FirstRecord::At(at) = first else { continue };
            let used = RetentionUse::of((now_ms - at).max(0) as f64 / 1_000.0, time);
            if used.is_warned_of() && worst.as_ref().is_none_or(|(share, _)| used.share > *share) {
                let left = Duration::from_secs(used.left_s as u64);
                let text = format!(
                    "{topic}-{partition}: what waits has used {:.0} % of its retention and may be deleted in {left:?}, \
                     unread",
                    used.share * 100.0
                );
                worst = Some((used.share, text));
            }
        }
    }
    Ok(worst.map(|(_, text)| text))
}

/// Messages of which the workers have recorded lately that they were gone.
async fn recorded(stack: &Stack) -> Result<i64> {
    Postgres::connect(&stack.database_url()?, TIMEOUT).await?.lost_messages().await
}

/// The log as a component of the stack.
pub async fn report(stack: &Stack) -> PartReport {
    let (risks, recorded, (gone, overtaken)) = tokio::join!(risks(stack), recorded(stack), unread(stack));
    warn(judge(risks, gone, recorded, remedy(stack)), overtaken)
}

/// What is well is so only as long as retention overtakes nobody.
fn warn(report: PartReport, overtaken: Result<Option<String>>) -> PartReport {
    match overtaken {
        Ok(Some(detail)) if report.status == HealthStatus::Ok => {
            PartReport { status: HealthStatus::Degraded, detail, hint: Some("nsys lag".to_owned()), ..report }
        }
        // A broker that does not answer is told of already.
        _ => report,
    }
}

fn judge(risks: Result<Vec<String>>, gone: Result<i64>, recorded: Result<i64>, remedy: &str) -> PartReport {
    let report_of = |status, detail: String, hint: Option<&str>| PartReport {
        name: NAME.to_owned(),
        status,
        latency_ms: None,
        detail,
        hint: hint.map(str::to_owned),
    };
    let lost = |count: i64, when: &str| {
        format!("{count} accepted notifications were deleted before a worker read them{when}")
    };
    match (&gone, &recorded) {
        (Ok(gone @ 1..), _) => return report_of(HealthStatus::Degraded, lost(*gone, ""), Some("nsys lag")),
        (_, Ok(recorded @ 1..)) => {
            let detail = lost(*recorded, " in the last seven days");
            let hint = "nsys logs worker --grep 'deleted from the log' says which; a row of log_gaps each";
            return report_of(HealthStatus::Degraded, detail, Some(hint));
        }
        _ => {}
    }
    match (risks, gone.and(recorded)) {
        (Ok(risks), _) if !risks.is_empty() => {
            report_of(HealthStatus::Degraded, risks.join("; "), Some(remedy))
        }
        (Ok(_), Ok(_)) => report_of(HealthStatus::Ok, "kept by time alone, nothing lost".into(), None),
        // Only a part that does not answer leaves it open; that part says so itself.
        (Err(error), _) | (_, Err(error)) if error.kind == ErrorKind::Unreachable => {
            report_of(HealthStatus::Unknown, error.message, None)
        }
        (Err(error), _) | (_, Err(error)) => {
            report_of(HealthStatus::Degraded, format!("not checked: {}", error.message), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn judged(
        risks: Result<Vec<String>>,
        gone: Result<i64>,
        recorded: Result<i64>,
    ) -> (HealthStatus, String) {
        let found = judge(risks, gone, recorded, "nsys up");
        (found.status, found.detail)
    }

    #[test]
    fn what_was_lost_comes_before_what_may_be() {
        let risks = || Ok(vec!["notifications: retention.bytes = 1".to_owned()]);
        let (status, detail) = judged(risks(), Ok(3), Ok(0));
        assert_eq!(status, HealthStatus::Degraded);
        assert!(detail.starts_with("3 accepted notifications"), "{detail}");
        assert!(judged(risks(), Ok(0), Ok(5)).1.contains("in the last seven days"));
        let (status, detail) = judged(risks(), Ok(0), Ok(0));
        assert_eq!((status, detail.as_str()), (HealthStatus::Degraded, "notifications: retention.bytes = 1"));
        assert_eq!(judged(Ok(Vec::new()), Ok(0), Ok(0)).0, HealthStatus::Ok);
    }

    #[test]
    fn retention_that_overtakes_the_workers_is_told_before_anything_is_lost() {
        let well = || judge(Ok(Vec::new()), Ok(0), Ok(0), "nsys up");
        let warned = warn(well(), Ok(Some("notifications-0: 60 %".into())));
        assert_eq!(
            (warned.status, warned.detail.as_str()),
            (HealthStatus::Degraded, "notifications-0: 60 %")
        );
        assert_eq!(warn(well(), Ok(None)).status, HealthStatus::Ok);
        let lost = warn(judge(Ok(Vec::new()), Ok(3), Ok(0), "nsys up"), Ok(Some("60 %".into())));
        assert!(lost.detail.starts_with("3 accepted"), "a loss comes first: {}", lost.detail);
    }

    #[test]
    fn what_cannot_be_asked_is_not_ok() {
        let away = || Error::unreachable("kafka: no broker answers");
        assert_eq!(judged(Err(away()), Err(away()), Ok(0)).0, HealthStatus::Unknown);
        let (status, detail) = judged(Err(Error::failed("not allowed")), Ok(0), Ok(0));
        assert_eq!((status, detail.as_str()), (HealthStatus::Degraded, "not checked: not allowed"));
        // A loss is told whatever else cannot be.
        assert_eq!(judged(Err(Error::failed("not allowed")), Ok(2), Ok(0)).0, HealthStatus::Degraded);
    }
}
