//! What is measured, in which order.

use crate::figures::Figures;
use crate::rounds::progress;
use crate::stack::Stack;
use crate::{Peer, accepting, peer, requests, working};
use anyhow::{Context, Result};
use std::time::Duration;

/// The broker compiles itself on the way: 20 s or some millions of messages.
const WARM_BROKER: Duration = Duration::from_secs(15);

/// Each part by its name, for those who want only some (`BENCH_PARTS`, separated by commas).
const PARTS: [&str; 3] = ["accepting", "working", "overload"];

/// The parts that are wanted.
pub(crate) struct Wanted(Vec<&'static str>);

impl Wanted {
    pub(crate) fn read() -> Result<Self> {
        let Ok(some) = std::env::var("BENCH_PARTS") else { return Ok(Self(PARTS.to_vec())) };
        let known = |part: &str| PARTS.into_iter().find(|one| *one == part);
        let parts: Option<Vec<_>> = some.split(',').map(known).collect();
        parts.map(Self).with_context(|| format!("BENCH_PARTS are some of {}", PARTS.join(",")))
    }

    pub(crate) fn is_whole(&self) -> bool {
        PARTS.iter().all(|part| self.0.contains(part))
    }
}

/// Runs every part that is wanted. The stack is gone afterwards.
pub(crate) async fn all(stack: Stack, Wanted(wanted): &Wanted) -> Result<Figures> {
    let mut figures = Figures::new();
    stack.make_topic().await?;
    let (bare, prototype) = (Peer::start(None).await?, Peer::start(Some(&stack.brokers)).await?);
    warm_broker(&stack, &prototype).await?;
    if wanted.contains(&"accepting") {
        accepting::all(&stack, &bare, &prototype, &mut figures).await?;
    }
    drop((bare, prototype));
    if wanted.contains(&"working") {
        working::all(&stack, &mut figures).await?;
    }
    if wanted.contains(&"overload") {
        accepting::overload(&stack, &mut figures).await?;
    }
    Ok(figures)
}

async fn warm_broker(stack: &Stack, prototype: &Peer) -> Result<()> {
    progress("warming up");
    let single = requests::create(&peer::token()?, false);
    let warm =
        |to, process, connections, make| accepting::closed(to, process, connections, make, WARM_BROKER / 2);
    let warmed = warm(prototype.address, prototype.child.id(), 256, &single).await;
    warmed.context("warming up with the prototype")?;
    let batches = requests::batch(&stack.token, 1_000);
    warm(stack.api, stack.app, 4, &batches).await.context("warming up with the service")?;
    stack.skip_backlog()
}
