//! What is measured, in which order, and what comes out of it.

use crate::Peer;
use crate::client::{Answers, Make, Offer, Pace, offer, stream_lines};
use crate::stack::{PARTITIONS, Stack, cpu, memory_mb};
use crate::{peer, requests};
use anyhow::{Context, Result, ensure};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Rounds of everything that is compared.
const ROUNDS: usize = 3;
/// Measured time of one form in one round.
const TIME: Duration = Duration::from_secs(4);
const WARMUP: Duration = Duration::from_secs(1);
/// The broker compiles itself on the way: 20 s or some millions of messages.
const WARM_BROKER: Duration = Duration::from_secs(15);
/// Notifications of one backlog that is drained.
const BACKLOG: u64 = 150_000;
/// Rows of one statement at the database's ceiling, as many as in a batch of the worker.
const ROWS: usize = 1_000;
/// Notifications on their way at most while a rate is sustained.
const AHEAD: i64 = 10_000;
const SUSTAINED: Duration = Duration::from_secs(12);

/// One figure of one round.
#[derive(Clone, Copy, Default)]
pub(crate) struct Figure {
    pub(crate) per_s: f64,
    /// Per CPU-second of the process that answers.
    pub(crate) per_cpu_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Resident memory afterwards, in MiB.
    pub(crate) memory_mb: f64,
}

/// Every figure by its name, a round each.
pub(crate) type Figures = BTreeMap<&'static str, Vec<Figure>>;

pub(crate) const BARE_POST: &str = "bare route, POST";
pub(crate) const PROTOTYPE_64: &str = "prototype, 64 connections";
pub(crate) const PROTOTYPE_512: &str = "prototype, 512 connections";
pub(crate) const ACCEPT_64: &str = "accept, 64 connections";
pub(crate) const ACCEPT_512: &str = "accept, 512 connections";
pub(crate) const ACCEPT_KEY: &str = "accept with an idempotency key, 64 connections";
pub(crate) const BARE_GET: &str = "bare route, GET";
pub(crate) const READ: &str = "read that hits";
pub(crate) const BATCH: &str = "batches of 1,000";
pub(crate) const LINES: &str = "NDJSON stream";
pub(crate) const MANY: &str = "accept, 1,000 connections";
pub(crate) const CAPACITY: &str = "accept, 256 in progress at most";
pub(crate) const OVERLOAD: &str = "the same at three times that rate";
pub(crate) const DRAIN: &str = "backlog drained";
pub(crate) const CEILING: &str = "rows inserted by the database alone";
pub(crate) const SUSTAINED_SINGLE: &str = "end to end, one a request";
pub(crate) const SUSTAINED_BATCH: &str = "end to end, batches of 100";
pub(crate) const HALF: &str = "accept at half its maximum, alone";
pub(crate) const HALF_DRAINING: &str = "the same while a backlog drains";

/// Runs every phase. The stack is gone afterwards.
pub(crate) async fn all(mut stack: Stack) -> Result<Figures> {
    let mut figures = Figures::new();
    stack.make_topic().await?;
    let (bare, prototype) = (Peer::start(None).await?, Peer::start(Some(&stack.brokers)).await?);
    warm_broker(&stack, &prototype).await?;
    for round in 0..ROUNDS {
        progress(&format!("round {} of {ROUNDS}", round + 1));
        accepting(&stack, &bare, &prototype, &mut figures).await?;
        stack.skip_backlog()?;
    }
    drop((bare, prototype));
    working(&stack, &mut figures).await?;
    overload(&mut stack, &mut figures).await?;
    Ok(figures)
}

fn progress(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{what}");
}

async fn warm_broker(stack: &Stack, prototype: &Peer) -> Result<()> {
    progress("warming up");
    let time = WARM_BROKER / 2;
    let single = requests::create(&peer::token()?, false);
    closed(prototype.address, prototype.child.id(), 256, &single, time).await?;
    closed(stack.api, stack.app, 4, &requests::batch(&stack.token, 1_000), time).await?;
    stack.skip_backlog()
}

