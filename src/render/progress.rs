//! Live progress on standard error: spinners on a terminal, plain lines elsewhere.

use super::Out;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// Plain lines that differ only in their numbers are at least so far apart.
const COUNTING: Duration = Duration::from_secs(2);

/// A set of lines that change while something runs.
#[derive(Debug)]
pub struct ProgressView {
    out: Out,
    multi: Option<MultiProgress>,
}

/// One line of a [`ProgressView`].
#[derive(Debug)]
pub struct ProgressLine {
    out: Out,
    name: String,
    bar: Option<ProgressBar>,
    last: std::sync::Mutex<Option<(String, Instant)>>,
}

impl ProgressView {
    /// Progress on a terminal is live; otherwise each change is one plain line.
    #[must_use]
    pub fn new(out: Out) -> Self {
        Self { out, multi: out.is_interactive().then(MultiProgress::new) }
    }

    /// Says something above the lines.
    pub fn note(&self, text: &str) {
        match &self.multi {
            Some(multi) => multi.suspend(|| self.out.say(text)),
            None => self.out.say(text),
        }
    }

    /// Adds a line with this name.
    #[must_use]
    pub fn line(&self, name: &str) -> ProgressLine {
        let bar = self.multi.as_ref().map(|multi| {
            let bar = multi.add(ProgressBar::new_spinner());
            bar.set_style(
                ProgressStyle::with_template("{spinner} {prefix:<12} {wide_msg}")
                    .expect("the template is constant and valid"),
            );
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        ProgressLine { out: self.out, name: name.to_owned(), bar, last: std::sync::Mutex::default() }
    }
}

impl ProgressLine {
    /// Whether the line changes in place.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.bar.is_some()
    }

    /// Shows what is going on. Plain output repeats nothing, and counts only every other second.
    pub fn update(&self, text: &str) {
        self.show(text, false);
    }

    fn show(&self, text: &str, always: bool) {
        if let Some(bar) = &self.bar {
            return bar.set_message(text.to_owned());
        }
        let mut last = self.last.lock().expect("no holder of the lock panics");
        let prints = last.as_ref().is_none_or(|(before, at)| {
            before != text && (always || at.elapsed() >= COUNTING || shape(before) != shape(text))
        });
        if prints {
            self.out.say(format!("{}: {text}", self.name));
            *last = Some((text.to_owned(), Instant::now()));
        }
    }

    /// Shows how much is done, 0 to 1, as a bar on a terminal and in steps of ten per cent elsewhere.
    pub fn share(&self, share: f64, text: &str) {
        let share = share.clamp(0.0, 1.0);
        if self.is_live() {
            const WIDTH: usize = 20;
            let filled = (share * WIDTH as f64).round() as usize;
            let bar = "━".repeat(filled) + &"╌".repeat(WIDTH - filled);
            self.update(&format!("{bar} {:>3.0} % {text}", share * 100.0));
        } else {
            self.update(&format!("{:.0} % {text}", (share * 10.0).floor() * 10.0));
        }
    }

    /// Takes a live line away; plain lines stay.
    pub fn remove(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Ends the line with its result.
    pub fn finish(&self, text: &str) {
        self.show(text, true);
        if let Some(bar) = &self.bar {
            bar.finish_with_message(text.to_owned());
        }
    }
}

/// A text without its numbers.
fn shape(text: &str) -> String {
    text.chars().filter(|sign| !sign.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_keeps_its_shape() {
        assert_eq!(shape("3 of 1000 read"), shape("999 of 1000 read"));
        assert_ne!(shape("3 of 10 read"), shape("3 of 10 removed"));
    }
}
