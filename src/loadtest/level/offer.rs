//! Offers the load of a level and looks at everything once a second until it ends, is stopped or
//! interrupted.

use super::cost::OwnCounters;
use crate::clients::process;
use crate::clients::prometheus;
use crate::clock::now_s;
use crate::diagnose;
use crate::domain::facts::Facts;
use crate::domain::lag::PartitionLag;
use crate::domain::level::{Level, WARMUP, Window};
use crate::domain::profile::ProfilePart;
use crate::domain::promql::Promql;
use crate::domain::run::{Measuring, Sample};
use crate::domain::stop::{StopRule, Watcher};
use crate::domain::stream::RunPhase;
use crate::domain::stream::Tick;
use crate::error::{Error, Result};
use crate::loadtest::collect::{self, PartCounters};
use crate::loadtest::context::RunContext;
use crate::loadtest::engine::{self, GeneratorProcesses, News, Offer, Seconds};
use crate::loadtest::sampler::Sampler;
use crate::loadtest::{flows, view};
use crate::measured::Measured;
use crate::render::progress::ProgressLine;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

/// A generator makes its virtual users and ends its last requests outside the planned time.
const OVERHEAD: Duration = Duration::from_secs(180);
/// A tick older than this says nothing about now.
const FRESH_S: f64 = 2.5;

/// How the offering went.
#[derive(Debug, Default)]
pub(super) struct Offered {
    /// The generator's exit code; none for a signal.
    pub(super) exit: Option<i32>,
    /// Processors that it was allowed to use.
    pub(super) cpus: Option<f64>,
    /// Ctrl-C.
    pub(super) interrupted: bool,
    /// The stop rule that ended it.
    pub(super) stopped_by: Option<String>,
    /// Stop rules that could not be judged, in words.
    pub(super) blind: Vec<String>,
    /// It did not end by itself in any reasonable time.
    pub(super) overdue: bool,
    /// When the load began, as far as it could be seen.
    pub(super) began_s: Option<f64>,
    /// One sample a second.
    pub(super) samples: Vec<Sample>,
    /// What the generators told.
    pub(super) ticks: Vec<Tick>,
    /// What was counted in the measured time.
    pub(super) counted: Option<Between>,
    /// What measuring itself cost in the measured time.
    pub(super) measuring: Measuring,
    /// Partitions when the load ended.
    pub(super) partitions: Measured<Vec<PartitionLag>>,
    /// Largest lag of each partition.
    pub(super) most_lag: BTreeMap<(String, i32), i64>,
}

/// Counters at both ends of the measured time, and what follows from others.
#[derive(Debug)]
pub(super) struct Between {
    pub(super) before: PartCounters,
    pub(super) after: PartCounters,
    pub(super) facts: Facts,
}

impl Offered {
    /// Whether the generator had no chance to end by itself.
    pub(super) fn cut_short(&self) -> bool {
        self.interrupted || self.overdue || self.stopped_by.is_some()
    }
}

/// Offers a level.
///
/// # Errors
/// When the generator cannot be started or the supervisor does not answer.
pub(super) async fn offer(
    context: &RunContext<'_>,
    number: usize,
    level: &Level,
    offer: &Offer,
    line: &ProgressLine,
) -> Result<Offered> {
    line.update("starting the load generator");
    let (mut generator, news) = engine::begin(context.permit, offer)?;
    let ended = Box::pin(watch(context, number, level, offer, &mut generator, news, line)).await;
    // Also when watching failed: a generator that nobody watches must not go on. The receiver of its news
    // is gone by now, which k6 waits for before it ends.
    if !matches!(&ended, Ok(offered) if !offered.cut_short()) {
        line.update("stopping the load generator");
        generator.stop().await;
    }
    ended
}

async fn watch(
    context: &RunContext<'_>,
    number: usize,
    level: &Level,
    offer: &Offer,
    generator: &mut GeneratorProcesses,
    mut news: Receiver<News>,
    line: &ProgressLine,
) -> Result<Offered> {
    // Before anything that takes time: if nsys is killed from here on, the next one finds the generators.
    engine::claim(&offer.work, context.dir, generator.pids())?;
    let mut watch = LevelWatch::new(context, number, level, offer, generator.pids()).await?;
    let detail = [context.progress.line("  stack"), context.progress.line("  generator")];
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    // A late sample is not made up for: two at once would be rates over no time.
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let deadline = Instant::now() + Duration::from_secs(level.seconds) + OVERHEAD;
    loop {
        tokio::select! {
            // Begun anew in every turn, which loses nothing: a child that has ended keeps its status.
            exit = generator.wait() => {
                watch.offered.exit = exit;
                break;
            }
            // Where generators tell nothing (in a cluster) the channel is closed, and this branch is off.
            Some(News::Second(generator, second)) = news.recv() => watch.record(generator, second),
            () = context.interrupt.wait() => {
                watch.offered.interrupted = true;
                break;
            }
            _ = tick.tick() => {
                watch.observe(line, &detail).await;
                watch.offered.overdue = Instant::now() > deadline;
                if watch.offered.overdue || watch.offered.stopped_by.is_some() {
                    break;
                }
            }
        }
    }
    // What generators sent before they ended may still wait here.
    while let Ok(News::Second(generator, second)) = news.try_recv() {
        watch.record(generator, second);
    }
    for one in &detail {
        one.remove();
    }
    watch.end().await
}

