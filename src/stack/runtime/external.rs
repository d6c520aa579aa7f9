//! A stack that runs elsewhere: nsys was told the addresses, looks, and starts or stops nothing.
//! Which replicas there are and what they use is what Prometheus scrapes of them.

use super::{Choice, Runtime};
use crate::clients::{machine, prometheus};
use crate::domain::cores::Cores;
use crate::domain::profile::ProfilePart;
use crate::domain::promql::{Promql, Scope};
use crate::domain::usage::Usage;
use crate::error::{Error, Result};
use crate::permit::Reach;
use crate::render::progress::ProgressView;
use crate::stack::ready::wait_ready;
use crate::stack::spec::{PartState, Record};
use crate::stack::{Stack, health, safety};
use nsys_contract::metrics;
use tokio::time::Instant;

/// What `up` waits for, and the ground it looks for: the schema and the topics.
const PARTS: [&str; 7] = ["postgres", "redis", "kafka", "schema", "topics", "api", "prometheus"];

/// Processor time that a replica has used, in seconds.
const CPU: &str = "process_cpu_seconds_total";

/// One sample of an instant query.
struct InstantSample {
    role: String,
    instance: String,
    machine: Option<String>,
    value: f64,
}

/// The replicas that Prometheus scrapes; when it knows none, the API alone if it answers.
pub(super) async fn records(stack: &Stack) -> Result<Vec<Record>> {
    let mut samples = scraped(stack, |scope| scope.replicas("up").now()).await;
    samples.sort_by(|one, other| (&one.role, &one.instance).cmp(&(&other.role, &other.instance)));
    let mut records: Vec<Record> = Vec::new();
    for sample in samples {
        let before = records.iter().filter(|record| record.role() == Some(&sample.role)).count();
        let state = if sample.value > 0.0 { PartState::Running } else { PartState::Failed };
        records.push(record(format!("{}-{}", sample.role, before + 1), state, Some(sample.instance)));
    }
    if records.is_empty() && health::ready(stack, &stack.endpoints.api_url()).await.is_ok() {
        records.push(record("api".into(), PartState::Running, None));
    }
    Ok(records)
}

fn record(name: String, state: PartState, address: Option<String>) -> Record {
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
    let (cpu, clock, memory, own, whole) = tokio::join!(
        scraped(stack, |scope| scope.replicas(CPU).now()),
        scraped(stack, |scope| scope.replicas(CPU).timestamp()),
        scraped(stack, |scope| scope.replicas("process_resident_memory_bytes").now()),
        scraped(stack, |scope| scope.replicas(metrics::CPU_CORES).is("of", "process").now()),
        scraped(stack, |scope| scope.replicas(metrics::CPU_CORES).is("of", "machine").now()),
    );
    let of = |samples: &[InstantSample], instance: &str| {
        samples.iter().find(|sample| sample.instance == instance).map(|sample| sample.value)
    };
    let usage_of = |record: &Record| {
        let instance = record.address.as_deref()?;
        Some(Usage {
            cpu_s: of(&cpu, instance)?,
            clock_s: of(&clock, instance)?,
            memory_bytes: of(&memory, instance)? as u64,
            cores: cores(&own, &whole, instance),
            ..Usage::default()
        })
    };
    records.iter().map(usage_of).collect()
}

/// The processors of a replica, as it tells them itself.
fn cores(own: &[InstantSample], whole: &[InstantSample], instance: &str) -> Option<Cores> {
    let find = |all: &[InstantSample]| {
        let one = all.iter().find(|one| one.instance == instance)?;
        Some((one.value, machine::read_id(one.machine.as_deref()?)?))
    };
    let ((own, machine), (of_machine, _)) = (find(own)?, find(whole)?);
    let quota = (own < of_machine).then_some(own);
    Some(Cores { machine, of_machine, set: 0, in_set: of_machine, quota })
}

/// What Prometheus knows now; nothing when it does not answer or is not configured, or when it knows replicas of
/// the companion alone.
async fn scraped(stack: &Stack, promql: impl Fn(&Scope) -> Promql) -> Vec<InstantSample> {
    let base = stack.endpoints.prometheus_url();
    if base.is_empty() || stack.unnamed(ProfilePart::Processes).is_some() {
        return Vec::new();
    }
    let promql = promql(&stack.scope().await);
    let asked = Box::pin(prometheus::instant(&base, &promql, None, prometheus::TIMEOUT));
    let series = asked.await.unwrap_or_default();
    let sample = |one: &prometheus::LabelledSeries| {
        Some(InstantSample {
            role: one.label("role")?,
            instance: one.label("instance")?,
            machine: one.label("machine"),
            value: one.value()?,
        })
    };
    series.iter().filter_map(sample).collect()
}

/// Waits until the servers answer.
pub(super) async fn await_servers(
    stack: &Stack,
    choice: &Choice,
    deadline: Instant,
    progress: &ProgressView,
) -> Result<()> {
    stack.loaded.config.check_addresses()?;
    choice.check(Runtime::External, &PARTS)?;
    await_parts(stack, choice, &["postgres", "redis", "kafka"], deadline, progress).await
}

/// Starts nothing and makes nothing: says what is missing, and waits until every part answers.
pub(super) async fn await_ready(
    stack: &Stack,
    choice: &Choice,
    deadline: Instant,
    progress: &ProgressView,
) -> Result<()> {
    await_servers(stack, choice, deadline, progress).await?;
    if choice.wants("schema", true) {
        safety::check(stack, "what nsys does here", Reach::Data).await?;
    }
    let mut missing = Vec::new();
    for part in ["schema", "topics"] {
        if choice.wants(part, true)
            && let Err(error) = health::probe(stack, part).await
        {
            missing.push(error.message);
        }
    }
    if !missing.is_empty() {
        return Err(Error::refused(format!("{}; nothing was made", missing.join("; ")))
            .hint("nsys up --migrate shows what it would make, and asks"));
    }
    let last: &[_] =
        if stack.endpoints.prometheus_url().is_empty() { &["api"] } else { &["api", "prometheus"] };
    await_parts(stack, choice, last, deadline, progress).await?;
    stack.runtime.remember(&stack.layout)
}

async fn await_parts(
    stack: &Stack,
    choice: &Choice,
    parts: &[&str],
    deadline: Instant,
    progress: &ProgressView,
) -> Result<()> {
    let chosen = parts.iter().filter(|part| choice.wants(part, true));
    let waits = chosen.map(|part| wait_ready(stack, part, deadline, progress));
    futures::future::try_join_all(waits).await.map(|_| ())
}
