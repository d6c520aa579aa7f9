//! Lag, value for value against the broker's own tool, on topologies made at random.

use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;

pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// What the tool says of a partition: committed, end, lag.
type Row = (Option<i64>, Option<i64>, Option<i64>);

fn theirs(place: &Place) -> BTreeMap<(String, String, i64), Row> {
    let jars = nsys::stack::setup::jars_dir();
    let output = Command::new("java")
        .arg("-cp")
        .arg(format!("{}/*", jars.display()))
        .arg("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand")
        .args([
            "--bootstrap-server",
            &format!("127.0.0.1:{}", 9_092 + place.offset),
            "--describe",
            "--all-groups",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let number = |text: &str| text.parse::<i64>().ok();
    let row = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let partition = number(fields.get(2)?)?;
        let values = (number(fields[3]), number(fields[4]), number(fields[5]));
        Some(((fields[0].to_owned(), fields[1].to_owned(), partition), values))
    };
    let rows: BTreeMap<_, _> = said.lines().filter_map(row).collect();
    assert!(!rows.is_empty(), "{}", text(&output));
    rows
}

fn ours(place: &Place, group: &str) -> BTreeMap<(String, i64), Row> {
    let lag = place.json(&["lag", "--group", group]);
    let mut rows = BTreeMap::new();
    for topic in lag["topics"].as_array().unwrap() {
        for one in topic["partitions"].as_array().unwrap() {
            let name = topic["topic"].as_str().unwrap().to_owned();
            // The tool takes for waiting what is no longer kept, and the control records of transactions.
            let (mut lag, lost) = (one["lag"].as_i64(), one["lost"].as_i64());
            if topic["topic"] == MARKERS {
                assert_eq!((&one["lag"], &one["status"]), (&0.into(), &"caught_up".into()), "{one}");
                lag = one["end"].as_i64().zip(one["committed"].as_i64()).map(|(end, at)| end - at);
            }
            let values =
                (one["committed"].as_i64(), one["end"].as_i64(), lag.zip(lost).map(|(lag, lost)| lag + lost));
            rows.insert((name, one["partition"].as_i64().unwrap()), values);
            if one["lag"].as_i64().is_some_and(|lag| lag > 0) {
                assert!(one["lag_seconds"].as_f64().is_some_and(|age| age >= 0.0), "no age: {one}");
            }
        }
    }
    rows
}

/// Behind the last commit of this topic lies nothing but the marker of a transaction.
const MARKERS: &str = "random-markers";

pub(super) fn is_that_of_the_brokers_own_tool(place: &Place) {
    let seed = u64::from(std::process::id());
    let mut random = StdRng::seed_from_u64(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let admin: AdminClient<DefaultClientContext> = client(place).create().unwrap();
    let topics: Vec<(String, i32)> =
        (0..3).map(|number| (format!("random-{number}"), random.random_range(1..8))).collect();
    let mut new: Vec<_> =
        topics.iter().map(|(name, count)| NewTopic::new(name, *count, TopicReplication::Fixed(1))).collect();
    new.push(NewTopic::new("random-markers", 1, TopicReplication::Fixed(1)));
    runtime.block_on(admin.create_topics(&new, &AdminOptions::new())).unwrap();

    let producer: BaseProducer = client(place).create().unwrap();
    for (name, count) in &topics {
        for partition in 0..*count {
            for number in 0..random.random_range(0..40) {
                let value = format!("{number}");
                producer.send(BaseRecord::<str, _>::to(name).partition(partition).payload(&value)).unwrap();
            }
        }
    }
    producer.flush(TIMEOUT).unwrap();
    marked(place);

    // Gaps: the beginning of some logs is deleted, also below what was committed.
    let mut groups = Vec::new();
    for number in 0..3 {
        let group = format!("random-group-{number}");
        commit(place, &group, &topics, &mut random);
        groups.push(group);
    }
    commit_at(place, "random-group-markers", &[("random-markers".to_owned(), 0, 1)]);
    groups.push("random-group-markers".to_owned());
    let mut cut = TopicPartitionList::new();
    cut.add_partition_offset(&topics[0].0, 0, Offset::End).unwrap();
    runtime.block_on(admin.delete_records(&cut, &AdminOptions::new())).unwrap();

    let theirs = theirs(place);
    for group in &groups {
        let ours = ours(place, group);
        let mut compared = 0;
        for ((of, topic, partition), values) in &theirs {
            if of == group {
                assert_eq!(
                    ours.get(&(topic.clone(), *partition)),
                    Some(values),
                    "{group} {topic}-{partition}, seed {seed}"
                );
                compared += 1;
            }
        }
        assert!(compared > 0, "the tool shows nothing of {group}: {theirs:?}");
        let unreported =
            ours.iter().filter(|(at, _)| !theirs.contains_key(&(group.clone(), at.0.clone(), at.1)));
        for (at, values) in unreported {
            assert_eq!(values.0, None, "{group} {at:?}: the tool knows of no commit");
        }
    }
    assert!(
        refused(place, &["lag", "--group", "never-was"], 2).contains("there is no consumer group never-was")
    );

    // Of a log that was emptied nothing waits, whatever was committed.
    let cut = place.json(&["lag", "--group", &groups[0]]);
    let emptied = cut["topics"].as_array().unwrap().iter().find(|one| one["topic"] == "random-0").unwrap();
    let first = &emptied["partitions"][0];
    assert_eq!((&first["lag"], &first["lost"]), (&0.into(), &first["end"]), "committed at 0: {first}");
    beyond(place);

    // A topic that goes away is not of the group any more.
    let names: Vec<_> = topics.iter().map(|(name, _)| name.as_str()).collect();
    runtime.block_on(admin.delete_topics(&names[1..2], &AdminOptions::new())).unwrap();
    wait(
        || !ours(place, &groups[0]).keys().any(|(topic, _)| topic == names[1]),
        "a deleted topic is still shown",
    );
    runtime
        .block_on(admin.delete_topics(&["random-0", "random-2", "random-markers"], &AdminOptions::new()))
        .unwrap();
}

pub(super) fn create(place: &Place, topic: &str, partitions: i32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let admin: AdminClient<DefaultClientContext> = client(place).create().unwrap();
    let new = [NewTopic::new(topic, partitions, TopicReplication::Fixed(1))];
    runtime.block_on(admin.create_topics(&new, &AdminOptions::new())).unwrap();
}

/// So many records on each of these partitions.
pub(super) fn produce(place: &Place, topic: &str, counts: &[(i32, usize)]) {
    let producer: BaseProducer = client(place).create().unwrap();
    for (partition, count) in counts {
        for _ in 0..*count {
            producer.send(BaseRecord::<str, str>::to(topic).partition(*partition).payload("x")).unwrap();
        }
    }
    producer.flush(TIMEOUT).unwrap();
}

/// A commit that is one of another log.
fn beyond(place: &Place) {
    let consumer: BaseConsumer = client(place).set("group.id", "random-group-beyond").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("random-markers", 0, Offset::Offset(71)).unwrap();
    consumer.commit(&list, CommitMode::Sync).unwrap();
    let lag = place.json(&["lag", "--group", "random-group-beyond"]);
    let one = &lag["topics"][0]["partitions"][0];
    assert_eq!((&one["status"], &one["beyond_end"]), (&"beyond_end".into(), &69.into()), "{lag}");
    assert!(one["lag"].is_null() && one["lag_seconds"].is_null(), "{lag}");
}

/// One record and the marker of its transaction behind it.
fn marked(place: &Place) {
    let producer: BaseProducer = client(place).set("transactional.id", "test-markers").create().unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<str, str>::to("random-markers").partition(0).payload("x")).unwrap();
    producer.commit_transaction(TIMEOUT).unwrap();
}

/// Commits at random on a random part of the partitions.
fn commit(place: &Place, group: &str, topics: &[(String, i32)], random: &mut StdRng) {
    let mut offsets = vec![(topics[0].0.clone(), 0, 0)];
    for (name, count) in topics {
        for partition in 0..*count {
            if random.random_bool(0.6) {
                offsets.push((name.clone(), partition, random.random_range(0..15)));
            }
        }
    }
    commit_at(place, group, &offsets);
}

fn commit_at(place: &Place, group: &str, offsets: &[(String, i32, i64)]) {
    let consumer: BaseConsumer = client(place).set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in offsets {
        if list.find_partition(topic, *partition).is_none() {
            // Nobody commits beyond the end.
            let (_, end) = consumer.fetch_watermarks(topic, *partition, TIMEOUT).unwrap();
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset.min(&end))).unwrap();
        }
    }
    consumer.commit(&list, CommitMode::Sync).unwrap();
}
