//! What happened while it was watched: parts that ended or came back, sources that fell silent, alarms, load tests.
//! Bounded. It remembers what it needs to see a difference, and nothing else.

use super::super::update::{Load, Mark, PartSample, Stamped, Update};
use super::Pane;
use crate::render::{Tone, format};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Events that are kept.
const MOST: usize = 500;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A part.
    Part,
    /// Something that is asked each second.
    Source,
    /// The headline.
    Alarm,
    /// A load test.
    Load,
    /// A change of the stack, from its journal.
    Change,
    /// A mark that the operator put.
    Mark,
}

impl EventKind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Part => "part",
            Self::Source => "source",
            Self::Alarm => "alarm",
            Self::Load => "load test",
            Self::Change => "change",
            Self::Mark => "mark",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct StackEvent {
    /// When and what.
    pub mark: Mark,
    /// Of what kind.
    pub kind: EventKind,
    /// How good or bad it is.
    pub tone: Tone,
}

/// What is remembered of a part.
#[derive(Clone, Debug, PartialEq)]
struct PartBefore {
    state: String,
    restarts: u32,
    started_s: Option<f64>,
}

/// What is remembered of a source.
#[derive(Clone, Debug, Default)]
struct SourceBefore {
    answered: bool,
    failed: Option<(f64, String)>,
}

/// What is remembered of a load test.
#[derive(Clone, Debug, PartialEq)]
struct LoadBefore {
    run: String,
    levels: usize,
    runs: bool,
}

/// The events, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Events {
    kept: VecDeque<StackEvent>,
    parts: Option<BTreeMap<String, PartBefore>>,
    sources: BTreeMap<&'static str, SourceBefore>,
    load: Option<LoadBefore>,
    /// Whether a load source has answered, so that the run that was there from the start is no event.
    load_known: bool,
    alarm: Option<(Pane, f64, String)>,
}

