//! What is used up, or admits nobody: limits of the machine, and parts that do not answer.

use super::{CLOSED_DATABASE, rule};
use crate::domain::diagnosis::{FindingRole, Rule};
use crate::domain::remedy::Operation::{CacheStats, DbSize, Health, Parts, Stats};
use crate::domain::remedy::Remedy::{Advise, Run};

/// Everything that a full disk, or a machine without files or processes, drags along.
const CLOSED_MACHINE: &[&str] = &[
    "db-connections",
    "db-unreachable",
    "cache-unreachable",
    "kafka-unreachable",
    "kafka-publish-slow",
    "kafka-lag",
    "kafka-consumption",
    "worker-bound",
    "http-latency",
    "http-errors",
    "requests-shed",
    "throughput-flat",
    "parts-restarted",
    "scrapes-missed",
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        cause: "the service is held back by a CPU limit",
        explanation: "The kernel stops a group of processes that has used up its quota for this period \
            (cpu.cfs_quota_us, docker --cpus, resources.limits.cpu). Everything it does takes longer then, \
            although the machine has CPU left.",
        remedies: |_| vec![Run(Stats), Advise("raise the limit")],
        input: "service_throttled_share",
        bound: "throttled_share",
        explains: &[
            "db-network",
            "db-query-time",
            "db-pool-wait",
            "db-pool-used",
            "cache-slow",
            "kafka-publish-slow",
            "kafka-lag",
            "kafka-consumption",
            "worker-bound",
            "worker-uneven",
            "http-latency",
            "http-errors",
            "service-cpu",
            "service-queueing",
            "scrapes-missed",
            "littles-law",
            "client-network",
            "requests-shed",
            "throughput-flat",
            "db-slow-statement",
            "provider-slow",
        ],
        ..rule("service-throttled", FindingRole::Cause, 1.0)
    },
    Rule {
        cause: "the disk under the data is full",
        explanation: "What is used of the file system that holds the stack's data. Without a place to write, \
            PostgreSQL and Kafka stop, and Redis keeps nothing.",
        remedies: |_| vec![Run(DbSize), Advise("free disk space, or move the data")],
        input: "disk_used_share",
        bound: "disk_share",
        explains: CLOSED_MACHINE,
        ..rule("disk-full", FindingRole::Cause, 1.0)
    },
    Rule {
        cause: "the machine has hardly an open file left",
        explanation: "Open files of the whole machine over fs.file-max, or those of one process over its \
            limit, the worse. A process without one accepts no connection.",
        remedies: |_| vec![Run(Stats), Advise("raise the limit of open files (ulimit -n, LimitNOFILE)")],
        input: "open_files_share",
        bound: "files_share",
        explains: CLOSED_MACHINE,
        ..rule("files-exhausted", FindingRole::Cause, 1.0)
    },
    Rule {
        cause: "the machine has hardly a process left",
        explanation: "Processes and threads over what the kernel, or the control group, allows. PostgreSQL \
            makes a process for each connection.",
        remedies: |_| vec![Run(Stats), Advise("end what else runs, or raise pids.max and kernel.pid_max")],
        input: "processes_share",
        bound: "processes_share",
        explains: CLOSED_MACHINE,
        ..rule("processes-exhausted", FindingRole::Cause, 1.0)
    },
    Rule {
        cause: "PostgreSQL does not answer",
        explanation: "Share of the seconds in which it answered nsys neither over a kept connection nor over a \
            new one.",
        remedies: |_| vec![Run(Health), Run(Parts)],
        input: "postgres_unanswered_share",
        bound: "unanswered_share",
        explains: CLOSED_DATABASE,
        ..rule("db-unreachable", FindingRole::Cause, 0.95)
    },
    Rule {
        cause: "Redis has hardly a client left to admit",
        explanation: "Connected clients over maxclients. The one after the last is refused.",
        remedies: |_| vec![Run(CacheStats), Advise("end idle clients, or raise maxclients of Redis")],
        input: "redis_clients_share",
        bound: "connections_share",
        explains: &["cache-unreachable", "cache-slow", "cache-misses", "http-latency", "http-errors"],
        ..rule("cache-clients", FindingRole::Cause, 0.95)
    },
    Rule {
        cause: "Redis does not answer",
        explanation: "Share of the seconds in which it answered nsys neither over a kept connection nor over a \
            new one.",
        remedies: |_| vec![Run(Health), Run(Parts)],
        input: "redis_unanswered_share",
        bound: "unanswered_share",
        explains: &["cache-slow", "cache-misses", "http-latency", "http-errors", "db-query-time"],
        ..rule("cache-unreachable", FindingRole::Cause, 0.95)
    },
    Rule {
        cause: "the broker does not answer",
        explanation: "Whether it told its offsets at the beginning and at the end of the window. One that \
            admits no more connections, or whose disk is full, tells nothing.",
        remedies: |_| vec![Run(Health), Run(Parts)],
        input: "kafka_unanswered_share",
        bound: "unanswered_share",
        explains: &[
            "kafka-publish-slow",
            "kafka-lag",
            "kafka-consumption",
            "worker-bound",
            "http-latency",
            "http-errors",
            "requests-shed",
            "throughput-flat",
        ],
        ..rule("kafka-unreachable", FindingRole::Cause, 0.95)
    },
];
