//! What the dashboard knows and how that changes. Pure: no clock, no terminal, no client.

use super::update::{Database, Load, OwnedLag, Part, Sample, Stamped, Update};
use crate::domain::cache::CacheStats;
use regex::Regex;
use std::collections::VecDeque;

/// Seconds of history that are kept.
const HISTORY_S: usize = 3_600;
/// A value older than this is stale.
const STALE_S: f64 = 6.0;

/// One pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Pane {
    /// Everything on one time axis.
    #[default]
    Overview,
    /// Consumer lag by partition.
    Lag,
    /// The running load test.
    Load,
    /// PostgreSQL.
    Db,
    /// Redis.
    Cache,
    /// The parts and their logs.
    Stack,
}

impl Pane {
    /// All, in the order of their keys.
    pub const ALL: [Self; 6] = [Self::Overview, Self::Lag, Self::Load, Self::Db, Self::Cache, Self::Stack];

    /// The name on its tab.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Lag => "lag",
            Self::Load => "load",
            Self::Db => "db",
            Self::Cache => "cache",
            Self::Stack => "stack",
        }
    }
}

/// The last value of a source, its age, and what is wrong with it now.
#[derive(Clone, Debug)]
pub struct Source<T> {
    /// The last value it gave.
    pub value: Option<T>,
    /// When it gave it.
    pub at_s: Option<f64>,
    /// Why the last attempt failed, if it did.
    pub error: Option<String>,
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self { value: None, at_s: None, error: None }
    }
}

impl<T> Source<T> {
    fn take(&mut self, at_s: f64, answer: Result<T, String>) {
        match answer {
            Ok(value) => *self = Self { value: Some(value), at_s: Some(at_s), error: None },
            // The last value stays, with its age.
            Err(error) => self.error = Some(error),
        }
    }

    /// Whether the value can be taken for that of now.
    #[must_use]
    pub fn fresh(&self, now_s: f64) -> bool {
        self.error.is_none() && self.at_s.is_some_and(|at| now_s - at < STALE_S)
    }
}

/// One second on the time axis.
#[derive(Clone, Copy, Debug, Default)]
pub struct Point {
    /// Seconds since the epoch.
    pub at_s: f64,
    /// The service.
    pub service: Sample,
    /// Messages that wait.
    pub lag: Option<i64>,
    /// Connections.
    pub connections: Option<i64>,
    /// CPU of app and worker, per cent of one core.
    pub service_cpu_pct: Option<f64>,
}

/// What is typed below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A filter of rows.
    Filter(String),
    /// A command of nsys.
    Command(String),
}

/// What the program is to do besides drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// End.
    Quit,
    /// Run nsys with these arguments outside the dashboard.
    Run(String),
}

/// What a key means; which key that is stands in `keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End.
    Quit,
    /// Open a pane.
    Open(Pane),
    /// The next pane.
    Next,
    /// The pane before.
    Previous,
    /// Show or hide the keys.
    Help,
    /// Stop or go on taking new values.
    Pause,
    /// A shorter window.
    Zoom,
    /// A longer window.
    Widen,
    /// One row down.
    Down,
    /// One row up.
    Up,
    /// Type a filter.
    Filter,
    /// Type a command.
    Command,
    /// Leave what is open.
    Escape,
}

/// Everything that is shown.
#[derive(Debug)]
pub struct State {
    /// Name of the stack.
    pub stack: String,
    /// The open pane.
    pub pane: Pane,
    /// Whether changes are refused.
    pub read_only: bool,
    /// The service.
    pub service: Source<Sample>,
    /// Lag.
    pub lag: Source<Vec<OwnedLag>>,
    /// PostgreSQL.
    pub db: Source<Database>,
    /// Redis, since its start.
    pub cache: Source<CacheStats>,
    /// Redis, over the last look.
    pub cache_window: Option<CacheStats>,
    /// The parts.
    pub parts: Source<Vec<Part>>,
    /// The load test.
    pub load: Source<Option<Load>>,
    /// One point a second, oldest first.
    pub history: VecDeque<Point>,
    /// Seconds that are shown.
    pub window_s: usize,
    /// When it was paused; new values wait meanwhile.
    pub paused: bool,
    /// Whether the keys are shown.
    pub help: bool,
    /// The chosen row.
    pub row: usize,
    /// What is typed.
    pub input: Option<Input>,
    /// Rows that fit are shown; a `!` before it turns it round.
    pub filter: Option<(String, bool, Regex)>,
    /// What the last command came to.
    pub message: Option<String>,
    waiting: Vec<Stamped>,
}

