//! Parts are killed, stopped and starved under load; then everything acknowledged is looked for.
//!
//! `make chaos` runs more and longer rounds: `CHAOS_ROUNDS` and `CHAOS_SEED` are for that.

// The seed and what was killed are needed to repeat a failure.
#![allow(clippy::print_stderr)]

mod callers;
mod clock;
mod disk;
mod retention;

use crate::client::{Client, TIMEOUT};
use crate::support::{Place, kill_9, text};
use serde_json::json;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Between two requests of a client. The load is there to be cut into, not to fill the machine: a part
/// that comes back has to get its turn.
const PAUSE: Duration = Duration::from_millis(25);

/// What the clients saw.
#[derive(Default)]
struct Seen {
    acknowledged: Mutex<HashSet<String>>,
    refused: AtomicU64,
    /// Answers 500 and above other than 503.
    broken: Mutex<Vec<String>>,
}

impl Seen {
    /// Whatever happened, every answer was a yes or a "not now".
    fn only_refusals(&self, what: &str) {
        let broken = self.broken.lock().unwrap();
        assert!(
            broken.is_empty(),
            "{what}: answers that are no refusal: {:?}",
            &broken[..broken.len().min(3)]
        );
    }
}

/// Clients that send until told to stop.
struct Load {
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(client: &Arc<Client>, clients: usize, marker: &'static str) -> Self {
        let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let one = |number: usize| {
            let (client, seen, stop) = (Arc::clone(client), Arc::clone(&seen), Arc::clone(&stop));
            tokio::spawn(async move {
                for turn in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    send(&client, &seen, marker, number, turn).await;
                }
            })
        };
        Self { clients: (0..clients).map(one).collect(), seen, stop }
    }

    fn acknowledged(&self) -> usize {
        self.seen.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many were acknowledged that the rest proves something.
    async fn lasts(&self) {
        let deadline = Instant::now() + TIMEOUT;
        while self.acknowledged() < 100 {
            assert!(Instant::now() < deadline, "only {} were acknowledged", self.acknowledged());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn end(self) -> Arc<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        self.seen
    }
}

/// One notification, with a key every other time. Without an answer the same is sent again, as a
/// caller would.
async fn send(client: &Client, seen: &Seen, marker: &str, number: usize, turn: u64) {
    let channel = ["IN_APP", "EMAIL", "SMS", "PUSH"][usize::try_from(turn % 4).unwrap()];
    let mut body = json!({"userId": format!("user-{}", turn % 50), "channel": channel, "type": "SYSTEM",
        "payload": {"title": "t", "to": "a@example.org", "deviceToken": "d"}, "correlationId": marker});
    if turn.is_multiple_of(2) {
        body["idempotencyKey"] = json!(format!("{marker}-{number}-{turn}"));
    }
    for _ in 0..3 {
        match client.post("/notifications", &body).await {
            Ok(answer) if answer.status == 201 => {
                let id = answer.body["id"].as_str().unwrap().to_owned();
                seen.acknowledged.lock().unwrap().insert(id);
                tokio::time::sleep(PAUSE).await;
                return;
            }
            Ok(answer) if matches!(answer.status, 503 | 409) => {
                assert!(answer.retry_after.is_some(), "{answer:?}");
                seen.refused.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => seen.broken.lock().unwrap().push(format!("{answer:?}")),
            // The connection ended with its process.
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Everything acknowledged is stored once, final, with as many attempts as its count says.
async fn reconcile(client: &Client, seen: &Seen, marker: &str) {
    let acknowledged: Vec<String> = seen.acknowledged.lock().unwrap().iter().cloned().collect();
    assert!(acknowledged.len() > 50, "only {} were acknowledged: that proves nothing", acknowledged.len());
    let open = format!(
        "SELECT count(*) FROM notifications WHERE correlation_id = '{marker}'
         AND status NOT IN ('SENT', 'DELIVERED', 'FAILED', 'CANCELLED', 'EXPIRED')"
    );
    let missing = || async {
        let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM notifications WHERE id = ANY($1::uuid[])")
            .bind(acknowledged.iter().map(|id| id.parse::<uuid::Uuid>().unwrap()).collect::<Vec<_>>())
            .fetch_one(&mut client.database().await)
            .await
            .unwrap();
        acknowledged.len() as i64 - stored
    };
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let (missing, open) = (missing().await, client.ask(&open).await);
        if missing == 0 && open == "0" {
            break;
        }
        assert!(Instant::now() < deadline, "acknowledged, but lost: {missing}; never delivered: {open}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    // The attempts that are recorded are those that were counted: none twice, none missing.
    let uneven = format!(
        "SELECT count(*) FROM notifications n WHERE correlation_id = '{marker}' AND retry_count + 1 <> (
             SELECT count(*) FROM notification_attempts a WHERE a.notification_id = n.id)"
    );
    assert_eq!(client.ask(&uneven).await, "0", "attempts and their count differ");
    let doubled =
        "SELECT count(*) FROM (SELECT idempotency_key FROM notifications WHERE idempotency_key IS NOT NULL
         GROUP BY tenant_id, idempotency_key HAVING count(*) > 1) AS twice";
    assert_eq!(client.ask(doubled).await, "0", "a key stands for two notifications");
}

/// Waits until notifications are accepted and PostgreSQL takes connections.
async fn healthy(client: &Client) {
    let body = json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "t"}});
    let deadline = Instant::now() + 3 * TIMEOUT;
    loop {
        let answer = client.post("/notifications", &body).await;
        let accepted = answer.as_ref().is_ok_and(|answer| answer.status == 201);
        if accepted && client.try_database().await.is_ok() {
            return;
        }
        assert!(Instant::now() < deadline, "it does not recover: {answer:?}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// The process of a part, once it runs: it may be on its way back from the last kill.
fn running(place: &Place, part: &str) -> i32 {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(pid) = place.running(part) {
            return pid;
        }
        assert!(Instant::now() < deadline, "{part} does not come back: {}", place.json(&["ps"]));
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn signal(place: &Place, part: &str, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(place.pid(part)).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn rounds() -> usize {
    std::env::var("CHAOS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A number from the seed that is said when the test fails.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let given = std::env::var("CHAOS_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| jiff::Timestamp::now().as_microsecond().unsigned_abs());
        eprintln!("CHAOS_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        // Xorshift: enough to choose victims by.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// A stack on which this share of the deliveries fails, so that retries are under way whatever happens.
fn stack(failure_rate: f64, more: &str) -> Place {
    let place = Place::new();
    place.configure(&format!(
        "[channels]\nsimulated_failure_rate = {failure_rate}\nsimulated_latency = \"2ms\"\n\
         [worker]\nretry_base = \"200ms\"\nretry_max = \"1s\"\nlease = \"5s\"\nscheduler_interval = \"100ms\"\n{more}"
    ));
    place.ok(&["up"]);
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_whatever_is_killed() {
    let more = "[stack]\napp = 2\nworker = 2\nrestart_limit = 100\n[service]\nrequest_timeout = \"60s\"\n";
    let place = stack(0.1, more);
    let client = Arc::new(Client::of(&place).await);
    let mut chance = Chance::new();
    let load = Load::start(&client, 8, "kills");
    for _ in 0..rounds() {
        let mut victims = vec!["app-1", "worker-1", "kafka", "postgres", "redis", "app-2", "worker-2"];
        while !victims.is_empty() {
            let victim = victims.remove(chance.below(victims.len()));
            tokio::time::sleep(Duration::from_millis(500 + chance.below(2_000) as u64)).await;
            eprintln!("kill -9 {victim}");
            kill_9(running(&place, victim));
            // The supervisor brings it back, later every time; half of the time the next goes meanwhile.
            if chance.below(2) == 0 {
                healthy(&client).await;
            }
        }
        healthy(&client).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let seen = load.end().await;
    reconcile(&client, &seen, "kills").await;
    seen.only_refusals("kills");

    parts_that_hang(&client, &place).await;
    parts_that_are_slow(&client, &place).await;
    workers_that_come_and_go(&client, &place).await;
    connections_run_out(&client).await;
    a_restart_under_load_refuses_nobody(&client, &place).await;
}

/// A part that does not answer is worse than one that is gone.
async fn parts_that_hang(client: &Arc<Client>, place: &Place) {
    let (stop, cont) = (rustix::process::Signal::STOP, rustix::process::Signal::CONT);
    let body = json!({"userId": "u", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "t"}});

    signal(place, "kafka", stop);
    let asked = Instant::now();
    let answer = client.post("/notifications", &body).await.unwrap();
    signal(place, "kafka", cont);
    assert_eq!((answer.status, answer.retry_after.is_some()), (503, true), "{answer:?}");
    assert!(asked.elapsed() < Duration::from_secs(30), "it took {:?} to refuse", asked.elapsed());

    // Without PostgreSQL notifications are accepted, and delivered when it is back.
    healthy(client).await;
    signal(place, "postgres", stop);
    let id = client.notify(body.clone()).await;
    signal(place, "postgres", cont);
    client.until_status(&id, "DELIVERED").await;

    // Without Redis it is slower, not wrong.
    signal(place, "redis", stop);
    let id = client.notify(body).await;
    client.until_status(&id, "DELIVERED").await;
    signal(place, "redis", cont);
    healthy(client).await;
}

/// Parts that stand still most of the time. Nobody waits for ever, and nothing is answered but yes and
/// "not now".
async fn parts_that_are_slow(client: &Arc<Client>, place: &Place) {
    let (stop, cont) = (rustix::process::Signal::STOP, rustix::process::Signal::CONT);
    for (part, marker) in [("kafka", "slow-kafka"), ("redis", "slow-redis"), ("postgres", "slow-postgres")] {
        let load = Load::start(client, 4, marker);
        let deadline = Instant::now() + TIMEOUT;
        while load.acknowledged() < 100 && Instant::now() < deadline {
            signal(place, part, stop);
            tokio::time::sleep(Duration::from_millis(400)).await;
            signal(place, part, cont);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let seen = load.end().await;
        seen.only_refusals(marker);
        reconcile(client, &seen, marker).await;
    }
}

/// A rebalance storm: partitions change hands all the time.
async fn workers_that_come_and_go(client: &Arc<Client>, place: &Place) {
    let load = Load::start(client, 4, "rebalances");
    for count in [1, 3, 1, 2] {
        let output = place.run(&["scale", &format!("worker={count}")]);
        assert!(output.status.success(), "{}", text(&output));
    }
    let seen = load.end().await;
    reconcile(client, &seen, "rebalances").await;
}

/// Somebody else holds every connection PostgreSQL gives.
async fn connections_run_out(client: &Arc<Client>) {
    let mut held = Vec::new();
    while let Ok(connection) = client.try_database().await {
        held.push(connection);
    }
    assert!(held.len() > 50, "only {} connections were to be had", held.len());
    let load = Load::start(client, 4, "connections");
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(held);
    let seen = load.end().await;
    reconcile(client, &seen, "connections").await;
}

async fn a_restart_under_load_refuses_nobody(client: &Arc<Client>, place: &Place) {
    let load = Load::start(client, 4, "restarts");
    for part in ["app-1", "worker-1", "app-2"] {
        let output = place.run(&["restart", part]);
        assert!(output.status.success(), "{}", text(&output));
    }
    let seen = load.end().await;
    let (broken, refused) = (seen.broken.lock().unwrap().clone(), seen.refused.load(Ordering::Relaxed));
    assert!(broken.is_empty() && refused == 0, "{refused} refused, {broken:?}");
    reconcile(client, &seen, "restarts").await;
}
