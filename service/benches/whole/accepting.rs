//! What only accepts and reads, held against the peers.

use crate::client::{Answers, Make, Offer, Pace, offer, stream_lines};
use crate::figures::{
    ACCEPT_64, ACCEPT_512, ACCEPT_KEY, BARE_GET, BARE_POST, BATCH, CAPACITY, Figure, Figures, LINES, MANY,
    OVERLOAD, PROTOTYPE_64, PROTOTYPE_512, READ,
};
use crate::rounds::{ROUNDS, TIME, WARMUP, progress};
use crate::stack::{Stack, cpu, memory_mb};
use crate::{Peer, peer, requests};
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Round after round. The stack has no worker.
pub(crate) async fn all(stack: &Stack, bare: &Peer, prototype: &Peer, figures: &mut Figures) -> Result<()> {
    for round in 0..ROUNDS {
        progress(&format!("accepting, round {} of {ROUNDS}", round + 1));
        one_round(stack, bare, prototype, figures).await?;
        stack.skip_backlog()?;
    }
    Ok(())
}

async fn one_round(stack: &Stack, bare: &Peer, prototype: &Peer, figures: &mut Figures) -> Result<()> {
    let (ours, theirs) = (&stack.token, peer::token()?);
    let (create, keyed, plain) =
        (requests::create(ours, false), requests::create(ours, true), requests::create(&theirs, false));
    let (service, bare, prototype) =
        ((stack.api, stack.app), (bare.address, bare.child.id()), (prototype.address, prototype.child.id()));
    let accepting: [Form; 8] = [
        (BARE_POST, bare, 64, Arc::clone(&plain)),
        (PROTOTYPE_64, prototype, 64, Arc::clone(&plain)),
        (ACCEPT_64, service, 64, Arc::clone(&create)),
        (ACCEPT_KEY, service, 64, keyed),
        (PROTOTYPE_512, prototype, 512, plain),
        (ACCEPT_512, service, 512, Arc::clone(&create)),
        (MANY, service, 1_000, create),
        (BATCH, service, 8, requests::batch(ours, 1_000)),
    ];
    all_closed(accepting, figures).await?;
    // Only now: no worker stores them, and Redis does not keep everything that was accepted.
    let ids = requests::some_ids(stack, 1_000).await?;
    let reading: [Form; 2] = [
        (BARE_GET, bare, 64, requests::read(&theirs, ids.clone())),
        (READ, service, 64, requests::read(ours, ids)),
    ];
    all_closed(reading, figures).await?;
    figures.entry(LINES).or_default().push(streams(stack).await?);
    Ok(())
}

/// Its name, who answers and in which process, over how many connections, and what is asked.
type Form = (&'static str, (SocketAddr, u32), usize, Make);

async fn all_closed<const N: usize>(forms: [Form; N], figures: &mut Figures) -> Result<()> {
    for (name, (to, process), connections, make) in forms {
        let figure = closed(to, process, connections, &make, TIME).await.context(name)?;
        figures.entry(name).or_default().push(figure);
    }
    Ok(())
}

/// Each of some connections asks again as soon as it is answered.
pub(crate) async fn closed(
    to: SocketAddr,
    process: u32,
    connections: usize,
    make: &Make,
    time: Duration,
) -> Result<Figure> {
    let what = Offer { to, connections, pace: Pace::Closed, warmup: WARMUP, time, make: Arc::clone(make) };
    let (figure, answers) = measured(&what, process).await?;
    ensure!(answers.refused == 0, "{} requests were refused", answers.refused);
    Ok(figure)
}

/// Offers a load and measures the process that answers it.
pub(crate) async fn measured(what: &Offer, process: u32) -> Result<(Figure, Answers)> {
    let (mut before, mut after) = (Ok(Duration::ZERO), Ok(Duration::ZERO));
    let mut answers = offer(what, || before = cpu(process), || after = cpu(process)).await?;
    ensure!(answers.wrong == 0, "{} answers are wrong", answers.wrong);
    let acknowledged = answers.acknowledged as f64;
    let figure = Figure {
        per_s: acknowledged / what.time.as_secs_f64(),
        per_cpu_s: acknowledged / (after? - before?).as_secs_f64(),
        p50_ms: answers.percentile_ms(0.5),
        p99_ms: answers.percentile_ms(0.99),
        memory_mb: memory_mb(process)?,
    };
    Ok((figure, answers))
}

/// Four streams at once, each of whole groups, for as long as one form is measured.
async fn streams(stack: &Stack) -> Result<Figure> {
    const STREAMS: usize = 4;
    let (head, groups) = requests::lines(&stack.token, 50, 1_000);
    let shared = Arc::new((head, groups));
    let (began, used) = (Instant::now(), cpu(stack.app)?);
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
    let cpu_s = (cpu(stack.app)? - used).as_secs_f64();
    Ok(Figure {
        per_s: accepted as f64 / began.elapsed().as_secs_f64(),
        per_cpu_s: accepted as f64 / cpu_s,
        p50_ms: f64::NAN,
        p99_ms: f64::NAN,
        memory_mb: memory_mb(stack.app)?,
    })
}

/// What is left of the maximum when three times as much is offered.
pub(crate) async fn overload(stack: &Stack, figures: &mut Figures) -> Result<()> {
    let make = requests::create(&stack.token, false);
    for round in 0..ROUNDS {
        progress(&format!("overload, round {} of {ROUNDS}", round + 1));
        let capacity = closed(stack.api, stack.app, 512, &make, TIME).await?;
        let (pace, make) = (Pace::Open(3.0 * capacity.per_s), Arc::clone(&make));
        let what = Offer { to: stack.api, connections: 3_000, pace, warmup: WARMUP, time: TIME, make };
        let (figure, answers) = measured(&what, stack.app).await?;
        progress(&format!("{} good, {} refused", answers.good, answers.refused));
        figures.entry(CAPACITY).or_default().push(capacity);
        figures.entry(OVERLOAD).or_default().push(figure);
        stack.skip_backlog()?;
    }
    Ok(())
}
