//! The dashboard on a terminal: the loop between sources, keys, commands that run, and the view.

mod delta;
mod input;
mod player;
mod recorder;
mod save;
mod session;
mod terminal;

use super::source;
use super::state::intent::Judge;
use super::state::palette::KnownCommand;
use super::state::{DashboardObjectives, Overlay, Pane, ScreenEffect, Setup, State, ThemeName, Zone};
use super::update::{Mark, Stamped, Update};
use super::view::{self, Hit};
use crate::clock::now_s;
use crate::error::{Context, Error, Result};
use crate::render::Tone;
use crate::stack::Stack;
use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use player::Player;
use ratatui::layout::Rect;
use session::Running;
use std::path::PathBuf;
use std::time::Duration;
use terminal::Terminal;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(super) use recorder::Recorder;

/// Answers that come shortly after each other are one frame.
const FRAME: Duration = Duration::from_millis(250);
/// Ages and the clock go on although nothing arrives.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How the dashboard is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The pane to begin with.
    pub pane: Pane,
    /// Whether changes are refused.
    pub read_only: bool,
    /// Whether there is colour.
    pub colour: bool,
    /// The colours.
    pub theme: ThemeName,
    /// Whether only ASCII is drawn.
    pub ascii: bool,
    /// Whether the mouse is used.
    pub mouse: bool,
    /// Where every answer is written, too.
    pub record: Option<PathBuf>,
    /// A recording to show instead of a stack.
    pub replay: Option<PathBuf>,
    /// The commands of nsys.
    pub commands: Vec<KnownCommand>,
    /// Tells what a command would change.
    pub judge: Option<Judge>,
}

/// Where updates come from.
pub(super) enum Feed {
    /// The stack.
    Live(mpsc::Receiver<Stamped>),
    /// A recording.
    Replay(Player),
}

impl Feed {
    pub(super) fn open(stack: &Stack, options: &Options) -> Result<Self> {
        if let Some(path) = &options.replay {
            return Player::open(path).map(Self::Replay);
        }
        let (to, from) = mpsc::channel(64);
        source::start(stack, &to);
        Ok(Self::Live(from))
    }
}

/// The state before anything is known.
pub(super) fn state_of(stack: &Stack, options: &Options) -> State {
    let objectives = &stack.loaded.config.objectives;
    State::new(Setup {
        stack: stack.loaded.config.stack.name.clone(),
        pane: options.pane,
        read_only: options.read_only,
        theme: options.theme,
        no_colour: !options.colour,
        ascii: options.ascii,
        bounds: DashboardObjectives {
            p95_ms: objectives.p95_ms,
            p99_ms: objectives.p99_ms,
            lag: objectives.lag,
            connections: objectives.db_connections,
            hit_rate: objectives.cache_hit_rate,
        },
        commands: options.commands.clone(),
        judge: options.judge,
        recording: options.record.is_some(),
        zone: Zone(jiff::tz::TimeZone::system()),
    })
}

/// Shows the dashboard until it is left. The terminal is as before afterwards: after `q`, Ctrl-C, a
/// signal, an error or a panic.
///
/// # Errors
/// When there is no such recording, or the terminal breaks.
pub async fn watch(stack: &Stack, options: Options) -> Result<()> {
    let feed = Feed::open(stack, &options)?;
    let mut state = state_of(stack, &options);
    let recorder = Recorder::new(options.record.as_deref(), &state.stack)?;
    if let Feed::Replay(player) = &feed {
        state.stack = player.stack().to_owned();
        state.time.replay = Some(player.shown());
        if let Some(odd) = player.odd() {
            state.notify(player.now_s(), Tone::Warn, odd);
        }
    }
    let terminal = Terminal::take(options.mouse)?;
    let mut screen = Screen {
        stack,
        state,
        feed,
        recorder,
        terminal,
        running: None,
        hits: Vec::new(),
        due: Some(Instant::now()),
        drawn: Instant::now(),
    };
    screen.run().await
}

struct Screen<'a> {
    stack: &'a Stack,
    state: State,
    feed: Feed,
    recorder: Recorder,
    terminal: Terminal,
    running: Option<Running>,
    hits: Vec<(Rect, Hit)>,
    /// When the next frame is due.
    due: Option<Instant>,
    drawn: Instant,
}

/// What woke the loop.
enum Woken {
    Update(Box<Stamped>),
    Event(Event),
    Shown,
    Frame,
    Leave,
}

