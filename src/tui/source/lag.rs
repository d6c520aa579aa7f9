//! Consumer groups, straight from the broker.

use super::{TIMEOUT, UpdateSender, ticks};
use crate::clients::kafka::{self, Brokers, FirstRecord, Monitor};
use crate::domain::lag::tracker::GroupSample;
use crate::stack::Stack;
use crate::tui::update::Update;
use nsys_contract::topics;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Partitions of a topic whose oldest waiting message is read when the dashboard starts.
const OLDEST: usize = 64;
/// How often topics are asked how long they keep messages.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);
/// Longest wait for that answer.
const RETENTION_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(stack: Arc<Stack>, sender: UpdateSender) {
    let brokers = stack.endpoints.brokers();
    let command = format!(
        "kafka-consumer-groups.sh --bootstrap-server {brokers} --describe --group {}",
        topics::WORKER_GROUP
    );
    let mut monitor = None;
    let mut first = true;
    let (mut keeps_s, mut asked_at) = (BTreeMap::new(), None::<Instant>);
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        // It is gone when a sample was given up: it is still with the call that hangs.
        let now = monitor.take().unwrap_or_else(|| Monitor::new(brokers.clone(), topics::WORKER_GROUP));
        let answered = sender.ask(&command, async {
            let (kept, samples) = now.sample(TIMEOUT).await;
            monitor = kept;
            samples
        });
        let mut answer = answered.await;
        if let Ok([own, ..]) = answer.as_deref_mut()
            && std::mem::take(&mut first)
        {
            read_oldest(&brokers, own).await;
        }
        if let Ok([own, ..]) = answer.as_deref_mut() {
            if asked_at.is_none_or(|at| at.elapsed() >= RETENTION_INTERVAL) {
                asked_at = Some(Instant::now());
                keeps_s = retention(&brokers, own).await.unwrap_or(keeps_s);
            }
            own.keeps_s.clone_from(&keeps_s);
        }
        if !sender.send(Update::Lag(answer)).await {
            return;
        }
    }
}

/// How long the topics of a group keep messages, in seconds; none when the broker does not tell now.
async fn retention(brokers: &Brokers, group: &GroupSample) -> Option<BTreeMap<String, f64>> {
    let topics: BTreeSet<_> = group.partitions.iter().map(|one| one.lag.topic.as_str()).collect();
    let topics: Vec<_> = topics.into_iter().collect();
    let kept = kafka::retentions(brokers, &topics, RETENTION_TIMEOUT).await.ok()?;
    Some(kept.into_iter().filter_map(|(topic, kept)| Some((topic, kept.time?.as_secs_f64()))).collect())
}

/// Notes when the oldest message that waits was written. Without it, what waits is only known to be
/// older than the dashboard.
async fn read_oldest(brokers: &Brokers, group: &mut GroupSample) {
    let mut waiting: BTreeMap<String, Vec<(i32, i64)>> = BTreeMap::new();
    for one in group.partitions.iter().filter(|one| one.lag.lag > 0) {
        if let Some(committed) = one.lag.committed {
            waiting.entry(one.lag.topic.clone()).or_default().push((one.lag.partition, committed));
        }
    }
    for (topic, mut starts) in waiting {
        starts.truncate(OLDEST);
        let Ok(times) = kafka::first_records(brokers, &topic, starts, Duration::from_secs(1)).await else {
            continue;
        };
        for one in group.partitions.iter_mut().filter(|one| one.lag.topic == topic) {
            one.oldest_s = match times.get(&one.lag.partition) {
                Some(FirstRecord::At(at_ms)) => Some(*at_ms as f64 / 1_000.0),
                _ => None,
            };
        }
    }
}
