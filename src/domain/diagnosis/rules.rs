//! The rules as data. What a rule means stands here; what its input is made of in `facts`.

use super::{FindingRole, Guard, Rule, RuleSeries};
use crate::domain::remedy::CurrentSettings;
use crate::domain::remedy::Operation::{
    CacheStats, DbConnections, DbLocks, DbSize, DbSlow, DeadLetters, Doctor, Health, Lag, LoadFindMax,
    LoadPlan, LoadSoak, Logs, LogsOfErrors, LogsOfWorkers, Parts, Profile, Restart, RestartWorkers,
    ShedReasons, Stats, StatsWatch, Trace,
};
use crate::domain::remedy::Remedy::{self, Advise, Run};
use crate::domain::remedy::Tuning;

/// What takes effect only while workers fall behind.
const BEHIND: Guard = Guard { input: "behind_s", bound: "behind_s", at_least: false };

const fn series(name: &'static str, bound: &'static str) -> Option<RuleSeries> {
    Some(RuleSeries { name, bound })
}

const fn rule(id: &'static str, role: FindingRole, weight: f64) -> Rule {
    Rule {
        id,
        role,
        weight,
        cause: "",
        explanation: "",
        remedies: |_| Vec::new(),
        input: "",
        bound: "",
        at_least: false,
        timed: false,
        guards: &[],
        series: None,
        explains: &[],
    }
}

/// A change where one helps, before what is there besides.
fn with(tuning: Option<Tuning>, others: &[Remedy]) -> Vec<Remedy> {
    tuning.map(Remedy::Tune).into_iter().chain(others.iter().cloned()).collect()
}

/// What builds the indexes, after what shows why.
fn indexes(first: Remedy) -> Vec<Remedy> {
    vec![first, Remedy::Tune(Tuning::BuildIndexes)]
}

/// Another pool, and what shows who holds connections.
fn pool(now: &CurrentSettings) -> Vec<Remedy> {
    with(Tuning::larger_pool(now), &[Run(DbConnections)])
}

