//! The sources: each polls one part on its own, with a time-out, and never ends the program.

use super::update::{Database, Load, OwnedLag, Part, Sample, Stamped, Update};
use crate::clients::{http, kafka, postgres::Postgres, process, redis::Redis};
use crate::domain::usage::{Usage, cpu_pct};
use crate::error::{Error, Result};
use crate::stack::Stack;
use futures::future::join_all;
use nsys_contract::{metrics, topics};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

const PATIENCE: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_secs(1);
/// So much of the end of a log is looked at.
const LOG_LINES: usize = 200;

/// The last look, by part; the generator's is under its own name.
type Looks = Arc<Mutex<HashMap<String, Usage>>>;

/// Seconds since the epoch.
pub(super) fn now_s() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1_000.0
}

/// Starts every source. They end when nobody listens any more.
pub(super) fn start(stack: &Stack, to: &Sender<Stamped>) {
    let stack = Arc::new(stack.clone());
    let looks = Looks::default();
    let own = || (Arc::clone(&stack), Arc::clone(&looks));
    poll(to, own(), async |(stack, _)| Update::Service(within(service(&stack)).await));
    poll(to, own(), async |(stack, _)| Update::Lag(within(lag(&stack)).await));
    poll(to, own(), async |(stack, _)| Update::Db(within(database(&stack)).await));
    poll(to, own(), async |(stack, _)| Update::Cache(within(cache(&stack)).await));
    poll(to, own(), async |(stack, looks)| Update::Stack(within(parts(&stack, &looks)).await));
    poll(to, own(), async |(stack, looks)| Update::Load(Ok(load(&stack, &looks))));
}

fn poll<Own: Clone + Send + 'static, Answer: Future<Output = Update> + Send + 'static>(
    to: &Sender<Stamped>,
    own: Own,
    ask: impl Fn(Own) -> Answer + Send + 'static,
) {
    let to = to.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let update = ask(own.clone()).await;
            if to.send(Stamped { at_s: now_s(), update }).await.is_err() {
                return;
            }
        }
    });
}

/// The answer, or in one line why there is none, in bounded time.
async fn within<T>(ask: impl Future<Output = Result<T>>) -> Result<T, String> {
    let late = || Error::unreachable(format!("no answer within {PATIENCE:?}"));
    let answer = tokio::time::timeout(PATIENCE * 2, ask).await.unwrap_or_else(|_| Err(late()));
    answer.map_err(|error| error.message.lines().next().unwrap_or_default().to_owned())
}

async fn service(stack: &Stack) -> Result<Sample> {
    let (base, now) = (stack.endpoints.prometheus_url(), now_s());
    let rate = |metric: &str| format!("sum(rate({metric}[5s]))");
    let quantile = |q: f64, metric: &str| {
        format!("histogram_quantile({q}, sum by (le) (rate({metric}_bucket[5s]))) * 1000")
    };
    let topic = |metric: &str| format!("sum(rate({metric}{{topic=\"{}\"}}[5s]))", topics::NOTIFICATIONS);
    let http_time = metrics::HTTP_REQUEST_DURATION_SECONDS;
    let (hits, misses) = (rate(metrics::CACHE_HITS_TOTAL), rate(metrics::CACHE_MISSES_TOTAL));
    let queries = [
        rate(metrics::HTTP_REQUESTS_TOTAL),
        quantile(0.5, http_time),
        quantile(0.95, http_time),
        quantile(0.99, http_time),
        rate(metrics::HTTP_REQUEST_ERRORS_TOTAL),
        topic(metrics::KAFKA_MESSAGES_PUBLISHED_TOTAL),
        topic(metrics::KAFKA_MESSAGES_CONSUMED_TOTAL),
        quantile(0.95, metrics::DB_QUERY_DURATION_SECONDS),
        format!("{hits} / ({hits} + {misses})"),
    ];
    let asked = queries.iter().map(|promql| http::query_value(&base, promql, now));
    let values = futures::future::try_join_all(asked).await?;
    Ok(Sample {
        rate: values[0],
        p50_ms: values[1],
        p95_ms: values[2],
        p99_ms: values[3],
        errors: values[4],
        published: values[5],
        consumed: values[6],
        query_p95_ms: values[7],
        hit_rate: values[8],
    })
}

