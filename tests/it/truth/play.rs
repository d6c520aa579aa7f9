//! Plays a scenario with an engine, and what it told of it against what really happened.

use super::scenario::{Load, SECONDS, Scenario};
use super::server::{End, Record, Server};
use super::verdict;
use nsys::domain::level::Window;
use nsys::domain::profile::OfferedRequest;
use nsys::domain::run::Latency;
use nsys::domain::scenario::{GeneratorPlacement, LoadEngine, Scenario as Kind};
use nsys::domain::slices::{SliceCounts, Slicing};
use nsys::domain::standstill;
use nsys::domain::stream::Tick;
use nsys::loadtest::engine::{self, Far, GeneratorSummary, News, Offer, Seconds};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How far a percentile may be off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    /// As a share of it.
    pub(super) share: f64,
    /// In ms, whichever is more.
    pub(super) ms: f64,
    /// In ms, of what a single request of all decides: it contains a wait of its client for a processor.
    pub(super) single_ms: f64,
    /// How often a play is repeated whose times alone are off.
    pub(super) repeats: u32,
    /// Whether other work takes processors from the generators.
    pub(super) is_machine_busy: bool,
}

/// What kind of number it is; of times with how far they are off, in ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RowKind {
    /// A count or a word, which must be equal.
    Exact,
    /// A time that several requests decide.
    Percentile(f64),
    /// A time that one request decides.
    Extreme(f64),
}

/// One number: what was told, what is true.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) number: String,
    pub(super) told: String,
    pub(super) truth: String,
    pub(super) holds: bool,
    pub(super) kind: RowKind,
}

/// A scenario as one engine played it.
pub(super) struct Played {
    pub(super) scenario: &'static str,
    pub(super) engine: LoadEngine,
    pub(super) generators: u32,
    pub(super) rows: Vec<Row>,
    /// Whether more was offered than the engine can measure exactly, by its own word; then times are not compared.
    pub(super) is_beyond_ceiling: bool,
    /// How often it was played.
    pub(super) attempts: u32,
}

impl Played {
    pub(super) fn name(&self) -> String {
        format!("{}; {}, {}", self.scenario, self.engine.as_str(), self.generators)
    }

    /// Whether only times are off, as they are where a client waited for a processor.
    fn is_off_in_time_alone(&self) -> bool {
        let mut wrong = self.rows.iter().filter(|row| !row.holds).peekable();
        wrong.peek().is_some() && wrong.all(|row| row.kind != RowKind::Exact)
    }
}

/// Plays one scenario, again where nothing but times are off.
pub(super) fn play(scenario: &Scenario, engine: LoadEngine, generators: u32, tolerance: Tolerance) -> Played {
    let mut played = play_once(scenario, engine, generators, tolerance);
    while played.is_off_in_time_alone() && played.attempts <= tolerance.repeats {
        let attempts = played.attempts + 1;
        played = Played { attempts, ..play_once(scenario, engine, generators, tolerance) };
    }
    played
}

