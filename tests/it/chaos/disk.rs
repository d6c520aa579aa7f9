//! Disks that are full: the one of the state directory, where the log lies, and the one of the table.

use super::{Load, healthy, reconcile};
use crate::client::{Client, TIMEOUT};
use crate::support::{Disk, Place, text};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A stack on a small disk. The stack goes before the disk.
struct Small {
    place: Place,
    disk: Disk,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_loses_nothing() {
    let place = Place::new();
    let Some(disk) = Disk::mount(place.dir.path().join("state"), "512m") else {
        eprintln!("left out: file systems are mounted by root only, and not in containers");
        return;
    };
    let small = Small { place, disk };
    let config = "[stack]\nrestart_limit = 100\n[service]\nrequest_timeout = \"60s\"\n";
    small.place.configure(config);
    small.place.ok(&["up"]);
    let client = Arc::new(Client::of(&small.place).await);
    the_table_has_no_room(&client, &small.place).await;
    the_log_has_no_room(&client, &small).await;
}

/// The workers cannot store: accepting goes on, nothing becomes a dead letter, and all is stored later.
async fn the_table_has_no_room(client: &Arc<Client>, place: &Place) {
    let Some(disk) = Disk::mount(place.dir.path().join("table"), "24m") else { return };
    let space = disk.for_tables();
    client.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", space.display())).await;
    client.execute("ALTER TABLE notifications SET TABLESPACE small").await;
    disk.fill();
    let load = Load::start(client, 4, "full-table");
    let deadline = Instant::now() + TIMEOUT;
    while !refused(place, "worker-1", "No space left on device") {
        assert!(Instant::now() < deadline, "the table never was full");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let body = json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "t"}});
    let id = client.notify(body).await;
    disk.relieve();
    client.until_status(&id, "DELIVERED").await;
    load.lasts().await;
    let seen = load.end().await;
    reconcile(client, &seen, "full-table").await;
    assert_eq!(client.ask("SELECT count(*) FROM dead_letters WHERE reason = 'undecodable'").await, "0");
    seen.only_refusals("full-table");
    client.execute("ALTER TABLE notifications SET TABLESPACE pg_default").await;
    client.execute("DROP TABLESPACE small").await;
}

/// Whether a part's log says this.
fn refused(place: &Place, part: &str, words: &str) -> bool {
    let log = place.state().join("logs").join(format!("{part}.log"));
    std::fs::read(log).is_ok_and(|text| String::from_utf8_lossy(&text).contains(words))
}

/// The log cannot take anything: 503, nothing else, and with room again it goes on by itself.
async fn the_log_has_no_room(client: &Arc<Client>, small: &Small) {
    let load = Load::start(client, 4, "full-log");
    load.lasts().await;
    small.disk.fill();
    let deadline = Instant::now() + TIMEOUT;
    while load.seen.refused.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        assert!(Instant::now() < deadline, "the log never was full");
        tokio::time::sleep(Duration::from_millis(200)).await;
        // Files are deleted too: what that gave back is taken again.
        small.disk.fill();
    }
    // nsys still says what is wrong.
    let health = small.place.run(&["health"]);
    assert!(!health.status.success(), "{}", text(&health));
    small.disk.relieve();
    healthy(client).await;
    let seen = load.end().await;
    seen.only_refusals("full-log");
    reconcile(client, &seen, "full-log").await;
}
