//! A prescribed Kafka: what `nsys lag` tells of topologies made at random, value for value against what was
//! written and committed.

use crate::support::Place;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TIMEOUT: Duration = Duration::from_secs(30);
/// Topics that are made in one request.
const AT_ONCE: usize = 50;

/// What stands at an offset.
#[derive(Clone, Copy)]
enum Slot {
    /// A record with its time, in ms since the epoch.
    Record(i64),
    /// The control record of a transaction.
    Control,
}

/// A partition as it was made.
#[derive(Default)]
struct Log {
    slots: Vec<Slot>,
    begin: i64,
    committed: Option<i64>,
}

struct Topology {
    topic: String,
    group: String,
    logs: Vec<Log>,
}

/// What is told of a partition, or true of it: status, committed, end, lag, lost, beyond the end.
type Values = (String, Option<i64>, i64, Option<i64>, i64, i64);

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

impl Log {
    fn end(&self) -> i64 {
        i64::try_from(self.slots.len()).unwrap()
    }

    /// The time of the first record that is kept from an offset on.
    fn first(&self, from: i64) -> Option<i64> {
        self.slots.iter().skip(usize::try_from(from.max(self.begin)).unwrap()).find_map(|slot| match slot {
            Slot::Record(at) => Some(*at),
            Slot::Control => None,
        })
    }

    fn truth(&self) -> Values {
        let (begin, end) = (self.begin, self.end());
        let is_empty = begin == end;
        let values =
            |status: &str, lag, lost, beyond| (status.to_owned(), self.committed, end, lag, lost, beyond);
        match self.committed {
            None => values("uncommitted", is_empty.then_some(0), 0, 0),
            Some(commit) if commit > end => values("beyond_end", is_empty.then_some(0), 0, commit - end),
            Some(commit) => {
                let lag = self.first(commit).map_or(0, |_| end - commit.max(begin));
                let status = match (commit < begin, lag) {
                    (true, _) => "lost",
                    (_, 0) => "caught_up",
                    _ => "waiting",
                };
                values(status, Some(lag), (begin - commit).max(0), 0)
            }
        }
    }

    /// When the oldest message that waits was written, if one surely does.
    fn oldest(&self) -> Option<i64> {
        let (_, committed, end, lag, ..) = self.truth();
        committed
            .filter(|commit| *commit <= end && lag.is_some_and(|lag| lag > 0))
            .and_then(|at| self.first(at))
    }
}

fn told(one: &Value) -> Values {
    let number = |name: &str| one[name].as_i64();
    (
        one["status"].as_str().unwrap_or("absent").to_owned(),
        number("committed"),
        number("end").unwrap_or(-1),
        number("lag"),
        number("lost").unwrap_or(-1),
        number("beyond_end").unwrap_or(-1),
    )
}

/// Makes the topologies, asks nsys for each and compares. Gives the table.
pub(crate) fn are_told_as_they_were_made(place: &Place, count: usize, seed: u64) -> String {
    let mut random = StdRng::seed_from_u64(seed);
    let mut maker = Maker::new(place);
    let made = (0..count).map(|number| Topology {
        topic: format!("truth-{number}"),
        group: format!("truth-group-{number}"),
        logs: (0..random.random_range(1..5)).map(|_| Log::default()).collect(),
    });
    let mut made: Vec<_> = made.collect();
    made.chunks(AT_ONCE).for_each(|some| maker.create(some));
    let mut table = format!("seed {seed}\n| Partition | Told | True | |\n|---|---|---|---|\n");
    let mut wrong = 0;
    for topology in &mut made {
        maker.fill(topology, &mut random);
        let before = now_ms();
        let lag = place.json(&["lag", "--group", &topology.group]);
        let after = now_ms();
        let found = lag["topics"][0]["partitions"].as_array().cloned().unwrap_or_default();
        let (mut waits, mut lost) = (0, 0);
        for (number, log) in topology.logs.iter().enumerate() {
            let one = found.get(number).cloned().unwrap_or_default();
            let (told, truth) = (told(&one), log.truth());
            let age = one["lag_seconds"].as_f64();
            let is_aged = match log.oldest() {
                Some(at) => age.is_some_and(|age| {
                    let at_ms = age * 1_000.0;
                    at_ms >= (before - at) as f64 - 1.0 && at_ms <= (after - at) as f64 + 1.0
                }),
                None if truth.3 == Some(0) && truth.5 == 0 => age == Some(0.0),
                None => age.is_none(),
            };
            waits += truth.3.unwrap_or(0);
            lost += truth.4;
            let holds = told == truth && is_aged;
            wrong += usize::from(!holds);
            let mark = if holds { "" } else { "WRONG" };
            table += &format!("| {}-{number} | {told:?} {age:?} | {truth:?} | {mark} |\n", topology.topic);
        }
        let is_whole = found.len() == topology.logs.len();
        if !is_whole || lag["total_lag"] != waits || lag["total_lost"] != lost {
            wrong += 1;
            table += &format!("| {} | {lag} | {waits} wait, {lost} lost | WRONG |\n", topology.topic);
        }
    }
    made.chunks(AT_ONCE).for_each(|some| maker.delete(some));
    assert_eq!(wrong, 0, "{table}");
    table
}

struct Maker {
    config: ClientConfig,
    admin: AdminClient<DefaultClientContext>,
    plain: BaseProducer,
    transactional: BaseProducer,
    reader: BaseConsumer,
    runtime: tokio::runtime::Runtime,
}

