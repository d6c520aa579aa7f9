//! Lag of every group, looked at again and again: clients are kept, so that a look costs a
//! millisecond and not a connection.

use super::members::members;
use super::offsets::read_group;
use super::{Brokers, blocking, config};
use crate::domain::group::{Group, Member};
use crate::domain::lag::tracker::{GroupSample, OwnedLag};
use crate::domain::lag::{GroupOffsets, PartitionLag};
use crate::error::{Error, Result};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, KafkaResult};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Other groups that are followed.
const OTHERS: usize = 8;
/// How often other groups are looked at.
const OTHERS_EVERY: Duration = Duration::from_secs(5);

/// Keeps the clients between looks.
pub struct Monitor {
    brokers: Brokers,
    own: String,
    clients: BTreeMap<String, BaseConsumer>,
    others: Vec<GroupSample>,
    others_at: Option<Instant>,
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor")
            .field("brokers", &self.brokers)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl Monitor {
    /// Follows the group `own`, whose consumers begin at the first message, each time; other groups
    /// now and then.
    #[must_use]
    pub fn new(brokers: Brokers, own: &str) -> Self {
        let own = own.to_owned();
        Self { brokers, own, clients: BTreeMap::new(), others: Vec::new(), others_at: None }
    }

    /// Samples the groups, our own first. The monitor comes back unless the sampling ended abnormally.
    pub async fn sample(mut self, timeout: Duration) -> (Option<Self>, Result<Vec<GroupSample>>) {
        let worked = blocking(move || {
            let samples = self.samples(timeout);
            Ok((self, samples))
        });
        match worked.await {
            Ok((monitor, samples)) => {
                let unreachable = |cause: KafkaError| Error::unreachable(format!("kafka: {cause}"));
                (Some(monitor), samples.map_err(unreachable))
            }
            Err(error) => (None, Err(error)),
        }
    }

    fn samples(&mut self, timeout: Duration) -> KafkaResult<Vec<GroupSample>> {
        let own = self.own.clone();
        let (group, offsets) = read_group(self.client(&own)?, &own, timeout)?;
        if self.others_at.is_none_or(|at| at.elapsed() >= OTHERS_EVERY) {
            self.others = self.sample_others(timeout)?;
            self.others_at = Some(Instant::now());
        }
        let mut samples = vec![sample_of(&group, &offsets, true)];
        samples.extend(self.others.iter().cloned());
        Ok(samples)
    }

    fn sample_others(&mut self, timeout: Duration) -> KafkaResult<Vec<GroupSample>> {
        let own = self.own.clone();
        let groups = members(self.client(&own)?, None, timeout)?;
        // Our own reads make no group, but a client of ours may have left one.
        let others = groups.into_iter().map(|group| group.name);
        let mut others: Vec<_> = others.filter(|name| *name != own && !name.starts_with("nsys-")).collect();
        others.sort();
        others.truncate(OTHERS);
        self.clients.retain(|name, _| *name == own || others.contains(name));
        let sample = |name: &String| {
            let (group, offsets) = read_group(self.client(name)?, name, timeout)?;
            Ok(sample_of(&group, &offsets, false))
        };
        others.iter().map(sample).collect()
    }

    fn client(&mut self, group: &str) -> KafkaResult<&BaseConsumer> {
        if !self.clients.contains_key(group) {
            let mut config = config(&self.brokers);
            config.set("group.id", group).set("enable.auto.commit", "false");
            config.set("isolation.level", "read_uncommitted");
            self.clients.insert(group.to_owned(), config.create()?);
        }
        Ok(&self.clients[group])
    }
}

/// What a member is called. Clients that were given no name are told apart by their ids.
fn name_of(member: &Member) -> String {
    const UNNAMED: &str = "rdkafka";
    if member.client != UNNAMED {
        return member.client.clone();
    }
    member.id.chars().take(UNNAMED.len() + 9).collect()
}

/// What is followed of a sample. A partition that nobody answered for is counted as unknown; one whose lag
/// depends on where consumers begin is left out.
fn sample_of(group: &Group, offsets: &[GroupOffsets], begins_at_first: bool) -> GroupSample {
    let partition = |one: &GroupOffsets| {
        let backlog = one.backlog(begins_at_first).ok()?;
        let (committed, end) = (one.committed.clone().ok()?, one.end.clone().ok()?);
        let (topic, partition) = (one.topic.clone(), one.partition);
        let lag = match backlog.waiting {
            // Nothing surely waits; the status says that the commit is beyond the end.
            None if backlog.beyond > 0 => 0,
            waiting => waiting?,
        };
        Some(OwnedLag {
            owner: group.owner(&topic, partition).map(name_of),
            lag: PartitionLag { topic, partition, committed, end, lag, lost: backlog.lost },
            oldest_s: None,
        })
    };
    GroupSample {
        group: group.name.clone(),
        state: group.state.clone(),
        members: group.members.len(),
        unknown: offsets.iter().filter(|one| one.backlog(begins_at_first).is_err()).count(),
        partitions: offsets.iter().filter_map(partition).collect(),
    }
}
