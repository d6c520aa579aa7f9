//! A stack that runs elsewhere: nsys was told the addresses, looks, and starts or stops nothing.
//! Which replicas there are and what they use is what Prometheus scrapes of them.

use super::{Choice, Runtime};
use crate::clients::prometheus;
use crate::domain::usage::Usage;
use crate::error::{Error, Result};
use crate::render::progress::Progress;
use crate::stack::spec::{Record, State};
use crate::stack::up::{ground, wait_ready};
use crate::stack::{Stack, health};
use tokio::time::Instant;

/// What `up` waits for, and the ground it makes: the schema and the topics, both or none.
const PARTS: [&str; 7] = ["postgres", "redis", "kafka", "schema", "topics", "api", "prometheus"];

/// One sample of an instant query.
struct Sample {
    role: String,
    instance: String,
    value: f64,
}

/// The replicas that Prometheus scrapes; when it knows none, the API alone if it answers.
pub(super) async fn records(stack: &Stack) -> Result<Vec<Record>> {
    let mut samples = scraped(stack, "up{role=~\"app|worker\"}").await;
    samples.sort_by(|one, other| (&one.role, &one.instance).cmp(&(&other.role, &other.instance)));
    let mut records: Vec<Record> = Vec::new();
    for sample in samples {
        let before = records.iter().filter(|record| record.role() == Some(&sample.role)).count();
        let state = if sample.value > 0.0 { State::Running } else { State::Failed };
        records.push(record(format!("{}-{}", sample.role, before + 1), state, Some(sample.instance)));
    }
    if records.is_empty() && health::ready(&stack.endpoints.api_url()).await.is_ok() {
        records.push(record("api".into(), State::Running, None));
    }
    Ok(records)
}

fn record(name: String, state: State, address: Option<String>) -> Record {
    Record {
        name,
        state,
        process: None,
        container: None,
        address,
        port: 0,
        started_s: 0,
        restarts: 0,
        last_exit: None,
    }
}

pub(super) async fn usage(stack: &Stack, records: &[Record]) -> Vec<Option<Usage>> {
    let (cpu, clock, memory) = tokio::join!(
        scraped(stack, "process_cpu_seconds_total{role=~\"app|worker\"}"),
        scraped(stack, "timestamp(process_cpu_seconds_total{role=~\"app|worker\"})"),
        scraped(stack, "process_resident_memory_bytes{role=~\"app|worker\"}"),
    );
    let of = |samples: &[Sample], instance: &str| {
        samples.iter().find(|sample| sample.instance == instance).map(|sample| sample.value)
    };
    let look = |record: &Record| {
        let instance = record.address.as_deref()?;
        Some(Usage {
            cpu_s: of(&cpu, instance)?,
            clock_s: of(&clock, instance)?,
            memory_bytes: of(&memory, instance)? as u64,
            ..Usage::default()
        })
    };
    records.iter().map(look).collect()
}

/// What Prometheus knows now; nothing when it does not answer or is not configured.
async fn scraped(stack: &Stack, promql: &str) -> Vec<Sample> {
    let base = stack.endpoints.prometheus_url();
    if base.is_empty() {
        return Vec::new();
    }
    let series = prometheus::instant(&base, promql, None, prometheus::PATIENCE).await.unwrap_or_default();
    let sample = |one: &prometheus::Series| {
        Some(Sample { role: one.label("role")?, instance: one.label("instance")?, value: one.value()? })
    };
    series.iter().filter_map(sample).collect()
}

/// Starts nothing: makes the ground where it is missing, and waits until every part answers. On a
/// protected stack it makes nothing either.
pub(super) async fn up(stack: &Stack, choice: &Choice, deadline: Instant, progress: &Progress) -> Result<()> {
    stack.loaded.config.check_addresses()?;
    choice.check(Runtime::External, &PARTS)?;
    let wait = async |parts: &[&'static str]| {
        let chosen = parts.iter().filter(|part| choice.wants(part, true));
        let waits = chosen.map(|part| wait_ready(stack, part, deadline, progress));
        futures::future::try_join_all(waits).await.map(|_| ())
    };
    wait(&["postgres", "redis", "kafka"]).await?;
    let missing = futures::future::join(health::probe(stack, "schema"), health::probe(stack, "topics")).await;
    if choice.wants("schema", true)
        && choice.wants("topics", true)
        && let (Err(error), _) | (_, Err(error)) = missing
    {
        if stack.loaded.config.stack.protected {
            return Err(Error::refused(format!("{}, and this stack is protected", error.message))
                .hint("make it where the stack is run, or set stack.protected = false for this once"));
        }
        let line = progress.line("ground");
        line.update(&error.message);
        ground(stack, deadline).await?;
        line.finish("schema and topics are there");
    }
    let last: &[_] =
        if stack.endpoints.prometheus_url().is_empty() { &["api"] } else { &["api", "prometheus"] };
    wait(last).await?;
    stack.runtime.remember(&stack.layout)
}