/// What is remembered from second to second.
struct LevelWatch<'a> {
    context: &'a RunContext<'a>,
    number: usize,
    level: &'a Level,
    windows: &'a [Window],
    sampler: Sampler,
    rules: Watcher,
    phase: RunPhase,
    begun: Option<JoinHandle<(PartCounters, diagnose::Before)>>,
    /// Counters of nsys itself when the measured time began.
    own: Option<OwnCounters>,
    ended: Option<JoinHandle<Option<Between>>>,
    /// What the generators told.
    seconds: Seconds,
    offered: Offered,
}

impl<'a> LevelWatch<'a> {
    async fn new(
        context: &'a RunContext<'a>,
        number: usize,
        level: &'a Level,
        offer: &'a Offer,
        pids: &[i32],
    ) -> Result<Self> {
        let rules = context.plan.stop.iter().map(|rule| StopRule::parse(rule).map_err(Error::usage));
        let rules = Watcher::new(rules.collect::<Result<_>>()?);
        // Those elsewhere are held by processes here that say nothing about them.
        let pids = if offer.place.is_here() { pids } else { &[] };
        let sampler = Sampler::new(context.stack, pids.to_vec()).await?;
        let cpus = pids.first().and_then(|pid| process::usable_cpus(*pid));
        context.stream.phase(number, RunPhase::Warmup, None);
        Ok(Self {
            context,
            number,
            level,
            windows: &offer.windows,
            sampler,
            rules,
            phase: RunPhase::Warmup,
            begun: None,
            own: None,
            ended: None,
            seconds: Seconds::default(),
            offered: Offered { cpus, ..Offered::default() },
        })
    }

    /// Takes a second that a generator tells of.
    fn record(&mut self, generator: usize, tick: Tick) {
        if tick.rate > 0.0 {
            // A tick is stamped with the end of its second.
            self.offered.began_s.get_or_insert(tick.at_s - 1.0);
        }
        self.seconds.take(generator, tick);
    }

    /// Seconds since the load began.
    fn elapsed(&self, at_s: f64) -> Option<f64> {
        self.offered.began_s.map(|began| at_s - began)
    }

    async fn observe(&mut self, line: &ProgressLine, detail: &[ProgressLine; 2]) {
        let mut sample = self.sampler.sample().await;
        for one in self.sampler.partitions() {
            let most = self.offered.most_lag.entry((one.topic.clone(), one.partition)).or_insert(0);
            *most = (*most).max(one.lag);
        }
        let elapsed = self.elapsed(sample.at_s);
        if let Some(last) = self.seconds.last().filter(|tick| sample.at_s - tick.at_s < FRESH_S) {
            // For the screen and the stop rules, which cannot wait; `assign` puts in the right one later.
            put(&mut sample, last);
        }
        sample.planned_rps = elapsed.and_then(|at| planned(self.windows, at));
        self.enter(elapsed);
        self.context.stream.second(self.number, &sample);
        self.show(&sample, elapsed, line, detail);
        self.judge(&sample).await;
        self.offered.samples.push(sample);
    }

    /// Begins and ends the measured time.
    fn enter(&mut self, elapsed: Option<f64>) {
        let Some(elapsed) = elapsed else { return };
        let measured = self.windows.iter().filter(|window| window.measured);
        let from = measured.clone().map(|window| window.start_s).min().unwrap_or(0) as f64;
        let to = measured.map(|window| window.start_s + window.seconds).max().unwrap_or(0) as f64;
        if self.phase == RunPhase::Warmup && elapsed >= from {
            self.own = Some(OwnCounters::now());
            let stack = self.context.stack.clone();
            // Beside the sampling, which must not wait for it.
            self.begun = Some(tokio::spawn(async move {
                tokio::join!(collect::count(&stack), Box::pin(diagnose::before(&stack)))
            }));
            self.phase = RunPhase::Steady;
            let until_s = self.offered.began_s.map(|began| began + to);
            self.context.stream.phase(self.number, RunPhase::Steady, until_s);
        }
        if self.ended.is_none() && elapsed >= to {
            self.ended = self.count_to_now();
        }
    }

