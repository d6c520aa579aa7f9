//! The cache: flushed with care, and never where it cannot be.

use super::*;

pub(super) fn is_flushed_with_care(place: &Place) {
    let cli = |args: &[&str]| {
        let output = Command::new("redis-cli")
            .args(["-p", &(6_379 + place.offset).to_string()])
            .args(args)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    for key in ["notification:1", "user:1", "idempotency:-:k", "lease:x"] {
        cli(&["SET", key, "v"]);
    }
    place.ok(&["cache", "flush", "--yes"]);
    assert_eq!(cli(&["EXISTS", "notification:1", "user:1"]), "0");
    assert_eq!(cli(&["EXISTS", "idempotency:-:k", "lease:x"]), "2", "protected keys are gone");
    assert_eq!(place.json(&["cache", "keys"])["prefixes"]["lease:"], 1);
    assert!(place.ok(&["flush", "--all", "--yes"]).contains("not copies of rows"));
    assert_eq!(cli(&["DBSIZE"]), "0");

    // A replica of Redis takes no change, and says so before anything is removed.
    cli(&["SET", "notification:2", "v"]);
    cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let said = refused(place, &["cache", "flush", "--yes"], 4);
    cli(&["REPLICAOF", "NO", "ONE"]);
    assert!(said.contains("read only") || said.contains("READONLY"), "{said}");
    assert_eq!(cli(&["EXISTS", "notification:2"]), "1");
}

/// One node of a cluster would be flushed and the others not.
pub(super) fn of_a_cluster_is_refused(place: &Place) {
    let port = 16_379 + place.offset;
    let dir = place.dir.path().join("cluster");
    std::fs::create_dir_all(&dir).unwrap();
    let mut server = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--save", ""])
        .args(["--dir", dir.to_str().unwrap()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), "the cluster's node does not listen");
    let output = elsewhere(place, &["cache", "flush", "--yes"])
        .env("NSYS_CACHE__URL", format!("redis://127.0.0.1:{port}/0"))
        .output()
        .unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains("cluster"), "{}", text(&output));
}
