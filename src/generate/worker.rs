//! One core: a runtime of its own with its share of the virtual users, each with one connection.

use super::connection::Connection;
use super::record::{Creations, Ending, SecondCounts, ThreadCounts, WindowSlice};
use super::schedule::Arrival;
use super::traffic::Traffic;
use super::{Shared, ThreadReport};
use crate::domain::level::Model;
use crate::domain::slices::Slicing;
use crate::error::{Error, Result};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::LocalSet;

/// Requests in progress may take so long to end when the load is stopped before its end.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// The cause of a request that had no answer when it was given up.
const UNANSWERED: &str = "unanswered";
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
    to: &std::sync::mpsc::Sender<ThreadReport>,
) {
    let counts = offer(shared, index, threads, work, to);
    // Nobody listens only when the collecting thread has failed.
    let _ = to.send(ThreadReport::Ended(counts.map(Box::new)));
}

fn offer(
    shared: &Shared,
    index: usize,
    threads: usize,
    work: Receiver<Arrival>,
    to: &std::sync::mpsc::Sender<ThreadReport>,
) -> Result<ThreadCounts> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Error::failed(format!("no runtime: {cause}")))?;
    let users = shared.plan.own_users();
    let users = (users / threads + usize::from(index < users % threads)).max(1);
    let core = Rc::new(Core::new(shared, index, users)?);
    let local = LocalSet::new();
    let done: Result<()> = local.block_on(&runtime, async {
        let clock = tokio::task::spawn_local(report_seconds(Rc::clone(&core), shared.begin, to.clone()));
        let address = shared.plan.address()?;
        let (begin, closed) = (shared.begin, shared.plan.model == Model::Closed);
        let timeout = Duration::from_secs(shared.plan.timeout_s);
        for user in 0..users {
            let connection = Connection::new(&address, timeout);
            tokio::task::spawn_local(use_it(Rc::clone(&core), user, connection, begin, closed));
        }
        if closed {
            wait_closed(shared).await;
        } else {
            deal(&core, shared, work).await;
        }
        core.close();
        core.wait_for_answers(shared).await;
        // Nothing is awaited from here on: a user that ended meanwhile would count its request a second time.
        core.give_up(begin);
        clock.abort();
        core.report(to)
    });
    done?;
    Ok(core.counted())
}

/// A request in progress.
#[derive(Clone, Copy, Debug)]
struct Asked {
    place: WindowSlice,
    /// From here its answer time counts.
    due: Instant,
    started: Instant,
    /// The number of what it creates, if it does.
    creates: Option<u64>,
}

/// What the virtual users of a core share.
struct Core {
    traffic: Traffic,
    windows: Vec<(f64, usize)>,
    slices: Option<Slicing>,
    /// Requests that wait for an idle user.
    waiting: RefCell<VecDeque<(Arrival, bool)>>,
    /// Idle users, the last one first: its connection is warm.
    idle: RefCell<Vec<Waker>>,
    closed: Cell<bool>,
    /// What each user asked and has no answer to.
    asked: RefCell<Vec<Option<Asked>>>,
    busy: Cell<usize>,
    /// Numbers of tracked requests that ended without an acknowledgement.
    unacknowledged: RefCell<Vec<u64>>,
    counts: RefCell<ThreadCounts>,
    second: RefCell<SecondCounts>,
}

