//! Makes the changes in Kafka.

use super::both;
use crate::clients::kafka;
use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use crate::plan::KafkaStep;
use crate::render::progress::ProgressLine;
use crate::stack::Stack;
use nsys_contract::topics;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait until new topics can be used.
const CREATION: Duration = Duration::from_secs(30);
/// Longest wait until workers have taken new partitions over.
const TAKE_OVER: Duration = Duration::from_secs(90);

async fn count(stack: &Stack, topic: &str) -> Result<u32> {
    let there = kafka::topics(&stack.endpoints.brokers(), TIMEOUT).await?;
    let found = there.into_iter().find(|(name, _)| name == topic).map(|(_, partitions)| partitions);
    let partitions = found.ok_or_else(|| {
        Error::usage(format!("there is no topic {topic}")).hint("nsys up makes those of the service")
    })?;
    Ok(u32::try_from(partitions).unwrap_or(u32::MAX))
}

pub(super) async fn check(stack: &Stack, change: &KafkaStep) -> Result<()> {
    let KafkaStep::Partitions { topic, from, .. } = change else { return Ok(()) };
    let now = count(stack, topic).await?;
    if now == *from {
        Ok(())
    } else {
        Err(Error::refused(format!("{topic} was changed since: {from} partitions then, {now} now")))
    }
}

pub(super) async fn make(
    permit: &ChangePermit,
    stack: &Stack,
    change: &KafkaStep,
    line: &ProgressLine,
) -> Result<(Value, Value)> {
    match change {
        KafkaStep::Create { topics, replication } => {
            let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
            let wanted: Vec<_> =
                topics.iter().map(|(name, partitions)| (name.as_str(), number(*partitions))).collect();
            let brokers = stack.endpoints.brokers();
            let time = stack.loaded.config.kafka.retention;
            kafka::ensure_topics(permit, &brokers, &wanted, number(*replication), time, CREATION).await?;
            Ok(both(Value::Null, topics))
        }
        KafkaStep::Partitions { topic, from, to } => grow(permit, stack, (topic, *from, *to), line).await,
    }
}

/// The broker is asked whether it would, then does; done when every new partition has an owner that
/// has committed where it begins, so that nothing produced to it can be missed any more.
async fn grow(
    permit: &ChangePermit,
    stack: &Stack,
    (topic, from, to): (&str, u32, u32),
    line: &ProgressLine,
) -> Result<(Value, Value)> {
    let brokers = stack.endpoints.brokers();
    kafka::create_partitions(permit, &brokers, topic, to, true, TIMEOUT).await?;
    kafka::create_partitions(permit, &brokers, topic, to, false, TIMEOUT).await?;
    let (deadline, all) = (Instant::now() + TAKE_OVER, to as usize);
    loop {
        // A broker that is away for a moment is asked again.
        let (mut usable, mut owned, mut committed, mut members, mut is_dark) = (0, 0, 0, None, false);
        if let Ok((group, offsets)) = kafka::group_offsets(&brokers, topics::WORKER_GROUP, TIMEOUT).await {
            let own: Vec<_> = offsets.iter().filter(|one| one.topic == topic).collect();
            usable = own.iter().filter(|one| one.end.is_ok()).count();
            committed = own.iter().filter(|one| matches!(one.committed, Ok(Some(_)))).count();
            owned = group.owned(topic);
            members = group.size();
            // Members that cannot be asked for own what they commit to.
            is_dark = members.is_none();
        }
        if members == Some(0) && count(stack, topic).await.is_ok_and(|now| now == to) {
            // Nobody is there to take them over; whoever comes begins at their first message.
            return Ok(both(from, to));
        }
        if usable == all && (owned == all || is_dark) && committed == all {
            return Ok(both(from, to));
        }
        if Instant::now() > deadline {
            return Err(Error::failed(format!(
                "of {to} partitions of {topic}, {usable} are usable, {owned} have an owner and {committed} a commit \
                 after {TAKE_OVER:?}"
            ))
            .hint("the partitions are there; see: nsys lag"));
        }
        line.share(
            committed.min(owned) as f64 / all as f64,
            &format!("{owned} with an owner, {committed} with a commit"),
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
