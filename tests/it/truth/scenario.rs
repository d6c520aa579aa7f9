//! What the prescribed server plays, as data.

use super::server::{Answer, End, Script, Seen};
use std::time::Duration;

/// One play: a load and how the server answers it.
#[derive(Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) load: Load,
    pub(super) script: Script,
    /// Longest time of a request, short so that a play is.
    pub(super) timeout_s: u64,
    /// So long after the load whatever is in progress is given up.
    pub(super) grace_s: u64,
    /// Whether it is played in every run of the tests.
    pub(super) short: bool,
}

/// What is offered for [`SECONDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Requests per second.
    Open(u32),
    /// Virtual users.
    Closed(u32),
}

/// Length of each load.
pub(super) const SECONDS: u64 = 4;
/// Longest time of a request where every one may take it.
const TIMEOUT_S: u64 = 2;

/// The middle of a play.
const HALF: Duration = Duration::from_millis(SECONDS * 500);

const fn after(ms: u64, end: End) -> Answer {
    Answer { after: Duration::from_millis(ms), end }
}

const fn ok(ms: u64) -> Answer {
    after(ms, End::Status(200))
}

/// `ok` but for every n-th request, from the first on.
const fn each(seen: Seen, nth: u64, other: Answer, ok: Answer) -> Answer {
    if seen.number % nth == nth - 1 { other } else { ok }
}

const fn script(answer: fn(Seen) -> Answer) -> Script {
    Script { answer, keep_alive: true, accept_every: Duration::ZERO }
}

const fn one_by_one(answer: fn(Seen) -> Answer) -> Script {
    Script { keep_alive: false, ..script(answer) }
}

/// In the second half of the load nothing is answered any more.
fn stands_still(seen: Seen) -> Answer {
    if seen.at < HALF { ok(40) } else { after(0, End::Never) }
}

/// From one second on nothing is answered until three.
fn freezes(seen: Seen) -> Answer {
    let (from, to) = (Duration::from_secs(1), Duration::from_secs(3));
    if seen.at >= from && seen.at < to {
        Answer { after: to - seen.at, end: End::Status(200) }
    } else {
        ok(40)
    }
}

/// Long answers are rare, and the rarer the longer they are.
fn heavy_tail(seen: Seen) -> Answer {
    ok(match seen.number % 200 {
        199 => 1_500,
        195..199 => 600,
        180..195 => 200,
        _ => 20,
    })
}

/// Longer and longer, in the closed model too.
fn growing(seen: Seen) -> Answer {
    ok(20 + u64::try_from(seen.at.as_millis()).unwrap_or(u64::MAX) / 10)
}

/// Every play.
pub(super) fn all() -> Vec<Scenario> {
    use Load::{Closed, Open};
    let play = |name, load, script| Scenario {
        name,
        load,
        script,
        timeout_s: TIMEOUT_S,
        grace_s: TIMEOUT_S + 1,
        short: false,
    };
    let short = |name, load, script| Scenario { short: true, ..play(name, load, script) };
    // Given up before the timeout.
    let cut = |name, load, script| Scenario { timeout_s: 30, grace_s: 1, ..short(name, load, script) };
    let mut plays = vec![
        cut("stands still for half of the load, closed", Closed(20), script(stands_still)),
        cut("stands still for half of the load, open", Open(50), script(stands_still)),
        short(
            "every tenth is never answered",
            Open(50),
            script(|seen| each(seen, 10, after(0, End::Never), ok(60))),
        ),
        short(
            "two of five fail at once",
            Closed(12),
            script(|seen| if seen.number % 5 < 2 { after(0, End::Status(503)) } else { ok(80) }),
        ),
    ];
    for (load, model) in [(Open(50), "open"), (Closed(12), "closed")] {
        let named = |name: &str| -> &'static str { Box::leak(format!("{name}, {model}").into_boxed_str()) };
        plays.extend([
            play(named("constant, 5 ms"), load, script(|_| ok(5))),
            play(named("constant, 100 ms"), load, script(|_| ok(100))),
            play(named("two humps, 10 and 300 ms"), load, script(|seen| each(seen, 4, ok(300), ok(10)))),
            play(named("heavy tail"), load, script(heavy_tail)),
            play(named("growing"), load, script(growing)),
            play(named("a freeze of two seconds"), load, script(freezes)),
            play(
                named("one of fifty is never answered"),
                load,
                script(|seen| each(seen, 50, after(0, End::Never), ok(20))),
            ),
            play(
                named("answered after the timeout"),
                load,
                script(|seen| each(seen, 20, ok(TIMEOUT_S * 1_000 + 500), ok(20))),
            ),
            play(
                named("reset before the head"),
                load,
                one_by_one(|seen| each(seen, 5, after(10, End::Reset), ok(30))),
            ),
            play(
                named("reset in the head"),
                load,
                one_by_one(|seen| each(seen, 5, after(10, End::ResetInHead), ok(30))),
            ),
            play(
                named("closed without an answer"),
                load,
                one_by_one(|seen| each(seen, 5, after(10, End::Close), ok(30))),
            ),
            play(
                named("a body cut short"),
                load,
                one_by_one(|seen| each(seen, 5, after(10, End::CutBody), ok(30))),
            ),
            play(
                named("a body that stalls"),
                load,
                script(|seen| each(seen, 50, after(10, End::StalledBody), ok(30))),
            ),
            play(
                named("429 at once"),
                load,
                script(|seen| each(seen, 3, after(0, End::Status(429)), ok(50))),
            ),
            play(named("204"), load, script(|seen| each(seen, 3, after(10, End::Status(204)), ok(50)))),
            play(named("all created"), load, script(|_| after(25, End::Status(201)))),
            play(named("everything fails at once"), load, script(|_| after(0, End::Status(500)))),
            play(named("a connection for each request"), load, one_by_one(|_| ok(30))),
            play(
                named("slow accept"),
                load,
                Script { accept_every: Duration::from_millis(5), ..script(|_| ok(60)) },
            ),
        ]);
    }
    plays
}
