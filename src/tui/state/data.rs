//! What the sources have told so far. Pure: an update goes in, nothing comes out.

use super::super::update::{
    CacheSample, Database, Load, MachineSample, Mark, PartSample, ServiceSample, Stamped, Update,
};
use super::calls::Calls;
use super::events::Events;
use super::history::{ChartSeries, SeriesHistory, StackMetric};
use super::logs::LogLines;
use super::source_value::SourceValue;
use crate::domain::lag::tracker::{GroupSample, GroupView, LagTracker};
use nsys_contract::topics;
use std::collections::{BTreeMap, VecDeque};

/// Statements whose texts are kept; beyond that only those that are still told of.
const TEXTS: usize = 1_000;
/// Marks that are kept.
const MARKS: usize = 500;

/// Everything that was told. Memory is bounded.
#[derive(Debug, Default)]
pub struct Data {
    /// The service.
    pub service: SourceValue<ServiceSample>,
    /// Consumer groups, with what their looks mean.
    pub lag: SourceValue<Vec<GroupView>>,
    /// PostgreSQL.
    pub db: SourceValue<Database>,
    /// Redis.
    pub cache: SourceValue<CacheSample>,
    /// The parts.
    pub parts: SourceValue<Vec<PartSample>>,
    /// The load test that runs, or the one that ran last.
    pub load: SourceValue<Option<Load>>,
    /// The machine that the stack runs on.
    pub machine: SourceValue<MachineSample>,
    /// Logs of the parts.
    pub logs: LogLines,
    /// Calls that were made.
    pub calls: Calls,
    /// What happened.
    pub events: Events,
    /// Everything over time.
    pub history: SeriesHistory,
    /// Changes of the stack, from its journal.
    changes: Vec<Mark>,
    /// Marks that the operator put.
    marks: VecDeque<Mark>,
    tracker: LagTracker,
    /// Texts of statements by id: they are most of what PostgreSQL says, and the same each second.
    texts: BTreeMap<i64, String>,
}

impl Data {
    /// Takes what a source told.
    pub fn update(&mut self, stamped: Stamped) {
        let at_s = stamped.at_s;
        self.events.take(&stamped);
        match stamped.update {
            Update::Service(answer) => self.service(at_s, answer),
            Update::Lag(answer) => self.lag(at_s, answer),
            Update::Db(answer) => self.db(at_s, answer),
            Update::Cache(answer) => self.cache(at_s, answer),
            Update::Stack(answer) => self.parts(at_s, answer),
            Update::Load(answer) => self.load(at_s, answer),
            Update::Machine(answer) => {
                let cpu = answer.as_ref().ok().and_then(|machine| machine.cpu_pct);
                self.put(at_s, StackMetric::Machine, cpu);
                self.machine.take(at_s, answer);
            }
            Update::Log { part, lines } => self.logs.take(part, &lines),
            Update::Call(call) => self.calls.take(at_s, call),
            Update::Changes(changes) => {
                let short = |mark: Mark| Mark { text: without_globals(&mark.text), ..mark };
                self.changes = changes.into_iter().map(short).collect();
            }
            Update::Mark(mark) => {
                self.marks.push_back(mark);
                if self.marks.len() > MARKS {
                    self.marks.pop_front();
                }
            }
        }
    }

    fn put(&mut self, at_s: f64, metric: StackMetric, value: Option<f64>) {
        self.history.put(ChartSeries::Of(metric), at_s, value);
    }

    fn service(&mut self, at_s: f64, answer: Result<ServiceSample, String>) {
        let now = answer.as_ref().ok().cloned().unwrap_or_default();
        for (metric, value) in [
            (StackMetric::Rate, now.rate),
            (StackMetric::P50, now.p50_ms),
            (StackMetric::P95, now.p95_ms),
            (StackMetric::P99, now.p99_ms),
            (StackMetric::Errors, now.errors),
            (StackMetric::Published, now.published),
            (StackMetric::Consumed, now.consumed),
            (StackMetric::Query, now.query_p95_ms),
            (StackMetric::PoolWait, now.pool_wait_ms),
            (StackMetric::Hits, now.hit_rate),
        ] {
            self.put(at_s, metric, value);
        }
        self.service.take(at_s, answer);
    }

    fn lag(&mut self, at_s: f64, answer: Result<Vec<GroupSample>, String>) {
        let view = answer.map(|groups| self.tracker.take(at_s, &groups));
        let own = view.as_ref().ok().and_then(|groups| own_group(groups));
        self.put(at_s, StackMetric::Lag, own.and_then(GroupView::lag).map(|lag| lag as f64));
        let behind = own.and_then(|group| {
            group.topics.iter().filter_map(|topic| Some(topic.behind?.seconds)).reduce(f64::max)
        });
        self.put(at_s, StackMetric::Behind, behind);
        for topic in own.map(|group| group.topics.as_slice()).unwrap_or_default() {
            self.history.put(ChartSeries::TopicLag(topic.topic.clone()), at_s, Some(topic.lag as f64));
        }
        self.lag.take(at_s, view);
    }

