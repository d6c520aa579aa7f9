//! What the dashboard knows and how that changes. Pure: no clock, no terminal, no client.

mod action;
pub mod calls;
pub mod charts;
pub mod data;
pub mod detail;
pub mod events;
pub mod export;
pub mod filter;
pub mod grid;
pub mod history;
pub mod intent;
pub mod legend;
pub mod line;
pub mod logs;
pub mod palette;
mod pane;
pub mod part;
mod press;
pub mod ring;
pub mod session;
mod setup;
pub mod sort;
pub mod source_value;
mod sources;
pub mod tables;
pub mod timeline;
pub mod verdict;

pub use action::{Action, Format, ScreenEffect};
pub use pane::Pane;
pub use setup::{DashboardObjectives, Setup, ThemeName, Zone};

use super::update::{Stamped, Update};
use crate::render::Tone;
use data::Data;
use filter::Filter;
use line::InputLine;
use palette::{KnownCommand, Palette};
use session::Session;
use sort::SortOrder;
use timeline::Timeline;

/// A notice goes after so many seconds.
const NOTICE_S: f64 = 6.0;

/// The headline is looked at for alarms so often.
const HEADLINE_S: f64 = 2.0;
/// Commands that were entered and are remembered.
const ENTERED: usize = 50;

/// What lies over the pane.
#[derive(Clone, Debug, Default)]
pub enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// What symbols mean and keys do in the open pane.
    Legend,
    /// All keys.
    Help,
    /// What happened.
    Events,
    /// The calls that were made.
    Calls,
    /// The chosen row in full, scrolled by so many lines.
    Detail(usize),
    /// The forms of export.
    Export,
    /// A filter that is typed, and what is wrong with it.
    Filter(InputLine, Option<String>),
    /// What is searched for, while it is typed, and what is wrong with it.
    Search(InputLine, Option<String>),
    /// The list of columns to sort by; the chosen one, 0 is their own order.
    Sort(usize),
    /// The text of a mark that is typed.
    Mark(InputLine),
    /// A command that is typed.
    Palette(Palette),
    /// A command that runs.
    Session(Session),
}

impl Overlay {
    /// Whether rows of its own lie over those of the pane: keys go through them, and neither log nor detail of the
    /// pane is there.
    #[must_use]
    pub const fn has_own_rows(&self) -> bool {
        matches!(self, Self::Calls | Self::Events)
    }
}

/// Everything that is shown.
#[derive(Debug, Default)]
pub struct State {
    /// Name of the stack.
    pub stack: String,
    /// The open pane.
    pub pane: Pane,
    /// Whether changes are refused.
    pub read_only: bool,
    /// Whether everything is recorded.
    pub recording: bool,
    /// The time zone of the clocks.
    pub zone: Zone,
    /// The colours.
    pub theme: ThemeName,
    /// Whether there is no colour at all.
    pub no_colour: bool,
    /// Whether only ASCII is drawn.
    pub ascii: bool,
    /// The objectives.
    pub bounds: DashboardObjectives,
    /// What the sources told.
    pub data: Data,
    /// The time that is shown.
    pub time: Timeline,
    /// What lies over the pane.
    pub overlay: Overlay,
    /// The filter of each pane's rows or lines.
    filters: [Option<Filter>; Pane::ALL.len()],
    /// The commands of nsys.
    pub commands: Vec<KnownCommand>,
    /// Tells what a command would change.
    pub judge: Option<intent::Judge>,
    /// Lines that the log is scrolled back.
    pub log_back: usize,
    /// How the rows of each pane are sorted; absent: their own order.
    sort: [Option<SortOrder>; Pane::ALL.len()],
    /// What is searched for in each pane.
    searches: [Option<Filter>; Pane::ALL.len()],
    /// Commands that were entered, newest last.
    entered: Vec<String>,
    /// When the headline was last looked at for an alarm.
    headline_s: f64,
    /// The chosen row of each pane, of the calls and of the events.
    chosen: [Option<String>; Pane::ALL.len() + 2],
    notice: Option<(f64, Tone, String)>,
}

