//! Calibration: the engines, and a client of somebody else's where it is installed, in turn on one
//! endpoint at one rate; and what each generator of this machine makes of a second of CPU time. A turn is
//! a level without anything around it.

mod ceiling;
mod other;

pub use ceiling::ceilings;

use super::engine::{self, Far, News, Offer};
use super::environment;
use super::interrupt::Interrupt;
use super::target::LoadTarget;
use crate::clients::{http, process};
use crate::domain::calibration::{Client, Turn};
use crate::domain::level::{GRACE_S, Level, Model, TIMEOUT_S, WARMUP};
use crate::domain::scenario::{GeneratorPlacement, LoadEngine, Scenario};
use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use crate::render::format;
use crate::render::progress::ProgressView;
use crate::stack::Stack;
use other::{CONNECTIONS, Other};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// What is asked of one endpoint.
#[derive(Clone, Debug)]
pub struct Ask {
    /// A path of the service that answers 200.
    pub path: String,
    /// Requests per second, warm-up included, and for how long.
    pub level: Level,
    /// Turns of each client.
    pub rounds: u32,
}

/// One rate over as many connections as the other programs have: with more, a hiccup of the machine opens
/// them, and the clients would differ by what they cost.
#[must_use]
pub fn level(rate: u32, seconds: u64) -> Level {
    Level { vus: CONNECTIONS, ..Level::open(rate, seconds) }
}

/// Runs the clients in turn: one, the next, the first again, …, so that a drift of the machine meets all.
///
/// # Errors
/// When the stack does not answer, a load test runs already, an engine cannot be started, or Ctrl-C.
pub async fn turns(
    permit: &ChangePermit,
    stack: &Stack,
    ask: &Ask,
    progress: &ProgressView,
) -> Result<Vec<Turn>> {
    let interrupt = Interrupt::listen();
    let _lock = engine::LoadLock::take(&stack.layout.run())?;
    interrupt.or(begin(stack), BEFORE_LOAD).await?;
    let url = format!("{}{}", stack.endpoints.api_url(), ask.path);
    let oha_can = Other::Oha.installed() && asks_for_no_token(&url).await;
    let clients = Client::at(ask.level.rate.unwrap_or(0), oha_can);
    let mut turns = Vec::new();
    for round in 1..=ask.rounds {
        for client in clients.iter().copied() {
            let line = progress.line(&format!("{} {round}/{}", client.as_str(), ask.rounds));
            line.update(&format!("{} on {}", ask.level.load(), ask.path));
            let turn = match client {
                Client::K6 => turn((permit, stack), ask, LoadEngine::K6, Model::Open, &interrupt).await?,
                Client::Native => {
                    turn((permit, stack), ask, LoadEngine::Native, Model::Open, &interrupt).await?
                }
                Client::Oha => other_turn(&url, &ask.level, &interrupt).await?,
            };
            line.finish(&format!(
                "{}, p50 {}, p95 {}, p99 {}",
                format::rate(turn.throughput_rps),
                format::or_missing(turn.latency_ms.p50, format::millis),
                format::or_missing(turn.latency_ms.p95, format::millis),
                format::or_missing(turn.latency_ms.p99, format::millis),
            ));
            turns.push(turn);
        }
    }
    Ok(turns)
}

/// Whether the endpoint answers 200 to anybody: programs of somebody else's get no token, which every
/// user of the machine could read among their arguments.
async fn asks_for_no_token(url: &str) -> bool {
    http::get(url, Duration::from_secs(3)).await.is_ok_and(|answer| answer.status == 200)
}

/// A turn of a client that warms nothing up: the few requests that open its connections count.
async fn other_turn(url: &str, level: &Level, interrupt: &Interrupt) -> Result<Turn> {
    let done = Other::Oha.run(url, level.seconds, level.rate, interrupt).await?;
    Ok(Turn {
        client: Client::Oha,
        requests: (done.rate_rps * level.seconds as f64) as u64,
        throughput_rps: done.rate_rps,
        error_rate: done.success.map(|share| 1.0 - share),
        latency_ms: done.latency_ms,
        cpu_pct: done.cores.map(|cores| cores * 100.0),
    })
}

/// What an interruption before the first request leaves.
const BEFORE_LOAD: &str = "before any load was offered";

/// Nothing else offers load while generators are compared.
async fn begin(stack: &Stack) -> Result<()> {
    super::run::settle_abandoned(stack).await?;
    super::preflight::must_run(stack).await
}

