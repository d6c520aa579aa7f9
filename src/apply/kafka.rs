//! Makes the changes in Kafka.

use super::both;
use crate::clients::kafka;
use crate::error::{Error, Result};
use crate::plan::KafkaStep;
use crate::render::progress::Line;
use crate::stack::Stack;
use nsys_contract::topics;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(5);

async fn count(stack: &Stack, topic: &str) -> Result<u32> {
    let there = kafka::topics(&stack.endpoints.brokers(), PATIENCE).await?;
    let found = there.into_iter().find(|(name, _)| name == topic).map(|(_, partitions)| partitions);
    let partitions =
        found.ok_or_else(|| Error::failed(format!("there is no topic {topic}")).hint("nsys up"))?;
    Ok(u32::try_from(partitions).unwrap_or(u32::MAX))
}

pub(super) async fn check(stack: &Stack, change: &KafkaStep) -> Result<()> {
    let KafkaStep::Partitions { topic, from, .. } = change;
    let now = count(stack, topic).await?;
    if now == *from {
        Ok(())
    } else {
        Err(Error::refused(format!("{topic} was changed since: {from} partitions then, {now} now")))
    }
}

/// The broker is asked whether it would, then does; done when workers own every partition.
pub(super) async fn make(stack: &Stack, change: &KafkaStep, line: &Line) -> Result<(Value, Value)> {
    let KafkaStep::Partitions { topic, from, to } = change;
    let brokers = stack.endpoints.brokers();
    kafka::create_partitions(&brokers, topic, *to, true, PATIENCE).await?;
    kafka::create_partitions(&brokers, topic, *to, false, PATIENCE).await?;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let group = kafka::group(&brokers, topics::WORKER_GROUP, PATIENCE).await;
        let members = group.as_ref().map_or(0, |group| group.members.len());
        let owned = group.map_or(0, |group| group.owned(topic));
        let usable = kafka::lag(&brokers, topics::WORKER_GROUP, std::slice::from_ref(topic), PATIENCE).await;
        let usable = usable.map_or(0, |partitions| partitions.len());
        let all = *to as usize;
        if usable == all && (owned == all || members == 0) {
            return Ok(both(from, to));
        }
        if Instant::now() > deadline {
            return Err(Error::failed(format!(
                "{topic} has {usable} usable partitions and {owned} with an owner, of {to}, after a minute"
            ))
            .hint("the partitions are there; see: nsys lag"));
        }
        line.update(&format!("{usable} of {to} usable, {owned} with an owner"));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
