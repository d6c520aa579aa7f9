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
pub(crate) struct OffsetReader {
    inner: Arc<BaseConsumer>,
}

/// Offsets by partition of the notifications topic.
pub(crate) type Offsets = HashMap<i32, i64>;

impl OffsetReader {
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
        self.offsets_at(self.partitions()?, Offset::End)
    }

    /// What the log says of one point of each partition.
    fn offsets_at(&self, mut list: TopicPartitionList, point: Offset) -> KafkaResult<Offsets> {
        list.set_all_offsets(point)?;
        Ok(offsets(&self.inner.offsets_for_times(list, TIMEOUT)?))
    }

    fn committed_now(&self, of: &Offsets) -> KafkaResult<Offsets> {
        Ok(offsets(&self.inner.committed_offsets(list(of), TIMEOUT)?))
    }

    /// Where the log ends, by partition. `None` when the broker does not answer.
    pub(crate) async fn ends(&self) -> Option<Offsets> {
        let reader = self.clone();
        logged(tokio::task::spawn_blocking(move || reader.ends_now()).await.ok()?)
    }

    /// How many messages before these ends are not stored yet. `None` when the broker does not answer.
    pub(crate) async fn missing(&self, ends: &Offsets) -> Option<u64> {
        let (reader, of) = (self.clone(), ends.clone());
        let committed = logged(tokio::task::spawn_blocking(move || reader.committed_now(&of)).await.ok()?)?;
        Some(distance(&committed, ends))
    }
}

/// Where one partition begins and ends, and how far the group has got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartitionPosition {
    pub(crate) partition: i32,
    /// `None` when it never committed.
    pub(crate) committed: Option<i64>,
    /// The first offset that is left.
    pub(crate) begin: i64,
    pub(crate) end: i64,
    /// Where the messages begin that are younger than was asked for; `None` when that was not asked, or not
    /// told.
    pub(crate) young: Option<i64>,
}

impl PartitionPosition {
    /// Where the next message lies that is not stored.
    fn next(&self) -> i64 {
        self.committed.map_or(self.begin, |committed| committed.max(self.begin))
    }

    /// Messages that wait.
    pub(crate) fn waiting(&self) -> u64 {
        u64::try_from(self.end - self.next()).unwrap_or(0)
    }

    /// Whether one of those that wait is older than was asked for.
    pub(crate) fn is_old(&self) -> bool {
        self.waiting() > 0 && self.young.is_some_and(|young| self.next() < young)
    }

    /// Messages that are gone without having been stored.
    pub(crate) fn gone(&self) -> u64 {
        self.committed.and_then(|committed| u64::try_from(self.begin - committed).ok()).unwrap_or(0)
    }
}

impl OffsetReader {
    fn positions_now(&self, since_ms: Option<i64>) -> KafkaResult<Vec<PartitionPosition>> {
        let ends = self.ends_now()?;
        let committed = self.committed_now(&ends)?;
        let begins = self.offsets_at(list(&ends), Offset::Beginning)?;
        let young = match since_ms {
            Some(at) => self.young_now(&ends, at)?,
            None => Offsets::new(),
        };
        let position = |(partition, end): (i32, i64)| {
            let committed = committed.get(&partition).copied();
            PartitionPosition {
                partition,
                committed,
                begin: begins.get(&partition).copied().unwrap_or(0),
                // Commits are read after the ends: one that lies beyond has got further meanwhile.
                end: committed.map_or(end, |committed| end.max(committed)),
                young: young.get(&partition).copied(),
            }
        };
        let mut positions: Vec<_> = ends.into_iter().map(position).collect();
        positions.sort_by_key(|position| position.partition);
        Ok(positions)
    }

    /// Where the messages from an instant on begin; the end where there are none. Partitions that do not tell are
    /// left out.
    fn young_now(&self, ends: &Offsets, since_ms: i64) -> KafkaResult<Offsets> {
        let (mut young, none) = self.found_since(ends, since_ms)?;
        // A broker looks in one segment only. Where that holds nothing but records deleted by request, it finds
        // none from the beginning of time on either, and says nothing of those in the next one.
        let (all, _) = self.found_since(&none, 0)?;
        young.extend(none.into_iter().filter(|(partition, _)| all.contains_key(partition)));
        Ok(young)
    }

    /// The first offsets from an instant on; and the ends of the partitions that have none.
    fn found_since(&self, ends: &Offsets, since_ms: i64) -> KafkaResult<(Offsets, Offsets)> {
        let (mut found, mut none) = (Offsets::new(), Offsets::new());
        if ends.is_empty() {
            return Ok((found, none));
        }
        let mut asked = list(ends);
        asked.set_all_offsets(Offset::Offset(since_ms))?;
        for one in self.inner.offsets_for_times(asked, TIMEOUT)?.elements() {
            let (partition, end) = (one.partition(), ends.get(&one.partition()).copied());
            match (one.error(), one.offset(), end) {
                (Ok(()), Offset::Offset(offset), _) => {
                    found.insert(partition, offset);
                }
                (Ok(()), Offset::End, Some(end)) => {
                    none.insert(partition, end);
                }
                _ => {}
            }
        }
        Ok((found, none))
    }

    /// Every partition's place, by number, and where messages from `since_ms` on begin. `None` when the broker
    /// does not answer.
    pub(crate) async fn positions(&self, since_ms: Option<i64>) -> Option<Vec<PartitionPosition>> {
        let reader = self.clone();
        logged(tokio::task::spawn_blocking(move || reader.positions_now(since_ms)).await.ok()?)
    }
}

fn list(of: &Offsets) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in of.keys() {
        list.add_partition(topics::NOTIFICATIONS, *partition);
    }
    list
}

fn logged<T>(read: KafkaResult<T>) -> Option<T> {
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

    fn position(committed: Option<i64>, begin: i64, end: i64, young: Option<i64>) -> PartitionPosition {
        PartitionPosition { partition: 0, committed, begin, end, young }
    }

    #[test]
    fn what_was_deleted_unread_is_gone_and_waits_no_more() {
        let cut = position(Some(5), 8, 20, None);
        assert_eq!((cut.gone(), cut.waiting()), (3, 12));
        let whole = position(Some(8), 5, 20, None);
        assert_eq!((whole.gone(), whole.waiting()), (0, 12));
        let untouched = position(None, 8, 20, None);
        assert_eq!((untouched.gone(), untouched.waiting()), (0, 12));
        let emptied = position(Some(5), 20, 20, None);
        assert_eq!((emptied.gone(), emptied.waiting()), (15, 0));
    }

    #[test]
    fn only_what_waits_is_old() {
        assert!(position(Some(5), 0, 20, Some(6)).is_old());
        assert!(!position(Some(6), 0, 20, Some(6)).is_old());
        assert!(!position(Some(20), 0, 20, Some(20)).is_old());
        assert!(position(Some(19), 0, 20, Some(20)).is_old());
        assert!(!position(Some(5), 0, 20, None).is_old());
        assert!(!position(Some(5), 8, 20, Some(8)).is_old(), "what is gone does not wait");
    }
}