impl Events {
    /// All, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &StackEvent> {
        self.kept.iter()
    }

    /// Those that are marks on every chart: what happened to parts, and where load tests begin and end.
    pub fn marks(&self) -> impl Iterator<Item = &Mark> {
        let marks = self.kept.iter().filter(|one| matches!(one.kind, EventKind::Part | EventKind::Load));
        marks.map(|one| &one.mark)
    }

    /// Takes what a source told.
    pub fn take(&mut self, stamped: &Stamped) {
        let at_s = stamped.at_s;
        match &stamped.update {
            Update::Service(answer) => self.answered(at_s, "Prometheus", answer.as_ref().err()),
            Update::Lag(answer) => self.answered(at_s, "Kafka", answer.as_ref().err()),
            Update::Db(answer) => self.answered(at_s, "PostgreSQL", answer.as_ref().err()),
            Update::Cache(answer) => self.answered(at_s, "Redis", answer.as_ref().err()),
            Update::Stack(answer) => {
                self.answered(at_s, "the supervisor", answer.as_ref().err());
                if let Ok(parts) = answer {
                    self.parts(at_s, parts);
                }
            }
            Update::Load(Ok(load)) => self.load(at_s, load.as_ref()),
            _ => {}
        }
    }

    /// Takes the headline of a moment.
    pub fn headline(&mut self, at_s: f64, tone: Tone, text: &str, pane: Pane) {
        match (tone, &self.alarm) {
            (Tone::Good, Some((_, since, first))) => {
                let text = format!("over after {}: {first}", lasted(*since, at_s));
                self.alarm = None;
                self.push(at_s, EventKind::Alarm, Tone::Good, text);
            }
            (Tone::Bad | Tone::Warn, before) if before.as_ref().is_none_or(|(known, ..)| *known != pane) => {
                // A source that does not answer is an event of its own.
                let is_told = self
                    .sources
                    .values()
                    .any(|one| one.failed.as_ref().is_some_and(|(_, why)| text.contains(why.as_str())));
                if !is_told {
                    self.alarm = Some((pane, at_s, text.to_owned()));
                    self.push(at_s, EventKind::Alarm, tone, text.to_owned());
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, at_s: f64, kind: EventKind, tone: Tone, text: String) {
        if self.kept.len() == MOST {
            self.kept.pop_front();
        }
        self.kept.push_back(StackEvent { mark: Mark { at_s, text }, kind, tone });
    }

    fn answered(&mut self, at_s: f64, name: &'static str, error: Option<&String>) {
        let before = self.sources.entry(name).or_default();
        match (error, &before.failed) {
            (Some(why), None) => {
                // One that never answered did not fall silent.
                let was_there = before.answered;
                before.failed = Some((at_s, why.clone()));
                if was_there {
                    self.push(at_s, EventKind::Source, Tone::Bad, format!("{name} does not answer: {why}"));
                }
            }
            (None, Some((since, _))) => {
                let text = format!("{name} answers again after {}", lasted(*since, at_s));
                let was_there = before.answered;
                *before = SourceBefore { answered: true, failed: None };
                if was_there {
                    self.push(at_s, EventKind::Source, Tone::Good, text);
                }
            }
            (None, None) => before.answered = true,
            (Some(_), Some(_)) => {}
        }
    }

    fn parts(&mut self, at_s: f64, parts: &[PartSample]) {
        let now: BTreeMap<_, _> = parts
            .iter()
            .map(|part| {
                let (state, restarts, started_s) = (part.state.clone(), part.restarts, part.started_s);
                (part.name.clone(), PartBefore { state, restarts, started_s })
            })
            .collect();
        let Some(before) = self.parts.replace(now.clone()) else { return };
        for part in parts {
            match before.get(&part.name) {
                None => self.push(at_s, EventKind::Part, Tone::Good, format!("{} was started", part.name)),
                Some(before) => {
                    if let Some((tone, text)) = difference(before, part) {
                        self.push(at_s, EventKind::Part, tone, format!("{} {text}", part.name));
                    }
                }
            }
        }
        for gone in before.keys().filter(|name| !now.contains_key(*name)) {
            self.push(at_s, EventKind::Part, Tone::Warn, format!("{gone} was stopped"));
        }
    }

    fn load(&mut self, at_s: f64, load: Option<&Load>) {
        let now =
            load.map(|load| LoadBefore { run: load.run.clone(), levels: load.done.len(), runs: load.runs() });
        let before = std::mem::replace(&mut self.load, now.clone());
        let known = std::mem::replace(&mut self.load_known, true);
        let (Some(load), Some(now)) = (load, now) else { return };
        let is_same = before.as_ref().is_some_and(|before| before.run == now.run);
        if !is_same && known && now.runs {
            self.push(at_s, EventKind::Load, Tone::Strong, format!("load test {} began", now.run));
        }
        let Some(before) = before.filter(|_| is_same) else { return };
        for (number, level) in load.done.iter().enumerate().skip(before.levels) {
            let tone = if level.verdict == "passed" { Tone::Good } else { Tone::Warn };
            let text = format!("level {} of {}: {}", number + 1, now.run, level.verdict);
            self.push(at_s, EventKind::Load, tone, text);
        }
        if before.runs && !now.runs {
            self.push(at_s, EventKind::Load, Tone::Strong, format!("load test {} ended", now.run));
        }
    }
}

/// How a part differs from before, if that is worth telling.
fn difference(before: &PartBefore, now: &PartSample) -> Option<(Tone, String)> {
    let how = now.last_exit.as_ref().map(|exit| format!(": {exit}")).unwrap_or_default();
    if now.restarts > before.restarts {
        return Some((Tone::Warn, format!("restarted by itself{how}")));
    }
    if before.state != now.state {
        let tone = match now.state.as_str() {
            "running" | "done" => Tone::Good,
            "failed" | "unhealthy" => Tone::Bad,
            _ => Tone::Warn,
        };
        return Some((
            tone,
            format!(
                "was {}, is {}{}",
                before.state,
                now.state,
                if tone == Tone::Bad { how } else { String::new() }
            ),
        ));
    }
    // A second of rounding is no new start.
    let anew = before.started_s.zip(now.started_s).is_some_and(|(before, now)| now > before + 1.5);
    anew.then(|| (Tone::Warn, "was started anew".to_owned()))
}

fn lasted(from_s: f64, to_s: f64) -> String {
    format::duration(Duration::from_secs((to_s - from_s).max(0.0).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(events: &Events) -> Vec<&str> {
        events.iter().map(|one| one.mark.text.as_str()).collect()
    }

    fn part(state: &str, restarts: u32, started_s: f64) -> PartSample {
        PartSample {
            name: "redis".into(),
            state: state.into(),
            restarts,
            started_s: Some(started_s),
            last_exit: Some("signal: 9 (SIGKILL)".into()),
            ..PartSample::default()
        }
    }

    fn parts(events: &mut Events, at_s: f64, parts: Vec<PartSample>) {
        events.take(&Stamped { at_s, update: Update::Stack(Ok(parts)) });
    }

    #[test]
    fn a_part_that_was_down_for_a_moment_leaves_a_trace() {
        let mut events = Events::default();
        parts(&mut events, 1.0, vec![part("running", 0, 0.0)]);
        assert!(texts(&events).is_empty(), "what was there from the start is no event");
        parts(&mut events, 2.0, vec![part("running", 1, 1.5)]);
        parts(&mut events, 3.0, vec![part("running", 1, 1.5)]);
        parts(&mut events, 4.0, vec![part("running", 0, 9.0)]);
        parts(&mut events, 5.0, vec![part("failed", 0, 9.0)]);
        parts(&mut events, 6.0, vec![]);
        assert_eq!(
            texts(&events),
            [
                "redis restarted by itself: signal: 9 (SIGKILL)",
                "redis was started anew",
                "redis was running, is failed: signal: 9 (SIGKILL)",
                "redis was stopped",
            ]
        );
        assert_eq!(events.marks().count(), 4);
    }

    #[test]
    fn a_source_that_fell_silent_and_came_back_is_told_with_its_time() {
        let mut events = Events::default();
        let mut take = |at_s: f64, answer: Result<(), &str>| {
            let answer = answer.map(|()| Vec::new()).map_err(str::to_owned);
            events.take(&Stamped { at_s, update: Update::Lag(answer) });
        };
        take(0.0, Err("no broker answers"));
        take(1.0, Ok(()));
        take(10.0, Err("no answer in time"));
        take(15.0, Err("no broker answers"));
        take(22.0, Ok(()));
        assert_eq!(
            texts(&events),
            ["Kafka does not answer: no answer in time", "Kafka answers again after 12s"]
        );
    }

    #[test]
    fn an_alarm_is_told_once_and_when_it_is_over() {
        let mut events = Events::default();
        events.headline(1.0, Tone::Good, "keeping up", Pane::Overview);
        events.headline(3.0, Tone::Warn, "p95 is 120 ms", Pane::Overview);
        events.headline(5.0, Tone::Warn, "p95 is 130 ms", Pane::Overview);
        events.headline(9.0, Tone::Good, "keeping up", Pane::Overview);
        assert_eq!(texts(&events), ["p95 is 120 ms", "over after 6s: p95 is 120 ms"]);
    }

    #[test]
    fn a_load_test_is_told_from_its_begin_to_its_end() {
        let mut events = Events::default();
        let mut take = |at_s: f64, load: Option<Load>| {
            events.take(&Stamped { at_s, update: Update::Load(Ok(load)) });
        };
        let done = super::super::super::update::LevelDone { verdict: "failed".into(), ..Default::default() };
        let run = |levels: usize| Load {
            run: "smoke-1".into(),
            done: vec![done.clone(); levels],
            ..Load::default()
        };
        take(0.0, None);
        take(1.0, Some(run(0)));
        take(2.0, Some(run(1)));
        assert_eq!(texts(&events), ["load test smoke-1 began", "level 1 of smoke-1: failed"]);
    }

    #[test]
    fn only_the_last_ones_are_kept() {
        let mut events = Events::default();
        for turn in 0..2_000_u32 {
            parts(&mut events, f64::from(turn), vec![part("running", turn, 0.0)]);
        }
        assert_eq!(events.iter().count(), MOST);
    }
}