impl State {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(stack: &str, pane: Pane, read_only: bool) -> Self {
        Self {
            stack: stack.to_owned(),
            pane,
            read_only,
            service: Source::default(),
            lag: Source::default(),
            db: Source::default(),
            cache: Source::default(),
            cache_window: None,
            parts: Source::default(),
            load: Source::default(),
            history: VecDeque::with_capacity(HISTORY_S),
            window_s: 120,
            paused: false,
            help: false,
            row: 0,
            input: None,
            filter: None,
            message: None,
            waiting: Vec::new(),
        }
    }

    /// Takes an answer of a source.
    pub fn update(&mut self, stamped: Stamped) {
        if self.paused {
            // An hour of answers at most waits; then the oldest go.
            if self.waiting.len() >= 6 * HISTORY_S {
                self.waiting.remove(0);
            }
            self.waiting.push(stamped);
            return;
        }
        let at_s = stamped.at_s;
        match stamped.update {
            Update::Service(answer) => {
                let sample = answer.as_ref().ok().copied().unwrap_or_default();
                self.service.take(at_s, answer);
                self.push(at_s, sample);
            }
            Update::Lag(answer) => self.lag.take(at_s, answer),
            Update::Db(answer) => self.db.take(at_s, answer),
            Update::Cache(answer) => {
                if let (Some(before), Ok(now)) = (&self.cache.value, &answer) {
                    self.cache_window = Some(now.since(before));
                }
                self.cache.take(at_s, answer);
            }
            Update::Stack(answer) => self.parts.take(at_s, answer),
            Update::Load(answer) => self.load.take(at_s, answer),
        }
    }

    fn push(&mut self, at_s: f64, service: Sample) {
        if self.history.len() == HISTORY_S {
            self.history.pop_front();
        }
        let lag = self.lag.fresh(at_s).then(|| self.total_lag()).flatten();
        let connections = self.db.fresh(at_s).then(|| self.connections()).flatten();
        let service_cpu_pct = self.parts.fresh(at_s).then(|| self.service_cpu()).flatten();
        self.history.push_back(Point { at_s, service, lag, connections, service_cpu_pct });
    }

