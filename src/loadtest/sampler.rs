//! Looks at everything once a second while a level runs: processes, PostgreSQL, Kafka, Redis, and one
//! request of its own.

use crate::clients::redis::Redis;
use crate::clients::{http, process};
use crate::clock::now_s;
use crate::domain::cache::CacheStats;
use crate::domain::cores;
use crate::domain::database::Activity;
use crate::domain::lag::PartitionLag;
use crate::domain::profile::ProfilePart;
use crate::domain::run::Sample;
use crate::domain::usage::{self, Usage};
use crate::error::Result;
use crate::loadtest::flows::FlowProbes;
use crate::measured::Measured;
use crate::stack::Stack;
use crate::stack::reserve::ReservedConnection;
use crate::stack::spec::{PartState, Record};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A part that does not answer within this time has no value in this second.
const TIMEOUT: Duration = Duration::from_millis(900);

/// Longest wait for a connection to the service's database.
pub const CONNECT: Duration = Duration::from_secs(3);

/// Takes one sample at a time; rates are differences to the sample before.
#[derive(Debug)]
pub struct Sampler {
    stack: Stack,
    generators: Vec<i32>,
    /// The parts that run.
    parts: Vec<Record>,
    database: Option<ReservedConnection>,
    redis: Option<Redis>,
    flows: FlowProbes,
    before: Option<SampleCounters>,
    partitions: Vec<PartitionLag>,
}

/// What is counted since some start.
#[derive(Clone, Debug, Default)]
struct SampleCounters {
    at_s: f64,
    generator_cpu_s: Option<f64>,
    generator_run_s: Option<(f64, f64)>,
    used: BTreeMap<String, Usage>,
    machine: Option<(u64, u64)>,
    activity: Option<Activity>,
    cache: Option<CacheStats>,
}

impl Sampler {
    /// A sampler of the running stack and these generator processes.
    ///
    /// # Errors
    /// When the supervisor does not answer.
    pub async fn new(stack: &Stack, generators: Vec<i32>) -> Result<Self> {
        let parts = running(stack.records().await?);
        let stack = stack.clone();
        Ok(Self {
            stack,
            generators,
            parts,
            database: None,
            redis: None,
            flows: FlowProbes::default(),
            before: None,
            partitions: Vec::new(),
        })
    }

