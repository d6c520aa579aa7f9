//! Measures what the diagnosis needs beyond a level's own figures: counters before and after a
//! window, and what Prometheus kept of it. Changes nothing.

mod admission;
mod database;
mod gaps;
mod kafka;
mod live;
mod processes;
pub mod prometheus;
mod surroundings;

pub use live::observe;
pub use surroundings::{Surroundings, surroundings};

use crate::clients::kafka as kafka_client;
use crate::clients::machine;
use crate::clients::redis::Redis;
use crate::clock::now_s;
use crate::domain::cache::CacheStats;
use crate::domain::diagnosis::{self, Diagnosis};
use crate::domain::facts::Facts;
use crate::domain::profile::ProfilePart;
use crate::domain::remedy::{CurrentSettings, Remedy, Tuning};
use crate::domain::run::Run;
use crate::error::Result;
use crate::measured::Measured;
use crate::stack::Stack;
use crate::stack::spec::replicas;
use nsys_contract::topics;
use std::time::Duration;

/// Longest wait for the answer of one part.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The diagnosis of a run by the configured bounds.
#[must_use]
pub fn of_run(stack: &Stack, run: &Run) -> Diagnosis {
    diagnosis::diagnose(run, &stack.loaded.config.bounds())
}

/// The changes that the causes found in a run ask for, most valuable first.
#[must_use]
pub fn tunings(stack: &Stack, run: &Run) -> Vec<Tuning> {
    let mut wanted: Vec<Tuning> = Vec::new();
    for cause in of_run(stack, run).causes() {
        for tuning in cause.remedies.iter().filter_map(Remedy::tuning) {
            if !wanted.contains(tuning) {
                wanted.push(tuning.clone());
            }
        }
    }
    wanted
}

/// What is set now, as far as remedies go by it; the number of replicas is that of those that run.
///
/// # Errors
/// When whoever runs the parts does not answer.
pub async fn current_settings(stack: &Stack) -> Result<CurrentSettings> {
    let (config, (app, worker)) = (&stack.loaded.config, replicas(&stack.records().await?));
    let running = |replicas: u32| (replicas > 0).then_some(replicas);
    // Of another machine than this one it is not known.
    let cores = stack.runtime.is_here().then(machine::processors).flatten();
    let cores = cores.and_then(|cores| u32::try_from(cores).ok());
    if !stack.profile().is_companion() {
        // What another service is set to nobody said.
        return Ok(CurrentSettings::default());
    }
    let brokers = stack.endpoints.brokers();
    let topic = [topics::NOTIFICATIONS.to_owned()];
    let lag = kafka_client::lag(&brokers, topics::WORKER_GROUP, &topic, TIMEOUT).await.ok();
    Ok(CurrentSettings {
        pool_size: Some(config.db.pool_size),
        instances: running(app),
        workers: running(worker),
        threads: u32::try_from(config.service.threads).ok(),
        cores,
        partitions: lag.and_then(|all| u32::try_from(all.len()).ok()).filter(|all| *all > 0),
        compression: Some(config.kafka.compression),
        linger: Some(config.kafka.linger),
        notification_ttl: Some(config.cache.ttl_notification),
    })
}

/// The counters at the start of a window.
#[derive(Debug)]
pub struct Before {
    at_s: f64,
    database: Measured<database::DatabaseCounters>,
    kafka: Measured<kafka::Ends>,
    redis: Measured<CacheStats>,
    processes: processes::ProcessCounters,
    /// Absent where nothing is known of the database …
    locks: Option<database::LockWatch>,
    /// … or of one of the two that it looks at.
    admission: Option<admission::AdmissionWatch>,
}

impl Before {
    /// Sessions that waited for a lock, at each look since.
    fn lock_waiters(&self) -> Vec<(f64, f64)> {
        self.locks.as_ref().map(database::LockWatch::seen).unwrap_or_default()
    }
}

/// Reads every counter, and looks at locks from now on. What cannot be read leaves its facts
/// unmeasured.
pub async fn before(stack: &Stack) -> Before {
    // On the heap: whoever waits for this would carry all of it.
    let (database, kafka, redis, processes) = tokio::join!(
        stack.if_named(ProfilePart::Postgres, Box::pin(database::counters(stack))),
        stack.if_named(ProfilePart::Flows, Box::pin(kafka::ends(stack))),
        stack.if_named(ProfilePart::Redis, Box::pin(redis_stats(stack))),
        Box::pin(processes::counters(stack)),
    );
    let is_named = |part| stack.unnamed(part).is_none();
    let locks = is_named(ProfilePart::Postgres).then(|| database::LockWatch::begin(stack));
    // It looks at both.
    let both = is_named(ProfilePart::Postgres) && is_named(ProfilePart::Redis);
    let admission = both.then(|| admission::AdmissionWatch::begin(stack));
    Before { at_s: now_s(), database, kafka, redis, processes, locks, admission }
}

