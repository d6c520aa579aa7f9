//! Topics and groups in detail, and more partitions.

use super::{Brokers, blocking, config};
use crate::domain::group::{Group, Member, read_assignment};
use crate::error::{Error, Kind, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A topic's partition as the broker describes it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Partition {
    /// Its number.
    pub partition: i32,
    /// The leading broker.
    pub leader: i32,
    /// Brokers with a copy.
    pub replicas: Vec<i32>,
    /// Brokers whose copy is whole.
    pub in_sync: Vec<i32>,
    /// First offset that is kept.
    pub begin: i64,
    /// End of the log.
    pub end: i64,
}

fn admin(brokers: &Brokers) -> Result<AdminClient<DefaultClientContext>> {
    config(brokers).create().map_err(|cause| Error::failed(format!("kafka: {cause}")))
}

/// Raises a topic to `total` partitions; with `only_ask` the broker says whether it would.
///
/// # Errors
/// When the broker refuses: fewer than there are, a topic that is gone, a missing right.
pub async fn create_partitions(
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
        .map_err(|cause| Error::unreachable(format!("kafka: {cause}")))?;
    for result in results {
        if let Err((topic, code)) = result {
            let kind = match code {
                RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                    Kind::Refused
                }
                _ => Kind::Failed,
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
    let missing = || Group { name: name.to_owned(), state: "Dead".into(), members: Vec::new() };
    Ok(found.into_iter().next().unwrap_or_else(missing))
}

async fn fetch_groups(brokers: &Brokers, name: Option<String>, timeout: Duration) -> Result<Vec<Group>> {
    let config = config(brokers);
    blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        let list = consumer.fetch_group_list(name.as_deref(), timeout)?;
        Ok(list
            .groups()
            .iter()
            .map(|group| Group {
                name: group.name().to_owned(),
                state: group.state().to_owned(),
                members: group
                    .members()
                    .iter()
                    .map(|member| Member {
                        id: member.id().to_owned(),
                        client: member.client_id().to_owned(),
                        host: member.client_host().to_owned(),
                        owns: read_assignment(member.assignment().unwrap_or_default()),
                    })
                    .collect(),
            })
            .collect())
    })
    .await
}

/// The partitions of a topic; absent when there is no such topic.
///
/// # Errors
/// When the broker does not answer in time.
pub async fn describe(brokers: &Brokers, topic: &str, timeout: Duration) -> Result<Option<Vec<Partition>>> {
    let (config, topic) = (config(brokers), topic.to_owned());
    blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        let metadata = consumer.fetch_metadata(None, timeout)?;
        let Some(found) = metadata.topics().iter().find(|one| one.name() == topic) else { return Ok(None) };
        let partitions = found.partitions().iter().map(|one| {
            let (begin, end) = consumer.fetch_watermarks(&topic, one.id(), timeout)?;
            let (replicas, in_sync) = (one.replicas().to_vec(), one.isr().to_vec());
            Ok(Partition { partition: one.id(), leader: one.leader(), replicas, in_sync, begin, end })
        });
        partitions.collect::<std::result::Result<_, _>>().map(Some)
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
        .map_err(|cause| Error::unreachable(format!("kafka: {cause}")))?;
    let mut settings = BTreeMap::new();
    for answer in answers {
        let resource =
            answer.map_err(|code| Error::failed(format!("kafka: cannot describe {topic}: {code}")))?;
        let own = resource.entries.into_iter().filter(|entry| !entry.is_default && !entry.is_sensitive);
        settings.extend(own.filter_map(|entry| Some((entry.name, entry.value?))));
    }
    Ok(settings)
}

/// Distinct keys of the newest messages of a topic, about `count` messages of all its partitions.
///
/// # Errors
/// When the broker does not answer in time.
pub async fn recent_keys(
    brokers: &Brokers,
    topic: &str,
    count: i64,
    timeout: Duration,
) -> Result<Vec<Vec<u8>>> {
    let partitions = describe(brokers, topic, timeout).await?.unwrap_or_default();
    let each = (count / i64::try_from(partitions.len()).unwrap_or(1).max(1)).max(1);
    let starts: Vec<_> = partitions
        .iter()
        .filter(|one| one.end > one.begin)
        .map(|one| (topic.to_owned(), one.partition, (one.end - each).max(one.begin)))
        .collect();
    let wanted = partitions.iter().map(|one| (one.end - one.begin).min(each)).sum::<i64>();
    let mut keys = std::collections::BTreeSet::new();
    let mut left = wanted;
    read_from(brokers, starts, timeout, move |message| {
        keys.extend(message.key().map(<[u8]>::to_vec));
        left -= 1;
        (left <= 0).then(|| std::mem::take(&mut keys))
    })
    .await
    .map(|keys| keys.unwrap_or_default().into_iter().collect())
}

/// The time (ms since the epoch) of the message at each of these offsets; a partition whose message
/// did not come in time is left out.
///
/// # Errors
/// When the broker does not answer.
pub async fn times_at(
    brokers: &Brokers,
    offsets: Vec<(String, i32, i64)>,
    timeout: Duration,
) -> Result<BTreeMap<(String, i32), i64>> {
    let wanted = offsets.len();
    let times = std::sync::Arc::new(std::sync::Mutex::new(BTreeMap::new()));
    let seen = std::sync::Arc::clone(&times);
    read_from(brokers, offsets, timeout, move |message| {
        let mut seen = seen.lock().expect("no holder of the lock panics");
        if let Some(at) = message.timestamp().to_millis() {
            seen.entry((message.topic().to_owned(), message.partition())).or_insert(at);
        }
        (seen.len() == wanted).then_some(())
    })
    .await?;
    let times = times.lock().expect("no holder of the lock panics").clone();
    Ok(times)
}

/// Reads from these offsets, without a group, until `done` answers or the time is over.
async fn read_from<T: Send + 'static>(
    brokers: &Brokers,
    starts: Vec<(String, i32, i64)>,
    timeout: Duration,
    mut done: impl FnMut(&rdkafka::message::BorrowedMessage<'_>) -> Option<T> + Send + 'static,
) -> Result<Option<T>> {
    if starts.is_empty() {
        return Ok(None);
    }
    let mut config = config(brokers);
    config.set("group.id", "nsys-look").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "50");
    blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        let mut list = TopicPartitionList::new();
        for (topic, partition, offset) in &starts {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
        }
        consumer.assign(&list)?;
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if let Some(message) = consumer.poll(Duration::from_millis(50))
                && let Some(answer) = done(&message?)
            {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    })
    .await
}
