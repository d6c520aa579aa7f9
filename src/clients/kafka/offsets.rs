//! One group at one instant: what it committed, where its logs end, who owns what.
//!
//! Three requests a broker whatever the number of partitions: the offsets the group committed, then the
//! beginnings and at last the ends of the partitions that belong to it, so that no log seems to end
//! before a commit that was made meanwhile. Ends are those of the log, transactions that are still open
//! included, as the broker's own tool counts them.

use super::members::members;
use super::settle::{Settled, settle};
use super::wire::{Share, Wire, addresses};
use super::{Brokers, blocking, config};
use crate::domain::group::{Group, GroupType};
use crate::domain::lag::{GroupOffsets, PartitionLag};
use crate::error::Result;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Times that a topic may vanish between two requests before that is reported.
const TRIES: usize = 3;
/// Between two requests for offsets of a partition whose leader has just come back.
const AGAIN: Duration = Duration::from_millis(200);

/// The group with its members, and its offsets on every topic that it committed to or owns.
///
/// # Errors
/// When the broker does not answer in time.
pub async fn group_offsets(
    brokers: &Brokers,
    group: &str,
    timeout: Duration,
) -> Result<(Group, Vec<GroupOffsets>)> {
    let (config, mut wire, name) = (of_group(brokers, group), Wire::new(brokers), group.to_owned());
    blocking(move || read_group(&config.create()?, &mut wire, &name, timeout)).await
}

/// Lag of every partition of these topics.
///
/// # Errors
/// When the broker does not answer in time, or does not answer for one of the partitions.
pub async fn lag(
    brokers: &Brokers,
    group: &str,
    topics: &[String],
    timeout: Duration,
) -> Result<Vec<PartitionLag>> {
    let (config, topics) = (of_group(brokers, group), topics.to_vec());
    blocking(move || {
        let consumer = config.create()?;
        until_nothing_vanishes(|| read_topics_once(&consumer, &topics, timeout))
    })
    .await
}

/// As [`lag`], with 0 where no record lies behind the commit.
///
/// # Errors
/// As [`lag`].
pub async fn settled_lag(
    brokers: &Brokers,
    group: &str,
    topics: &[String],
    timeout: Duration,
) -> Result<Vec<PartitionLag>> {
    let mut lags = lag(brokers, group, topics, timeout).await?;
    settle(brokers, &mut lags).await?;
    Ok(lags)
}

/// Asks for the lag of some topics of a group again and again, over one client.
pub struct LagProbe {
    consumer: BaseConsumer,
    brokers: Brokers,
    group: String,
    topics: Vec<String>,
    settled: Settled,
}

impl std::fmt::Debug for LagProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LagProbe").field("topics", &self.topics).finish_non_exhaustive()
    }
}

impl LagProbe {
    /// Makes the client; nothing is asked yet.
    ///
    /// # Errors
    /// When the configuration is none.
    pub async fn new(brokers: &Brokers, group: &str, topics: &[String]) -> Result<Self> {
        let (config, topics) = (of_group(brokers, group), topics.to_vec());
        let (brokers, group) = (brokers.clone(), group.to_owned());
        let settled = Settled::default();
        blocking(move || Ok(Self { consumer: config.create()?, brokers, group, topics, settled })).await
    }

    /// Lag of every partition, as [`lag`], with 0 where a group stands still before nothing but the control
    /// records of transactions: those are no messages. The probe comes back unless it failed: its client may
    /// not be good any more.
    pub async fn lag(mut self, timeout: Duration) -> (Option<Self>, Result<Vec<PartitionLag>>) {
        let asked = blocking(move || {
            let mut found =
                until_nothing_vanishes(|| read_topics_once(&self.consumer, &self.topics, timeout))?;
            self.settled.settle_lags(&self.brokers, &self.group, &mut found.iter_mut().collect::<Vec<_>>());
            Ok((self, found))
        });
        match asked.await {
            Ok((probe, found)) => (Some(probe), Ok(found)),
            Err(error) => (None, Err(error)),
        }
    }
}

