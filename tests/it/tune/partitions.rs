//! More partitions: gates, a broker that dies half-way, a topic that goes away.

use super::*;
use crate::support::Terminal;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

pub(super) fn grow_and_never_shrink(place: &Place) {
    assert!(refused(place, &["tune", "kafka", "--partitions", "2", "--yes"], 4).contains("cannot take"));
    assert!(place.ok(&["tune", "kafka", "--partitions", "3", "--yes"]).contains("nothing to do"));
    place.ok(&["tune", "kafka", "--partitions", "5", "--yes"]);
    let lag = place.json(&["lag"]);
    let topic = lag["topics"].as_array().unwrap().iter().find(|one| one["topic"] == "notifications").unwrap();
    let partitions = topic["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 5);
    assert!(partitions.iter().all(|one| one["owner"].is_string() && one["lag_seconds"] == 0.0), "{lag}");
    assert!(partitions.iter().all(|one| one["committed"].is_i64()), "a partition without a commit: {lag}");
    assert!(refused(place, &["undo", "--yes"], 4).contains("cannot take"));
}

fn partitions_of(place: &Place, topic: &str) -> usize {
    let output = place.run(&["kafka", "topics", "-o", "json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let topics = found["topics"].as_array().cloned().unwrap_or_default();
    let one = topics.iter().find(|one| one["name"] == topic);
    one.and_then(|one| one["partitions"].as_u64()).map_or(0, |count| usize::try_from(count).unwrap())
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

pub(super) fn survive_a_broker_that_dies_half_way(place: &Place) {
    // Without a broker nothing is begun.
    let broker = place.pid("kafka");
    let mut typed = Terminal::new(place, &["tune", "kafka", "--partitions", "6"]);
    typed.wait_for(&format!("type {} to go on", place.name));
    signal(broker, rustix::process::Signal::STOP);
    typed.answer(&place.name);
    let (code, said) = typed.end();
    signal(broker, rustix::process::Signal::CONT);
    assert_eq!(code, 3, "{said}");
    wait(|| partitions_of(place, "notifications") == 5, "the broker did not come back with five partitions");

    // It dies after the partitions were made, while a worker that hangs leaves them without an owner.
    let worker = place.pid("worker-1");
    signal(worker, rustix::process::Signal::STOP);
    let child = place
        .command(&["tune", "kafka", "--partitions", "6", "--yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let change = std::thread::spawn(|| child.wait_with_output().unwrap());
    let are_made = || partitions_of(place, "notifications") == 6;
    wait(|| are_made() || change.is_finished(), "the partitions were not made");
    if are_made() {
        kill_9(place.pid("kafka"));
    }
    signal(worker, rustix::process::Signal::CONT);
    let output = change.join().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(place.ok(&["tune", "kafka", "--partitions", "6", "--yes"]).contains("nothing to do"));
}

pub(super) fn of_a_topic_that_is_gone(place: &Place) {
    let mut typed = Terminal::new(place, &["tune", "kafka", "--partitions", "9", "--force"]);
    typed.wait_for(&format!("type {} to go on", place.name));
    let admin: AdminClient<DefaultClientContext> = client(place).create().unwrap();
    let deleting = admin.delete_topics(&["notifications"], &AdminOptions::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(deleting).unwrap();
    wait(|| partitions_of(place, "notifications") == 0, "the topic is still there");
    typed.answer(&place.name);
    let (code, said) = typed.end();
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("there is no topic notifications"), "{said}");
    place.ok(&["up"]);
    assert_eq!(partitions_of(place, "notifications"), 6, "the tuned number of partitions is kept");
}
