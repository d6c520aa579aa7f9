//! Disks that are full: the one of the state directory, where the log lies, and the one of the table.

use super::{Load, healthy, reconcile};
use crate::client::{Client, PATIENCE};
use crate::support::{Place, text};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).status().is_ok_and(|status| status.success())
}

/// A small file system in memory; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this is not allowed.
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let options = format!("size={size},mode=0755");
        let mounted = rustix::process::geteuid().is_root()
            && run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", at.to_str().unwrap()]);
        mounted.then_some(Self(at))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Takes all the space that is left; what comes free later is taken by the next call.
    fn fill(&self) {
        let mut file = std::fs::File::options().create(true).append(true).open(self.ballast()).unwrap();
        // In ever smaller pieces, to the last byte.
        for size in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn relieve(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
        let _ = std::fs::remove_dir_all(&self.0);
        // The place could not remove what was mounted in it.
        let _ = self.0.parent().map(std::fs::remove_dir);
    }
}

/// A stack on a small disk. The stack goes before the disk.
struct Small {
    place: Place,
    disk: Disk,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_loses_nothing() {
    let place = Place::new();
    let Some(disk) = Disk::mount(place.dir.path().join("state"), "512m") else {
        eprintln!("left out: file systems are mounted by root only");
        return;
    };
    let small = Small { place, disk };
    let config = "[stack]\nrestart_limit = 100\n[service]\nrequest_timeout = \"60s\"\n";
    std::fs::write(small.place.dir.path().join("config.toml"), config).unwrap();
    let output = small.place.run(&["up"]);
    assert!(output.status.success(), "{}", text(&output));
    let client = Arc::new(Client::of(&small.place).await);
    the_table_has_no_room(&client, &small.place).await;
    the_log_has_no_room(&client, &small).await;
}

/// The workers cannot store: accepting goes on, nothing becomes a dead letter, and all is stored later.
async fn the_table_has_no_room(client: &Arc<Client>, place: &Place) {
    let Some(disk) = Disk::mount(place.dir.path().join("table"), "24m") else { return };
    for part in disk.0.ancestors().skip(1).take_while(|part| part.starts_with(std::env::temp_dir())) {
        run("chmod", &["o+x", part.to_str().unwrap()]);
    }
    let space = disk.0.join("space");
    std::fs::create_dir(&space).unwrap();
    assert!(run("chown", &["postgres", space.to_str().unwrap()]));
    client.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", space.display())).await;
    client.execute("ALTER TABLE notifications SET TABLESPACE small").await;
    disk.fill();
    let load = Load::start(client, 4, "full-table");
    let deadline = Instant::now() + PATIENCE;
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
    let broken = seen.broken.lock().unwrap().clone();
    assert!(broken.is_empty(), "{broken:?}");
    client.execute("ALTER TABLE notifications SET TABLESPACE pg_default").await;
    client.execute("DROP TABLESPACE small").await;
}

/// Whether a part's log says this.
fn refused(place: &Place, part: &str, words: &str) -> bool {
    let log = place.dir.path().join("state/test/logs").join(format!("{part}.log"));
    std::fs::read(log).is_ok_and(|text| String::from_utf8_lossy(&text).contains(words))
}

/// The log cannot take anything: 503, nothing else, and with room again it goes on by itself.
async fn the_log_has_no_room(client: &Arc<Client>, small: &Small) {
    let load = Load::start(client, 4, "full-log");
    load.lasts().await;
    small.disk.fill();
    let deadline = Instant::now() + PATIENCE;
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
    let broken = seen.broken.lock().unwrap().clone();
    assert!(broken.is_empty(), "answers that are no refusal: {:?}", &broken[..broken.len().min(3)]);
    reconcile(client, &seen, "full-log").await;
}
