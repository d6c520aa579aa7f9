//! Kafka, the workers that read from it, and the providers that they deliver to.

use super::{rule, series, with};
use crate::domain::diagnosis::{FindingRole, Guard, Rule};
use crate::domain::remedy::CurrentSettings;
use crate::domain::remedy::Operation::{DeadLetters, Lag, LogsOfWorkers, RestartWorkers, Stats};
use crate::domain::remedy::Remedy::{self, Advise, Run};
use crate::domain::remedy::Tuning;

/// What takes effect only while workers fall behind.
const BEHIND: Guard = Guard { input: "behind_s", bound: "behind_s", at_least: false };

/// More workers, or the partitions that they would need.
fn workers(now: &CurrentSettings) -> Vec<Remedy> {
    with(Tuning::faster_consumption(now), &[Run(Lag)])
}

/// Everything that workers which fall behind drag along.
const BACKLOG: &[&str] = &["kafka-lag", "kafka-consumption", "worker-uneven", "worker-bound"];

pub(super) const RULES: &[Rule] = &[
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
];