impl Maker {
    fn new(place: &Place) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", format!("127.0.0.1:{}", 9_092 + place.offset));
        let transactional: BaseProducer = config.clone().set("transactional.id", "truth").create().unwrap();
        transactional.init_transactions(TIMEOUT).unwrap();
        Self {
            admin: config.create().unwrap(),
            plain: config.create().unwrap(),
            transactional,
            reader: config
                .clone()
                .set("group.id", "nsys-truth")
                .set("isolation.level", "read_uncommitted")
                .create()
                .unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            config,
        }
    }

    fn create(&mut self, some: &[Topology]) {
        let new = |one: &'_ Topology| i32::try_from(one.logs.len()).unwrap();
        let new: Vec<_> =
            some.iter().map(|one| NewTopic::new(&one.topic, new(one), TopicReplication::Fixed(1))).collect();
        self.runtime.block_on(self.admin.create_topics(&new, &AdminOptions::new())).unwrap();
    }

    fn delete(&mut self, some: &[Topology]) {
        let names: Vec<_> = some.iter().map(|one| one.topic.as_str()).collect();
        self.runtime.block_on(self.admin.delete_topics(&names, &AdminOptions::new())).unwrap();
    }

    /// Records, transactions that end well or not, records again; then deletes and commits. Each of it on some
    /// of the partitions.
    fn fill(&mut self, topology: &mut Topology, random: &mut StdRng) {
        self.write(topology, random);
        if random.random_bool(0.6) {
            self.transact(topology, random);
        }
        if random.random_bool(0.3) {
            self.write(topology, random);
        }
        self.cut(topology, random);
        self.commit(topology, random);
    }

    fn write(&self, topology: &mut Topology, random: &mut StdRng) {
        for (number, log) in topology.logs.iter_mut().enumerate() {
            if random.random_bool(0.7) {
                records(&self.plain, &topology.topic, number, log, random);
            }
        }
        self.plain.flush(TIMEOUT).unwrap();
    }

    fn transact(&self, topology: &mut Topology, random: &mut StdRng) {
        self.transactional.begin_transaction().unwrap();
        let mut taken = Vec::new();
        for (number, log) in topology.logs.iter_mut().enumerate() {
            if random.random_bool(0.6) {
                records(&self.transactional, &topology.topic, number, log, random);
                taken.push(number);
            }
        }
        self.transactional.flush(TIMEOUT).unwrap();
        if random.random_bool(0.7) {
            self.transactional.commit_transaction(TIMEOUT).unwrap();
        } else {
            self.transactional.abort_transaction(TIMEOUT).unwrap();
        }
        taken.into_iter().for_each(|number| topology.logs[number].slots.push(Slot::Control));
        // Control records are written after the answer.
        topology
            .logs
            .iter()
            .enumerate()
            .for_each(|(number, log)| self.await_end(&topology.topic, number, log));
    }

    fn await_end(&self, topic: &str, number: usize, log: &Log) {
        let deadline = std::time::Instant::now() + TIMEOUT;
        loop {
            let partition = i32::try_from(number).unwrap();
            let (_, end) = self.reader.fetch_watermarks(topic, partition, TIMEOUT).unwrap();
            if end == log.end() {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{topic}-{number} ends at {end}, not at {}",
                log.end()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn cut(&mut self, topology: &mut Topology, random: &mut StdRng) {
        let mut cut = TopicPartitionList::new();
        for (number, log) in topology.logs.iter_mut().enumerate() {
            if log.end() > 0 && random.random_bool(0.3) {
                log.begin =
                    if random.random_bool(0.3) { log.end() } else { random.random_range(0..log.end()) };
                let partition = i32::try_from(number).unwrap();
                cut.add_partition_offset(&topology.topic, partition, Offset::Offset(log.begin)).unwrap();
            }
        }
        if cut.count() > 0 {
            self.runtime.block_on(self.admin.delete_records(&cut, &AdminOptions::new())).unwrap();
        }
    }

    fn commit(&self, topology: &mut Topology, random: &mut StdRng) {
        let consumer: BaseConsumer = self.config.clone().set("group.id", &topology.group).create().unwrap();
        let mut list = TopicPartitionList::new();
        for (number, log) in topology.logs.iter_mut().enumerate() {
            // One partition at least has a commit, or there would be no group.
            let committed = match random.random_range(0..10) {
                0 | 1 if number > 0 => continue,
                2 => log.end() + random.random_range(1..50),
                3..5 => log.end(),
                // Behind the last record: nothing but a control record may follow.
                5 => log
                    .slots
                    .iter()
                    .rposition(|slot| matches!(slot, Slot::Record(_)))
                    .map_or(0, |at| at as i64 + 1),
                _ => random.random_range(0..=log.end()),
            };
            log.committed = Some(committed);
            let partition = i32::try_from(number).unwrap();
            list.add_partition_offset(&topology.topic, partition, Offset::Offset(committed)).unwrap();
        }
        let deadline = std::time::Instant::now() + TIMEOUT;
        // A new broker may not coordinate anything at first.
        while let Err(cause) = consumer.commit(&list, CommitMode::Sync) {
            assert!(std::time::Instant::now() < deadline, "{cause}");
        }
    }
}

fn records(producer: &BaseProducer, topic: &str, number: usize, log: &mut Log, random: &mut StdRng) {
    for _ in 0..random.random_range(1..12) {
        let at = now_ms() - random.random_range(0..3_600_000);
        let partition = i32::try_from(number).unwrap();
        let record = BaseRecord::<str, str>::to(topic).partition(partition).payload("x").timestamp(at);
        producer.send(record).map_err(|(cause, _)| cause).unwrap();
        log.slots.push(Slot::Record(at));
    }
}