/// Looks at a group without becoming a member.
fn of_group(brokers: &Brokers, group: &str) -> ClientConfig {
    let mut config = config(brokers);
    config.set("group.id", group).set("enable.auto.commit", "false");
    // The end of the log, not of what transactions have settled.
    config.set("isolation.level", "read_uncommitted");
    config
}

/// The same over clients that are there already, the consumer one of the group.
pub(super) fn read_group(
    consumer: &BaseConsumer,
    wire: &mut Wire,
    group: &str,
    timeout: Duration,
) -> KafkaResult<(Group, Vec<GroupOffsets>)> {
    until_nothing_vanishes(|| read_group_once(consumer, wire, group, timeout))
}

/// Looks again when a topic vanished, or a partition came, between two requests.
fn until_nothing_vanishes<T>(mut read: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    let mut tries = 1;
    loop {
        match read() {
            // At once: every try begins with new metadata.
            Err(cause) if tries < TRIES && is_gone(&cause) => tries += 1,
            done => return done,
        }
    }
}

fn is_gone(cause: &KafkaError) -> bool {
    matches!(
        cause.rdkafka_error_code(),
        Some(RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::UnknownTopicOrPartition)
    )
}

fn read_group_once(
    consumer: &BaseConsumer,
    wire: &mut Wire,
    name: &str,
    timeout: Duration,
) -> KafkaResult<(Group, Vec<GroupOffsets>)> {
    let metadata = consumer.fetch_metadata(None, timeout)?;
    let found = members(consumer, wire, &addresses(&metadata), Some(name), timeout)?.pop();
    let group = found.unwrap_or_else(|| Group::missing(name));
    if group.kind == GroupType::Share {
        return shared(consumer, wire, group, timeout);
    }
    let mut all = TopicPartitionList::new();
    for topic in metadata.topics().iter().filter(|topic| !topic.name().starts_with("__")) {
        for partition in topic.partitions() {
            all.add_partition(topic.name(), partition.id());
        }
    }
    let committed = consumer.committed_offsets(all, timeout)?;
    let own: BTreeSet<String> = committed
        .elements()
        .iter()
        .filter(|one| matches!(one.offset(), Offset::Offset(_)) || group.owned(one.topic()) > 0)
        .map(|one| one.topic().to_owned())
        .collect();
    let list = |offset: Offset| {
        let mut list = TopicPartitionList::new();
        for one in committed.elements().iter().filter(|one| own.contains(one.topic())) {
            list.add_partition_offset(one.topic(), one.partition(), offset)?;
        }
        Ok::<_, KafkaError>(list)
    };
    let begins = offsets(consumer, list(Offset::Beginning)?, timeout)?;
    let ends = offsets(consumer, list(Offset::End)?, timeout)?;
    let mut found: Vec<_> = ends
        .elements()
        .iter()
        .map(|one| {
            let (topic, partition) = (one.topic(), one.partition());
            GroupOffsets {
                topic: topic.to_owned(),
                partition,
                committed: at(&committed, topic, partition).map_err(reason_of),
                begin: there(&begins, topic, partition).map_err(reason_of),
                end: there(&ends, topic, partition).map_err(reason_of),
                unacknowledged: None,
            }
        })
        .collect();
    found.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
    Ok((group, found))
}

