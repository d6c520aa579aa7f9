//! Doubts of the measurement itself.

use super::rule;
use crate::domain::diagnosis::{FindingRole, Rule};
use crate::domain::remedy::Operation::{Doctor, LoadPlan, Stats};
use crate::domain::remedy::Remedy::{Advise, Run};

pub(super) const RULES: &[Rule] = &[
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
];
