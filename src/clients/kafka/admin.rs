//! Topics and groups in detail, and more partitions.

use super::members::members;
use super::offsets::offsets;
use super::wire::{Wire, addresses};
use super::{Brokers, blocking, config, reason};
use crate::domain::group::Group;
use crate::error::{Error, ErrorKind, Result};
use crate::permit::ChangePermit;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

/// A topic's partition as the broker describes it.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Partition {
    /// Its number.
    pub partition: i32,
    /// The leading broker.
    pub leader: i32,
    /// Brokers with a copy.
    pub replicas: Vec<i32>,
    /// Brokers whose copy is whole.
    pub in_sync: Vec<i32>,
    /// First offset that is kept; absent when nobody answered for the partition.
    pub begin: Option<i64>,
    /// End of the log; absent likewise.
    pub end: Option<i64>,
}

pub(super) fn admin(brokers: &Brokers) -> Result<AdminClient<DefaultClientContext>> {
    config(brokers).create().map_err(|cause| Error::failed(format!("kafka: {}", reason(&cause))))
}

/// Raises a topic to `total` partitions; with `only_ask` the broker says whether it would.
///
/// # Errors
/// When the broker refuses: fewer than there are, a topic that is gone, a missing right.
pub async fn create_partitions(
    _permit: &ChangePermit,
    brokers: &Brokers,
    topic: &str,
    total: u32,
    only_ask: bool,
    timeout: Duration,
) -> Result<()> {
    let options = AdminOptions::new()
        .operation_timeout(Some(timeout))
        .request_timeout(Some(timeout))
        .validate_only(only_ask);
    let new = NewPartitions::new(topic, total as usize);
    let results = admin(brokers)?
        .create_partitions([&new], &options)
        .await
        .map_err(|cause| Error::unreachable(format!("kafka: {}", reason(&cause))))?;
    for result in results {
        if let Err((topic, code)) = result {
            let kind = match code {
                RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                    ErrorKind::Refused
                }
                _ => ErrorKind::Failed,
            };
            return Err(Error::new(
                kind,
                format!("kafka: cannot raise {topic} to {total} partitions: {code}"),
            ));
        }
    }
    Ok(())
}

/// Every group with its members.
///
/// # Errors
/// When the broker does not answer in time.
pub async fn groups(brokers: &Brokers, timeout: Duration) -> Result<Vec<Group>> {
    fetch_groups(brokers, None, timeout).await
}

/// One group; a group that never was is one without members, in the state `Dead`.
///
/// # Errors
/// When the broker does not answer in time.
pub async fn group(brokers: &Brokers, name: &str, timeout: Duration) -> Result<Group> {
    let found = fetch_groups(brokers, Some(name.to_owned()), timeout).await?;
    Ok(found.into_iter().next().unwrap_or_else(|| Group::missing(name)))
}

async fn fetch_groups(brokers: &Brokers, name: Option<String>, timeout: Duration) -> Result<Vec<Group>> {
    let (config, mut wire) = (config(brokers), Wire::new(brokers));
    blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        let brokers = addresses(&consumer.fetch_metadata(None, timeout)?);
        members(&consumer, &mut wire, &brokers, name.as_deref(), timeout)
    })
    .await
}

/// The partitions of a topic; absent when there is no such topic.
///
/// # Errors
/// When the broker does not answer in time.
pub async fn describe(brokers: &Brokers, topic: &str, timeout: Duration) -> Result<Option<Vec<Partition>>> {
    let (mut config, topic) = (config(brokers), topic.to_owned());
    config.set("isolation.level", "read_uncommitted");
    blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        let metadata = consumer.fetch_metadata(None, timeout)?;
        let Some(found) = metadata.topics().iter().find(|one| one.name() == topic) else { return Ok(None) };
        let ask = |offset: Offset| {
            let mut list = TopicPartitionList::new();
            for one in found.partitions() {
                list.add_partition_offset(&topic, one.id(), offset)?;
            }
            offsets(&consumer, list, timeout)
        };
        let (begins, ends) = (ask(Offset::Beginning)?, ask(Offset::End)?);
        let at = |list: &TopicPartitionList, partition| {
            let one = list.find_partition(&topic, partition).filter(|one| one.error().is_ok())?;
            one.offset().to_raw().filter(|offset| *offset >= 0)
        };
        let partition = |one: &rdkafka::metadata::MetadataPartition| Partition {
            partition: one.id(),
            leader: one.leader(),
            replicas: one.replicas().to_vec(),
            in_sync: one.isr().to_vec(),
            begin: at(&begins, one.id()),
            end: at(&ends, one.id()),
        };
        Ok(Some(found.partitions().iter().map(partition).collect()))
    })
    .await
}

/// The settings of a topic that differ from the broker's.
///
/// # Errors
/// When the broker does not answer, or does not know the topic.
pub async fn topic_settings(
    brokers: &Brokers,
    topic: &str,
    timeout: Duration,
) -> Result<BTreeMap<String, String>> {
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let answers = admin(brokers)?
        .describe_configs([&ResourceSpecifier::Topic(topic)], &options)
        .await
        .map_err(|cause| Error::unreachable(format!("kafka: {}", reason(&cause))))?;
    let mut settings = BTreeMap::new();
    for answer in answers {
        let resource =
            answer.map_err(|code| Error::failed(format!("kafka: cannot describe {topic}: {code}")))?;
        let own = resource.entries.into_iter().filter(|entry| !entry.is_default && !entry.is_sensitive);
        settings.extend(own.filter_map(|entry| Some((entry.name, entry.value?))));
    }
    Ok(settings)
}
