//! The terminal: takes it, gives it back whatever happens, and feeds state and view.

use super::state::{Action, Effect, Pane, State};
use super::update::{Stamped, Update};
use super::{keys, source, view};
use crate::error::{Context, Error, Result};
use crate::stack::Stack;
use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind};
use futures::StreamExt;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// How the dashboard is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The pane to begin with.
    pub pane: Pane,
    /// Whether changes are refused.
    pub read_only: bool,
    /// Whether there is colour.
    pub colour: bool,
    /// Where every answer is written, too.
    pub record: Option<PathBuf>,
    /// A recording to show instead of a stack.
    pub replay: Option<PathBuf>,
}

/// Answers of the stack, or of a recording at its own pace.
fn feed(stack: &Stack, options: &Options) -> Result<mpsc::Receiver<Stamped>> {
    let (to, from) = mpsc::channel(64);
    let Some(path) = &options.replay else {
        source::start(stack, &to);
        return Ok(from);
    };
    let file = std::fs::File::open(path)
        .map_err(|cause| Error::usage(format!("cannot open the recording {}: {cause}", path.display())))?;
    let lines = std::io::BufReader::new(file).lines();
    let recorded: Vec<Stamped> =
        lines.map_while(std::io::Result::ok).filter_map(|line| serde_json::from_str(&line).ok()).collect();
    if recorded.is_empty() {
        return Err(Error::usage(format!("{} is no recording of nsys watch", path.display())));
    }
    tokio::spawn(async move {
        let shift = source::now_s() - recorded[0].at_s;
        for mut stamped in recorded {
            stamped.at_s += shift;
            let wait = (stamped.at_s - source::now_s()).max(0.0);
            tokio::time::sleep(Duration::from_secs_f64(wait)).await;
            if to.send(stamped).await.is_err() {
                return;
            }
        }
        // The last screen stays.
        to.closed().await;
    });
    Ok(from)
}

struct Recorder(Option<std::fs::File>);

impl Recorder {
    fn new(path: Option<&PathBuf>) -> Result<Self> {
        let create = |path: &PathBuf| {
            std::fs::File::create(path).with_context(|| format!("cannot create {}", path.display()))
        };
        path.map(create).transpose().map(Self)
    }

    fn keep(&mut self, stamped: &Stamped) -> Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let line = serde_json::to_string(stamped).context("cannot record")?;
        writeln!(file, "{line}").context("cannot write the recording")
    }
}

/// Shows the dashboard until it is left. The terminal is as before afterwards: after `q`, Ctrl-C,
/// SIGTERM, an error or a panic.
///
/// # Errors
/// When there is no such recording, or the terminal breaks.
pub async fn watch(stack: &Stack, options: Options) -> Result<()> {
    let mut from = feed(stack, &options)?;
    let mut recorder = Recorder::new(options.record.as_ref())?;
    let mut state = State::new(&stack.loaded.config.stack.name, options.pane, options.read_only);
    // The hook of `try_init` restores the terminal before a panic is shown.
    let mut terminal = ratatui::try_init().context("cannot take the terminal")?;
    let result = show(stack, &mut terminal, &mut state, &mut from, &mut recorder, options.colour).await;
    ratatui::restore();
    result
}

async fn show(
    stack: &Stack,
    terminal: &mut ratatui::DefaultTerminal,
    state: &mut State,
    from: &mut mpsc::Receiver<Stamped>,
    recorder: &mut Recorder,
    colour: bool,
) -> Result<()> {
    let mut events = EventStream::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    // Ages go on although nothing arrives; several answers together are one frame.
    let mut frame = tokio::time::interval(Duration::from_millis(250));
    frame.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut changed = true;
    loop {
        tokio::select! {
            stamped = from.recv() => {
                let Some(stamped) = stamped else { return Ok(()) };
                recorder.keep(&stamped)?;
                state.update(stamped);
            }
            event = events.next() => {
                let Some(event) = event else { return Ok(()) };
                match handle(state, &event.context("the terminal went away")?) {
                    Effect::None => {}
                    Effect::Quit => return Ok(()),
                    Effect::Run(text) => {
                        drop(events);
                        ratatui::restore();
                        state.message = Some(run(stack, state.read_only, &text).await);
                        *terminal = ratatui::try_init().context("cannot take the terminal back")?;
                        events = EventStream::new();
                    }
                }
                changed = true;
            }
            _ = frame.tick() => changed = true,
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
        if std::mem::take(&mut changed) {
            let now_s = source::now_s();
            terminal.draw(|frame| view::draw(state, now_s, colour, frame)).context("cannot draw")?;
        }
    }
}

fn handle(state: &mut State, event: &Event) -> Effect {
    let Event::Key(key) = event else { return Effect::None };
    if key.kind == KeyEventKind::Release {
        return Effect::None;
    }
    let action = keys::action(*key);
    if state.input.is_none() || (action == Some(Action::Quit) && key.code != KeyCode::Char('q')) {
        return action.map_or(Effect::None, |action| state.act(action));
    }
    match key.code {
        KeyCode::Char(character) => state.type_in(Some(character)),
        KeyCode::Backspace => state.type_in(None),
        KeyCode::Enter => return state.enter(true),
        KeyCode::Esc => return state.enter(false),
        _ => {}
    }
    Effect::None
}

/// Runs nsys itself with what was typed, in the ordinary terminal: the same plan, the same question.
async fn run(stack: &Stack, read_only: bool, text: &str) -> String {
    let Ok(own) = std::env::current_exe() else { return "cannot find nsys itself".into() };
    let mut command = tokio::process::Command::new(own);
    command.args(text.split_whitespace()).arg("--state-dir").arg(&stack.loaded.state_dir);
    if let Some(file) = &stack.loaded.file {
        command.arg("--config").arg(file);
    }
    if read_only {
        command.arg("--read-only");
    }
    let outcome = match command.status().await {
        Ok(status) if status.success() => format!("nsys {text}: done"),
        Ok(status) => format!("nsys {text}: {status}"),
        Err(cause) => format!("nsys {text}: {cause}"),
    };
    let wait = tokio::task::spawn_blocking(|| {
        let _ = writeln!(anstream::stderr(), "\npress Enter to go back to the dashboard");
        let _ = std::io::stdin().read_line(&mut String::new());
    });
    let _ = wait.await;
    outcome
}

/// Without a terminal: tells `each` what is known, once a second.
///
/// # Errors
/// When there is no such recording, or `each` fails.
pub async fn lines(
    stack: &Stack,
    options: Options,
    mut each: impl FnMut(&State, f64) -> Result<()>,
) -> Result<()> {
    let mut from = feed(stack, &options)?;
    let mut recorder = Recorder::new(options.record.as_ref())?;
    let mut state = State::new(&stack.loaded.config.stack.name, options.pane, options.read_only);
    while let Some(stamped) = from.recv().await {
        recorder.keep(&stamped)?;
        let tick = matches!(stamped.update, Update::Service(_));
        state.update(stamped);
        if tick {
            each(&state, source::now_s())?;
        }
    }
    Ok(())
}