/// More workers, or the partitions that they would need.
fn workers(now: &CurrentSettings) -> Vec<Remedy> {
    with(Tuning::faster_consumption(now), &[Run(Lag)])
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

/// Everything that a database which takes nobody in drags along.
const CLOSED_DATABASE: &[&str] = &[
    "db-query-time",
    "db-pool-wait",
    "db-pool-used",
    "db-network",
    "kafka-lag",
    "kafka-consumption",
    "worker-bound",
    "worker-uneven",
    "deliveries-late",
    "http-latency",
    "http-errors",
    "service-queueing",
    "requests-shed",
    "throughput-flat",
    "parts-restarted",
];

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

/// Everything that workers which fall behind drag along.
const BACKLOG: &[&str] = &["kafka-lag", "kafka-consumption", "worker-uneven", "worker-bound"];

/// Every rule, what explains most first.
pub static RULES: &[Rule] = &[
    Rule {
        cause: "the load generator, not the service, was the limit",
        explanation: "A generator that does not get the CPU it needs offers less than planned and measures its own delay as the service's. Such a level says nothing about the service.",
        remedies: |_| vec![Run(LoadPlan), Advise("give the generator more CPU, or offer less")],
        input: "generator_limited",
        bound: "generator_limited",
        ..rule("generator-limited", FindingRole::Measurement, 1.0)
    },
    Rule {
        cause: "other programs used the machine's CPU",
        explanation: "CPU used by neither the stack nor the generator was taken away from both. Latencies then describe the machine, not the service.",
        remedies: |_| vec![Advise("stop other programs, or run the load test on an idle machine")],
        input: "other_cpu_pct",
        bound: "other_cpu_pct",
        explains: &[
            "http-latency",
            "scrapes-missed",
            "littles-law",
            "service-queueing",
            "machine-cpu",
            "client-network",
        ],
        ..rule("machine-shared", FindingRole::Measurement, 0.8)
    },
    Rule {
        cause: "the service waits for a free CPU",
        explanation: "Time that its threads spend on the run queue before each time slice. Everything it does is delayed by that; latency bounds are raised accordingly.",
        remedies: |_| vec![Run(Stats), Advise("add cores, or run fewer programs on them")],
        input: "cpu_wait_ms",
        bound: "cpu_wait_ms",
        explains: &[
            "http-latency",
            "scrapes-missed",
            "littles-law",
            "service-queueing",
            "client-network",
            "throughput-flat",
        ],
        ..rule("cpu-queueing", FindingRole::Measurement, 0.7)
    },
    Rule {
        cause: "the measurement contradicts itself: requests in progress are not rate times answer time",
        explanation: "Little's law holds for every stable system: requests in progress = rate × answer time. \
            When the service's own three numbers break it, one of them is wrong or the level was not stable.",
        remedies: |_| vec![Advise("repeat the level with a longer steady window")],
        input: "little_error",
        bound: "little_error",
        ..rule("littles-law", FindingRole::Measurement, 0.5)
    },
    Rule {
        cause: "Prometheus missed scrapes",
        explanation: "A rate over a window with holes is an estimate. A replica that was restarted or starved \
            does not answer its scrape in time.",
        remedies: |_| vec![Run(Doctor)],
        input: "scraped_share",
        bound: "scraped_share",
        at_least: true,
        ..rule("scrapes-missed", FindingRole::Measurement, 0.4)
    },
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
    Rule {
        cause: "there are fewer partitions than workers: some workers are idle",
        explanation: "A partition is read by one member of the group at a time. Workers beyond the number of partitions are idle while the others fall behind.",
        remedies: |now| with(Tuning::more_partitions(now), &[Run(Lag)]),
        input: "workers_per_partition",
        bound: "workers_per_partition",
        guards: &[BEHIND],
        explains: BACKLOG,
        ..rule("kafka-partitions", FindingRole::Cause, 0.95)
    },
    Rule {
        cause: "most messages go to one partition: the keys are skewed",
        explanation: "The partition is chosen by the key (the user). A few very busy users fill one partition, and one worker does all the work. More partitions do not help; a different key does.",
        remedies: |_| vec![Run(Lag), Advise("spread the busy user's notifications over more keys")],
        input: "publish_skew",
        bound: "publish_skew",
        guards: &[BEHIND],
        explains: BACKLOG,
        ..rule("kafka-key-skew", FindingRole::Cause, 0.95)
    },
    Rule {
        cause: "one worker is slower than the others",
        explanation: "The partitions of one worker wait while those of the others are empty, although each got \
            its share of messages.",
        remedies: |_| vec![Run(Stats), Run(LogsOfWorkers), Run(RestartWorkers)],
        input: "worker_lag_ratio",
        bound: "worker_lag_ratio",
        guards: &[Guard { input: "worst_worker_behind_s", bound: "behind_s", at_least: false }],
        explains: &["kafka-lag", "kafka-consumption", "worker-bound"],
        ..rule("worker-uneven", FindingRole::Cause, 0.9)
    },
    Rule {
        cause: "the provider is slow: deliveries wait for it",
        explanation: "A delivery holds its permit until the provider answers. At most worker.channel_concurrency of one channel are in flight, so a slow provider limits throughput.",
        remedies: |now| {
            with(
                Tuning::faster_consumption(now),
                &[Advise("raise worker.channel_concurrency, or talk to the provider")],
            )
        },
        input: "delivery_mean_ms",
        bound: "delivery_ms",
        guards: &[Guard { input: "undelivered_s", bound: "behind_s", at_least: false }],
        explains: &["deliveries-late", "kafka-lag", "kafka-consumption", "worker-uneven", "worker-bound"],
        ..rule("provider-slow", FindingRole::Cause, 0.95)
    },
    Rule {
        cause: "deliveries are late",
        explanation: "Notifications that are stored but not yet delivered, in seconds of incoming ones.",
        remedies: |now| with(Tuning::faster_consumption(now), &[Run(DeadLetters), Run(LogsOfWorkers)]),
        input: "undelivered_s",
        bound: "behind_s",
        ..rule("deliveries-late", FindingRole::Symptom, 0.5)
    },
    Rule {
        cause: "the broker throttles the service by a quota",
        explanation: "A client that exceeds its byte quota (producer_byte_rate) is answered with growing delays. The broker itself is idle.",
        remedies: |now| {
            with(Tuning::compression(now), &[Advise("raise the quota of the service's Kafka user")])
        },
        input: "broker_throttle_ms",
        bound: "broker_throttle_ms",
        explains: &[
            "kafka-publish-slow",
            "http-latency",
            "http-errors",
            "service-queueing",
            "requests-shed",
            "throughput-flat",
        ],
        ..rule("kafka-quota", FindingRole::Cause, 1.0)
    },
    Rule {
        cause: "the broker acknowledges slowly",
        explanation: "Each accepted notification waits for the broker's acknowledgement. Slow means a busy or throttled broker, a slow disk, or a long network path.",
        remedies: |now| {
            let linger = Tuning::longer_linger(now).map(Remedy::Tune);
            linger.into_iter().chain(with(Tuning::compression(now), &[Run(Stats)])).collect()
        },
        input: "publish_mean_ms",
        bound: "publish_ms",
        series: series("publish_ms", "publish_ms"),
        explains: &["http-latency", "http-errors", "service-queueing", "requests-shed", "throughput-flat"],
        timed: true,
        ..rule("kafka-publish-slow", FindingRole::Cause, 0.9)
    },
    Rule {
        cause: "workers fall behind",
        explanation: "Messages that wait when the load ends were accepted faster than they were delivered, and \
            no single reason for it was found: there are too few workers for this rate.",
        remedies: workers,
        input: "behind_s",
        bound: "behind_s",
        series: series("behind_s", "behind_s"),
        explains: &["kafka-lag", "kafka-consumption"],
        ..rule("worker-bound", FindingRole::Cause, 0.7)
    },
    Rule {
        cause: "many messages are pending",
        explanation: "Messages in the log that no worker has finished when the load ends.",
        remedies: workers,
        input: "lag_end",
        bound: "lag",
        series: series("lag", "lag"),
        ..rule("kafka-lag", FindingRole::Symptom, 0.5)
    },
    Rule {
        cause: "less is consumed than published",
        explanation: "Over the steady window the workers took fewer messages than the service sent; the backlog \
            grows for as long as the load lasts.",
        remedies: workers,
        input: "consumed_share",
        bound: "consumed_share",
        at_least: true,
        ..rule("kafka-consumption", FindingRole::Symptom, 0.45)
    },
    Rule {
        cause: "Redis answers slowly",
        explanation: "Mean time of a cache call as the service sees it. Redis is single-threaded: one slow command, or a starved host, delays everything.",
        remedies: |_| {
            vec![Run(Stats), Run(CacheStats), Advise("find slow commands with redis-cli slowlog get")]
        },
        input: "cache_mean_ms",
        bound: "cache_ms",
        series: series("cache_ms", "cache_ms"),
        explains: &[
            "http-latency",
            "http-errors",
            "cache-misses",
            "service-queueing",
            "requests-shed",
            "kafka-lag",
            "kafka-consumption",
            "worker-bound",
            "throughput-flat",
        ],
        timed: true,
        ..rule("cache-slow", FindingRole::Cause, 0.9)
    },
    Rule {
        cause: "Redis is full and evicts entries",
        explanation: "Above maxmemory each new entry evicts an older one, so reads miss what was cached a moment ago.",
        remedies: |now| {
            with(Tuning::shorter_ttl(now), &[Advise("raise stack.redis_max_memory_mb"), Run(CacheStats)])
        },
        input: "evicted_per_s",
        bound: "evicted_per_s",
        series: series("evicted_per_s", "evicted_per_s"),
        explains: &["cache-misses", "db-query-time"],
        ..rule("cache-evictions", FindingRole::Cause, 0.9)
    },
    Rule {
        cause: "entries expire before they are read again: the TTL is too short",
        explanation: "Most misses are for entries that had expired, not for entries that were never cached.",
        remedies: |now| with(Tuning::longer_ttl(now), &[Run(CacheStats)]),
        input: "expired_per_miss",
        bound: "expired_per_miss",
        guards: &[
            Guard { input: "hit_rate", bound: "cache_hit_rate", at_least: true },
            Guard { input: "misses_per_s", bound: "misses_per_s", at_least: false },
            Guard { input: "ttl_windows", bound: "ttl_windows", at_least: true },
        ],
        explains: &["cache-misses"],
        ..rule("cache-ttl", FindingRole::Cause, 0.9)
    },
    Rule {
        cause: "the cache hit rate is too low",
        explanation: "Misses go to the database. While most misses still fill the cache (a cold start), it is not counted.",
        remedies: |now| with(Tuning::longer_ttl(now), &[Remedy::Tune(Tuning::warm_cache())]),
        input: "hit_rate",
        bound: "cache_hit_rate",
        series: series("hit_rate", "cache_hit_rate"),
        at_least: true,
        guards: &[Guard { input: "filling_share", bound: "filling_share", at_least: true }],
        ..rule("cache-misses", FindingRole::Symptom, 0.4)
    },
    Rule {
        cause: "the service's memory is at its limit",
        explanation: "What its control group uses over the group's limit, or resident memory over the machine's. Near it the kernel reclaims pages that are needed again at once, and finally kills the process.",
        remedies: |_| vec![Run(StatsWatch), Advise("raise the limit")],
        input: "memory_limit_share",
        bound: "memory_share",
        explains: &["http-latency", "http-errors", "parts-restarted", "scrapes-missed", "service-memory"],
        ..rule("memory-limit", FindingRole::Cause, 0.9)
    },
    Rule {
        cause: "memory runs out: processes stall",
        explanation: "Share of time in which some process waited for memory (pressure stall information).",
        remedies: |_| vec![Run(Stats), Advise("free memory, or use less of it")],
        input: "memory_stall_share",
        bound: "memory_stall_share",
        explains: &["http-latency", "http-errors", "db-query-time", "cache-slow", "kafka-publish-slow"],
        ..rule("memory-stalls", FindingRole::Cause, 0.85)
    },
    Rule {
        cause: "the service uses too much memory",
        explanation: "Resident memory of all replicas together, at its largest.",
        remedies: |_| vec![Run(StatsWatch)],
        input: "service_memory_mb",
        bound: "memory_mb",
        series: series("service_memory_mb", "memory_mb"),
        ..rule("service-memory", FindingRole::Cause, 0.5)
    },
    Rule {
        cause: "the service's memory keeps growing",
        explanation: "Slope of its resident memory over the steady window (Theil and Sen). At a constant rate it should be flat: growth means a leak, or an allocator that returns nothing.",
        remedies: |_| vec![Run(LoadSoak)],
        input: "memory_growth_mb_per_min",
        bound: "memory_growth_mb_per_min",
        ..rule("memory-growth", FindingRole::Cause, 0.6)
    },
    Rule {
        cause: "the service logs excessively",
        explanation: "Bytes of its log for each request. Formatting and writing them costs CPU on every request.",
        remedies: |_| vec![Advise("set telemetry.log = \"info\""), Run(Restart)],
        input: "log_bytes_per_request",
        bound: "log_bytes_per_request",
        guards: &[Guard { input: "log_bytes_per_s", bound: "log_bytes_per_s", at_least: false }],
        explains: &[
            "service-cpu",
            "machine-cpu",
            "http-latency",
            "http-errors",
            "kafka-lag",
            "kafka-consumption",
            "worker-bound",
            "service-queueing",
            "throughput-flat",
        ],
        ..rule("log-flood", FindingRole::Cause, 0.9)
    },
    Rule {
        cause: "parts exited and were restarted",
        explanation: "A part that exits drops what was in progress. Its log says why.",
        remedies: |_| vec![Run(Parts), Run(Logs)],
        input: "restarts",
        bound: "restarts",
        explains: &["http-errors", "scrapes-missed", "http-latency"],
        ..rule("parts-restarted", FindingRole::Cause, 0.85)
    },
    Rule {
        cause: "the service saturates the machine's CPU",
        explanation: "CPU of all its replicas together, of all cores.",
        remedies: |now| with(Tuning::more_instances(now), &[Run(Profile)]),
        input: "service_cpu_pct",
        bound: "cpu_pct",
        series: series("service_cpu_pct", "cpu_pct"),
        explains: &["machine-cpu", "http-latency", "throughput-flat", "service-queueing"],
        ..rule("service-cpu", FindingRole::Cause, 0.7)
    },
    Rule {
        cause: "stack and generator saturate every core of the machine",
        explanation: "Together they use all there is. What each part takes: nsys stats.",
        remedies: |_| vec![Run(Stats), Advise("add cores, or move the generator to its own machine")],
        input: "own_cpu_pct",
        bound: "machine_cpu_pct",
        series: series("machine_cpu_pct", "machine_cpu_pct"),
        explains: &["http-latency", "throughput-flat", "service-queueing"],
        ..rule("machine-cpu", FindingRole::Cause, 0.55)
    },
    Rule {
        cause: "time is lost between the generator and the service",
        explanation: "The generator waits much longer for an answer than the service takes, although the generator had CPU. Something in between is slow: network, proxy, or the accept queue.",
        remedies: |_| vec![Run(Trace), Advise("measure next to the service")],
        input: "outside_ms",
        bound: "outside_ms",
        explains: &["http-latency"],
        timed: true,
        ..rule("client-network", FindingRole::Cause, 0.8)
    },
    Rule {
        cause: "the service sheds requests",
        explanation: "More requests were in progress than limits.max_in_flight, or the backlog was over \
            limits.max_backlog: it answers 503 at once instead of queueing.",
        remedies: |_| vec![Run(ShedReasons), Advise("find what holds requests up")],
        input: "shed_per_s",
        bound: "shed_per_s",
        explains: &["http-errors"],
        ..rule("requests-shed", FindingRole::Symptom, 0.5)
    },
    Rule {
        cause: "requests spend their time in the service itself",
        explanation: "Latency not spent in database, pool, cache or broker: computing, or waiting for a core or thread.",
        remedies: |now| with(Tuning::more_threads(now), &[Run(Profile)]),
        input: "elsewhere_share",
        bound: "elsewhere_share",
        guards: &[Guard { input: "request_mean_ms", bound: "request_mean_ms", at_least: false }],
        explains: &["http-latency"],
        ..rule("service-queueing", FindingRole::Symptom, 0.45)
    },
    Rule {
        cause: "throughput stopped growing while requests piled up",
        explanation: "Compared with the level before, more was offered and in progress, but no more was answered: the system is saturated.",
        remedies: |_| vec![Run(LoadFindMax), Advise("see the other causes listed")],
        input: "flat_growth",
        bound: "flat_growth",
        at_least: true,
        ..rule("throughput-flat", FindingRole::Symptom, 0.35)
    },
    Rule {
        cause: "requests fail",
        explanation: "A symptom of another cause listed here, or of an unavailable part.",
        remedies: |_| vec![Run(LogsOfErrors), Run(Health)],
        input: "error_rate",
        bound: "error_rate",
        series: series("error_rate", "error_rate"),
        ..rule("http-errors", FindingRole::Symptom, 0.4)
    },
    Rule {
        cause: "latency is high",
        explanation: "95th percentile of the answer time as the generator measured it.",
        remedies: |_| vec![Advise("see the other causes listed")],
        input: "p95_ms",
        bound: "p95_ms",
        series: series("p95_ms", "p95_ms"),
        timed: true,
        ..rule("http-latency", FindingRole::Symptom, 0.3)
    },
];
