//! Redis: one connection that is kept; keys are counted now and then, never all of a large keyspace.

use super::{TIMEOUT, UpdateSender, ticks};
use crate::clients::redis::Redis;
use crate::clock::now_s;
use crate::domain::live::Prefixes;
use crate::error::Result;
use crate::stack::Stack;
use crate::tui::update::{CacheSample, Update};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often keys are counted.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// Keys that are looked at in one count.
const SAMPLE: u64 = 20_000;

#[derive(Default)]
struct CacheSource {
    connection: Option<Redis>,
    prefixes: Option<(Instant, Prefixes)>,
}

pub(super) async fn run(stack: Arc<Stack>, sender: UpdateSender) {
    let command = format!("redis-cli -u {} INFO", super::masked(&stack.endpoints.redis_url()));
    let mut kept = CacheSource::default();
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        let answer = sender.ask(&command, fetch(&stack, &mut kept)).await;
        if answer.is_err() {
            kept.connection = None;
        }
        if !sender.send(Update::Cache(answer)).await {
            return;
        }
    }
}

async fn fetch(stack: &Stack, kept: &mut CacheSource) -> Result<CacheSample> {
    let mut connection = match kept.connection.take() {
        Some(connection) => connection,
        None => Redis::connect(&stack.endpoints.redis_url(), TIMEOUT).await?,
    };
    let stats = connection.stats().await?;
    if kept.prefixes.as_ref().is_none_or(|(at, _)| at.elapsed() >= COUNT_EVERY) {
        let (counts, whole) = connection.sample_prefixes(SAMPLE).await?;
        let seen = counts.values().sum();
        kept.prefixes = Some((Instant::now(), Prefixes { at_s: now_s(), seen, sampled: !whole, counts }));
    }
    kept.connection = Some(connection);
    Ok(CacheSample { stats, prefixes: kept.prefixes.as_ref().map(|(_, prefixes)| prefixes.clone()) })
}
