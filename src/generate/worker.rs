//! One core: a runtime of its own with its share of the virtual users, each with one connection.

use super::connection::Connection;
use super::record::{Counts, Ending, SecondCounts};
use super::schedule::Arrival;
use super::traffic::Traffic;
use super::{Shared, Told};
use crate::domain::level::Model;
use crate::error::{Error, Result};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::LocalSet;

/// Requests in progress at the end may take so long to end, as in the k6 script.
const GRACE: Duration = Duration::from_secs(15);
/// A request that waited so long for an idle user is not made any more.
const LONGEST_WAIT_S: f64 = 30.0;
/// Requests taken from the pacing thread at once.
const BATCH: usize = 256;

/// The way of requests to a core: room for what waits at most.
pub(super) fn feed(shared: &Shared, threads: usize) -> (Sender<Arrival>, Receiver<Arrival>) {
    let rate = shared.plan.windows.iter().filter_map(|window| window.rate).max().unwrap_or(1);
    let most = f64::from(rate) * LONGEST_WAIT_S / threads as f64;
    channel((most as usize).clamp(1_024, 1 << 21))
}

/// Runs one core until everything is done.
pub(super) fn run(
    shared: &Shared,
    index: usize,
    threads: usize,
    work: Receiver<Arrival>,
    to: &std::sync::mpsc::Sender<Told>,
) {
    let counts = offer(shared, index, threads, work, to);
    // Nobody listens only when the collecting thread has failed.
    let _ = to.send(Told::Ended(counts.map(Box::new)));
}

fn offer(
    shared: &Shared,
    index: usize,
    threads: usize,
    work: Receiver<Arrival>,
    to: &std::sync::mpsc::Sender<Told>,
) -> Result<Counts> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Error::failed(format!("no runtime: {cause}")))?;
    let users = shared.plan.own_users();
    let users = users / threads + usize::from(index < users % threads);
    let core = Rc::new(Core::new(shared, index)?);
    let local = LocalSet::new();
    let done: Result<()> = local.block_on(&runtime, async {
        let clock = tokio::task::spawn_local(tell_seconds(Rc::clone(&core), shared.begin, to.clone()));
        let authority = shared.plan.authority()?.to_owned();
        let (begin, closed) = (shared.begin, shared.plan.model == Model::Closed);
        for _ in 0..users.max(1) {
            tokio::task::spawn_local(use_it(Rc::clone(&core), Connection::new(&authority), begin, closed));
        }
        if closed {
            wait_closed(shared).await;
        } else {
            deal(&core, shared, work).await;
        }
        core.close();
        let deadline = Instant::now() + GRACE;
        while core.busy.get() > 0 && Instant::now() < deadline && !shared.stopped() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        clock.abort();
        core.tell(to)
    });
    done?;
    Ok(core.counts.borrow().clone())
}

/// What the virtual users of a core share.
struct Core {
    traffic: Traffic,
    windows: Vec<(f64, usize)>,
    /// Requests that wait for an idle user.
    waiting: RefCell<VecDeque<(Arrival, bool)>>,
    /// Idle users, the last one first: its connection is warm.
    idle: RefCell<Vec<Waker>>,
    closed: Cell<bool>,
    busy: Cell<usize>,
    counts: RefCell<Counts>,
    second: RefCell<SecondCounts>,
}

impl Core {
    fn new(shared: &Shared, index: usize) -> Result<Self> {
        let ends = shared.plan.windows.iter().enumerate();
        Ok(Self {
            traffic: Traffic::new(&shared.plan, index)?,
            windows: ends.map(|(index, one)| ((one.start_s + one.seconds) as f64, index)).collect(),
            waiting: RefCell::new(VecDeque::new()),
            idle: RefCell::new(Vec::new()),
            closed: Cell::new(false),
            busy: Cell::new(0),
            counts: RefCell::new(Counts::new(shared.plan.windows.len())?),
            second: RefCell::new(SecondCounts::new(0)?),
        })
    }

    /// Hands a request to an idle user, or lets it wait.
    fn give(&self, arrival: Arrival) {
        let user = self.idle.borrow_mut().pop();
        self.waiting.borrow_mut().push_back((arrival, user.is_some()));
        if let Some(user) = user {
            user.wake();
        }
    }