    /// Lag by partition at the last sample.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionLag] {
        &self.partitions
    }

    /// One sample; what could not be had is absent.
    pub async fn sample(&mut self) -> Sample {
        let mut sample = Sample { at_s: now_s(), ..Sample::default() };
        let mut now =
            SampleCounters { at_s: sample.at_s, machine: process::machine(), ..SampleCounters::default() };
        self.sample_generator(&mut sample, &mut now);
        self.sample_parts(&mut sample, &mut now).await;
        let stack = &self.stack;
        let is_named = |part| stack.unnamed(part).is_none();
        let (activity, cache, lag, control_ms) = tokio::join!(
            async {
                if is_named(ProfilePart::Postgres) { activity(&mut self.database, stack).await } else { None }
            },
            async { if is_named(ProfilePart::Redis) { cache(&mut self.redis, stack).await } else { None } },
            stack.if_named(ProfilePart::Flows, Box::pin(self.flows.lag(stack))),
            control(stack),
        );
        (now.activity, now.cache, sample.control_ms) = (activity, cache, control_ms);
        if let Measured::Value(lag) = lag {
            sample.lag = Some(lag.iter().map(|one| one.lag).sum());
            sample.lag_worst = lag.iter().map(|one| one.lag).max();
            self.partitions = lag;
        }
        if let Some(activity) = &now.activity {
            sample.db_connections = Some(activity.connections);
            sample.db_active = Some(activity.active);
            sample.db_lock_waits = Some(activity.lock_waits);
        }
        sample.redis_memory_mb = now.cache.map(|stats| mib(stats.memory_bytes));
        if let Some(before) = &self.before {
            rates(&mut sample, before, &now);
        }
        self.before = Some(now);
        sample
    }

    fn sample_generator(&self, sample: &mut Sample, now: &mut SampleCounters) {
        // One that has ended makes the sum unknown: without its share it would look like less work.
        let used: Option<Vec<_>> = self.generators.iter().map(|pid| process::usage(*pid)).collect();
        if let Some(used) = used.filter(|used| !used.is_empty()) {
            now.generator_cpu_s = Some(used.iter().map(|one| one.0).sum());
            sample.generator_rss_mb = Some(used.iter().map(|one| mib(one.1)).sum());
        }
        let ran: Option<Vec<_>> = self.generators.iter().map(|pid| process::scheduling(*pid)).collect();
        now.generator_run_s = ran
            .filter(|ran| !ran.is_empty())
            .map(|ran| ran.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1)));
    }

    async fn sample_parts(&mut self, sample: &mut Sample, now: &mut SampleCounters) {
        let mut usages = self.stack.usage(&self.parts).await;
        if usages.iter().any(Option::is_none) {
            // A part was restarted. The CPU time of the new process begins anew.
            // While nobody tells what runs, those that were known are asked.
            if let Ok(records) = self.stack.records().await {
                self.parts = running(records);
            }
            usages = self.stack.usage(&self.parts).await;
        }
        let (mut memory, mut files) = (0, Some(0));
        for (part, usage) in self.parts.iter().zip(usages) {
            let Some(usage) = usage else { continue };
            sample.rss_mb.insert(part.name.clone(), mib(usage.memory_bytes));
            now.used.insert(part.name.clone(), usage);
            if part.role().is_some() {
                memory += usage.memory_bytes;
                let open = part.process.as_ref().and_then(|process| process::open_files(process.pid));
                files = files.zip(open).map(|(sum, open)| sum + open);
            }
        }
        if now.used.keys().any(|name| is_service(name)) {
            (sample.service_rss_mb, sample.service_files) = (Some(mib(memory)), files);
        }
    }
}

/// Fills in what is a difference to the sample before.
fn rates(sample: &mut Sample, before: &SampleCounters, now: &SampleCounters) {
    let elapsed = (now.at_s - before.at_s).max(1e-3);
    let pct = |now: f64, before: f64| (now - before) / elapsed * 100.0;
    sample.generator_cpu_pct =
        now.generator_cpu_s.zip(before.generator_cpu_s).map(|(now, before)| pct(now, before));
    sample.generator_wait_pct = now.generator_run_s.zip(before.generator_run_s).and_then(|(now, before)| {
        let (ran, waited) = (now.0 - before.0, now.1 - before.1);
        // Threads that ended took their counts with them.
        (ran >= 0.0 && waited >= 0.0 && ran + waited > 0.0).then(|| waited / (ran + waited) * 100.0)
    });
    sample.machine_cpu_pct = now.machine.zip(before.machine).and_then(|(now, before)| {
        let (busy, all) = (now.0.checked_sub(before.0)?, now.1.checked_sub(before.1)?);
        (all > 0).then(|| busy as f64 / all as f64 * 100.0)
    });
    for (name, usage) in &now.used {
        // A part that was restarted has used less than before, and has no rate in this second.
        if let Some(pct) = before.used.get(name).and_then(|then| usage::cpu_pct(then, usage)) {
            sample.cpu_pct.insert(name.clone(), pct);
        }
    }
    let service: Vec<_> = now.used.iter().filter(|(name, _)| is_service(name)).collect();
    let known: Option<Vec<_>> = service.iter().map(|(name, _)| sample.cpu_pct.get(*name)).collect();
    // Of all that they may use, wherever they run; where nobody tells how much that is, there is no share.
    let usable = cores::usable(service.iter().map(|(_, usage)| usage.cores));
    sample.service_cpu_pct = known.zip(usable).map(|(known, cores)| known.into_iter().sum::<f64>() / cores);
    if let Some((now, before)) = now.activity.zip(before.activity) {
        sample.db_commits_per_s = Some(now.since(&before).commits as f64 / elapsed);
    }
    if let Some((now, before)) = now.cache.zip(before.cache) {
        let between = now.since(&before);
        sample.redis_ops_per_s = Some(between.commands as f64 / elapsed);
        sample.redis_evicted_per_s = Some(between.evicted as f64 / elapsed);
    }
}

