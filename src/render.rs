//! The only way to standard output: one value, shown as text or as JSON.
//!
//! Data goes to stdout, talk (progress, hints, warnings) to stderr. A closed pipe ends the program
//! quietly. Colour is by meaning and never the only carrier of it.

pub mod clean;
pub mod format;
pub mod progress;
pub mod rows;
pub mod schema;
pub mod sink;
pub mod style;
pub mod table;

pub use style::Tone;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::{mask_text, mask_typed};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// The two forms of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// A value that a command answers with.
///
/// JSON and text are made from the same value, so they cannot disagree.
pub trait Report: Serialize {
    /// The text form, without a final newline.
    fn text(&self) -> String;
}

/// The terminal behind standard output, for the dashboard to draw on.
#[must_use]
pub fn screen() -> std::io::Stdout {
    standard_output()
}

/// Standard output as it is.
#[expect(clippy::disallowed_methods, reason = "the one place that writes to it")]
fn standard_output() -> std::io::Stdout {
    std::io::stdout()
}

/// Whether the dashboard has the terminal.
static SCREEN_TAKEN: AtomicBool = AtomicBool::new(false);

/// Notes that the dashboard has the terminal, or gave it back. Answers whether it had it before.
pub fn take_screen(taken: bool) -> bool {
    SCREEN_TAKEN.swap(taken, Ordering::SeqCst)
}

/// Whether the dashboard has the terminal.
#[must_use]
pub fn screen_is_taken() -> bool {
    SCREEN_TAKEN.load(Ordering::SeqCst)
}

/// Whether a write met a closed pipe.
static PIPE_CLOSED: AtomicBool = AtomicBool::new(false);

/// A closed pipe is noted and no error: what was begun is brought to its end.
fn closed_or_failed(cause: &std::io::Error) -> Result<()> {
    if cause.kind() == std::io::ErrorKind::BrokenPipe {
        PIPE_CLOSED.store(true, Ordering::Relaxed);
        return Ok(());
    }
    Err(Error::failed(format!("cannot write to standard output: {cause}")))
}

/// Where logs of the drivers go: standard error, but nowhere while it would tear the dashboard.
#[must_use]
pub fn log_writer() -> Box<dyn Write + Send> {
    if screen_is_taken() { Box::new(std::io::sink()) } else { Box::new(MaskedLog(std::io::stderr())) }
}

/// A log in which no address shows a password. Each write is a whole event.
struct MaskedLog<W: Write>(W);

impl<W: Write> Write for MaskedLog<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(mask_text(text).as_bytes())?,
            Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Says what is wrong with a command line, or the help that it asked for.
#[must_use]
pub fn command_line_error(error: &clap::Error, arguments: &[std::ffi::OsString]) -> ExitCode {
    // Nobody listens on a closed stream, and there is no other place to complain.
    let _ = if error.use_stderr() {
        // What is wrong with an argument is said with the argument.
        let typed: Vec<_> = arguments.iter().map(|one| one.to_string_lossy().into_owned()).collect();
        let text = mask_typed(&error.render().ansi().to_string(), &typed);
        if wants_json(&typed) {
            let plain = mask_typed(&error.render().to_string(), &typed);
            let out = Out::new(OutputFormat::Json, false);
            out.error(&usage_error(&plain));
            Ok(())
        } else {
            write!(anstream::stderr().lock(), "{text}")
        }
    } else {
        error.print()
    };
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Whether a command line that cannot be read asks for JSON.
fn wants_json(typed: &[String]) -> bool {
    let follows = |pair: &[String]| matches!(pair[0].as_str(), "-o" | "--output") && pair[1] == "json";
    typed.windows(2).any(follows)
        || typed.iter().any(|one| matches!(one.as_str(), "-ojson" | "-o=json" | "--output=json"))
}

/// What the parser says of a command line, in the shape of every other error.
fn usage_error(said: &str) -> Error {
    let mut paragraphs = said.split("\n\n").map(|one| one.split_whitespace().collect::<Vec<_>>().join(" "));
    let message = paragraphs.next().unwrap_or_default();
    let tip = paragraphs.find_map(|one| one.strip_prefix("tip: ").map(str::to_owned));
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    Error::usage(message).hint(tip.unwrap_or_else(|| "--help shows what the command takes".to_owned()))
}

/// Writes reports and talk, as the global flags ask.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    format: OutputFormat,
    quiet: bool,
}

impl Out {
    /// An output in the given format; `quiet` silences talk but not data or errors.
    #[must_use]
    pub const fn new(format: OutputFormat, quiet: bool) -> Self {
        Self { format, quiet }
    }

    /// The chosen format.
    #[must_use]
    pub const fn format(&self) -> OutputFormat {
        self.format
    }

