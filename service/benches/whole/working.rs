//! What has a worker: draining, accepting meanwhile, and both at once.

use crate::accepting::{closed, measured};
use crate::client::{Offer, Pace, stream_lines};
use crate::figures::{
    CEILING, DRAIN, Figure, Figures, HALF, HALF_DRAINING, SUSTAINED_BATCH, SUSTAINED_SINGLE,
};
use crate::requests;
use crate::rounds::{ROUNDS, TIME, WARMUP, progress};
use crate::stack::{PARTITIONS, Stack, cpu, memory_mb};
use anyhow::{Result, ensure};
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Notifications of a backlog: some seconds' work.
const BACKLOG: u64 = 400_000;
/// Rows of one statement at the database's ceiling, as many as in a batch of the worker.
const ROWS: usize = 1_000;
/// Notifications on their way at most while a rate is sustained.
const AHEAD: i64 = 10_000;
const SUSTAINED: Duration = Duration::from_secs(8);

/// Everything with a worker, round after round. The stack has none, before and after.
pub(crate) async fn all(stack: &Stack, figures: &mut Figures) -> Result<()> {
    let mut database = stack.connect().await?;
    for round in 0..ROUNDS {
        progress(&format!("with a worker, round {} of {ROUNDS}", round + 1));
        // Or each round would have a larger table than the one before.
        sqlx::query("TRUNCATE notifications").execute(&mut database).await?;
        fill(stack, BACKLOG).await?;
        let figure = drain(stack, &mut database, BACKLOG).await?;
        figures.entry(DRAIN).or_default().push(figure);
        stack.stop_worker()?;
        figures.entry(CEILING).or_default().push(insert_alone(stack).await?);
        half_load(stack, figures).await?;
        let worker = stack.start_worker()?;
        for (name, size) in [(SUSTAINED_SINGLE, None), (SUSTAINED_BATCH, Some(100))] {
            let figure = sustained(stack, &mut database, worker, size).await?;
            figures.entry(name).or_default().push(figure);
        }
        stack.stop_worker()?;
    }
    Ok(())
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
    let (mut first, used) = (None, cpu(worker)?);
    loop {
        let done = ended(database).await? - start;
        if done > 0 && first.is_none() {
            first = Some((Instant::now(), done));
        }
        if done >= i64::try_from(count)? {
            let (since, before) = first.unwrap_or((Instant::now(), 0));
            let cpu_s = (cpu(worker)? - used).as_secs_f64();
            let (took, rows) = (since.elapsed().as_secs_f64(), (done - before) as f64);
            let memory_mb = memory_mb(worker)?;
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
         FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::text[]) AS user_id, unnest($3::text[]) AS channel,
             unnest($4::text[]) AS payload) AS rows",
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
    let make = requests::create(&stack.token, false);
    let rate = closed(stack.api, stack.app, 64, &make, TIME).await?.per_s / 2.0;
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
            start = Some((last, cpu(stack.app)? + cpu(worker)?));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ((from, ended_by_then), used) = start.unwrap_or((last, Duration::ZERO));
    let (rows, took) = ((last.1 - ended_by_then) as f64, (last.0 - from).as_secs_f64());
    let cpu_s = (cpu(stack.app)? + cpu(worker)? - used).as_secs_f64();
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    let memory_mb = memory_mb(stack.app)? + memory_mb(worker)?;
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
