//! `nsys cache`.

use crate::change::carry_out;
use crate::cli::{CacheCommand, FlushArgs};
use crate::clients::redis::Redis;
use crate::domain::cache::CacheStats;
use crate::error::{Error, Result};
use crate::plan::{CacheStep, ChangePlan, Step};
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report, format, table::Table};
use crate::stack::Stack;
use nsys_contract::keys;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Serialize, schemars::JsonSchema)]
struct CacheReport {
    window_s: f64,
    window: CacheStats,
    window_hit_rate: Option<f64>,
    since_start: CacheStats,
    since_start_hit_rate: Option<f64>,
}

impl Report for CacheReport {
    fn text(&self) -> String {
        let name = format!("last {}", format::duration(Duration::from_secs_f64(self.window_s)));
        let mut table = Table::new(["", &name, "since start"]).right(&[1, 2]);
        let (window, whole) = (&self.window, &self.since_start);
        let rate = |share| format::or_missing(share, format::percent);
        table.row(["hit rate".to_owned(), rate(self.window_hit_rate), rate(self.since_start_hit_rate)]);
        for (name, of) in [
            ("hits", (|stats| stats.hits) as fn(&CacheStats) -> u64),
            ("misses", |stats| stats.misses),
            ("evicted", |stats| stats.evicted),
            ("expired", |stats| stats.expired),
        ] {
            table.row([name.to_owned(), format::count(of(window)), format::count(of(whole))]);
        }
        let limit = match whole.max_memory_bytes {
            0 => "no limit".to_owned(),
            bytes => format!("at most {}", format::bytes(bytes)),
        };
        let (keys, memory) = (format::count(whole.keys), format::bytes(whole.memory_bytes));
        format!("{}\n{keys} keys, {memory} ({limit}), {} clients", table.text(), whole.clients)
    }
}

#[derive(Serialize, schemars::JsonSchema)]
struct Keys {
    prefixes: BTreeMap<String, u64>,
}

impl Report for Keys {
    fn text(&self) -> String {
        if self.prefixes.is_empty() {
            return "no key".into();
        }
        let mut table = Table::new(["prefix", "keys", "flushed by default"]).right(&[1]);
        for (prefix, count) in &self.prefixes {
            let copy = keys::CACHE_PREFIXES.contains(&prefix.as_str());
            table.row([prefix.clone(), format::count(*count), if copy { "yes" } else { "no" }.to_owned()]);
        }
        table.text()
    }
}

pub(super) async fn cache(stack: &Stack, command: CacheCommand, out: Out) -> Result<()> {
    let connect = async || {
        Redis::connect(&stack.endpoints.redis_url(), TIMEOUT).await.map_err(|error| error.hint("nsys health"))
    };
    match command {
        CacheCommand::Stats { window } => {
            let mut redis = connect().await?;
            let before = redis.stats().await?;
            tokio::time::sleep(window).await;
            let now = redis.stats().await?;
            let delta = now.since(&before);
            out.report(&CacheReport {
                window_s: window.as_secs_f64(),
                window_hit_rate: delta.hit_rate(),
                window: delta,
                since_start_hit_rate: now.hit_rate(),
                since_start: now,
            })
        }
        CacheCommand::Keys { prefix } => {
            out.report(&Keys { prefixes: connect().await?.keys_by_prefix(&prefix).await? })
        }
        CacheCommand::Flush(args) => flush(stack, connect().await?, args, out).await,
    }
}

async fn flush(stack: &Stack, mut redis: Redis, args: FlushArgs, out: Out) -> Result<()> {
    let prefixes = match &args.prefix {
        Some(prefix) if prefix.is_empty() => {
            return Err(Error::usage("--prefix is empty").hint("every key: nsys cache flush --all"));
        }
        Some(prefix) => vec![prefix.clone()],
        None if args.all => vec![String::new()],
        None => keys::CACHE_PREFIXES.map(str::to_owned).to_vec(),
    };
    redis.must_hold_every_key().await?;
    let mut plan = ChangePlan::new("cache flush");
    let mut touched = BTreeMap::new();
    for prefix in prefixes {
        let counts = redis.keys_by_prefix(&prefix).await?;
        let keys = counts.values().sum();
        touched.extend(counts);
        if keys > 0 {
            plan.steps.push(Step::Cache(CacheStep::Flush { prefix, keys }));
        }
    }
    let protected = touched.iter().filter(|(name, _)| keys::PROTECTED_PREFIXES.contains(&name.as_str()));
    plan.warnings.extend(protected.map(|(name, count)| {
        format!("{count} keys {name}* are not copies of rows: losing them changes what the service does")
    }));
    if args.warm {
        plan.steps.push(Step::Cache(CacheStep::Warm { entries: 1_000 }));
    }
    carry_out(stack, &plan, &args.flags, None, out).await.map(|_| ())
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<CacheReport>("cache stats", 1), AnswerSchema::of::<Keys>("cache keys", 1)]
}
