//! What the prescribed server plays, as data.

use super::server::{Answer, End, Script, Seen};
use nsys::domain::level::Model;
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
    /// Virtual users of the open model, for each request per second.
    pub(super) users: f64,
    /// Whether the generators are stopped four fifths of the time.
    pub(super) is_held_up: bool,
    /// Whether only the verdict is compared: what is due here and never comes, no server knows.
    pub(super) verdict_only: bool,
    /// What the level must come to.
    pub(super) blamed: Blamed,
}

/// Whom the verdict of a level blames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blamed {
    /// Every objective is met.
    Nobody,
    /// An objective is missed, and it is the service's doing.
    Service,
    /// Nothing is said about the service.
    Generator,
}

impl Scenario {
    /// Model, requests per second and virtual users.
    pub(super) fn offered(&self) -> (Model, Option<u32>, u32) {
        match self.load {
            Load::Open(rate) => (Model::Open, Some(rate), (f64::from(rate) * self.users) as u32),
            Load::Closed(users) => (Model::Closed, None, users),
        }
    }
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

/// From one second on nothing is answered for two and a half.
fn freezes(seen: Seen) -> Answer {
    let (from, to) = (Duration::from_secs(1), Duration::from_millis(3_500));
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

const fn play(name: &'static str, load: Load, blamed: Blamed, script: Script) -> Scenario {
    Scenario {
        name,
        load,
        script,
        timeout_s: TIMEOUT_S,
        grace_s: TIMEOUT_S + 1,
        short: false,
        users: 8.0,
        is_held_up: false,
        verdict_only: false,
        blamed,
    }
}

const fn short(name: &'static str, load: Load, blamed: Blamed, script: Script) -> Scenario {
    Scenario { short: true, ..play(name, load, blamed, script) }
}

/// Given up before the timeout.
const fn cut(name: &'static str, load: Load, script: Script) -> Scenario {
    Scenario { timeout_s: 30, grace_s: 1, ..short(name, load, Blamed::Service, script) }
}

/// Every play.
pub(super) fn all() -> Vec<Scenario> {
    use Load::{Closed, Open};
    let nth = |number: u64| -> fn(Seen) -> Answer {
        match number {
            0 => |seen| each(seen, 10, after(0, End::Never), ok(60)),
            _ => |seen| if seen.number % 5 < 2 { after(0, End::Status(503)) } else { ok(80) },
        }
    };
    let mut plays = vec![
        cut("stands still for half of the load, closed", Closed(20), script(stands_still)),
        cut("stands still for half of the load, open", Open(50), script(stands_still)),
        short("every tenth is never answered, open", Open(50), Blamed::Service, script(nth(0))),
        short("two of five fail at once, closed", Closed(12), Blamed::Service, script(nth(1))),
        Scenario {
            users: 0.2,
            verdict_only: true,
            ..short("too slow for its users, open", Open(50), Blamed::Service, script(|_| ok(600)))
        },
        Scenario {
            users: 0.1,
            is_held_up: true,
            verdict_only: true,
            ..short("a generator that is held up, open", Open(100), Blamed::Generator, script(|_| ok(5)))
        },
    ];
    for (load, model) in [(Open(50), "open"), (Closed(12), "closed")] {
        plays.extend(of_model(load, model));
    }
    plays
}

/// Those that are played in both models.
fn of_model(load: Load, model: &str) -> Vec<Scenario> {
    let named = |name: &str| -> &'static str { Box::leak(format!("{name}, {model}").into_boxed_str()) };
    let well = |name: &str, script| play(named(name), load, Blamed::Nobody, script);
    let ill = |name: &str, script| play(named(name), load, Blamed::Service, script);
    vec![
        Scenario { short: model == "open", ..well("constant, 5 ms", script(|_| ok(5))) },
        well("constant, 100 ms", script(|_| ok(100))),
        well("two humps, 10 and 300 ms", script(|seen| each(seen, 4, ok(300), ok(10)))),
        well("heavy tail", script(heavy_tail)),
        well("growing", script(growing)),
        Scenario { timeout_s: 5, grace_s: 6, ..ill("a freeze of 2.5 seconds", script(freezes)) },
        ill("one of fifty is never answered", script(|seen| each(seen, 50, after(0, End::Never), ok(20)))),
        ill("answered after the timeout", script(|seen| each(seen, 20, ok(TIMEOUT_S * 1_000 + 500), ok(20)))),
        ill("reset before the head", one_by_one(|seen| each(seen, 5, after(10, End::Reset), ok(30)))),
        ill("reset in the head", one_by_one(|seen| each(seen, 5, after(10, End::ResetInHead), ok(30)))),
        ill("closed without an answer", one_by_one(|seen| each(seen, 5, after(10, End::Close), ok(30)))),
        ill("a body cut short", one_by_one(|seen| each(seen, 5, after(10, End::CutBody), ok(30)))),
        ill("a body that stalls", script(|seen| each(seen, 50, after(10, End::StalledBody), ok(30)))),
        ill("429 at once", script(|seen| each(seen, 3, after(0, End::Status(429)), ok(50)))),
        ill("204", script(|seen| each(seen, 3, after(10, End::Status(204)), ok(50)))),
        well("all created", script(|_| after(25, End::Status(201)))),
        ill("everything fails at once", script(|_| after(0, End::Status(500)))),
        well("a connection for each request", one_by_one(|_| ok(30))),
        well("slow accept", Script { accept_every: Duration::from_millis(5), ..script(|_| ok(60)) }),
    ]
}