    /// The next request for a user; none when there will be no more.
    async fn take(&self) -> Option<(Arrival, bool)> {
        poll_fn(|context| {
            if let Some(next) = self.waiting.borrow_mut().pop_front() {
                return Poll::Ready(Some(next));
            }
            if self.closed.get() {
                return Poll::Ready(None);
            }
            self.idle.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn close(&self) {
        self.closed.set(true);
        for user in self.idle.borrow_mut().drain(..) {
            user.wake();
        }
    }

    /// The window of this time, counted in seconds since the start.
    fn window_at(&self, at_s: f64) -> Option<usize> {
        self.windows.iter().find(|(end, _)| at_s < *end).map(|(_, index)| *index)
    }

    fn drop_one(&self) {
        self.counts.borrow_mut().dropped += 1;
        self.second.borrow_mut().dropped += 1;
    }

    fn ended(&self, window: usize, answer: Duration, busy: Duration, ending: &Ending) {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.counts.borrow_mut().ended(window, us(answer), us(busy), ending);
        let mut second = self.second.borrow_mut();
        second.requests += 1;
        match ending {
            Ending::Failed(_) => second.failed += 1,
            Ending::Answered | Ending::Created => second.answers.saturating_record(us(answer)),
        }
    }

    /// Tells the second so far and begins the next one.
    fn tell(&self, to: &std::sync::mpsc::Sender<Told>) -> Result<()> {
        let next = SecondCounts::new(self.second.borrow().second + 1)?;
        let told = self.second.replace(next);
        // Nobody listens only when the collecting thread has failed.
        let _ = to.send(Told::Second(Box::new(told)));
        Ok(())
    }
}

/// Gives requests to the users as the pacing thread deals them.
async fn deal(core: &Core, shared: &Shared, mut work: Receiver<Arrival>) {
    let mut batch = Vec::with_capacity(BATCH);
    while work.recv_many(&mut batch, BATCH).await > 0 {
        if shared.stopped() {
            return;
        }
        batch.drain(..).for_each(|arrival| core.give(arrival));
    }
    // Those that still wait are made late, or not at all.
    while !core.waiting.borrow().is_empty() && !shared.stopped() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn wait_closed(shared: &Shared) {
    let end = shared.plan.seconds() as f64;
    while shared.elapsed_s() < end && !shared.stopped() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One virtual user.
async fn use_it(core: Rc<Core>, mut connection: Connection, begin: Instant, closed: bool) {
    if closed {
        tokio::time::sleep_until(begin.into()).await;
    }
    loop {
        let next = if closed { closed_next(&core, begin) } else { core.take().await };
        let Some((arrival, was_idle)) = next else { return };
        let due = begin + Duration::from_secs_f64(arrival.at_s);
        let started = Instant::now();
        let late = started.saturating_duration_since(due);
        if late.as_secs_f64() > LONGEST_WAIT_S {
            core.drop_one();
            continue;
        }
        if was_idle {
            let us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
            core.counts.borrow_mut().late.saturating_record(us);
        }
        // A request that cannot be made is a mistake of this program, and is seen as one that failed.
        let ending = match core.traffic.next() {
            Ok(request) => {
                core.busy.set(core.busy.get() + 1);
                let ending = connection.send(request).await;
                core.busy.set(core.busy.get() - 1);
                ending
            }
            Err(error) => Ending::Failed(error.message),
        };
        let ended = Instant::now();
        core.ended(
            arrival.window,
            ended.saturating_duration_since(due.min(started)),
            ended.saturating_duration_since(started),
            &ending,
        );
    }
}

/// In the closed model the next request is due as soon as the user is free.
fn closed_next(core: &Core, begin: Instant) -> Option<(Arrival, bool)> {
    if core.closed.get() {
        return None;
    }
    let at_s = Instant::now().saturating_duration_since(begin).as_secs_f64();
    let window = core.window_at(at_s)?;
    Some((Arrival { number: 0, window, at_s }, false))
}

/// Tells each second when it is over.
async fn tell_seconds(core: Rc<Core>, begin: Instant, to: std::sync::mpsc::Sender<Told>) {
    for second in 1_u32.. {
        tokio::time::sleep_until((begin + Duration::from_secs(second.into())).into()).await;
        if core.tell(&to).is_err() {
            return;
        }
    }
}