async fn lag(stack: &Stack) -> Result<Vec<OwnedLag>> {
    let (brokers, group) = (stack.endpoints.brokers(), topics::WORKER_GROUP);
    let wanted = [topics::NOTIFICATIONS.to_owned(), topics::RETRY.to_owned()];
    let (lag, group) = tokio::try_join!(
        kafka::lag(&brokers, group, &wanted, PATIENCE),
        kafka::group(&brokers, group, PATIENCE)
    )?;
    let own = |one: crate::domain::lag::PartitionLag| OwnedLag {
        owner: group.owner(&one.topic, one.partition).map(|member| member.client.clone()),
        lag: one,
    };
    let mut partitions: Vec<_> = lag.into_iter().map(own).collect();
    partitions.sort_by(|one, other| {
        (&one.lag.topic, one.lag.partition).cmp(&(&other.lag.topic, other.lag.partition))
    });
    Ok(partitions)
}

async fn database(stack: &Stack) -> Result<Database> {
    let url = stack.database_url()?;
    let mut database = Postgres::connect(&url, PATIENCE).await?;
    let (connections, limit) = database.connection_states().await?;
    let top = database.top_statements(20, 0.0).await?;
    Ok(Database { connections, limit, top, locks: database.lock_waits().await? })
}

async fn cache(stack: &Stack) -> Result<crate::domain::cache::CacheStats> {
    Redis::connect(&stack.endpoints.redis_url(), PATIENCE).await?.stats().await
}

/// Per cent of one core since the look before.
fn since_last(name: &str, look: Option<Usage>, looks: &Looks) -> Option<f64> {
    let look = look?;
    let before = looks.lock().expect("no holder of the lock panics").insert(name.to_owned(), look);
    cpu_pct(&before?, &look)
}

async fn parts(stack: &Stack, looks: &Looks) -> Result<Vec<Part>> {
    let records = stack.records().await?;
    if records.is_empty() {
        return Err(Error::unreachable("nothing runs; start it with: nsys up"));
    }
    let usage = stack.usage(&records).await;
    let logs = join_all(records.iter().map(|record| stack.log_tail(&record.name, LOG_LINES))).await;
    let part = |((record, look), log): ((crate::stack::spec::Record, Option<Usage>), Vec<String>)| Part {
        log,
        state: record.state.as_str().to_owned(),
        cpu_pct: since_last(&record.name, look, looks),
        memory_bytes: look.map(|one| one.memory_bytes),
        name: record.name,
        restarts: record.restarts,
    };
    Ok(records.into_iter().zip(usage).zip(logs).map(part).collect())
}

/// The load test that runs, as its own files tell.
fn load(stack: &Stack, looks: &Looks) -> Option<Load> {
    let json =
        |path: &Path| -> Option<Value> { serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok() };
    let claim = json(&stack.layout.run().join("loadtest.json"))?;
    let dir = Path::new(claim["run"].as_str()?).to_owned();
    let run = crate::loadtest::store::load(&dir).ok()?;
    let plan = json(&stack.layout.run().join("level-plan.json")).unwrap_or_default();
    let number = |key: &str| plan[key].as_u64().and_then(|number| u32::try_from(number).ok());
    let pid = claim["generator"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let done = run.levels.iter().map(|level| {
        (level.target_rps, level.throughput_rps, level.latency_ms.p95, level.verdict.as_str().to_owned())
    });
    Some(Load {
        done: done.collect(),
        run: run.id,
        target: number("rate"),
        vus: number("vus"),
        generator_cpu_pct: pid.and_then(|pid| since_last("generator", process::look(pid), looks)),
    })
}
