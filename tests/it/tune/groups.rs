//! Groups of every type, as nsys tells of them while they consume.

use super::lag::{TIMEOUT, create, produce};
use super::*;
use nsys::clients::kafka::{Brokers, Monitor};
use nsys::domain::group::GroupType;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use serde_json::Value;
use std::time::Instant;

const TOPIC: &str = "group-types";

fn group(place: &Place, name: &str) -> Value {
    let groups = place.json(&["kafka", "groups"]);
    groups["groups"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned().unwrap_or_default()
}

fn partitions(lag: &Value) -> Vec<Value> {
    let of = |topic: &Value| topic["partitions"].as_array().unwrap().clone();
    lag["topics"].as_array().unwrap().iter().flat_map(of).collect()
}

pub(super) fn of_every_type_are_told(place: &Place) {
    create(place, TOPIC, 2);
    produce(place, TOPIC, &[(0, 12), (1, 8)]);
    of_the_consumer_protocol(place);
    that_share(place);
}

fn of_the_consumer_protocol(place: &Place) {
    let name = "types-consumer";
    let consumer: BaseConsumer = client(place)
        .set("group.id", name)
        .set("group.protocol", "consumer")
        .set("client.id", "reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[TOPIC]).unwrap();
    let mut read = 0;
    wait_polling(&consumer, || consumer.assignment().unwrap().count() == 2, &mut read);

    // Before its first commit: it is there, and owns what it owns.
    let lag = place.json(&["lag", "--group", name]);
    assert_eq!(
        (&lag["type"], &lag["state"], &lag["members"]),
        (&"consumer".into(), &"Stable".into(), &1.into())
    );
    let found = partitions(&lag);
    assert!(found.len() == 2 && found.iter().all(|one| one["owner"] == "reader"), "{lag}");
    let listed = group(place, name);
    assert_eq!((&listed["type"], &listed["state"]), (&"consumer".into(), &"Stable".into()), "{listed}");
    assert_eq!(listed["members"][0]["owns"][0][1].as_array().map(Vec::len), Some(2), "{listed}");
    let sample = watched(place, name);
    assert_eq!((sample.kind, sample.members, sample.state.as_str()), (GroupType::Consumer, 1, "Stable"));

    wait_polling(&consumer, || false, &mut read);
    assert_eq!(read, 20);
    consumer.commit_consumer_state(CommitMode::Sync).unwrap();
    let lag = place.json(&["lag", "--group", name]);
    assert_eq!(lag["total_lag"], 0, "{lag}");
    assert!(
        partitions(&lag).iter().all(|one| one["status"] == "caught_up" && one["committed"] == one["end"])
    );

    // Its members gone, it is empty and no other group.
    drop(consumer);
    wait(|| group(place, name)["state"] == "Empty", "the group is not empty");
    let lag = place.json(&["lag", "--group", name]);
    assert_eq!((&lag["type"], &lag["members"]), (&"consumer".into(), &0.into()), "{lag}");
    assert!(refused(place, &["lag", "--group", "types-never"], 2).contains("there is no consumer group"));
}

/// Polls until it is so, or until all of the topic was read.
fn wait_polling(consumer: &BaseConsumer, done: impl Fn() -> bool, read: &mut usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() && *read < 20 {
        assert!(Instant::now() < deadline, "the consumer does not read");
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            message.unwrap();
            *read += 1;
        }
    }
}

fn watched(place: &Place, name: &str) -> nsys::domain::lag::tracker::GroupSample {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let brokers = Brokers::open(format!("127.0.0.1:{}", 9_092 + place.offset));
    let (_, samples) = runtime.block_on(Monitor::new(brokers, name).sample(TIMEOUT));
    samples.unwrap().swap_remove(0)
}

/// A consumer of the distribution, ended when it goes.
struct ShareConsumer(Child);

impl Drop for ShareConsumer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn that_share(place: &Place) {
    let name = "types-share";
    let server = format!("127.0.0.1:{}", 9_092 + place.offset);
    let consumer = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
        .arg(format!("{}/*", nsys::stack::setup::jars_dir().display()))
        .args(["org.apache.kafka.tools.consumer.ConsoleShareConsumer", "--bootstrap-server", &server])
        .args(["--topic", TOPIC, "--group", name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let consumer = ShareConsumer(consumer);
    let begun = || {
        // It reads what comes from now on, and only what it has read says where it began.
        produce(place, TOPIC, &[(0, 1), (1, 1)]);
        let lag = place.run(&["lag", "--group", name, "-o", "json"]);
        let lag: Value = serde_json::from_slice(&lag.stdout).unwrap_or_default();
        let of = |topic: &Value| topic["partitions"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = lag["topics"].as_array().into_iter().flatten().flat_map(of).collect();
        found.len() == 2 && found.iter().all(|one| one["committed"].is_i64())
    };
    wait(begun, "the share group has not begun");
    let lag = place.json(&["lag", "--group", name]);
    assert_eq!(
        (&lag["type"], &lag["state"], &lag["members"]),
        (&"share".into(), &"Stable".into(), &1.into())
    );
    assert!(partitions(&lag).iter().all(|one| one["owner"].is_string()), "{lag}");
    let sample = watched(place, name);
    assert_eq!(
        (sample.kind, sample.members, sample.partitions.len()),
        (GroupType::Share, 1, 2),
        "{sample:?}"
    );
    assert_eq!(group(place, name)["type"], "share");

    produce(place, TOPIC, &[(0, 3), (1, 4)]);
    wait(|| place.json(&["lag", "--group", name])["total_lag"] == 0, "what was read is not acknowledged");
    drop(consumer);
    produce(place, TOPIC, &[(0, 5)]);
    let lag = place.json(&["lag", "--group", name]);
    let waits: Vec<_> = partitions(&lag).iter().map(|one| one["lag"].as_i64()).collect();
    assert_eq!(waits, [Some(5), Some(0)], "{lag}");
}
