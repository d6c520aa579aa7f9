//! PostgreSQL and the pool of connections to it.

use super::{CLOSED_DATABASE, rule, series, with};
use crate::domain::diagnosis::{FindingRole, Guard, Rule};
use crate::domain::remedy::CurrentSettings;
use crate::domain::remedy::Operation::{DbConnections, DbLocks, DbSize, DbSlow, Health};
use crate::domain::remedy::Remedy::{self, Advise, Run};
use crate::domain::remedy::Tuning;

/// What builds the indexes, after what shows why.
fn indexes(first: Remedy) -> Vec<Remedy> {
    vec![first, Remedy::Tune(Tuning::BuildIndexes)]
}

/// Another pool, and what shows who holds connections.
fn pool(now: &CurrentSettings) -> Vec<Remedy> {
    with(Tuning::larger_pool(now), &[Run(DbConnections)])
}

/// Everything that a slow statement drags along.
const SLOW_DATABASE: &[&str] = &[
    "db-query-time",
    "db-pool-wait",
    "db-pool-used",
    "db-connections",
    "kafka-lag",
    "kafka-consumption",
    "http-latency",
    "http-errors",
    "service-queueing",
    "requests-shed",
    "throughput-flat",
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        cause: "sessions wait for locks held by others",
        explanation: "A statement that waits for a lock does no work and keeps its connection. The holder is often an open transaction of a person or a job, not of the service.",
        remedies: |_| vec![Run(DbLocks), Advise("terminate the holder, or keep its transactions short")],
        input: "lock_waiters",
        bound: "lock_waiters",
        series: series("lock_waiters", "lock_waiters"),
        explains: &[
            "db-slow-statement",
            "db-query-time",
            "db-pool-wait",
            "db-pool-used",
            "db-connections",
            "db-network",
            "kafka-lag",
            "kafka-consumption",
            "worker-bound",
            "worker-uneven",
            "http-latency",
            "http-errors",
            "service-queueing",
            "requests-shed",
            "littles-law",
            "throughput-flat",
        ],
        ..rule("db-locks", FindingRole::Cause, 1.0)
    },
    Rule {
        cause: "reads scan the whole notifications table: an index is missing",
        explanation: "A scan reads every row whatever it returns, so each read gets slower as the table grows, and CPU is spent on rows nobody asked for.",
        remedies: |_| vec![Remedy::Tune(Tuning::BuildIndexes)],
        input: "rows_per_sequential_scan",
        bound: "scan_rows",
        explains: &[
            "db-slow-statement",
            "db-query-time",
            "db-cpu",
            "db-io",
            "db-pool-wait",
            "db-pool-used",
            "db-connections",
            "db-network",
            "machine-cpu",
            "kafka-lag",
            "kafka-consumption",
            "worker-bound",
            "http-latency",
            "http-errors",
            "service-queueing",
            "requests-shed",
            "cache-slow",
            "kafka-publish-slow",
            "throughput-flat",
        ],
        ..rule("db-sequential-scans", FindingRole::Cause, 0.95)
    },
    Rule {
        cause: "a statement is slow",
        explanation: "A statement whose mean time is high holds a connection that long; the others wait for it \
            in the pool.",
        remedies: |_| indexes(Run(DbSlow)),
        input: "slowest_statement_ms",
        bound: "statement_ms",
        explains: SLOW_DATABASE,
        timed: true,
        ..rule("db-slow-statement", FindingRole::Cause, 0.85)
    },
    Rule {
        cause: "the network between the service and PostgreSQL is slow",
        explanation: "The service waits for an answer much longer than PostgreSQL takes. The difference is spent in between: network latency, a proxy, TLS, or a service that lacks the CPU to read the answer.",
        remedies: |_| vec![Run(Health), Advise("move the service and PostgreSQL closer together")],
        input: "db_network_ms",
        bound: "db_network_ms",
        explains: SLOW_DATABASE,
        timed: true,
        ..rule("db-network", FindingRole::Cause, 0.9)
    },
    Rule {
        cause: "requests wait for a pooled connection",
        explanation: "When all connections are in use, requests queue for one although the database may be \
            idle. The wait for a connection is compared with the time of the queries themselves.",
        remedies: pool,
        input: "pool_wait_share",
        bound: "pool_wait_share",
        guards: &[Guard { input: "pool_wait_mean_ms", bound: "pool_wait_ms", at_least: false }],
        series: series("pool_wait_ms", "pool_wait_ms"),
        explains: &[
            "db-pool-used",
            "http-latency",
            "http-errors",
            "kafka-lag",
            "kafka-consumption",
            "worker-bound",
            "worker-uneven",
            "requests-shed",
            "service-queueing",
            "throughput-flat",
        ],
        ..rule("db-pool-wait", FindingRole::Cause, 0.9)
    },
    Rule {
        cause: "the connection pool is nearly exhausted",
        explanation: "Most connections in use at once in any process, over the size of its pool. Near one, the \
            next burst waits.",
        remedies: pool,
        input: "pool_used_share",
        bound: "pool_share",
        series: series("pool_used_share", "pool_share"),
        ..rule("db-pool-used", FindingRole::Symptom, 0.3)
    },
    Rule {
        cause: "PostgreSQL is nearly out of connections",
        explanation: "Connections of all clients together, over those that it admits: max_connections, less \
            what it reserves for superusers where the service is none. The one after the last is refused, and \
            a refusal counts as all of them held.",
        remedies: |now| {
            with(
                Tuning::smaller_pool(now),
                &[Run(DbConnections), Advise("fewer replicas, or a higher max_connections")],
            )
        },
        input: "connections_share",
        bound: "connections_share",
        explains: CLOSED_DATABASE,
        ..rule("db-connections", FindingRole::Cause, 0.95)
    },
    Rule {
        cause: "PostgreSQL waits for the disk",
        explanation: "Share of statement time that went into reading blocks that were not in memory.",
        remedies: |_| vec![Run(DbSize), Advise("more shared_buffers, or more memory")],
        input: "db_io_share",
        bound: "db_io_share",
        guards: &[Guard { input: "query_mean_ms", bound: "query_mean_ms", at_least: false }],
        explains: SLOW_DATABASE,
        ..rule("db-io", FindingRole::Cause, 0.75)
    },
    Rule {
        cause: "PostgreSQL saturates the machine's CPU",
        explanation: "CPU of the server and its backends, of all cores.",
        remedies: |_| indexes(Run(DbSlow)),
        input: "db_cpu_pct",
        bound: "db_cpu_pct",
        explains: &["db-query-time", "machine-cpu", "http-latency", "db-pool-wait", "throughput-flat"],
        ..rule("db-cpu", FindingRole::Cause, 0.65)
    },
    Rule {
        cause: "queries take long",
        explanation: "95th percentile of the service's own histogram of query time, waits for locks included.",
        remedies: |_| vec![Run(DbSlow), Run(DbLocks)],
        input: "query_p95_ms",
        bound: "query_p95_ms",
        series: series("query_p95_ms", "query_p95_ms"),
        explains: &["http-latency", "kafka-lag", "kafka-consumption", "worker-bound", "throughput-flat"],
        timed: true,
        ..rule("db-query-time", FindingRole::Symptom, 0.6)
    },
];
