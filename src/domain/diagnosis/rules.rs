//! The rules as data, a file for each part that they are about. What a rule means stands there; what its input
//! is made of in `facts`.

mod exhausted;
mod kafka;
mod measurement;
mod postgres;
mod redis;
mod service;

use super::{FindingRole, Rule, RuleSeries};
use crate::domain::remedy::{Remedy, Tuning};

/// Every rule, what explains most first.
pub fn rules() -> impl Iterator<Item = &'static Rule> + Clone {
    const ALL: [&[Rule]; 6] =
        [measurement::RULES, exhausted::RULES, postgres::RULES, kafka::RULES, redis::RULES, service::RULES];
    ALL.into_iter().flatten()
}

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