    /// Whether a person is watching standard error, so that live progress makes sense.
    #[must_use]
    pub fn is_interactive(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// Whether questions can be asked.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks a question on standard error and reads the answer's line.
    ///
    /// # Errors
    /// When standard input cannot be read.
    pub fn ask(&self, question: &str) -> Result<String> {
        let mut err = anstream::stderr().lock();
        // A question that cannot be seen is answered by nobody, and then refused.
        let _ = write!(err, "{question}").and_then(|()| err.flush());
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .map_err(|cause| Error::failed(format!("cannot read the answer: {cause}")))?;
        Ok(answer.trim().to_owned())
    }

    /// Whether a full-screen view can be shown and steered.
    #[must_use]
    pub fn can_show_screens(&self) -> bool {
        std::io::stdin().is_terminal() && standard_output().is_terminal()
    }

    /// Whether colour is wanted and understood.
    #[must_use]
    pub fn has_colour(&self) -> bool {
        anstream::AutoStream::choice(&standard_output()) != anstream::ColorChoice::Never
    }

    /// Shows a report in the chosen format.
    ///
    /// # Errors
    /// When the report cannot be serialised or stdout cannot be written; a closed pipe is no error.
    pub fn report<R: Report>(&self, report: &R) -> Result<()> {
        match self.format {
            OutputFormat::Text => self.line(&report.text()),
            OutputFormat::Json => self.json(report),
        }
    }

    /// Writes a value as pretty JSON.
    ///
    /// # Errors
    /// As [`Out::report`].
    pub fn json<T: Serialize>(&self, value: &T) -> Result<()> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|cause| Error::failed(format!("cannot write the answer as JSON: {cause}")))?;
        self.line(&clean::json(&text))
    }

    /// Writes a value as JSON on a line of its own.
    ///
    /// # Errors
    /// As [`Out::report`].
    pub fn json_line<T: Serialize>(&self, value: &T) -> Result<()> {
        let text = serde_json::to_string(value)
            .map_err(|cause| Error::failed(format!("cannot write the answer as JSON: {cause}")))?;
        self.line(&clean::json(&text))
    }

    /// Writes one line (or block) of data, control characters of strangers shown as escapes.
    ///
    /// # Errors
    /// When stdout cannot be written; a closed pipe is no error.
    pub fn line(&self, text: &str) -> Result<()> {
        let mut out = anstream::AutoStream::auto(standard_output()).lock();
        match writeln!(out, "{}", clean::visible(text)).and_then(|()| out.flush()) {
            Err(cause) => closed_or_failed(&cause),
            Ok(()) => Ok(()),
        }
    }

    /// Writes one line of a stream that goes on until somebody ends it.
    ///
    /// # Errors
    /// As [`Out::line`], and [`ErrorKind::OutputClosed`] when whoever read has gone.
    pub fn stream(&self, text: &str) -> Result<()> {
        self.line(text)?;
        self.must_be_read()
    }

    /// Whether somebody may still read, as far as earlier writes have shown.
    ///
    /// # Errors
    /// [`ErrorKind::OutputClosed`] when a write met a closed pipe.
    pub fn must_be_read(&self) -> Result<()> {
        if PIPE_CLOSED.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::OutputClosed, "the reader of the output is gone"));
        }
        Ok(())
    }

    /// Empties the screen, where there is one.
    pub fn clear(&self) {
        if standard_output().is_terminal() {
            // A screen that cannot be cleared only scrolls.
            let _ = standard_output().lock().write_all(b"\x1b[H\x1b[2J");
        }
    }

    /// Writes raw bytes of data, for streamed exports.
    ///
    /// # Errors
    /// As [`Out::line`].
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        match standard_output().lock().write_all(bytes) {
            Err(cause) => closed_or_failed(&cause),
            Ok(()) => Ok(()),
        }
    }

    /// Says something to the person, unless `--quiet`.
    pub fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.talk(text.as_ref());
        }
    }

    /// Says something that must be seen even with `--quiet`.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.talk(&style::paint(Tone::Warn, &format!("warning: {}", text.as_ref())));
    }

    /// Shows an error with its hint; as JSON it is one line, see [`Error::as_json`].
    pub fn error(&self, error: &Error) {
        if error.kind == ErrorKind::OutputClosed {
            return;
        }
        if self.format == OutputFormat::Json {
            return self.talk(&error.as_json().to_string());
        }
        self.talk(&format!("{} {}", style::paint(Tone::Bad, "error:"), error.message));
        if let Some(hint) = &error.hint {
            self.talk(&format!("{} {hint}", style::paint(Tone::Dim, " hint:")));
        }
    }

    /// Writes an error where answers go, for streams of them.
    ///
    /// # Errors
    /// As [`Out::line`].
    pub fn failure(&self, error: &Error) -> Result<()> {
        match self.format {
            OutputFormat::Json => self.json(&error.as_json()),
            OutputFormat::Text => {
                let hint = error.hint.iter().map(|hint| format!("\n hint: {hint}"));
                self.line(&format!("error: {}{}", error.message, hint.collect::<String>()))
            }
        }
    }

    fn talk(&self, text: &str) {
        // Nobody listens on a closed stderr, and there is no other place to complain.
        let _ = writeln!(anstream::stderr().lock(), "{}", clean::visible(&mask_text(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_an_error_like_any_other() {
        let said = "error: unrecognized subcommand 'upp'\n\n  tip: a similar subcommand exists: 'up'\n\nUsage: nsys\n";
        let error = usage_error(said);
        assert_eq!(error.message, "unrecognized subcommand 'upp'");
        assert_eq!(error.hint.as_deref(), Some("a similar subcommand exists: 'up'"));
        let typed = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(wants_json(&typed("nsys upp -o json")) && wants_json(&typed("nsys --output=json upp")));
        assert!(!wants_json(&typed("nsys logs json")));
    }
}
