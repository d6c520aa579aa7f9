//! The terminal itself: taken, drawn on, and given back whatever happens.

use crate::error::{Context, Result};
use crate::render;
use base64::Engine;
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use rustix::process::{Signal, getpid, kill_process};
use std::io::{BufWriter, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// A frame at 200 by 50 is one write.
const BUFFER: usize = 128 << 10;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal while the dashboard has it. Dropping it gives it back.
pub(super) struct Terminal {
    inner: ratatui::Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    mouse: bool,
}

impl Terminal {
    /// Takes the terminal.
    pub(super) fn take(mouse: bool) -> Result<Self> {
        restore_on_panic();
        let writer = BufWriter::with_capacity(BUFFER, render::screen());
        let inner =
            ratatui::Terminal::new(CrosstermBackend::new(writer)).context("cannot take the terminal")?;
        let mut terminal = Self { inner, mouse };
        terminal.enter()?;
        Ok(terminal)
    }

    fn enter(&mut self) -> Result<()> {
        TAKEN.store(true, Ordering::SeqCst);
        enable_raw_mode().context("cannot take the terminal")?;
        let backend = self.inner.backend_mut();
        execute!(backend, EnterAlternateScreen).context("cannot take the terminal")?;
        if self.mouse {
            execute!(backend, EnableMouseCapture).context("cannot take the mouse")?;
        }
        self.inner.clear().context("cannot clear the terminal")
    }

    /// Draws a frame.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        self.inner.draw(draw).map(|_| ()).context("cannot draw")
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> Result<(u16, u16)> {
        let size = self.inner.size().context("cannot ask for the size of the terminal")?;
        Ok((size.width, size.height))
    }

    /// Puts text on the clipboard of the terminal, wherever that is: OSC 52.
    pub(super) fn copy(&mut self, text: &str) -> Result<()> {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        let backend = self.inner.backend_mut();
        write!(backend, "\x1b]52;c;{encoded}\x07").and_then(|()| backend.flush()).context("cannot copy")
    }

    /// Gives the terminal to the shell until the program is taken to the foreground again.
    pub(super) fn suspend(&mut self) -> Result<()> {
        give_back();
        // Stops here; SIGCONT goes on with the next line.
        kill_process(getpid(), Signal::TSTP).context("cannot stop")?;
        self.enter()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Leaves everything that was entered. A terminal that is gone cannot complain.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut screen = render::screen();
    let _ = execute!(screen, DisableMouseCapture, LeaveAlternateScreen, crossterm::cursor::Show);
    let _ = disable_raw_mode();
    let _ = screen.flush();
}

/// A panic of the program gives the terminal back before it is shown. One of a source is told by the
/// dashboard itself; printed, it would only tear the screen.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        let owner = std::thread::current().id();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().id() == owner {
                give_back();
            }
            if !TAKEN.load(Ordering::SeqCst) {
                before(panic);
            }
        }));
    });
}

/// The signals that end the dashboard.
pub(super) struct Signals([tokio::signal::unix::Signal; 3]);

impl Signals {
    pub(super) fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self([
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
            listen(SignalKind::interrupt())?,
        ]))
    }

    pub(super) async fn next(&mut self) {
        let [terminate, hangup, interrupt] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