    /// Messages that wait.
    #[must_use]
    pub fn total_lag(&self) -> Option<i64> {
        Some(self.lag.value.as_ref()?.iter().map(|one| one.lag.lag).sum())
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> Option<i64> {
        Some(self.db.value.as_ref()?.connections.iter().map(|one| one.connections).sum())
    }

    fn service_cpu(&self) -> Option<f64> {
        let parts = self.parts.value.as_ref()?.iter();
        let service = parts.filter(|part| part.name.starts_with("app-") || part.name.starts_with("worker-"));
        service.map(|part| part.cpu_pct).sum()
    }

    /// The points of the window, oldest first.
    pub fn points(&self) -> impl Iterator<Item = &Point> {
        self.history.iter().skip(self.history.len().saturating_sub(self.window_s))
    }

    /// Whether a row is shown under the filter.
    #[must_use]
    pub fn shows(&self, text: &str) -> bool {
        self.filter.as_ref().is_none_or(|(_, inverse, pattern)| pattern.is_match(text) != *inverse)
    }

    /// Does what a key means.
    pub fn act(&mut self, action: Action) -> Effect {
        match action {
            Action::Quit => return Effect::Quit,
            Action::Open(pane) => (self.pane, self.row) = (pane, 0),
            Action::Next => self.turn(1),
            Action::Previous => self.turn(Pane::ALL.len() - 1),
            Action::Help => self.help = !self.help,
            Action::Pause => {
                self.paused = !self.paused;
                if !self.paused {
                    for stamped in std::mem::take(&mut self.waiting) {
                        self.update(stamped);
                    }
                }
            }
            Action::Zoom => self.window_s = (self.window_s / 2).max(30),
            Action::Widen => self.window_s = (self.window_s * 2).min(HISTORY_S),
            Action::Down => self.row = self.row.saturating_add(1),
            Action::Up => self.row = self.row.saturating_sub(1),
            Action::Filter => self.input = Some(Input::Filter(String::new())),
            Action::Command => self.input = Some(Input::Command(String::new())),
            Action::Escape => {
                if self.help {
                    self.help = false;
                } else {
                    self.filter = None;
                    self.message = None;
                }
            }
        }
        Effect::None
    }

    fn turn(&mut self, steps: usize) {
        let place = Pane::ALL.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        (self.pane, self.row) = (Pane::ALL[(place + steps) % Pane::ALL.len()], 0);
    }

    /// Takes a typed character; `None` is backspace.
    pub fn type_in(&mut self, character: Option<char>) {
        let Some(Input::Filter(text) | Input::Command(text)) = &mut self.input else { return };
        match character {
            Some(character) => text.push(character),
            None if text.is_empty() => self.input = None,
            None => drop(text.pop()),
        }
    }

    /// Ends what is typed, taken or not.
    pub fn enter(&mut self, taken: bool) -> Effect {
        match self.input.take() {
            Some(Input::Command(text)) if taken && !text.trim().is_empty() => Effect::Run(text),
            Some(Input::Filter(text)) if taken => {
                let (inverse, pattern) =
                    text.strip_prefix('!').map_or((false, text.as_str()), |rest| (true, rest));
                self.filter = None;
                if !pattern.is_empty() {
                    match Regex::new(&format!("(?i){pattern}")) {
                        Ok(regex) => self.filter = Some((text.clone(), inverse, regex)),
                        Err(_) => self.message = Some(format!("{pattern:?} is no regular expression")),
                    }
                }
                Effect::None
            }
            _ => Effect::None,
        }
    }

    /// The worst thing in words, and how bad it is: 0 all quiet, 1 needs a look, 2 wrong.
    #[must_use]
    pub fn worst(&self, now_s: f64) -> (u8, String) {
        let down = self.parts.value.iter().flatten().find(|part| part.state != "running");
        if let Some(part) = down {
            return (2, format!("{} is {}", part.name, part.state));
        }
        let errors = [
            ("supervisor", &self.parts.error),
            ("kafka", &self.lag.error),
            ("postgres", &self.db.error),
            ("redis", &self.cache.error),
            ("prometheus", &self.service.error),
        ];
        if let Some((name, Some(error))) = errors.iter().find(|(_, error)| error.is_some()) {
            return (2, format!("{name}: {error}"));
        }
        let now = self.service.value.filter(|_| self.service.fresh(now_s)).unwrap_or_default();
        if let Some(errors) = now.errors.filter(|errors| *errors > 0.0) {
            return (2, format!("{errors:.1} requests per second fail"));
        }
        if let Some(waits) = self.db.value.as_ref().and_then(|db| db.locks.first()) {
            return (1, format!("pid {} waits for a lock of pid {}", waits.pid, waits.blocker));
        }
        if let Some((grown, seconds)) = self.growing_lag() {
            return (1, format!("lag grew by {grown} in the last {seconds} s"));
        }
        if self.service.value.is_none() {
            return (1, "waiting for the first values".into());
        }
        (0, "it is keeping up".into())
    }

    /// By how much lag grew over the last ten seconds, if it never fell in them.
    fn growing_lag(&self) -> Option<(i64, usize)> {
        const SECONDS: usize = 10;
        let last: Vec<_> = self.history.iter().rev().take(SECONDS).filter_map(|point| point.lag).collect();
        let steady = last.len() == SECONDS && last.windows(2).all(|pair| pair[0] >= pair[1]);
        let grown = last.first()? - last.last()?;
        (steady && grown > 100).then_some((grown, SECONDS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lag::PartitionLag;

    fn state() -> State {
        State::new("test", Pane::Overview, false)
    }

    fn at(at_s: f64, update: Update) -> Stamped {
        Stamped { at_s, update }
    }

    fn lag(waiting: i64) -> Update {
        let lag = PartitionLag::new("notifications", 0, Some(0), 0, waiting);
        Update::Lag(Ok(vec![OwnedLag { lag, owner: None }]))
    }

    #[test]
    fn a_failed_source_keeps_its_last_value_and_says_why() {
        let mut state = state();
        state.update(at(1.0, lag(5)));
        state.update(at(2.0, Update::Lag(Err("nothing listens there".into()))));
        assert_eq!(state.total_lag(), Some(5));
        assert!(!state.lag.fresh(2.0));
        assert_eq!(state.worst(2.0), (2, "kafka: nothing listens there".into()));
        state.update(at(3.0, lag(6)));
        assert!(state.lag.fresh(3.0));
    }

    #[test]
    fn what_is_missing_is_never_zero_on_the_axis() {
        let mut state = state();
        state.update(at(1.0, Update::Service(Err("no answer in time".into()))));
        let point = state.history[0];
        assert_eq!((point.service.rate, point.lag, point.connections), (None, None, None));
    }

    #[test]
    fn a_day_of_values_takes_the_memory_of_an_hour() {
        let mut state = state();
        for second in 0..86_400 {
            state.update(at(f64::from(second), Update::Service(Ok(Sample::default()))));
        }
        assert_eq!(state.history.len(), HISTORY_S);
    }

    #[test]
    fn paused_values_are_shown_later_and_in_order() {
        let mut state = state();
        state.act(Action::Pause);
        state.update(at(1.0, lag(5)));
        state.update(at(2.0, lag(7)));
        assert_eq!(state.total_lag(), None);
        state.act(Action::Pause);
        assert_eq!(state.total_lag(), Some(7));
    }

    #[test]
    fn growing_lag_is_said_and_idle_lag_is_not() {
        let mut state = state();
        for second in 0..10 {
            state.update(at(f64::from(second), lag(i64::from(second) * 50)));
            state.update(at(f64::from(second), Update::Service(Ok(Sample::default()))));
        }
        assert_eq!(state.worst(9.0).1, "lag grew by 450 in the last 10 s");
        for second in 10..20 {
            state.update(at(f64::from(second), lag(450)));
            state.update(at(f64::from(second), Update::Service(Ok(Sample::default()))));
        }
        assert_eq!(state.worst(19.0).0, 0);
    }

    #[test]
    fn a_filter_can_be_turned_round() {
        let mut state = state();
        state.act(Action::Filter);
        "!retry".chars().for_each(|one| state.type_in(Some(one)));
        assert_eq!(state.enter(true), Effect::None);
        assert!(state.shows("notifications") && !state.shows("notifications-RETRY"));
        state.act(Action::Escape);
        assert!(state.shows("notifications-retry"));
    }

    #[test]
    fn a_command_is_run_only_when_entered() {
        let mut state = state();
        state.act(Action::Command);
        "ps".chars().for_each(|one| state.type_in(Some(one)));
        assert_eq!(state.enter(false), Effect::None);
        state.act(Action::Command);
        "ps".chars().for_each(|one| state.type_in(Some(one)));
        assert_eq!(state.enter(true), Effect::Run("ps".into()));
    }

    #[test]
    fn panes_go_round() {
        let mut state = state();
        state.act(Action::Previous);
        assert_eq!(state.pane, Pane::Stack);
        state.act(Action::Next);
        assert_eq!(state.pane, Pane::Overview);
    }
}
