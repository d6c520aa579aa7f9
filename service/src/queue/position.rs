//! How far the workers have got, asked by a process that is not one of them.

use super::client_config;
use nsys_contract::config::Kafka;
use nsys_contract::topics;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for the broker.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Reads ends and commits of the worker group without joining it.
#[derive(Clone)]
pub(crate) struct LogPosition {
    inner: Arc<BaseConsumer>,
}

/// Offsets by partition of the notifications topic.
pub(crate) type Offsets = HashMap<i32, i64>;

impl LogPosition {
    /// Makes the client; it connects when it is first asked.
    pub(crate) fn open(kafka: &Kafka) -> anyhow::Result<Self> {
        let inner = client_config(kafka)
            .set("group.id", topics::WORKER_GROUP)
            .set("enable.auto.commit", "false")
            .create()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    fn partitions(&self) -> KafkaResult<TopicPartitionList> {
        let metadata = self.inner.fetch_metadata(Some(topics::NOTIFICATIONS), TIMEOUT)?;
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            list.add_partition(topics::NOTIFICATIONS, partition.id());
        }
        Ok(list)
    }

    fn ends_now(&self) -> KafkaResult<Offsets> {
        let mut list = self.partitions()?;
        list.set_all_offsets(Offset::End)?;
        Ok(offsets(&self.inner.offsets_for_times(list, TIMEOUT)?))
    }

    fn committed_now(&self, of: &Offsets) -> KafkaResult<Offsets> {
        let mut list = TopicPartitionList::new();
        for partition in of.keys() {
            list.add_partition(topics::NOTIFICATIONS, *partition);
        }
        Ok(offsets(&self.inner.committed_offsets(list, TIMEOUT)?))
    }

    /// Where the log ends, by partition. `None` when the broker does not answer.
    pub(crate) async fn ends(&self) -> Option<Offsets> {
        let reader = self.clone();
        told(tokio::task::spawn_blocking(move || reader.ends_now()).await.ok()?)
    }

    /// How many messages before these ends are not stored yet. `None` when the broker does not answer.
    pub(crate) async fn missing(&self, ends: &Offsets) -> Option<u64> {
        let (reader, of) = (self.clone(), ends.clone());
        let committed = told(tokio::task::spawn_blocking(move || reader.committed_now(&of)).await.ok()?)?;
        Some(distance(&committed, ends))
    }
}

/// Where one partition ends, and how far the group has got: `None` when it never committed.
pub(crate) struct Place {
    pub(crate) partition: i32,
    pub(crate) committed: Option<i64>,
    pub(crate) end: i64,
}

impl LogPosition {
    /// Every partition's place, by number. `None` when the broker does not answer.
    pub(crate) async fn places(&self) -> Option<Vec<Place>> {
        let ends = self.ends().await?;
        let (reader, of) = (self.clone(), ends.clone());
        let committed = told(tokio::task::spawn_blocking(move || reader.committed_now(&of)).await.ok()?)?;
        let place = |(partition, end): (i32, i64)| Place {
            partition,
            committed: committed.get(&partition).copied(),
            end,
        };
        let mut places: Vec<_> = ends.into_iter().map(place).collect();
        places.sort_by_key(|place| place.partition);
        Some(places)
    }
}

fn told(read: KafkaResult<Offsets>) -> Option<Offsets> {
    read.inspect_err(|cause| tracing::debug!(%cause, "The log's position cannot be read.")).ok()
}

fn offsets(list: &TopicPartitionList) -> Offsets {
    let known = list.elements();
    let known = known.iter().filter_map(|one| Some((one.partition(), one.offset().to_raw()?)));
    known.filter(|(_, offset)| *offset >= 0).collect()
}

/// How many messages lie between two positions.
fn distance(from: &Offsets, to: &Offsets) -> u64 {
    let missing = |(partition, end): (&i32, &i64)| end - from.get(partition).copied().unwrap_or(0);
    to.iter().map(missing).filter_map(|missing| u64::try_from(missing).ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_without_a_commit_waits_as_a_whole_and_one_ahead_does_not_count_backwards() {
        let from = Offsets::from([(0, 5), (2, 9)]);
        let to = Offsets::from([(0, 7), (1, 4), (2, 8)]);
        assert_eq!(distance(&from, &to), 2 + 4);
    }
}