/// How much of the past a window may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// What was measured and nothing else: before it something else happened.
    Exactly,
    /// As much more as scrapes are too far apart for that.
    AtLeast,
}

/// What happened since: facts of the window that ends now.
pub async fn since(stack: &Stack, before: &Before, span: Span) -> Facts {
    let seconds = (now_s() - before.at_s).max(1.0);
    // What the watchers have seen first: the rest takes seconds, in which they look on beyond the window.
    let mut locks = Facts::default();
    if let Some(watch) = &before.locks {
        watch.fact(&mut locks);
    }
    if let Some(watch) = &before.admission {
        watch.facts(&mut locks);
    }
    let machine = async {
        let mut facts = Facts::default();
        admission::machine_facts(stack, &mut facts).await;
        facts
    };
    let (asked, database, kafka, redis, processes, machine) = tokio::join!(
        gaps::or_nothing(stack, ProfilePart::Metrics, async {
            prometheus::facts(stack, now_s(), seconds.round() as u64, span).await
        }),
        stack.if_named(ProfilePart::Postgres, Box::pin(database::counters(stack))),
        gaps::or_nothing(stack, ProfilePart::Flows, kafka::facts(stack, &before.kafka, seconds)),
        stack.if_named(ProfilePart::Redis, Box::pin(redis_stats(stack))),
        Box::pin(processes::counters(stack)),
        Box::pin(machine),
    );
    let mut facts = asked;
    facts.extend(locks);
    facts.extend(machine);
    facts.extend(kafka);
    // After those that they take rates from.
    facts.extend(processes::facts(&before.processes, &processes, &facts, seconds));
    facts.extend(database::facts(&before.database, &database, &facts, seconds));
    facts.extend(redis_facts(&before.redis, &redis, &facts, seconds));
    let ttl = stack.loaded.config.cache.ttl_notification.as_secs_f64();
    let query = format!("cache.ttl_notification over {seconds:.0} s");
    facts.put("ttl_windows", ttl / seconds, "configuration", query);
    gaps::explain(stack, &mut facts);
    facts
}

async fn redis_stats(stack: &Stack) -> Measured<CacheStats> {
    let asked = async { Redis::connect(&stack.endpoints.redis_url(), TIMEOUT).await?.stats().await };
    asked.await.into()
}

fn redis_facts(
    before: &Measured<CacheStats>,
    after: &Measured<CacheStats>,
    known: &Facts,
    seconds: f64,
) -> Facts {
    let both = before.as_ref().zip(after.as_ref());
    let window = both.clone().map(|(before, after)| after.since(before));
    let misses = known.measured("misses_per_s").map(|rate| rate * seconds);
    // Marks of changed rows expire too, and say nothing of what is read.
    let marks = known.measured("marks_per_s").map(|rate| rate * seconds);
    let expired = window.clone().zip(marks).map(|(one, marks)| (one.expired as f64 - marks).max(0.0));
    let grown = both.map(|(before, after)| after.keys as f64 - before.keys as f64);
    let ratio = |part: Measured<f64>| {
        // Without a miss there is nothing to explain.
        if misses.value() == Some(0.0) {
            return Measured::Value(0.0);
        }
        part.zip(misses.clone()).map(|(part, misses)| part / misses)
    };
    let info = |field: &str| format!("INFO {field}, difference over {seconds:.0} s");
    let mut facts = Facts::default();
    let rate = |count: fn(&CacheStats) -> u64| window.clone().map(|one| count(&one) as f64 / seconds);
    facts.put("evicted_per_s", rate(|one| one.evicted), "Redis", info("evicted_keys"));
    facts.put("expired_per_s", rate(|one| one.expired), "Redis", info("expired_keys"));
    facts.put(
        "expired_per_miss",
        ratio(expired),
        "Redis",
        info("expired_keys") + ", less marks_per_s, over cache_misses_total of the same time",
    );
    facts.put(
        "filling_share",
        ratio(grown).map(|share| share.clamp(0.0, 1.0)),
        "Redis",
        info("keys") + ", over cache_misses_total of the same time",
    );
    facts
}
