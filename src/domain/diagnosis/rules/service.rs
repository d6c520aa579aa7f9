//! The service as a whole: memory, CPU, logs, requests.

use super::{rule, series, with};
use crate::domain::diagnosis::{FindingRole, Guard, Rule};
use crate::domain::remedy::Operation::{
    Health, LoadFindMax, LoadSoak, Logs, LogsOfErrors, Parts, Profile, Restart, ShedReasons, Stats,
    StatsWatch, Trace,
};
use crate::domain::remedy::Remedy::{Advise, Run};
use crate::domain::remedy::Tuning;

pub(super) const RULES: &[Rule] = &[
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