    /// Counts the measured time that ends now; none when it has not begun.
    fn count_to_now(&mut self) -> Option<JoinHandle<Option<Between>>> {
        let (begun, stack) = (self.begun.take()?, self.context.stack.clone());
        let end = OwnCounters::now();
        self.offered.measuring = self.own.take().map(|begin| begin.until(&end)).unwrap_or_default();
        Some(tokio::spawn(async move {
            let (before, counters) = begun.await.ok()?;
            let since = Box::pin(diagnose::since(&stack, &counters, diagnose::Span::Exactly));
            let (after, facts) = tokio::join!(collect::count(&stack), since);
            Some(Between { before, after, facts })
        }))
    }

    fn show(&self, sample: &Sample, elapsed: Option<f64>, line: &ProgressLine, detail: &[ProgressLine; 2]) {
        // On a terminal every second, in a log every five.
        if !line.is_live() && !self.offered.samples.len().is_multiple_of(5) {
            return;
        }
        let left_s = self.level.seconds.saturating_sub(elapsed.unwrap_or(0.0) as u64);
        let progress = view::LevelProgress { level: self.level, phase: self.phase, left_s, sample };
        let [load, stack, generator] = view::lines(&progress);
        if line.is_live() {
            line.update(&load);
            detail[0].update(&stack);
            detail[1].update(&generator);
        } else {
            line.update(&format!("{load}; {stack}; generator {generator}"));
        }
    }

    async fn judge(&mut self, sample: &Sample) {
        let base = self.context.stack.endpoints.prometheus_url();
        let mut answers = Vec::new();
        for expression in self.rules.expressions() {
            let asked = Promql::of_user(expression);
            answers.push(prometheus::value(&base, &asked, now_s()).await.ok().flatten());
        }
        self.offered.stopped_by = self.rules.observe(sample, &answers);
        for blind in self.rules.blind() {
            self.context.progress.note(&format!("stop rule {blind}"));
            self.offered.blind.push(format!("stop rule {blind}"));
        }
    }

    async fn end(mut self) -> Result<Offered> {
        let stack = self.context.stack;
        self.offered.partitions = match stack.if_named(ProfilePart::Flows, Box::pin(flows::lag(stack))).await
        {
            // What was seen a second ago is nearer to the truth than nothing.
            gap @ (Measured::Missing(_) | Measured::NotApplicable(_)) => {
                let seen = self.sampler.partitions();
                if seen.is_empty() { gap } else { seen.to_vec().into() }
            }
            now @ Measured::Value(_) => now,
        };
        // The measured time of a level that was cut short never reached its end: it ends now.
        if let Some(ended) = self.ended.take().or_else(|| self.count_to_now()) {
            self.offered.counted = ended.await.ok().flatten();
        }
        self.offered.ticks = std::mem::take(&mut self.seconds).into_ticks();
        assign(&mut self.offered.samples, &self.offered.ticks);
        Ok(self.offered)
    }
}

/// The rate that was planned at this time of a level.
fn planned(windows: &[Window], elapsed: f64) -> Option<f64> {
    let at = windows.iter().find(|window| {
        elapsed >= window.start_s as f64 && elapsed < (window.start_s + window.seconds) as f64
    })?;
    debug_assert!(at.measured || at.name == WARMUP);
    at.rate.map(f64::from)
}

fn put(sample: &mut Sample, tick: &Tick) {
    sample.client_rps = Some(tick.rate);
    sample.client_errors_per_s = Some(tick.errors);
    sample.dropped_per_s = Some(tick.dropped);
    (sample.client_p50_ms, sample.client_p95_ms, sample.client_p99_ms) =
        (tick.p50_ms, tick.p95_ms, tick.p99_ms);
}

/// Gives each sample the second of the generators that is nearest to it: they come late.
fn assign(samples: &mut [Sample], ticks: &[Tick]) {
    for sample in samples {
        let nearest = ticks
            .iter()
            .min_by(|one, two| (one.at_s - sample.at_s).abs().total_cmp(&(two.at_s - sample.at_s).abs()));
        if let Some(tick) = nearest.filter(|tick| (tick.at_s - sample.at_s).abs() <= 0.75) {
            put(sample, tick);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_gets_the_second_that_is_nearest() {
        let tick = |at_s: f64, rate: f64| Tick { at_s, rate, ..Tick::default() };
        let at = |at_s: f64| Sample { at_s, ..Sample::default() };
        let mut samples = [at(1.1), at(2.1), at(9.0)];
        assign(&mut samples, &[tick(1.0, 10.0), tick(2.0, 20.0)]);
        let rates: Vec<_> = samples.iter().map(|one| one.client_rps).collect();
        assert_eq!(rates, [Some(10.0), Some(20.0), None]);
    }

    #[test]
    fn the_planned_rate_follows_the_windows() {
        let parts = ["100/s:10s", "900/s:5s", "100/s:10s"].map(|text| Level::by_rate(text).unwrap());
        let windows = Level::spike(&parts).unwrap().windows(0.2);
        let at = |elapsed| planned(&windows, elapsed);
        assert_eq!([at(1.0), at(12.0), at(20.0), at(30.0)], [Some(100.0), Some(900.0), Some(100.0), None]);
    }
}
