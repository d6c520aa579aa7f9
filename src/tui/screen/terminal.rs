//! The terminal itself: taken, drawn on, and given back whatever happens.

use crate::error::{Context, Result};
use crate::render;
use base64::Engine;
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use rustix::process::{Signal, getpid, kill_process};
use std::io::{BufWriter, Stdout, Write};
use std::sync::Once;
use tokio::signal::unix::{SignalKind, signal};

/// A frame at 200 by 50 is one write.
const BUFFER: usize = 128 << 10;

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
        // Before anything is entered: until then `give_back` does nothing, whatever fails.
        render::take_screen(true);
        enable_raw_mode().context("cannot take the terminal")?;
        let backend = self.inner.backend_mut();
        execute!(backend, EnterAlternateScreen).context("cannot take the terminal")?;
        if self.mouse {
            execute!(backend, EnableMouseCapture).context("cannot take the mouse")?;
        }
        // Whatever was drawn before, the next frame is drawn whole. Asking for the cursor, as clearing
        // does, hangs in a terminal that does not answer.
        let (width, height) = self.size()?;
        self.inner.resize(Rect::new(0, 0, width, height)).context("cannot clear the terminal")
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
    if !render::take_screen(false) {
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
            if !render::screen_is_taken() {
                before(panic);
            }
        }));
    });
}

/// The signals that end the dashboard.
pub(super) struct Signals([tokio::signal::unix::Signal; 4]);

impl Signals {
    pub(super) fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self([
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
            listen(SignalKind::interrupt())?,
            listen(SignalKind::quit())?,
        ]))
    }

    pub(super) async fn next(&mut self) {
        let [terminate, hangup, interrupt, quit] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portable_pty::{CommandBuilder, PtySize, native_pty_system};
    use std::io::Read;
    use std::num::NonZero;

    /// Set by the test below: the other one takes the terminal it runs in.
    const IN_A_TERMINAL: &str = "NSYS_TEST_IN_A_TERMINAL";

    /// Run by the test below, in a terminal of its own.
    #[test]
    fn panics_with_the_terminal_taken() {
        if crate::process_env::var_os(IN_A_TERMINAL).is_none() {
            return;
        }
        let mut terminal = Terminal::take(true).unwrap();
        terminal.draw(|frame| frame.render_widget("drawn", frame.area())).unwrap();
        panic!("on purpose");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_and_is_then_shown() {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test itself is the child")]
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        let test = "tui::screen::terminal::tests::panics_with_the_terminal_taken";
        command.args(["--exact", test, "--nocapture"]);
        command.env(IN_A_TERMINAL, "1");
        command.env("RUST_BACKTRACE", "0");
        let mut child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut said = Vec::new();
        // The end of a pseudo-terminal reads as an error on Linux.
        let _ = pair.master.try_clone_reader().unwrap().read_to_end(&mut said);
        child.wait().unwrap();
        let mut screen = vt100::Parser::new(NonZero::new(24).unwrap(), NonZero::new(80).unwrap(), 0);
        screen.process(&said);
        let text = String::from_utf8_lossy(&said);
        assert!(text.contains("\x1b[?1049h"), "the terminal was never taken: {text}");
        let (screen, shown) = (screen.screen(), screen.screen().contents());
        assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{shown}");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        assert!(shown.contains("on purpose") && !shown.contains("drawn"), "{shown}");
    }
}