fn play_once(scenario: &Scenario, engine: LoadEngine, generators: u32, tolerance: Tolerance) -> Played {
    let server = Server::start(scenario.script);
    let dir = tempfile::tempdir().expect("a directory");
    let offer = offer(scenario, engine, generators, server.port, dir.path().to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (exit, ticks) = runtime.block_on(run(&offer, scenario.is_held_up));
    let mut played = Played {
        scenario: scenario.name,
        engine,
        generators,
        rows: Vec::new(),
        is_beyond_ceiling: false,
        attempts: 1,
    };
    let name = played.name();
    let log = || std::fs::read_to_string(&offer.log).unwrap_or_default();
    assert_eq!(exit, Some(0), "{name}: {}", log());
    let summary = engine::read_summary(&offer).unwrap_or_else(|cause| panic!("{name}: {cause}: {}", log()));
    // The server notices that its clients have gone.
    std::thread::sleep(Duration::from_millis(500));
    let truth = truth(scenario, engine, &server.records());
    played.is_beyond_ceiling = truth.due_ms.len() as f64 / SECONDS as f64 > verdict::ceiling(engine);
    if !scenario.verdict_only {
        played.rows = counts(scenario, &summary, &ticks, &truth);
        if !played.is_beyond_ceiling {
            played.rows.extend(times(&summary, &truth, tolerance));
        }
    }
    let at = |share: f64| truth.due_ms[((truth.due_ms.len() - 1) as f64 * share) as usize];
    let server = verdict::ServerTimes { p95: at(0.95), p99: at(0.99) };
    let level = verdict::level(scenario, &offer, &summary, &ticks, server);
    // A generator that got no processor in time is to be blamed for it, whatever the server did: then the play says
    // nothing. Where the machine is busy anyway that holds; else it is repeated.
    let was_late = level.generator.late_p99_ms.value().is_some_and(|late| late > verdict::LATE_MS);
    for one in verdict::judgements(scenario, engine, &level, played.is_beyond_ceiling) {
        let is_excused = was_late && one.told.starts_with("generator");
        let holds = one.told == one.truth || (is_excused && tolerance.is_machine_busy);
        let why = if holds { String::new() } else { format!(" ({})", verdict::why(&level, engine)) };
        let told = format!("{}{why}", one.told);
        let number = one.question.to_owned();
        let kind = if is_excused { RowKind::Percentile(0.0) } else { RowKind::Exact };
        played.rows.push(Row { number, told, truth: one.truth, holds, kind });
    }
    played
}

async fn run(offer: &Offer, is_held_up: bool) -> (Option<i32>, Vec<Tick>) {
    let (mut generator, mut news) = engine::start(offer).expect("the generators start");
    let hold = is_held_up.then(|| HeldUp::new(generator.pids()));
    let mut seconds = Seconds::default();
    let exit = loop {
        tokio::select! {
            exit = generator.wait() => break exit,
            Some(News::Second(generator, tick)) = news.recv() => seconds.take(generator, tick),
        }
    };
    drop(hold);
    while let Ok(Some(News::Second(generator, tick))) =
        tokio::time::timeout(Duration::from_millis(200), news.recv()).await
    {
        seconds.take(generator, tick);
    }
    (exit, seconds.into_ticks())
}

/// Stops processes four fifths of the time until it is let go.
struct HeldUp(Arc<AtomicBool>);

impl HeldUp {
    fn new(pids: &[i32]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (ends, pids) = (Arc::clone(&over), pids.to_vec());
        let signal = move |signal| {
            for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
                // One that has ended needs no signal.
                let _ = kill_process(pid, signal);
            }
        };
        std::thread::spawn(move || {
            // It starts in peace.
            std::thread::sleep(Duration::from_secs(1));
            while !ends.load(Ordering::Relaxed) {
                signal(Signal::STOP);
                std::thread::sleep(Duration::from_millis(400));
                signal(Signal::CONT);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self(over)
    }
}

impl Drop for HeldUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn offer(scenario: &Scenario, engine: LoadEngine, generators: u32, port: u16, work: PathBuf) -> Offer {
    let (model, rate, vus) = scenario.offered();
    let windows = vec![Window { name: "steady".into(), rate, start_s: 0, seconds: SECONDS, measured: true }];
    let plan = json!({
        "base_url": format!("http://127.0.0.1:{port}"), "model": model, "rate": rate,
        "vus": vus, "windows": windows, "prefix": "truth", "requests": [OfferedRequest::reading("/truth", None)],
        "timeout_s": scenario.timeout_s, "grace_s": scenario.grace_s, "slices": Slicing::of(&windows),
    });
    Offer {
        scenario: Kind::Baseline,
        engine,
        program: match engine {
            // Another version than the installed one, for the support matrix.
            LoadEngine::K6 => match std::env::var_os("NSYS_TRUTH_K6") {
                Some(other) => other.into(),
                None => nsys::stack::setup::k6().expect("k6"),
            },
            LoadEngine::Native => env!("CARGO_BIN_EXE_nsys").into(),
        },
        generators,
        place: GeneratorPlacement::Here,
        far: Far::default(),
        windows,
        plan,
        log: work.join("log"),
        work,
    }
}

/// What a client must say of a request that ended so.
fn cause(end: End, waited: Waited, engine: LoadEngine) -> Option<String> {
    match (end, waited) {
        (_, Waited::Timeout) => Some("timeout".into()),
        (_, Waited::GivenUp) => Some("unanswered".into()),
        (End::Status(200 | 201), _) => None,
        (End::Status(status), _) => Some(format!("status {status}")),
        (End::CutBody, _) => Some("incomplete".into()),
        // k6 says "unexpected EOF" of a head and of a body alike.
        (End::ResetInHead, _) if engine == LoadEngine::K6 => Some("incomplete".into()),
        (End::Reset | End::ResetInHead | End::Close | End::Never | End::StalledBody, _) => {
            Some("reset".into())
        }
    }
}

/// How long a request kept its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    Answered,
    Timeout,
    GivenUp,
}

/// A client's clock starts a moment before the server has read a request.
const SLACK: Duration = Duration::from_millis(100);

/// What really happened, as a client that makes no mistake sees it.
struct Truth {
    due_ms: Vec<f64>,
    succeeded_ms: Vec<f64>,
    causes: BTreeMap<String, u64>,
    /// Longest time without a success, in seconds.
    standstill_s: f64,
}

fn truth(scenario: &Scenario, engine: LoadEngine, records: &[Record]) -> Truth {
    let begin = records.first().expect("a request").came;
    let (timeout, end) = (Duration::from_secs(scenario.timeout_s), begin + Duration::from_secs(SECONDS));
    let (mut due_ms, mut succeeded_ms, mut causes) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut successes = vec![begin];
    for one in records {
        let ended = one.ended.unwrap_or_else(|| panic!("a request that never ended: {one:?}"));
        let took = ended.saturating_duration_since(one.came);
        let waited = match one.end {
            _ if took + SLACK >= timeout => Waited::Timeout,
            End::Never | End::StalledBody => Waited::GivenUp,
            _ => Waited::Answered,
        };
        let took = took.min(timeout);
        let ms = took.as_secs_f64() * 1_000.0;
        due_ms.push(ms);
        match cause(one.end, waited, engine) {
            Some(cause) => *causes.entry(cause).or_default() += 1,
            None => {
                succeeded_ms.push(ms);
                successes.push((one.came + took).min(end));
            }
        }
    }
    successes.push(end);
    successes.sort();
    let gaps = successes.windows(2).map(|two| (two[1] - two[0]).as_secs_f64());
    let standstill_s = gaps.fold(0.0, f64::max);
    due_ms.sort_by(f64::total_cmp);
    succeeded_ms.sort_by(f64::total_cmp);
    Truth { due_ms, succeeded_ms, causes, standstill_s }
}

fn row(number: &str, told: String, truth: String, holds: bool) -> Row {
    Row { number: number.to_owned(), told, truth, holds, kind: RowKind::Exact }
}

/// What must be equal.
fn counts(scenario: &Scenario, told: &GeneratorSummary, ticks: &[Tick], truth: &Truth) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut same = |number: &str, told: u64, truth: u64| {
        rows.push(row(number, told.to_string(), truth.to_string(), told == truth));
    };
    same("requests", told.measured.requests, truth.due_ms.len() as u64);
    same("failed", told.measured.failed, truth.causes.values().sum());
    let none = 0;
    let names: std::collections::BTreeSet<_> = told.errors.keys().chain(truth.causes.keys()).collect();
    for cause in names {
        let of = |all: &BTreeMap<String, u64>| *all.get(cause).unwrap_or(&none);
        same(cause, of(&told.errors), of(&truth.causes));
    }
    if let Load::Open(rate) = scenario.load {
        // k6 begins one more at the very end.
        let planned = u64::from(rate) * SECONDS;
        let offered = told.measured.requests + told.dropped;
        let holds = (planned..=planned + 1).contains(&offered);
        rows.push(row("requests and dropped", offered.to_string(), planned.to_string(), holds));
    }
    // All slices together are the measured time.
    let all = of_slices(told);
    let of_slices = (all.requests, all.failed);
    let of_run = (told.measured.requests, told.measured.failed);
    rows.push(row("slices", format!("{of_slices:?}"), format!("{of_run:?}"), of_slices == of_run));
    // To whole seconds, of which the first and the last are cut; several may have begun at several times.
    let found = told.began_s.and_then(|began| standstill::longest(ticks, began, began + SECONDS as f64));
    let holds = found.is_some_and(|found| (found - truth.standstill_s).abs() <= 2.0);
    let text = found.map_or_else(|| "–".into(), |found| format!("{found:.0} s"));
    rows.push(row("standstill", text, format!("{:.2} s", truth.standstill_s), holds));
    rows
}

fn of_slices(told: &GeneratorSummary) -> SliceCounts {
    let mut all = SliceCounts::default();
    told.slices.iter().for_each(|slice| all.add(slice));
    all
}

/// What must be near.
fn times(told: &GeneratorSummary, truth: &Truth, tolerance: Tolerance) -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, told, truth) in [
        ("", &told.measured.due.latency, &truth.due_ms),
        (" of successes", &told.measured.succeeded.latency, &truth.succeeded_ms),
    ] {
        for (number, of, share) in PERCENTILES {
            rows.push(near(format!("{number}{what}"), of(told), truth, share, tolerance));
        }
    }
    let all = of_slices(told);
    for (number, share) in [("p50 of slices", 0.5), ("p95 of slices", 0.95)] {
        rows.push(near(number.to_owned(), all.due.quantile_ms(share), &truth.due_ms, share, tolerance));
    }
    rows
}

