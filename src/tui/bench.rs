//! The dashboard without a terminal and without a stack: for benches, snapshots and pictures.

use super::state::State;
use super::update::{
    CacheSample, Call, Database, LevelDone, Load, MachineSample, PartSample, ServiceSample, Stamped, Update,
};
use super::view;
use crate::domain::cache::CacheStats;
use crate::domain::database::{Connections, TableSize};
use crate::domain::lag::PartitionLag;
use crate::domain::lag::tracker::{GroupSample, OwnedLag};
use crate::domain::live::{LiveStatement, Prefixes, TableUse, Totals};
use crate::domain::progress::{ClientSecond, RunProgress};
use nsys_contract::topics;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// A screen that nobody sees.
#[derive(Debug)]
pub struct Canvas {
    buffer: Buffer,
}

impl Canvas {
    /// An empty screen of this size.
    #[must_use]
    pub fn new(width: u16, height: u16) -> Self {
        Self { buffer: Buffer::empty(Rect::new(0, 0, width, height)) }
    }

    /// Draws one frame.
    pub fn draw(&mut self, state: &State, now_s: f64) {
        self.buffer.reset();
        let area = self.buffer.area;
        view::draw(state, now_s, area, &mut self.buffer);
    }

    /// What it shows, line by line.
    #[must_use]
    pub fn text(&self) -> String {
        let area = self.buffer.area;
        let line =
            |row: u16| (0..area.width).map(|column| self.buffer[(column, row)].symbol()).collect::<String>();
        (0..area.height).map(|row| line(row).trim_end().to_owned() + "\n").collect()
    }
}

/// The screen at a size as an SVG picture.
#[must_use]
pub fn picture(state: &State, now_s: f64, width: u16, height: u16) -> String {
    view::picture(state, now_s, width, height)
}

/// What a busy stack tells in one second: the same for the same second.
#[must_use]
pub fn second(at_s: f64, partitions: i32) -> Vec<Stamped> {
    let wave = (at_s / 20.0).sin();
    let rate = 1_200.0 + 300.0 * wave;
    let updates = [
        Update::Service(Ok(service(at_s, rate, wave))),
        Update::Lag(Ok(vec![group(at_s, partitions)])),
        Update::Db(Ok(database(at_s))),
        Update::Cache(Ok(cache(at_s))),
        Update::Stack(Ok(parts(at_s, wave))),
        Update::Load(Ok(Some(load(at_s)))),
        Update::Machine(Ok(MachineSample {
            cpu_pct: Some(71.0 + 10.0 * wave),
            memory_bytes: Some(9 << 30),
            memory_limit_bytes: Some(16 << 30),
        })),
        Update::Log { part: "app-1".into(), lines: vec![log_line(at_s)] },
        Update::Call(Call { command: "nsys ps -o json".into(), took_ms: 1.25, error: None }),
    ];
    updates.into_iter().map(|update| Stamped { at_s, update }).collect()
}

fn service(at_s: f64, rate: f64, wave: f64) -> ServiceSample {
    ServiceSample {
        window_s: Some(5.0),
        answers: [("app-1".to_owned(), true), ("worker-1".to_owned(), true)].into(),
        rate: Some(rate),
        p50_ms: Some(3.2 + wave),
        p95_ms: Some(if at_s as i64 % 90 == 0 { 140.0 } else { 12.3 + 4.0 * wave }),
        p99_ms: Some(48.0 + 20.0 * wave),
        errors: Some(0.0),
        published: Some(rate * 0.6),
        consumed: Some(rate * 0.6 - 5.0 * wave),
        query_p95_ms: Some(4.5 + wave),
        pool_active: Some(6.0),
        pool_size: Some(20.0),
        pool_wait_ms: Some(0.4),
        // Nothing was read in one second of sixty.
        hit_rate: (at_s as i64 % 60 != 0).then_some(0.82),
    }
}

fn group(at_s: f64, partitions: i32) -> GroupSample {
    let one = |partition: i32| {
        let end = 1_000_000 + (at_s as i64) * 240 + i64::from(partition);
        let behind = if partition == 0 { 1_234 } else { i64::from(partition % 7) * 3 };
        OwnedLag {
            lag: PartitionLag::new(topics::NOTIFICATIONS, partition, Some(end - behind), 0, end),
            owner: Some(format!("worker-{}", partition % 3 + 1)),
            oldest_s: None,
        }
    };
    GroupSample {
        group: topics::WORKER_GROUP.into(),
        state: "Stable".into(),
        members: 3,
        partitions: (0..partitions).map(one).collect(),
        ..GroupSample::default()
    }
}

