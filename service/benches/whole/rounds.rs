//! How often and how long everything is measured.

use std::time::Duration;

/// Rounds of everything.
pub(crate) const ROUNDS: usize = 5;
/// Measured time of one form in one round.
pub(crate) const TIME: Duration = Duration::from_secs(3);
/// Before it, not measured.
pub(crate) const WARMUP: Duration = Duration::from_secs(1);

/// Says what is being done.
pub(crate) fn progress(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{what}");
}
