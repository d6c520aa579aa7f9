//! Reads records without joining a group: when the first one that waits was written, which keys came lately.

use super::{Brokers, blocking, config, describe};
use crate::error::Result;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A client that keeps to itself what is no error here: the end of a partition.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka");
    }
}

impl ConsumerContext for Quiet {}

/// What reading a partition came to next.
enum ReadEvent<'a> {
    /// A record.
    Record(&'a BorrowedMessage<'a>),
    /// The end of this partition.
    End(i32),
}

/// What lies at or behind an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRecord {
    /// A record, written at this time (ms since the epoch).
    At(i64),
    /// No record: nothing, or the control records of transactions.
    Nothing,
}

/// The first record at or behind each of these offsets of a topic, of transactions that were aborted too. A
/// partition that did not answer in time is absent.
///
/// # Errors
/// When the broker does not answer.
pub async fn first_records(
    brokers: &Brokers,
    topic: &str,
    starts: Vec<(i32, i64)>,
    timeout: Duration,
) -> Result<BTreeMap<i32, FirstRecord>> {
    let (brokers, topic) = (brokers.clone(), topic.to_owned());
    blocking(move || first_records_now(&brokers, &topic, &starts, timeout)).await
}

/// As [`first_records`], where blocking is allowed.
pub(super) fn first_records_now(
    brokers: &Brokers,
    topic: &str,
    starts: &[(i32, i64)],
    timeout: Duration,
) -> KafkaResult<BTreeMap<i32, FirstRecord>> {
    let open: BTreeSet<i32> = starts.iter().map(|(partition, _)| *partition).collect();
    let found = read_now(brokers, topic, starts, timeout, (open, BTreeMap::new()), |(open, firsts), seen| {
        let partition = match seen {
            ReadEvent::Record(record) => {
                // A record without a time is one all the same, and as old as can be.
                let at = record.timestamp().to_millis().unwrap_or_default();
                firsts.entry(record.partition()).or_insert(FirstRecord::At(at));
                record.partition()
            }
            ReadEvent::End(partition) => {
                firsts.entry(partition).or_insert(FirstRecord::Nothing);
                partition
            }
        };
        open.remove(&partition);
        open.is_empty()
    });
    Ok(found?.1)
}

/// Distinct keys of the newest records of a topic, about `count` records of all its partitions.
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
    let known = partitions.iter().filter_map(|one| Some((one.partition, one.begin?, one.end?)));
    let filled = known.filter(|(_, begin, end)| end > begin);
    let starts: Vec<_> = filled.map(|(partition, begin, end)| (partition, (end - each).max(begin))).collect();
    let open: BTreeSet<i32> = starts.iter().map(|(partition, _)| *partition).collect();
    let found = read_from(brokers, topic, starts, timeout, (open, BTreeSet::new()), |(open, keys), seen| {
        match seen {
            ReadEvent::Record(record) => keys.extend(record.key().map(<[u8]>::to_vec)),
            ReadEvent::End(partition) => {
                open.remove(&partition);
            }
        }
        open.is_empty()
    });
    Ok(found.await?.1.into_iter().collect())
}

/// Where a record was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    /// Its offset.
    pub offset: i64,
    /// When it was written, ms since the epoch.
    pub timestamp_ms: i64,
}

/// Looks for the record of a notification in one partition, from an offset on; absent when it does
/// not come in time.
///
/// # Errors
/// When the broker does not answer.
pub async fn find(
    brokers: &Brokers,
    topic: &str,
    partition: i32,
    from: i64,
    id: uuid::Uuid,
    timeout: Duration,
) -> Result<Option<FoundRecord>> {
    let wanted = id.to_string();
    read_from(brokers, topic, vec![(partition, from)], timeout, None, move |found, seen| {
        // The end of the partition is no reason to stop: the record may be written only now.
        let ReadEvent::Record(record) = seen else { return false };
        let value = record.payload().unwrap_or_default();
        if value.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
            let timestamp_ms = record.timestamp().to_millis().unwrap_or_default();
            *found = Some(FoundRecord { offset: record.offset(), timestamp_ms });
        }
        found.is_some()
    })
    .await
}

/// Reads a topic from these offsets until `visit` says that it has seen enough or the time is over,
/// and gives back what it gathered.
async fn read_from<T: Send + 'static>(
    brokers: &Brokers,
    topic: &str,
    starts: Vec<(i32, i64)>,
    timeout: Duration,
    gathered: T,
    visit: impl FnMut(&mut T, ReadEvent<'_>) -> bool + Send + 'static,
) -> Result<T> {
    let (brokers, topic) = (brokers.clone(), topic.to_owned());
    blocking(move || read_now(&brokers, &topic, &starts, timeout, gathered, visit)).await
}

fn read_now<T>(
    brokers: &Brokers,
    topic: &str,
    starts: &[(i32, i64)],
    timeout: Duration,
    mut gathered: T,
    mut visit: impl FnMut(&mut T, ReadEvent<'_>) -> bool,
) -> KafkaResult<T> {
    if starts.is_empty() {
        return Ok(gathered);
    }
    let mut config = config(brokers);
    // By default a broker keeps an answer without records back for half a second.
    config.set("group.id", "nsys-look").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "50");
    config.set("enable.partition.eof", "true").set("isolation.level", "read_uncommitted");
    // An offset that retention has removed means the first one that is left.
    config.set("auto.offset.reset", "earliest").set("fetch.message.max.bytes", "65536");
    let consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet)?;
    let mut list = TopicPartitionList::new();
    for (partition, offset) in starts {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    consumer.assign(&list)?;
    let deadline = Instant::now() + timeout;
    while Instant::now() < deadline {
        let enough = match consumer.poll(Duration::from_millis(50)) {
            None => false,
            Some(Err(KafkaError::PartitionEOF(partition))) => visit(&mut gathered, ReadEvent::End(partition)),
            Some(record) => visit(&mut gathered, ReadEvent::Record(&record?)),
        };
        if enough {
            break;
        }
    }
    Ok(gathered)
}
