//! A command of nsys in a terminal of its own within the dashboard: its plan, its question, its
//! progress are those of the command line, because it is the command line.

use crate::error::{Context, Error, Result};
use crate::stack::Stack;
use crate::tui::state::session::{SessionView, TextSpan};
use portable_pty::{ChildKiller, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// What a command said last is read for so long after its end.
const DRAIN: Duration = Duration::from_millis(100);

type Ended = Option<(bool, String)>;

/// A command that runs.
pub(super) struct Running {
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    killer: Box<dyn ChildKiller + Send + Sync>,
    parser: Arc<Mutex<Shows>>,
    news: watch::Receiver<Ended>,
}

/// Rows and columns inside the frame that is drawn on a terminal of this size.
pub(super) fn size(width: u16, height: u16) -> PtySize {
    let (rows, cols) = (height.saturating_sub(6).max(1), width.saturating_sub(2).max(1));
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

/// Starts nsys with these arguments, on the same stack.
pub(super) fn start(stack: &Stack, read_only: bool, words: &[String], size: PtySize) -> Result<Running> {
    let own = std::env::current_exe().context("cannot find nsys itself")?;
    let broken = |cause: String| Error::failed(format!("cannot run nsys: {cause}"));
    let pair = native_pty_system().openpty(size).map_err(|cause| broken(cause.to_string()))?;
    #[expect(clippy::disallowed_methods, reason = "the one child that has a terminal")]
    let mut command = CommandBuilder::new(own);
    command.args(words);
    command.arg("--state-dir");
    command.arg(&stack.loaded.state_dir);
    if let Some(file) = &stack.loaded.file {
        command.arg("--config");
        command.arg(file);
    }
    if read_only {
        command.arg("--read-only");
    }
    if let Ok(dir) = std::env::current_dir() {
        command.cwd(dir);
    }
    command.env("TERM", "xterm-256color");
    let mut child = pair.slave.spawn_command(command).map_err(|cause| broken(cause.to_string()))?;
    // As long as it is open here too, the reader would never see the end.
    drop(pair.slave);
    let reader = pair.master.try_clone_reader().map_err(|cause| broken(cause.to_string()))?;
    let writer = pair.master.take_writer().map_err(|cause| broken(cause.to_string()))?;
    let killer = child.clone_killer();
    let parser = Arc::new(Mutex::new(Shows::new(size)));
    let (sender, news) = watch::channel(None);
    let sender = Arc::new(sender);
    read_into(reader, Arc::clone(&parser), Arc::clone(&sender));
    std::thread::spawn(move || {
        // Not at the end of what it writes: what it has started may hold its terminal open for longer.
        let ended = match child.wait() {
            Ok(status) if status.success() => (true, "done".to_owned()),
            Ok(status) => (false, format!("exit code {}", status.exit_code())),
            Err(cause) => (false, cause.to_string()),
        };
        #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
        std::thread::sleep(DRAIN);
        let _ = sender.send(Some(ended));
    });
    Ok(Running { master: pair.master, writer, killer, parser, news })
}

fn cells(size: PtySize) -> (NonZero<u16>, NonZero<u16>) {
    let one = NonZero::<u16>::MIN;
    (NonZero::new(size.rows).unwrap_or(one), NonZero::new(size.cols).unwrap_or(one))
}

/// What a command wrote, and the screen that it makes. A screen of another size is made from what was
/// written: it would otherwise be cut at the right and lose its last line, where the question stands.
struct Shows {
    parser: vt100::Parser,
    written: Vec<u8>,
}

/// Bytes that are kept to make a screen of another size.
const WRITTEN: usize = 256 << 10;

impl Shows {
    fn new(size: PtySize) -> Self {
        let (rows, cols) = cells(size);
        Self { parser: vt100::Parser::new(rows, cols, 0), written: Vec::new() }
    }

    fn process(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
        self.written.extend_from_slice(bytes);
        if self.written.len() > WRITTEN {
            // Whole lines go, so that no sequence is cut.
            let half = self.written.len() / 2;
            let end = self.written[half..]
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(half, |end| half + end + 1);
            self.written.drain(..end);
        }
    }

    fn resize(&mut self, size: PtySize) {
        let written = std::mem::take(&mut self.written);
        *self = Self::new(size);
        self.process(&written);
    }
}

/// Reads what the command writes until nobody can write there any more.
fn read_into(mut reader: Box<dyn Read + Send>, parser: Arc<Mutex<Shows>>, sender: Arc<watch::Sender<Ended>>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 8_192];
        while let Ok(count @ 1..) = reader.read(&mut bytes) {
            parser.lock().expect("no holder of the lock panics").process(&bytes[..count]);
            // Nothing ended, but there is something new.
            sender.send_modify(|_| {});
        }
    });
}

impl Running {
    /// Waits until there is something new.
    pub(super) async fn changed(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What it shows now, and how it ended.
    pub(super) fn take(&mut self) -> (SessionView, Ended) {
        // Marked as seen before the screen is read: what is written in between wakes the loop again.
        let ended = self.news.borrow_and_update().clone();
        (shown(self.parser.lock().expect("no holder of the lock panics").parser.screen()), ended)
    }

    /// Types these bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        // A command that has just ended reads no more.
        let _ = self.writer.write_all(bytes).and_then(|()| self.writer.flush());
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        let _ = self.killer.kill();
    }

    /// Tells it the new size.
    pub(super) fn resize(&mut self, size: PtySize) {
        let _ = self.master.resize(size);
        self.parser.lock().expect("no holder of the lock panics").resize(size);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Left while it runs: as when its terminal is closed.
        let _ = self.killer.kill();
    }
}

/// The screen of the command as lines of pieces that look the same.
fn shown(screen: &vt100::Screen) -> SessionView {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let line = |row: u16| {
        let mut runs: Vec<TextSpan> = Vec::new();
        for column in 0..columns {
            let Some(cell) = screen.cell(row, column) else { continue };
            if cell.is_wide_continuation() {
                continue;
            }
            let style = style(cell);
            let text = if cell.has_contents() { cell.contents() } else { " " };
            match runs.last_mut().filter(|last| same(last, &style)) {
                Some(last) => last.text.push_str(text),
                None => runs.push(TextSpan { text: text.to_owned(), ..style }),
            }
        }
        runs
    };
    let cursor = (!screen.hide_cursor()).then(|| screen.cursor_position());
    SessionView { lines: (0..rows).map(line).collect(), cursor }
}

fn same(one: &TextSpan, other: &TextSpan) -> bool {
    (one.colour, one.bold, one.dim, one.reversed) == (other.colour, other.bold, other.dim, other.reversed)
}

fn style(cell: &vt100::Cell) -> TextSpan {
    let colour = match cell.fgcolor() {
        vt100::Color::Idx(number) => Some(number),
        vt100::Color::Default | vt100::Color::Rgb(..) => None,
    };
    TextSpan { text: String::new(), colour, bold: cell.bold(), dim: cell.dim(), reversed: cell.inverse() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pty(rows: u16, cols: u16) -> PtySize {
        PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
    }

    #[test]
    fn the_question_stays_in_sight_on_a_smaller_screen() {
        let mut shows = Shows::new(pty(40, 200));
        for number in 0..20 {
            shows.process(format!("step {number}: {}\r\n", "x".repeat(100)).as_bytes());
        }
        shows.process(b"type y to go on: ");
        shows.resize(pty(10, 60));
        let text = shows.parser.screen().contents();
        assert!(text.trim_end().ends_with("type y to go on:"), "{text}");
        assert!(text.contains("step 19"), "{text}");
    }
}