async fn turn(
    (permit, stack): (&ChangePermit, &Stack),
    ask: &Ask,
    engine: LoadEngine,
    model: Model,
    interrupt: &Interrupt,
) -> Result<Turn> {
    let offer = offer(stack, ask, engine, model).await?;
    let (mut generator, mut news) = engine::begin(permit, &offer)?;
    let pids = generator.pids().to_vec();
    engine::claim(&offer.work, &offer.work, &pids)?;
    let mut meter = Meter::new(&pids);
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let warmup = offer.windows.iter().filter(|one| one.name == WARMUP).map(|one| one.seconds).sum();
    let exit = loop {
        tokio::select! {
            exit = generator.wait() => break exit,
            Some(News::Second(_, second)) = news.recv() => if second.rate > 0.0 { meter.load_runs(warmup) },
            () = interrupt.wait() => {
                drop(news);
                generator.stop().await;
                engine::release(&offer.work);
                return Err(Error::interrupted("the calibration was interrupted"));
            }
            _ = tick.tick() => meter.sample(),
        }
    };
    engine::release(&offer.work);
    let summary = engine::read_summary(&offer).map_err(|cause| {
        let code = exit.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        Error::failed(format!("{}; it ended with {code}", cause.message))
            .hint(format!("see {}", offer.log.display()))
    })?;
    let measured: u64 = offer.windows.iter().filter(|one| one.measured).map(|one| one.seconds).sum();
    Ok(Turn {
        client: match engine {
            LoadEngine::K6 => Client::K6,
            LoadEngine::Native => Client::Native,
        },
        requests: summary.measured.requests,
        throughput_rps: summary.measured.requests as f64 / measured.max(1) as f64,
        error_rate: summary.measured.error_rate().value(),
        latency_ms: summary.measured.due.latency,
        cpu_pct: meter.pct(),
    })
}

async fn offer(stack: &Stack, ask: &Ask, engine: LoadEngine, model: Model) -> Result<Offer> {
    let windows = ask.level.windows(stack.loaded.config.loadtest.warmup_share);
    let (target, credentials) = (LoadTarget::of(&stack.endpoints.api_url()), stack.credentials().await?);
    let plan = json!({
        "base_url": target.base_url, "requests": [target.reading(&ask.path, credentials.as_ref())],
        "model": model, "rate": ask.level.rate, "vus": ask.level.vus, "windows": windows, "prefix": "calibrate",
        "timeout_s": TIMEOUT_S, "grace_s": GRACE_S,
    });
    let work = stack.layout.run();
    Ok(Offer {
        scenario: Scenario::Smoke,
        engine,
        program: environment::program(stack, engine)?,
        generators: 1,
        place: GeneratorPlacement::Here,
        far: Far::default(),
        windows,
        plan,
        log: work.join(format!("calibrate-{}.log", engine.as_str())),
        work,
    })
}

/// CPU that processes use from a moment on.
struct Meter<'a> {
    pids: &'a [i32],
    /// When the measured time begins; absent until the load runs.
    from: Option<Instant>,
    first: Option<(Instant, f64)>,
    last: Option<(Instant, f64)>,
}

impl<'a> Meter<'a> {
    const fn new(pids: &'a [i32]) -> Self {
        Self { pids, from: None, first: None, last: None }
    }

    /// The load was seen for the first time; what warms up does not count.
    fn load_runs(&mut self, warmup_s: u64) {
        self.from.get_or_insert_with(|| Instant::now() + Duration::from_secs(warmup_s));
    }

    fn sample(&mut self) {
        if self.from.is_none_or(|from| Instant::now() < from) {
            return;
        }
        let used: Option<Vec<_>> = self.pids.iter().map(|pid| process::usage(*pid)).collect();
        // A process that has ended is not looked at any more.
        let Some(used) = used else { return };
        let now = (Instant::now(), used.iter().map(|one| one.0).sum());
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// Seconds of CPU time for each second, and between which looks.
    fn cores(&self) -> Option<f64> {
        let ((then, before), (now, after)) = self.first.zip(self.last)?;
        let elapsed = now.duration_since(then).as_secs_f64();
        (elapsed >= 1.0).then(|| (after - before) / elapsed)
    }

    fn pct(&self) -> Option<f64> {
        self.cores().map(|cores| cores * 100.0)
    }
}
