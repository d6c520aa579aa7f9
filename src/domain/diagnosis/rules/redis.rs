//! Redis, and what the service caches in it.

use super::{rule, series, with};
use crate::domain::diagnosis::{FindingRole, Guard, Rule};
use crate::domain::remedy::Operation::{CacheStats, Stats};
use crate::domain::remedy::Remedy::{self, Advise, Run};
use crate::domain::remedy::Tuning;

pub(super) const RULES: &[Rule] = &[
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
];