impl Screen<'_> {
    async fn run(&mut self) -> Result<()> {
        let mut events = EventStream::new();
        let mut signals = terminal::Signals::new()?;
        loop {
            let due = self.due.unwrap_or(self.drawn + HEARTBEAT);
            let woken = tokio::select! {
                // Keys come before data, so that a flood of answers never delays them.
                biased;
                () = signals.next() => Woken::Leave,
                event = events.next() => match event {
                    Some(Ok(event)) => Woken::Event(event),
                    // The terminal went away.
                    Some(Err(_)) | None => Woken::Leave,
                },
                () = shown(&mut self.running) => Woken::Shown,
                // Before data as well, or the screen would stand still in a flood.
                () = tokio::time::sleep_until(due) => Woken::Frame,
                stamped = next(&mut self.feed) => match stamped {
                    Some(stamped) => Woken::Update(Box::new(stamped)),
                    None => Woken::Leave,
                },
            };
            match woken {
                Woken::Leave => return Ok(()),
                Woken::Update(stamped) => self.take(*stamped)?,
                Woken::Shown => self.show_session(),
                Woken::Event(event) => {
                    if self.event(&event)? {
                        return Ok(());
                    }
                    self.draw()?;
                }
                Woken::Frame => {
                    self.play();
                    self.draw()?;
                }
            }
        }
    }

    /// Seconds since the epoch, or where the recording is.
    fn now_s(&self) -> f64 {
        match &self.feed {
            Feed::Live(_) => now_s(),
            Feed::Replay(player) => player.now_s(),
        }
    }

    fn take(&mut self, stamped: Stamped) -> Result<()> {
        self.recorder.keep(&stamped)?;
        self.state.update(stamped);
        self.soon();
        Ok(())
    }

    /// A frame is due, but not more often than is worth it.
    fn soon(&mut self) {
        // The first update sets the time: put off by each one, the frame would never come in a flood.
        self.due.get_or_insert((self.drawn + FRAME).max(Instant::now()));
    }

    /// Goes on with the recording.
    fn play(&mut self) {
        let Feed::Replay(player) = &mut self.feed else { return };
        player.advance(&mut self.state);
        self.state.time.replay = Some(player.shown());
    }

    fn draw(&mut self) -> Result<()> {
        let (now_s, mut hits) = (self.now_s(), Vec::new());
        let state = &self.state;
        self.terminal.draw(|frame| {
            let area = frame.area();
            hits = view::draw(state, now_s, area, frame.buffer_mut());
        })?;
        self.hits = hits;
        self.drawn = Instant::now();
        self.due =
            matches!(&self.feed, Feed::Replay(player) if player.plays()).then(|| self.drawn + FRAME / 2);
        Ok(())
    }

    /// Takes a key, a click, a new size; true to leave.
    fn event(&mut self, event: &Event) -> Result<bool> {
        let now_s = self.now_s();
        let effect = match event {
            Event::Key(key) => match input::press(*key) {
                Some(input::Pressed::Suspend) => {
                    self.terminal.suspend()?;
                    ScreenEffect::None
                }
                Some(input::Pressed::Key(key)) => self.state.press(key, now_s),
                None => ScreenEffect::None,
            },
            Event::Mouse(mouse) => input::mouse(&mut self.state, *mouse, &self.hits, now_s),
            Event::Resize(width, height) => {
                if let Some(running) = &mut self.running {
                    running.resize(session::size(*width, *height));
                }
                ScreenEffect::None
            }
            Event::Paste(_) | Event::FocusGained | Event::FocusLost => ScreenEffect::None,
        };
        self.effect(effect, now_s)
    }

    fn effect(&mut self, effect: ScreenEffect, now_s: f64) -> Result<bool> {
        match effect {
            ScreenEffect::None => {}
            ScreenEffect::Quit => return Ok(true),
            ScreenEffect::Run(words) => self.run_command(&words),
            ScreenEffect::Type(bytes) => {
                if let Some(running) = &mut self.running {
                    running.write(&bytes);
                }
            }
            ScreenEffect::EndSession => {
                if let Some(running) = &mut self.running {
                    running.end();
                }
            }
            ScreenEffect::Copy(text) => self.terminal.copy(&text)?,
            ScreenEffect::Save(format) => {
                let size = self.terminal.size()?;
                match save::save(&self.state, format, now_s, size) {
                    Ok(path) => self.state.notify(now_s, Tone::Good, format!("saved to {}", path.display())),
                    Err(error) => self.state.notify(now_s, Tone::Bad, error.message),
                }
            }
            ScreenEffect::Mark(text) => {
                let at_s = self.state.time.at(now_s);
                self.take(Stamped { at_s, update: Update::Mark(Mark { at_s, text }) })?;
            }
            ScreenEffect::Seek(_) | ScreenEffect::Speed(_) | ScreenEffect::Play(_) => self.steer(&effect),
        }
        Ok(false)
    }

    fn steer(&mut self, effect: &ScreenEffect) {
        let Feed::Replay(player) = &mut self.feed else { return };
        match effect {
            ScreenEffect::Seek(to_s) => player.seek(*to_s, &mut self.state),
            ScreenEffect::Speed(speed) => player.set_speed(*speed),
            ScreenEffect::Play(playing) => player.set_playing(*playing, &mut self.state),
            _ => {}
        }
        self.state.time.replay = Some(player.shown());
    }

    fn run_command(&mut self, words: &[String]) {
        let started = self.terminal.size().and_then(|(width, height)| {
            session::start(self.stack, self.state.read_only, words, session::size(width, height))
        });
        match started {
            Ok(running) => self.running = Some(running),
            Err(error) => {
                if let Overlay::Session(session) = &mut self.state.overlay {
                    session.ended = Some((false, error.message));
                }
            }
        }
    }

    fn show_session(&mut self) {
        let Some(running) = &mut self.running else { return };
        let (shown, ended) = running.take();
        if let Overlay::Session(session) = &mut self.state.overlay {
            session.shown = shown;
            session.ended.clone_from(&ended);
        }
        if ended.is_some() {
            self.running = None;
        }
        self.due = Some(Instant::now().max(self.drawn + FRAME / 8));
    }
}

async fn next(feed: &mut Feed) -> Option<Stamped> {
    match feed {
        Feed::Live(from) => from.recv().await,
        Feed::Replay(_) => std::future::pending().await,
    }
}

async fn shown(running: &mut Option<Running>) {
    match running {
        Some(running) => running.changed().await,
        None => std::future::pending().await,
    }
}

/// A recording that cannot be opened.
fn no_recording(path: &std::path::Path, why: &str) -> Error {
    Error::usage(format!("{}: {why}", path.display())).hint("nsys watch --record FILE makes a recording")
}

/// Writes with the name of the file in the error.
fn named<T>(result: std::io::Result<T>, path: &std::path::Path) -> Result<T> {
    result.with_context(|| format!("cannot write {}", path.display()))
}
