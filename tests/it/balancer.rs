//! The shipped balancer before two replicas while PostgreSQL is away. Runs when NSYS_HAPROXY names the program
//! (`make test-balancer`).
//!
//! What is changed of the shipped configuration are ports and the name server: here "app" is a name of the test's
//! own, with one address of the loopback a replica, as the engine's name server has one a container.

use crate::client::{Client, TIMEOUT, http};
use crate::support::{Place, free_port, kill_9};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const REPLICAS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
/// Longer than the balancer takes to notice that a replica is not ready, many times over.
const OUTAGE: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn accepting_goes_on_through_the_balancer_without_postgresql() {
    let Some(haproxy) = std::env::var_os("NSYS_HAPROXY") else { return };
    let place = Place::new();
    // What ends stays ended, until the next `up`.
    place.configure("[stack]\nrestart_limit = 0\n");
    place.ok(&["up"]);
    let (api, metrics) = (3_000 + place.offset, 9_400 + place.offset);
    let _replicas = REPLICAS.map(|address| replica(&place, address, api, metrics));
    for address in REPLICAS {
        until(&format!("http://{address}:{metrics}/health/readiness"), "\"ok\"").await;
    }
    let (front, status) = (free_port(), free_port());
    let settings = settings(front, status, api, metrics, name_server());
    let file = place.dir.path().join("haproxy.cfg");
    std::fs::write(&file, settings).unwrap();
    let _balancer = Ended::start(Command::new(haproxy).arg("-db").arg("-f").arg(&file));
    let both = "\nhaproxy_backend_active_servers{proxy=\"app\"} 2\n";
    until(&format!("http://127.0.0.1:{status}/metrics"), both).await;
    let caller = Client::of(&place).await.through(front);
    // Until every replica knows who it is: whoever was verified lately may send.
    let mut acknowledged = 20;
    for number in 0..acknowledged {
        send(&caller, &format!("before, {number}")).await;
    }

    let frozen = Frozen::new(&place);
    acknowledged += sends_during_an_outage(&caller, "hangs").await;
    drop(frozen);
    until_stored(&caller, acknowledged).await;

    kill_9(place.pid("postgres"));
    acknowledged += sends_during_an_outage(&caller, "is gone").await;
    place.ok(&["up"]);
    until_stored(&caller, acknowledged).await;
}

/// A process that ends with the test.
struct Ended(Child);

impl Ended {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|cause| panic!("{command:?}: {cause}")))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One more replica of the API, at an address of its own.
fn replica(place: &Place, address: Ipv4Addr, api: u16, metrics: u16) -> Ended {
    let program = Path::new(env!("CARGO_BIN_EXE_nsys")).with_file_name("notification-service");
    let mut command = Command::new(program);
    command.current_dir(place.state()).args(["--config", "secrets/service.toml", "--role", "api"]);
    command.args([
        "--listen",
        &format!("{address}:{api}"),
        "--metrics-listen",
        &format!("{address}:{metrics}"),
    ]);
    Ended::start(&mut command)
}

/// The shipped settings for the ports of this test.
fn settings(front: u16, status: u16, api: u16, metrics: u16, names: u16) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose/haproxy/haproxy.cfg");
    let shipped = std::fs::read_to_string(path).unwrap();
    let changes = [
        ("    parse-resolv-conf\n", format!("    nameserver test 127.0.0.1:{names}\n")),
        ("    bind :3000\n", format!("    bind 127.0.0.1:{front}\n")),
        ("    bind :8404\n", format!("    bind 127.0.0.1:{status}\n")),
        (" app:3000 check port 9400 ", format!(" app:{api} check port {metrics} ")),
    ];
    changes.into_iter().fold(shipped, |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from:?} is not in the shipped settings once");
        text.replace(from, &to)
    })
}

/// A name server that knows one name: the replicas.
fn name_server() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut query = [0; 2_048];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            // Nobody waits for the answer to a query that is none.
            let _ = answer(&query[..length]).map(|answer| socket.send_to(&answer, from));
        }
    });
    port
}

/// The answer to a query (RFC 1035): the replicas' addresses, where IPv4 addresses are asked for.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    const HEAD: usize = 12;
    let name = query.get(HEAD..)?.iter().position(|byte| *byte == 0)?;
    let question = query.get(HEAD..HEAD + name + 5)?;
    let wants_v4 = question[name + 1..name + 3] == [0, 1];
    let found = if wants_v4 { &REPLICAS[..] } else { &[] };
    // The same id; an answer, without error; one question, so many answers.
    let mut bytes =
        [query.get(..2)?, &[0x81, 0x80, 0, 1, 0, u8::try_from(found.len()).ok()?, 0, 0, 0, 0]].concat();
    bytes.extend(question);
    for address in found {
        // The name of the question, an IPv4 address, for a second.
        bytes.extend([0xc0, u8::try_from(HEAD).ok()?, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        bytes.extend(address.octets());
    }
    Some(bytes)
}

/// Waits until an address answers with a text.
async fn until(url: &str, wanted: &str) {
    let client = http().timeout(Duration::from_secs(5)).build().unwrap();
    let deadline = Instant::now() + TIMEOUT;
    let mut said = String::new();
    while !said.contains(wanted) {
        assert!(Instant::now() < deadline, "{url} never says {wanted}: {said}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        if let Ok(answer) = client.get(url).send().await {
            said = answer.text().await.unwrap_or_default();
        }
    }
}

/// PostgreSQL with all its processes, standing still until this goes.
struct Frozen(Vec<Pid>);

impl Frozen {
    fn new(place: &Place) -> Self {
        let pid = place.pid("postgres");
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        let pids: Vec<_> = std::iter::once(pid).chain(children).filter_map(Pid::from_raw).collect();
        for pid in &pids {
            // A child may end meanwhile.
            let _ = kill_process(*pid, Signal::STOP);
        }
        Self(pids)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// Sends one notification, which has to be acknowledged.
async fn send(caller: &Client, title: &str) {
    let body =
        json!({"userId": "balanced", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": title}});
    let answer =
        caller.post("/notifications", &body).await.unwrap_or_else(|cause| panic!("{title}: {cause}"));
    assert_eq!(answer.status, 201, "{title}: {answer:?}");
}

async fn sends_during_an_outage(caller: &Client, how: &str) -> usize {
    let until = Instant::now() + OUTAGE;
    let mut sent = 0;
    while Instant::now() < until {
        send(caller, &format!("PostgreSQL {how}, {sent}")).await;
        sent += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sent
}

async fn until_stored(caller: &Client, acknowledged: usize) {
    let stored = "SELECT count(*) FROM notifications WHERE user_id = 'balanced'";
    caller.until(stored, &acknowledged.to_string()).await;
}