    fn db(&mut self, at_s: f64, mut answer: Result<Database, String>) {
        if let Ok(db) = &mut answer {
            self.take_texts(db);
        }
        let now = answer.as_ref().ok();
        let count = |which: fn(&str) -> bool| {
            now.map(|db| {
                let chosen = db.connections.iter().filter(|one| which(&one.state));
                chosen.map(|one| one.connections).sum::<i64>() as f64
            })
        };
        let (all, active) = (count(|_| true), count(|state| state != "idle" && state != "unknown"));
        // The share of the last look, not since the start of the server.
        let hits = now.zip(self.db.last()).and_then(|(now, before)| {
            let hits = now.totals.hits - before.totals.hits;
            let all = hits + now.totals.reads - before.totals.reads;
            (hits >= 0 && all > 0).then(|| hits as f64 / all as f64)
        });
        self.put(at_s, StackMetric::Connections, all);
        self.put(at_s, StackMetric::Active, active);
        self.put(at_s, StackMetric::BufferHits, hits);
        self.db.take(at_s, answer);
    }

    /// Keeps the text of each statement once, not with every answer.
    fn take_texts(&mut self, db: &mut Database) {
        for one in &mut db.statements {
            self.texts.insert(one.id, std::mem::take(&mut one.query));
        }
        if self.texts.len() > TEXTS {
            self.texts.retain(|id, _| db.statements.iter().any(|one| one.id == *id));
        }
    }

    /// The text of a statement.
    #[must_use]
    pub fn statement(&self, id: i64) -> &str {
        self.texts.get(&id).map_or("", String::as_str)
    }

    fn cache(&mut self, at_s: f64, answer: Result<CacheSample, String>) {
        let now = answer.as_ref().ok();
        let before = self.cache.at(at_s).map(|(time, value)| (time, value.stats));
        let evicted = now
            .zip(before)
            .map(|(now, (time, before))| now.stats.since(&before).evicted as f64 / (at_s - time).max(0.1));
        self.put(at_s, StackMetric::CacheMemory, now.map(|now| now.stats.memory_bytes as f64));
        self.put(at_s, StackMetric::Evicted, evicted);
        self.cache.take(at_s, answer);
    }

    fn parts(&mut self, at_s: f64, answer: Result<Vec<PartSample>, String>) {
        for part in answer.as_ref().map(Vec::as_slice).unwrap_or_default() {
            self.history.put(ChartSeries::Cpu(part.name.clone()), at_s, part.cpu_pct);
            let memory = part.memory_bytes.map(|bytes| bytes as f64);
            self.history.put(ChartSeries::Memory(part.name.clone()), at_s, memory);
        }
        self.parts.take(at_s, answer);
    }

    fn load(&mut self, at_s: f64, answer: Result<Option<Load>, String>) {
        let now = answer.as_ref().ok().and_then(Option::as_ref).filter(|load| load.runs());
        let second = now.and_then(|load| load.progress.as_ref()?.second);
        let planned = now.and_then(|load| load.target).map(f64::from);
        self.put(at_s, StackMetric::Planned, planned);
        self.put(at_s, StackMetric::Generator, now.and_then(|load| load.generator_cpu_pct));
        self.put(at_s, StackMetric::ClientP95, second.and_then(|second| second.p95_ms));
        self.put(at_s, StackMetric::NotStarted, second.and_then(|second| second.not_started_per_s));
        self.load.take(at_s, answer);
    }

    /// How many values, lines and marks are kept, for the test that it is bounded.
    #[cfg(test)]
    pub(crate) fn held(&self) -> [usize; 8] {
        [
            self.service.len(),
            self.lag.len(),
            self.db.len(),
            self.cache.len(),
            self.parts.len(),
            self.logs.of("app-1", None).count(),
            self.calls.iter().count(),
            self.marks.len(),
        ]
    }

    /// The group of the stack's own workers at a time.
    #[must_use]
    pub fn own_group(&self, at_s: f64) -> Option<&GroupView> {
        own_group(self.lag.at(at_s)?.1)
    }

    /// Changes of the stack, and marks that the operator put.
    pub fn changes_and_marks(&self) -> (impl Iterator<Item = &Mark>, impl Iterator<Item = &Mark>) {
        (self.changes.iter(), self.marks.iter())
    }

    /// Marks, changes and what happened to parts between two times, oldest first; with each, whether
    /// somebody made it (a change, the operator's mark) or it happened.
    #[must_use]
    pub fn marks(&self, from_s: f64, to_s: f64) -> Vec<(&Mark, bool)> {
        let made = self.changes.iter().chain(&self.marks).map(|mark| (mark, true));
        let all = made.chain(self.events.marks().map(|mark| (mark, false)));
        let mut marks: Vec<_> = all.filter(|(mark, _)| mark.at_s >= from_s && mark.at_s <= to_s).collect();
        marks.sort_by(|(one, _), (other, _)| one.at_s.total_cmp(&other.at_s));
        marks
    }
}

/// A command line without the flags that every command takes: they say where, not what.
fn without_globals(text: &str) -> String {
    let mut words = text.split(' ');
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "--state-dir" | "--config" | "-o" | "--output" => {
                words.next();
            }
            "-q" | "--quiet" | "-v" | "-vv" | "--verbose" | "--no-color" | "--yes" | "-y" => {}
            word if word.starts_with("--state-dir=") || word.starts_with("--config=") => {}
            word => kept.push(word),
        }
    }
    kept.join(" ")
}

fn own_group(groups: &[GroupView]) -> Option<&GroupView> {
    groups.iter().find(|group| group.group == topics::WORKER_GROUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_called_by_what_it_did() {
        let text = "c1 tune db --indexes --state-dir /tmp/a --yes";
        assert_eq!(without_globals(text), "c1 tune db --indexes");
    }
}