impl Core {
    fn new(shared: &Shared, index: usize, users: usize) -> Result<Self> {
        let ends = shared.plan.windows.iter().enumerate();
        Ok(Self {
            traffic: Traffic::new(&shared.plan, index)?,
            windows: ends.map(|(index, one)| ((one.start_s + one.seconds) as f64, index)).collect(),
            slices: shared.plan.slices,
            waiting: RefCell::new(VecDeque::new()),
            idle: RefCell::new(Vec::new()),
            closed: Cell::new(false),
            asked: RefCell::new(vec![None; users]),
            busy: Cell::new(0),
            unacknowledged: RefCell::new(Vec::new()),
            counts: RefCell::new(ThreadCounts::new(shared.plan.windows.len(), shared.plan.slices.as_ref())?),
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
            // Also after it was woken: a user that became free in between may have taken the request.
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

    /// Where a request counts, by when it was due.
    fn place(&self, arrival: &Arrival) -> WindowSlice {
        WindowSlice { window: arrival.window, slice: self.slices.and_then(|cut| cut.at(arrival.at_s)) }
    }

    fn drop_one(&self, place: WindowSlice, waited: Duration) {
        self.counts.borrow_mut().dropped(place, us(waited));
        let mut second = self.second.borrow_mut();
        second.dropped += 1;
        second.times.saturating_record(us(waited));
    }

    fn ended(&self, asked: Asked, ending: &Ending) {
        let now = Instant::now();
        let answer = us(now.saturating_duration_since(asked.due));
        let busy = us(now.saturating_duration_since(asked.started));
        self.counts.borrow_mut().ended(asked.place, answer, busy, ending);
        if let Some(number) = asked.creates.filter(|_| *ending != Ending::Acknowledged) {
            self.unacknowledged.borrow_mut().push(number);
        }
        let mut second = self.second.borrow_mut();
        second.requests += 1;
        second.failed += u64::from(matches!(ending, Ending::Failed(_)));
        second.times.saturating_record(answer);
    }

    /// Notes what a user has in progress.
    fn asks(&self, user: usize, asked: Option<Asked>) {
        let busy = self.busy.get();
        self.busy.set(if asked.is_some() { busy + 1 } else { busy - 1 });
        if let Some(slot) = self.asked.borrow_mut().get_mut(user) {
            *slot = asked;
        }
    }

    /// Waits until every request in progress has ended, as long as the grace lasts.
    async fn wait_for_answers(&self, shared: &Shared) {
        let mut deadline = shared.deadline();
        while self.busy.get() > 0 && Instant::now() < deadline {
            if shared.stopped() {
                deadline = deadline.min(Instant::now() + STOP_GRACE);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Counts what has no answer as failed, and what was due and never made as dropped: both have waited
    /// until now.
    fn give_up(&self, begin: Instant) {
        let waiting: Vec<_> = self.waiting.borrow_mut().drain(..).collect();
        for (arrival, _) in waiting {
            let waited = Instant::now().saturating_duration_since(arrival.due(begin));
            self.drop_one(self.place(&arrival), waited);
        }
        let asked = std::mem::take(&mut *self.asked.borrow_mut());
        for asked in asked.into_iter().flatten() {
            self.ended(asked, &Ending::Failed(UNANSWERED.into()));
        }
    }

    /// Everything that was counted.
    fn counted(&self) -> ThreadCounts {
        let (ids, sent) = self.traffic.created();
        let creations = Creations { sent, unacknowledged: self.unacknowledged.borrow().clone() };
        let mut counts = self.counts.borrow().clone();
        counts.creations.insert(ids.to_owned(), creations);
        counts
    }

    /// Tells the second so far and begins the next one.
    fn report(&self, to: &std::sync::mpsc::Sender<ThreadReport>) -> Result<()> {
        let next = SecondCounts::new(self.second.borrow().second + 1)?;
        let counts = self.second.replace(next);
        // Nobody listens only when the collecting thread has failed.
        let _ = to.send(ThreadReport::Second(Box::new(counts)));
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
    while !core.waiting.borrow().is_empty() && !shared.stopped() && Instant::now() < shared.deadline() {
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
async fn use_it(core: Rc<Core>, user: usize, mut connection: Connection, begin: Instant, closed: bool) {
    if closed {
        tokio::time::sleep_until(begin.into()).await;
    }
    loop {
        let next = if closed { closed_next(&core, begin) } else { core.take().await };
        let Some((arrival, was_idle)) = next else { return };
        let (due, started) = (arrival.due(begin), Instant::now());
        let late = started.saturating_duration_since(due);
        if late.as_secs_f64() > LONGEST_WAIT_S {
            core.drop_one(core.place(&arrival), late);
            continue;
        }
        // Only then is it the generator's own delay; otherwise every user was busy.
        if was_idle {
            core.counts.borrow_mut().late.saturating_record(us(late));
        }
        // A request that cannot be made is a mistake of this program, and is seen as one that failed.
        let made = core.traffic.next();
        let creates = made.as_ref().ok().and_then(|made| made.creates);
        // Dealt up to a grain early, it counts from its start: from the plan it would seem faster.
        let asked = Asked { place: core.place(&arrival), due: due.min(started), started, creates };
        core.asks(user, Some(asked));
        let ending = match made {
            Ok(made) => connection.send(made.request, made.expected).await,
            Err(error) => {
                // Where nothing is waited for, others get their turn all the same.
                tokio::task::yield_now().await;
                Ending::Failed(error.message)
            }
        };
        core.asks(user, None);
        core.ended(asked, &ending);
    }
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
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
async fn report_seconds(core: Rc<Core>, begin: Instant, to: std::sync::mpsc::Sender<ThreadReport>) {
    for second in 1_u32.. {
        tokio::time::sleep_until((begin + Duration::from_secs(second.into())).into()).await;
        if core.report(&to).is_err() {
            return;
        }
    }
}