/// A share group, which commits nothing: its coordinator knows the first record of each partition that is not
/// acknowledged.
fn shared(
    consumer: &BaseConsumer,
    wire: &mut Wire,
    mut group: Group,
    timeout: Duration,
) -> KafkaResult<(Group, Vec<GroupOffsets>)> {
    let mut shares = match wire.share_offsets(&group.name, Instant::now() + timeout) {
        Ok(shares) => shares,
        Err(why) => {
            group.reason = Some(why);
            return Ok((group, Vec::new()));
        }
    };
    shares.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
    let list = |offset: Offset| {
        let mut list = TopicPartitionList::new();
        for one in &shares {
            list.add_partition_offset(&one.topic, one.partition, offset)?;
        }
        Ok::<_, KafkaError>(list)
    };
    let begins = offsets(consumer, list(Offset::Beginning)?, timeout)?;
    let ends = offsets(consumer, list(Offset::End)?, timeout)?;
    let offsets_of = |one: Share| GroupOffsets {
        begin: there(&begins, &one.topic, one.partition).map_err(reason_of),
        end: there(&ends, &one.topic, one.partition).map_err(reason_of),
        topic: one.topic,
        partition: one.partition,
        committed: one.start,
        unacknowledged: one.unacknowledged,
    };
    Ok((group, shares.into_iter().map(offsets_of).collect()))
}

fn reason_of(cause: KafkaError) -> String {
    super::reason(&cause)
}

fn read_topics_once(
    consumer: &BaseConsumer,
    topics: &[String],
    timeout: Duration,
) -> KafkaResult<Vec<PartitionLag>> {
    let metadata = consumer.fetch_metadata(None, timeout)?;
    let list = |offset: Offset| {
        let mut list = TopicPartitionList::new();
        for topic in metadata.topics().iter().filter(|topic| topics.iter().any(|name| name == topic.name())) {
            for partition in topic.partitions() {
                list.add_partition_offset(topic.name(), partition.id(), offset)?;
            }
        }
        Ok::<_, KafkaError>(list)
    };
    let committed = consumer.committed_offsets(list(Offset::Invalid)?, timeout)?;
    let starts = offsets(consumer, list(Offset::Beginning)?, timeout)?;
    let ends = offsets(consumer, list(Offset::End)?, timeout)?;
    ends.elements()
        .iter()
        .map(|end| {
            let (topic, partition) = (end.topic(), end.partition());
            let (first, last) = (there(&starts, topic, partition)?, there(&ends, topic, partition)?);
            Ok(PartitionLag::new(topic, partition, at(&committed, topic, partition)?, first, last))
        })
        .collect()
}

/// What is asked for of each partition. A partition whose leader has just come back may be ahead of what the
/// broker knows of it, and is asked for again until `timeout`.
pub(super) fn offsets(
    consumer: &BaseConsumer,
    list: TopicPartitionList,
    timeout: Duration,
) -> KafkaResult<TopicPartitionList> {
    // A request for no partition would be refused.
    if list.count() == 0 {
        return Ok(list);
    }
    let deadline = Instant::now() + timeout;
    loop {
        // Not `fetch_watermarks`, which would ask for one partition at a time.
        let found = consumer.offsets_for_times(list.clone(), timeout)?;
        let is_settled = found.elements().iter().all(|one| !one.error().is_err_and(is_for_a_moment));
        if is_settled || Instant::now() > deadline {
            return Ok(found);
        }
        #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
        std::thread::sleep(AGAIN);
    }
}

/// Whether the same request may be answered a moment later.
fn is_for_a_moment(cause: KafkaError) -> bool {
    use RDKafkaErrorCode::{
        FencedLeaderEpoch, LeaderNotAvailable, NotLeaderForPartition, UnknownLeaderEpoch,
    };
    let moments = [FencedLeaderEpoch, LeaderNotAvailable, NotLeaderForPartition, UnknownLeaderEpoch];
    cause.rdkafka_error_code().is_some_and(|code| moments.contains(&code))
}

/// The offset in a list; absent when there is none, an error when the partition was not answered for.
fn at(list: &TopicPartitionList, topic: &str, partition: i32) -> KafkaResult<Option<i64>> {
    let missing = || KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset);
    let found = list.find_partition(topic, partition).ok_or_else(missing)?;
    found.error()?;
    Ok(match found.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}

/// As [`at`], of an offset that every log has.
fn there(list: &TopicPartitionList, topic: &str, partition: i32) -> KafkaResult<i64> {
    at(list, topic, partition)?.ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset))
}