fn database(at_s: f64) -> Database {
    let connections = |state: &str, connections: i64| Connections {
        application: "notification-service".into(),
        state: state.into(),
        connections,
    };
    let ran = at_s as i64;
    let statement = |(id, query, each, ms): (i64, &str, i64, f64)| LiveStatement {
        id,
        query: query.into(),
        calls: ran * each,
        total_ms: (ran * each) as f64 * ms,
        rows: ran * each,
    };
    Database {
        connections: vec![connections("idle", 14), connections("active", 6)],
        limit: 200,
        statements: [
            (1, "INSERT INTO notifications (id, user_id, channel, type, priority, status, payload) VALUES ($1, $2, $3, $4, $5, $6, $7)", 700, 0.35),
            (2, "SELECT * FROM notifications WHERE id = $1", 300, 0.08),
            (3, "SELECT * FROM notifications WHERE user_id = $1 AND status = $2 ORDER BY created_at DESC LIMIT $3", 120, 6.4),
        ]
        .map(statement)
        .into(),
        locks: Vec::new(),
        totals: Totals { commits: ran * 800, rollbacks: 0, hits: ran * 9_900, reads: ran * 100, deadlocks: 0 },
        tables: vec![TableUse {
            size: TableSize {
                table: "notifications".into(),
                total_bytes: 812 << 20,
                index_bytes: 301 << 20,
                live_rows: 2_345_678,
                dead_rows: 12_345,
                bloat_bytes: None,
                partition_of: None,
            },
            sequential_scans: 12,
            index_scans: 4_567_890,
        }],
        bytes: Some(901 << 20),
    }
}

fn cache(at_s: f64) -> CacheSample {
    let ran = at_s as u64;
    let counts = [("notification:", 18_200), ("idempotency:", 9_100), ("user:", 950)];
    CacheSample {
        stats: CacheStats {
            hits: ran * 820,
            misses: ran * 180,
            evicted: 0,
            expired: ran * 4,
            keys: 28_250,
            memory_bytes: 41 << 20,
            max_memory_bytes: 256 << 20,
            clients: 9,
            max_clients: 10_000,
            uptime_s: 7_200,
            commands: ran * 1_010,
        },
        prefixes: Some(Prefixes {
            at_s,
            seen: 28_250,
            sampled: false,
            counts: counts.map(|(prefix, count)| (prefix.to_owned(), count)).into(),
        }),
    }
}

fn parts(at_s: f64, wave: f64) -> Vec<PartSample> {
    let part = |(name, cpu, memory): (&str, f64, u64)| PartSample {
        name: name.into(),
        state: "running".into(),
        cpu_pct: Some(cpu + cpu * 0.3 * wave),
        memory_bytes: Some(memory << 20),
        disk_read_bytes: Some(at_s as u64 * 1_024),
        disk_write_bytes: Some(at_s as u64 * 65_536),
        network_bytes: None,
        restarts: u32::from(name == "worker-1"),
        started_s: Some(at_s - 3_725.0),
        last_exit: (name == "worker-1").then(|| "signal 9".to_owned()),
    };
    let all = [
        ("postgres", 31.0, 412),
        ("redis", 6.5, 52),
        ("kafka", 44.0, 1_130),
        ("prometheus", 2.1, 96),
        ("app-1", 61.0, 88),
        ("worker-1", 38.0, 71),
    ];
    all.map(part).into()
}

fn progress(at_s: f64) -> RunProgress {
    RunProgress {
        run: "incremental-20260102_030405".into(),
        level: 3,
        levels: 4,
        phase: "steady".into(),
        until_s: Some(at_s + 22.0),
        second: Some(ClientSecond {
            at_s,
            planned_rps: Some(1_250.0),
            rate_rps: Some(1_204.0),
            p50_ms: Some(4.1),
            p95_ms: Some(18.4),
            p99_ms: Some(71.0),
            errors_per_s: Some(0.0),
            not_started_per_s: Some(46.0),
            generator_cpu_pct: Some(22.0),
            generator_wait_pct: Some(12.0),
            machine_cpu_pct: Some(87.0),
        }),
        ..RunProgress::default()
    }
}

fn load(at_s: f64) -> Load {
    let done = |target: u32, achieved: f64, p95_ms: f64, verdict: &str| LevelDone {
        target: Some(target),
        achieved,
        p95_ms: Some(p95_ms),
        verdict: verdict.into(),
        p50_ms: Some(p95_ms / 3.0),
        p99_ms: Some(p95_ms * 2.0),
        error_rate: Some(0.0),
        not_started: Some(0),
        reasons: Vec::new(),
    };
    Load {
        run: "incremental-20260102_030405".into(),
        done: vec![done(100, 100.0, 6.1, "passed"), done(600, 599.8, 8.4, "passed")],
        target: Some(1_250),
        vus: Some(200),
        generator_cpu_pct: Some(22.0),
        progress: Some(Box::new(progress(at_s))),
    }
}

fn log_line(at_s: f64) -> String {
    format!(
        r#"{{"timestamp":"2026-01-02T03:04:{:02}.123456Z","level":"{}","fields":{{"message":"accepted","batch":{}}}}}"#,
        at_s as i64 % 60,
        if at_s as i64 % 17 == 0 { "WARN" } else { "INFO" },
        at_s as i64 % 100
    )
}