/// One round of everything that only accepts and reads.
async fn accepting(stack: &Stack, bare: &Peer, prototype: &Peer, figures: &mut Figures) -> Result<()> {
    let (ours, theirs) = (&stack.token, peer::token()?);
    let (create, keyed, plain) =
        (requests::create(ours, false), requests::create(ours, true), requests::create(&theirs, false));
    let ids = requests::some_ids(stack, 1_000).await?;
    let (service, bare, prototype) =
        ((stack.api, stack.app), (bare.address, bare.child.id()), (prototype.address, prototype.child.id()));
    let forms: [(&'static str, (SocketAddr, u32), usize, Make); 9] = [
        (BARE_POST, bare, 64, Arc::clone(&plain)),
        (PROTOTYPE_64, prototype, 64, Arc::clone(&plain)),
        (ACCEPT_64, service, 64, Arc::clone(&create)),
        (ACCEPT_KEY, service, 64, keyed),
        (PROTOTYPE_512, prototype, 512, plain),
        (ACCEPT_512, service, 512, create),
        (BARE_GET, bare, 64, requests::read(&theirs, ids.clone())),
        (READ, service, 64, requests::read(ours, ids)),
        (BATCH, service, 8, requests::batch(ours, 1_000)),
    ];
    for (name, (to, process), connections, make) in forms {
        let figure = closed(to, process, connections, &make, TIME).await.context(name)?;
        figures.entry(name).or_default().push(figure);
    }
    figures.entry(LINES).or_default().push(streams(stack).await?);
    if !figures.contains_key(MANY) {
        let make = requests::create(ours, false);
        let figure = closed(stack.api, stack.app, 1_000, &make, TIME).await?;
        figures.entry(MANY).or_default().push(figure);
    }
    Ok(())
}

async fn closed(
    to: SocketAddr,
    process: u32,
    connections: usize,
    make: &Make,
    time: Duration,
) -> Result<Figure> {
    let what = Offer { to, connections, pace: Pace::Closed, warmup: WARMUP, time, make: Arc::clone(make) };
    measured(&what, process).await.map(|(figure, _)| figure)
}

/// Offers a load and measures the process that answers it.
async fn measured(what: &Offer, process: u32) -> Result<(Figure, Answers)> {
    let (mut before, mut after) = (Duration::ZERO, Duration::ZERO);
    let mut answers = offer(what, || before = cpu(process), || after = cpu(process)).await?;
    ensure!(answers.wrong == 0, "{} answers are wrong", answers.wrong);
    let acknowledged = answers.acknowledged as f64;
    let figure = Figure {
        per_s: acknowledged / what.time.as_secs_f64(),
        per_cpu_s: acknowledged / (after - before).as_secs_f64(),
        p50_ms: answers.percentile_ms(0.5),
        p99_ms: answers.percentile_ms(0.99),
        memory_mb: memory_mb(process),
    };
    Ok((figure, answers))
}

/// Four streams at once, each of whole groups, for as long as one form is measured.
async fn streams(stack: &Stack) -> Result<Figure> {
    const STREAMS: usize = 4;
    let (head, groups) = requests::lines(&stack.token, 50, 1_000);
    let shared = Arc::new((head, groups));
    let (began, used) = (Instant::now(), cpu(stack.app));
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..STREAMS {
        let (shared, to) = (Arc::clone(&shared), stack.api);
        streams.spawn(async move {
            let mut accepted = 0;
            while began.elapsed() < TIME {
                accepted += stream_lines(to, &shared.0, &shared.1).await?;
            }
            anyhow::Ok(accepted)
        });
    }
    let mut accepted = 0;
    while let Some(ended) = streams.join_next().await {
        accepted += ended??;
    }
    let cpu_s = (cpu(stack.app) - used).as_secs_f64();
    Ok(Figure {
        per_s: accepted as f64 / began.elapsed().as_secs_f64(),
        per_cpu_s: accepted as f64 / cpu_s,
        p50_ms: f64::NAN,
        p99_ms: f64::NAN,
        memory_mb: memory_mb(stack.app),
    })
}

/// Everything with a worker.
async fn working(stack: &Stack, figures: &mut Figures) -> Result<()> {
    let mut database = stack.connect().await?;
    for round in 0..ROUNDS {
        progress(&format!("drain {} of {ROUNDS}", round + 1));
        fill(stack, BACKLOG).await?;
        let figure = drain(stack, &mut database, BACKLOG).await?;
        figures.entry(DRAIN).or_default().push(figure);
        stack.stop_worker()?;
        figures.entry(CEILING).or_default().push(insert_alone(stack).await?);
    }
    half_load(stack, figures).await?;
    progress("sustained");
    let worker = stack.start_worker()?;
    for (name, size) in [(SUSTAINED_SINGLE, None), (SUSTAINED_BATCH, Some(100))] {
        let figure = sustained(stack, &mut database, worker, size).await?;
        figures.entry(name).or_default().push(figure);
    }
    stack.stop_worker()
}

/// Puts exactly so many notifications on the log, with nothing before them.
async fn fill(stack: &Stack, count: u64) -> Result<()> {
    stack.skip_backlog()?;
    let (head, groups) = requests::lines(&stack.token, count / 1_000, 1_000);
    let accepted = stream_lines(stack.api, &head, &groups).await?;
    ensure!(accepted == count, "{accepted} of {count} were accepted");
    Ok(())
}

/// Notifications that came to their end: each takes the next number of this sequence.
async fn ended(database: &mut PgConnection) -> Result<i64> {
    // A sequence that was never asked shows its first number.
    let sql = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_id_seq";
    Ok(sqlx::query_scalar(sql).fetch_one(database).await?)
}

/// Starts the worker on a backlog and measures from the first row to the last.
async fn drain(stack: &Stack, database: &mut PgConnection, count: u64) -> Result<Figure> {
    let start = ended(database).await?;
    let worker = stack.start_worker()?;
    let (mut first, used) = (None, cpu(worker));
    loop {
        let done = ended(database).await? - start;
        if done > 0 && first.is_none() {
            first = Some((Instant::now(), done));
        }
        if done >= i64::try_from(count)? {
            let (since, before) = first.unwrap_or((Instant::now(), 0));
            let cpu_s = (cpu(worker) - used).as_secs_f64();
            let (took, rows) = (since.elapsed().as_secs_f64(), (done - before) as f64);
            let memory_mb = memory_mb(worker);
            return Ok(Figure {
                per_s: rows / took,
                per_cpu_s: done as f64 / cpu_s,
                memory_mb,
                ..Figure::default()
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The same rows, inserted by as many connections as there are partitions, without a worker.
async fn insert_alone(stack: &Stack) -> Result<Figure> {
    let began = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    let statements = usize::try_from(BACKLOG)? / ROWS / PARTITIONS as usize;
    for _ in 0..PARTITIONS {
        let url = stack.database.clone();
        writers.spawn(async move {
            let mut database = PgConnection::connect(&url).await?;
            for _ in 0..statements {
                insert_rows(&mut database).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    let rows = (statements * ROWS * PARTITIONS as usize) as f64;
    Ok(Figure { per_s: rows / began.elapsed().as_secs_f64(), ..Figure::default() })
}

/// Rows of the same contents as the worker's, without what makes the worker's harmless when they come
/// again, and without the numbers that followers need.
async fn insert_rows(database: &mut PgConnection) -> Result<()> {
    let contents: Vec<_> = (0..ROWS as u64).map(requests::content).collect();
    let ids: Vec<_> = contents.iter().map(|_| uuid::Uuid::now_v7()).collect();
    let users: Vec<_> = contents.iter().map(|(user, ..)| format!("user-{user}")).collect();
    let channels: Vec<_> = contents.iter().map(|(_, channel, _)| *channel).collect();
    let payloads: Vec<_> = contents.iter().map(|(.., payload)| *payload).collect();
    sqlx::query(
        "INSERT INTO notifications (id, user_id, channel, type, priority, status, payload, sent_at, created_at,
             updated_at, provider, duration_ms)
         SELECT id, user_id, channel, 'TRANSACTIONAL', 'MEDIUM', 'SENT', payload::jsonb, now(), now(), now(),
             'simulated', 0.1
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[]) AS t(id, user_id, channel, payload)",
    )
    .bind(ids)
    .bind(users)
    .bind(channels)
    .bind(payloads)
    .execute(database)
    .await?;
    Ok(())
}

/// Accepts at half the maximum, alone and while the worker drains a backlog.
async fn half_load(stack: &Stack, figures: &mut Figures) -> Result<()> {
    progress("half load");
    let rate = middle(&figures[ACCEPT_64], |figure| figure.per_s) / 2.0;
    let make = requests::create(&stack.token, false);
    let what =
        Offer { to: stack.api, connections: 64, pace: Pace::Open(rate), warmup: WARMUP, time: TIME, make };
    let alone = measured(&what, stack.app).await?.0;
    fill(stack, BACKLOG).await?;
    stack.start_worker()?;
    let draining = measured(&what, stack.app).await?.0;
    figures.entry(HALF).or_default().push(alone);
    figures.entry(HALF_DRAINING).or_default().push(draining);
    stack.stop_worker()?;
    stack.skip_backlog()
}

/// Offers as much as comes to its end: nobody sends while too many are on their way.
async fn sustained(
    stack: &Stack,
    database: &mut PgConnection,
    worker: u32,
    size: Option<u64>,
) -> Result<Figure> {
    let make = size
        .map_or_else(|| requests::create(&stack.token, false), |size| requests::batch(&stack.token, size));
    let connections = if size.is_some() { 8 } else { 64 };
    let before = ended(database).await?;
    let (sent, done) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let until = Instant::now() + WARMUP + SUSTAINED;
    let mut senders = tokio::task::JoinSet::new();
    for number in 0..connections {
        let (sent, done, make, to) = (Arc::clone(&sent), Arc::clone(&done), Arc::clone(&make), stack.api);
        senders.spawn(async move {
            let mut stream = crate::client::connect(to).await?;
            let (mut request, mut input) = (Vec::new(), Vec::new());
            for turn in 0.. {
                if Instant::now() >= until {
                    break;
                }
                if sent.load(Ordering::Relaxed) - done.load(Ordering::Relaxed) > AHEAD {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                }
                request.clear();
                make(turn * connections + number, &mut request);
                tokio::io::AsyncWriteExt::write_all(&mut stream, &request).await?;
                let answer = crate::client::read_answer(&mut stream, &mut input).await?;
                ensure!(matches!(answer.status, 200 | 201), "an answer {}", answer.status);
                sent.fetch_add(i64::try_from(answer.accepted)?, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    let (mut start, mut last) = (None, (Instant::now(), 0));
    while Instant::now() < until {
        let now = ended(database).await? - before;
        done.store(now, Ordering::Relaxed);
        last = (Instant::now(), now);
        if start.is_none() && until - last.0 <= SUSTAINED {
            start = Some((last, cpu(stack.app) + cpu(worker)));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ((from, ended_by_then), used) = start.unwrap_or((last, Duration::ZERO));
    let (rows, took) = ((last.1 - ended_by_then) as f64, (last.0 - from).as_secs_f64());
    let cpu_s = (cpu(stack.app) + cpu(worker) - used).as_secs_f64();
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    let memory_mb = memory_mb(stack.app) + memory_mb(worker);
    all_ended(database, before, sent.load(Ordering::Relaxed)).await?;
    Ok(Figure { per_s: rows / took, per_cpu_s: rows / cpu_s, memory_mb, ..Figure::default() })
}

/// Waits until everything acknowledged has come to its end.
async fn all_ended(database: &mut PgConnection, before: i64, sent: i64) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let done = ended(database).await? - before;
        if done >= sent {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{} of {sent} never came to their end", sent - done);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is left of the maximum when three times as much is offered, and refusing is all that helps.
async fn overload(stack: &mut Stack, figures: &mut Figures) -> Result<()> {
    progress("overload");
    stack.restart_app(&[("NSYS_LIMITS__MAX_IN_FLIGHT", "256")])?;
    let make = requests::create(&stack.token, false);
    let capacity = closed(stack.api, stack.app, 256, &make, TIME).await?;
    let pace = Pace::Open(3.0 * capacity.per_s);
    let what = Offer { to: stack.api, connections: 1_500, pace, warmup: WARMUP, time: TIME, make };
    let (figure, answers) = measured(&what, stack.app).await?;
    progress(&format!("{} good, {} refused", answers.good, answers.refused));
    figures.entry(CAPACITY).or_default().push(capacity);
    figures.entry(OVERLOAD).or_default().push(figure);
    Ok(())
}

/// The middle one of some figures.
pub(crate) fn middle(rounds: &[Figure], of: impl Fn(&Figure) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