/// Replicas of the service carry a number.
#[must_use]
pub fn is_service(part: &str) -> bool {
    part.starts_with("app-") || part.starts_with("worker-")
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A connection to the service's database.
///
/// # Errors
/// When it does not take one.
pub async fn connect(stack: &Stack) -> Result<ReservedConnection> {
    stack.kept_postgres(CONNECT).await
}

/// Asks over a connection that is kept; after a failure it is made anew.
async fn activity(kept: &mut Option<ReservedConnection>, stack: &Stack) -> Option<Activity> {
    let ask = async {
        if kept.is_none() {
            *kept = connect(stack).await.ok();
        }
        kept.as_mut()?.activity().await.ok()
    };
    let answer = tokio::time::timeout(TIMEOUT, ask).await.ok().flatten();
    if answer.is_none() {
        *kept = None;
    }
    answer
}

async fn cache(kept: &mut Option<Redis>, stack: &Stack) -> Option<CacheStats> {
    if kept.is_none() {
        *kept = Redis::connect(&stack.endpoints.redis_url(), TIMEOUT).await.ok();
    }
    let answer = kept.as_mut()?.stats().await.ok();
    if answer.is_none() {
        *kept = None;
    }
    answer
}

/// What has done its work and ended uses nothing, and is not asked for it again and again.
fn running(mut parts: Vec<Record>) -> Vec<Record> {
    parts.retain(|part| part.state != PartState::Done);
    parts
}

/// The answer time of one request beside the load, in ms; none where the profile names none.
async fn control(stack: &Stack) -> Option<f64> {
    let started = Instant::now();
    let url = format!("{}{}", stack.endpoints.api_url(), stack.profile().control.as_ref()?);
    http::get(&url, Duration::from_secs(3)).await.ok().filter(|answer| answer.status / 100 == 2)?;
    Some(started.elapsed().as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_part_has_no_rate_in_that_second_and_hides_the_sum() {
        let counters = |at_s: f64, app: f64, worker: f64| {
            let cores = Some(cores::Cores { machine: 1, of_machine: 2.0, set: 0, in_set: 2.0, quota: None });
            let used = |cpu_s: f64| Usage { cpu_s, clock_s: at_s, cores, ..Usage::default() };
            SampleCounters {
                at_s,
                used: [("app-1".to_owned(), used(app)), ("worker-1".to_owned(), used(worker))].into(),
                ..SampleCounters::default()
            }
        };
        let mut sample = Sample::default();
        rates(&mut sample, &counters(1.0, 5.0, 9.0), &counters(2.0, 5.5, 0.1));
        assert_eq!(sample.cpu_pct.get("app-1"), Some(&50.0));
        assert_eq!((sample.cpu_pct.get("worker-1"), sample.service_cpu_pct), (None, None));
        let mut sample = Sample::default();
        rates(&mut sample, &counters(1.0, 5.0, 9.0), &counters(2.0, 5.5, 9.5));
        assert_eq!(sample.service_cpu_pct, Some(50.0));
        // Somewhere else, on nobody knows how many processors.
        let mut elsewhere = counters(2.0, 5.5, 9.5);
        elsewhere.used.values_mut().for_each(|usage| usage.cores = None);
        let mut sample = Sample::default();
        rates(&mut sample, &counters(1.0, 5.0, 9.0), &elsewhere);
        assert_eq!((sample.service_cpu_pct, sample.cpu_pct.get("app-1")), (None, Some(&50.0)));
    }
}