impl State {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            stack: setup.stack,
            pane: setup.pane,
            read_only: setup.read_only,
            recording: setup.recording,
            zone: setup.zone,
            theme: setup.theme,
            no_colour: setup.no_colour,
            ascii: setup.ascii,
            bounds: setup.bounds,
            commands: setup.commands,
            judge: setup.judge,
            ..Self::default()
        }
    }

    /// Takes what a source told.
    pub fn update(&mut self, stamped: Stamped) {
        let (at_s, is_second) = (stamped.at_s, matches!(stamped.update, Update::Service(_)));
        self.data.update(stamped);
        if is_second && (at_s - self.headline_s).abs() >= HEADLINE_S {
            self.headline_s = at_s;
            let said = verdict::worst(self, at_s);
            self.data.events.headline(at_s, said.tone, &said.text, said.pane);
        }
    }

    /// Forgets what the sources told: a recording begins elsewhere.
    pub fn forget(&mut self) {
        self.data = Data::default();
    }

    /// The colours that are used.
    #[must_use]
    pub const fn effective_theme(&self) -> ThemeName {
        if self.no_colour { ThemeName::Plain } else { self.theme }
    }

    /// Says something below for a few seconds.
    pub fn notify(&mut self, now_s: f64, tone: Tone, text: impl Into<String>) {
        self.notice = Some((now_s + NOTICE_S, tone, text.into()));
    }

    /// What is said below.
    #[must_use]
    pub fn notice(&self, now_s: f64) -> Option<(Tone, &str)> {
        let (until, tone, text) = self.notice.as_ref()?;
        // A recording may jump back; then the notice goes too.
        (now_s <= *until && now_s >= until - NOTICE_S - 1.0).then_some((*tone, text.as_str()))
    }

    /// The filter of the open pane.
    #[must_use]
    pub const fn filter(&self) -> Option<&Filter> {
        self.filters[self.pane as usize].as_ref()
    }

    /// Whether a row is shown under the filter.
    #[must_use]
    pub fn lets(&self, text: &str) -> bool {
        self.filter().is_none_or(|filter| filter.lets(text))
    }

    /// The key of the chosen row of the pane, or of the calls when they are shown.
    #[must_use]
    pub fn chosen(&self) -> Option<&str> {
        self.chosen[self.place()].as_deref()
    }

    /// How the rows of the pane are sorted.
    #[must_use]
    pub const fn sorted_by(&self) -> Option<SortOrder> {
        self.sort[self.pane as usize]
    }

    /// Chooses a row.
    pub fn choose(&mut self, key: String) {
        let place = self.place();
        if self.chosen[place].as_deref() != Some(&key) {
            self.chosen[place] = Some(key);
            self.log_back = 0;
        }
    }

    const fn place(&self) -> usize {
        match self.overlay {
            Overlay::Calls => Pane::ALL.len(),
            Overlay::Events => Pane::ALL.len() + 1,
            _ => self.pane as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::second;
    use super::super::update::{Mark, PartSample, ServiceSample, Update};
    use super::*;
    use history::{ChartSeries, StackMetric};

    #[test]
    fn a_day_of_answers_takes_the_memory_of_an_hour() {
        let mut state = State::default();
        let mut hour = None;
        for number in 0..86_400_u32 {
            let at_s = 1_767_323_000.0 + f64::from(number);
            // Everything now and then, the cheap ones each second: a day must not take a minute.
            if number.is_multiple_of(20) {
                second(at_s, 2).into_iter().for_each(|stamped| state.update(stamped));
                state.update(Stamped { at_s, update: Update::Mark(Mark { at_s, text: "m".into() }) });
            } else {
                state.update(Stamped { at_s, update: Update::Service(Ok(ServiceSample::default())) });
            }
            if number == 45_000 {
                hour = Some(state.data.held());
            }
        }
        assert_eq!(Some(state.data.held()), hour);
        let at_s = 1_767_323_000.0 + 86_380.0;
        assert_eq!(state.data.history.at(&ChartSeries::Of(StackMetric::Lag), at_s), Some(1_237.0));
    }

    #[test]
    fn missing_is_never_zero_on_the_axis() {
        let mut state = State::default();
        state.update(Stamped { at_s: 1.0, update: Update::Service(Err("no answer in time".into())) });
        state.update(Stamped { at_s: 1.0, update: Update::Lag(Err("no broker".into())) });
        for metric in [StackMetric::Rate, StackMetric::Lag, StackMetric::Connections] {
            assert_eq!(state.data.history.at(&ChartSeries::Of(metric), 1.0), None);
        }
    }

    #[test]
    fn the_past_is_shown_as_it_was() {
        let mut state = State::default();
        for number in 0..120 {
            second(f64::from(number), 3).into_iter().for_each(|stamped| state.update(stamped));
        }
        let then = tables::of_pane(&State { pane: Pane::Lag, ..state }, 60.0);
        let end = then.columns.iter().position(|column| column.name == "end").unwrap();
        assert_eq!(then.rows[1].cells[end].text, (1_000_000 + 60 * 240).to_string());
    }

    #[test]
    fn a_part_that_has_done_its_work_is_no_trouble() {
        let mut state = State::default();
        for number in 0..30 {
            second(f64::from(number), 3).into_iter().for_each(|stamped| state.update(stamped));
        }
        let part = |name: &str, is: &str| PartSample {
            name: name.to_owned(),
            state: is.to_owned(),
            last_exit: (is != "running").then(|| "exit code 0".to_owned()),
            ..PartSample::default()
        };
        let mut parts = vec![part("prepare", "done"), part("worker-1", "running")];
        state.update(Stamped { at_s: 30.0, update: Update::Stack(Ok(parts.clone())) });
        assert_eq!(verdict::worst(&state, 30.0).tone, Tone::Good);
        parts[1] = part("worker-1", "failed");
        state.update(Stamped { at_s: 31.0, update: Update::Stack(Ok(parts)) });
        let said = verdict::worst(&state, 31.0);
        assert!(said.text.starts_with("worker-1 is failed"), "{said:?}");
    }

    #[test]
    fn the_worst_thing_comes_first() {
        let mut state = State::default();
        assert_eq!(verdict::worst(&state, 0.0).tone, Tone::Dim);
        for number in 0..30 {
            second(f64::from(number), 3).into_iter().for_each(|stamped| state.update(stamped));
        }
        let said = verdict::worst(&state, 29.0);
        assert_eq!(said.tone, Tone::Good, "{said:?}");
        let failing = ServiceSample { rate: Some(100.0), errors: Some(5.0), ..ServiceSample::default() };
        state.update(Stamped { at_s: 30.0, update: Update::Service(Ok(failing)) });
        assert_eq!(verdict::worst(&state, 30.0).text, "5.0/s of the requests fail (5.0 %)");
        state.update(Stamped { at_s: 31.0, update: Update::Lag(Err("kafka: no broker".into())) });
        let said = verdict::worst(&state, 31.0);
        assert_eq!((said.tone, said.text.as_str(), said.pane), (Tone::Bad, "kafka: no broker", Pane::Lag));
        // What it was before is still told of before.
        assert_eq!(verdict::worst(&state, 29.0).tone, Tone::Good);
    }

    #[test]
    fn statements_are_those_of_the_window() {
        let mut state = State { pane: Pane::Db, ..State::default() };
        for number in 1_000..1_100 {
            second(f64::from(number), 1).into_iter().for_each(|stamped| state.update(stamped));
        }
        state.time.zoom();
        let grid = tables::of_pane(&state, 1_099.0);
        assert_eq!(grid.title, "statements of the last 60 s");
        // 120 calls a second of 6.4 ms are the most time, not the most calls.
        let cells: Vec<_> = grid.rows[0].cells.iter().map(|cell| cell.text.as_str()).collect();
        assert_eq!(cells[..4], ["74.1 %", "7,200", "6.4 ms", "46.08 s"]);
    }

    /// One part of which hardly anything is known.
    fn partless() -> State {
        let mut state = State::default();
        let part = PartSample { name: "redis".into(), state: "running".into(), ..PartSample::default() };
        state.update(Stamped { at_s: 59.0, update: Update::Stack(Ok(vec![part])) });
        state
    }

    #[test]
    fn an_export_has_what_is_shown() {
        let mut state = State { stack: "shop".into(), ..State::default() };
        for number in 0..60 {
            second(f64::from(number), 2).into_iter().for_each(|stamped| state.update(stamped));
        }
        let csv = export::csv(&state, 59.0);
        assert!(csv.starts_with("time,rate,planned rate,p50,"), "{csv}");
        assert!(csv.lines().last().is_some_and(|line| line.starts_with("1970-01-01T00:00:59Z,")), "{csv}");
        state.pane = Pane::Lag;
        let json = export::json(&state, 59.0);
        assert_eq!(json["rows"][0]["topic"], "notifications");
        assert_eq!(json["rows"][0]["lag"], 1_234);
        assert!(json["rows"][0]["behind_s"].is_number() && json["rows"][0].get("share").is_none(), "{json}");
        // What could not be had is null for a program.
        let unowned =
            export::json(&State { pane: Pane::Stack, ..State { stack: "shop".into(), ..partless() } }, 59.0);
        assert_eq!(unowned["rows"][0]["network_bytes_per_s"], serde_json::Value::Null);
        assert_eq!(unowned["rows"][0]["restarts"], 0);
        let markdown = export::markdown(&state, 59.0);
        assert!(markdown.contains("| notification-workers | notifications |"), "{markdown}");
        assert!(export::csv(&state, 59.0).contains("notification-workers,notifications,0,"));
    }
}
