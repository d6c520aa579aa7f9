//! What a level cannot know because the profile names no part that would tell it: said as such, field by field.

use crate::domain::profile::ProfilePart;
use crate::domain::run::{CacheResult, Db, Kafka, LevelResult, Reconciliation, Service};
use crate::measured::{Measured, Reason};
use crate::stack::Stack;

/// Says of each value that nothing could tell why it is not there.
pub(super) fn mark(stack: &Stack, result: &mut LevelResult) {
    let mark = |part, put: &mut dyn FnMut(&Reason)| {
        if let Some(why) = stack.unnamed(part) {
            put(&why);
        }
    };
    mark(ProfilePart::Processes, &mut |why| processes(&mut result.service, why));
    mark(ProfilePart::Metrics, &mut |why| {
        metrics(&mut result.service, &mut result.db, &mut result.kafka, &mut result.cache, why);
        result.reconciliation.served = gap(why);
    });
    mark(ProfilePart::Postgres, &mut |why| database(&mut result.db, why));
    mark(ProfilePart::Redis, &mut |why| cache(&mut result.cache, why));
    mark(ProfilePart::Flows, &mut |why| flows(&mut result.kafka, why));
    mark(ProfilePart::Ledger, &mut |why| ledger(&mut result.reconciliation, why));
    if !stack.profile().is_companion() {
        // Of the companion's table, and of its setting.
        let why = Reason::from("it is counted of the notification service alone");
        (result.db.seq_scans, result.db.seq_rows_read) = (gap(&why), gap(&why));
    }
    if !stack.profile().acknowledges() {
        let why = format!("no request of the profile {} is acknowledged", stack.profile().name);
        result.reconciliation.acknowledged = gap(&why.into());
    }
}

fn gap<T>(why: &Reason) -> Measured<T> {
    Measured::NotApplicable(why.clone())
}

fn processes(service: &mut Service, why: &Reason) {
    let Service { cpu_pct, rss_mb, youngest_s, oldest_s, .. } = service;
    for value in [cpu_pct, rss_mb, youngest_s, oldest_s] {
        *value = gap(why);
    }
}

fn metrics(service: &mut Service, db: &mut Db, kafka: &mut Kafka, cache: &mut CacheResult, why: &Reason) {
    let Service { p50_ms, p95_ms, p99_ms, in_flight_max, delivery_p95_ms, failed_per_s, shed_per_s, .. } =
        service;
    for value in [p50_ms, p95_ms, p99_ms, in_flight_max, delivery_p95_ms, failed_per_s, shed_per_s] {
        *value = gap(why);
    }
    for value in [&mut db.query_p95_ms, &mut db.pool_active_max, &mut db.pool_limit, &mut db.pool_wait_p95_ms]
    {
        *value = gap(why);
    }
    for value in [&mut kafka.published_per_s, &mut kafka.consumed_per_s, &mut cache.hit_rate] {
        *value = gap(why);
    }
}

fn database(db: &mut Db, why: &Reason) {
    (db.connections_max, db.active_max, db.lock_waits_max) = (gap(why), gap(why), gap(why));
    (db.commits_per_s, db.block_hit_rate) = (gap(why), gap(why));
    (db.temp_bytes, db.deadlocks) = (gap(why), gap(why));
}

fn cache(cache: &mut CacheResult, why: &Reason) {
    (cache.redis_hit_rate, cache.memory_mb, cache.ops_per_s) = (gap(why), gap(why), gap(why));
    (cache.keys, cache.evicted) = (gap(why), gap(why));
}

fn flows(kafka: &mut Kafka, why: &Reason) {
    (kafka.lag_max, kafka.lag_end) = (gap(why), gap(why));
    (kafka.drain_s, kafka.lag_slope_per_s) = (gap(why), gap(why));
}

fn ledger(found: &mut Reconciliation, why: &Reason) {
    (found.stored, found.acknowledged_stored, found.r#final) = (gap(why), gap(why), gap(why));
}