type Percentile = (&'static str, fn(&Latency) -> Option<f64>, f64);
const PERCENTILES: [Percentile; 7] = [
    ("min", |one| one.min, 0.0),
    ("p50", |one| one.p50, 0.5),
    ("p90", |one| one.p90, 0.9),
    ("p95", |one| one.p95, 0.95),
    ("p99", |one| one.p99, 0.99),
    ("p99.9", |one| one.p999, 0.999),
    ("max", |one| one.max, 1.0),
];

/// So much less may be told than is true: a server notices late that its client has given up, for it has to
/// get a processor first.
const SHORTER_MS: f64 = 100.0;
/// So many requests at least must lie beyond a percentile that more than one of them decides.
const SEVERAL: f64 = 5.0;

/// Whether a percentile is that of the true times. Between two requests any value is right, and which one
/// is the n-th depends on how shares are rounded: both neighbours count.
fn near(number: String, told: Option<f64>, truth: &[f64], share: f64, tolerance: Tolerance) -> Row {
    let Some(last) = truth.len().checked_sub(1) else {
        let text = told.map_or_else(|| "–".into(), |ms| format!("{ms:.1}"));
        return row(&number, text, "–".into(), told.is_none());
    };
    let at = |rank: f64| truth[(rank.max(0.0) as usize).min(last)];
    let rank = share * last as f64;
    // Several of k6 tell their distribution in steps of half a per cent.
    let slack = 1.0 + last as f64 * 0.003;
    let ends = share == 0.0 || share == 1.0;
    let (low, high) = if ends { (at(rank), at(rank)) } else { (at(rank - slack), at((rank + slack).ceil())) };
    let is_single = (1.0 - share) * (last as f64) < SEVERAL;
    let least = if is_single { tolerance.single_ms } else { tolerance.ms };
    let allowed = |ms: f64| (ms * tolerance.share).max(least);
    let holds =
        told.is_some_and(|told| told >= low - allowed(low).min(SHORTER_MS) && told <= high + allowed(high));
    let off = told.map_or(0.0, |told| (told - high).max(low - told).max(0.0));
    Row {
        number,
        told: told.map_or_else(|| "–".into(), |ms| format!("{ms:.1}")),
        truth: format!("{low:.1} to {high:.1}"),
        holds,
        kind: if is_single { RowKind::Extreme(off) } else { RowKind::Percentile(off) },
    }
}
