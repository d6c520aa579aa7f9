//! Lag of every group, looked at again and again: clients are kept, so that a look costs a
//! millisecond and not a connection.

use super::members::members;
use super::offsets::read_group;
use super::settle::Settled;
use super::wire::{Wire, addresses};
use super::{Brokers, blocking, config};
use crate::domain::group::{Group, Member};
use crate::domain::lag::tracker::{GroupSample, OwnedLag};
use crate::domain::lag::{GroupOffsets, PartitionLag};
use crate::error::{Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
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
    wire: Wire,
    settled: Settled,
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
        let wire = Wire::new(&brokers);
        Self {
            brokers,
            own,
            clients: BTreeMap::new(),
            wire,
            others: Vec::new(),
            others_at: None,
            settled: Settled::default(),
        }
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
        let (group, offsets) = self.read_group_of(&own, timeout)?;
        if self.others_at.is_none_or(|at| at.elapsed() >= OTHERS_EVERY) {
            self.others = self.sample_others(timeout)?;
            self.others_at = Some(Instant::now());
        }
        let mut samples = vec![sample_of(&group, &offsets, true)];
        samples.extend(self.others.iter().cloned());
        self.settled.keep(&samples);
        samples.iter_mut().for_each(|one| self.settled.settle(&self.brokers, one));
        Ok(samples)
    }

    fn sample_others(&mut self, timeout: Duration) -> KafkaResult<Vec<GroupSample>> {
        let own = self.own.clone();
        self.make_client(&own)?;
        let client = &self.clients[&own];
        let brokers = addresses(&client.fetch_metadata(None, timeout)?);
        let groups = members(client, &mut self.wire, &brokers, None, timeout)?;
        // Our own reads make no group, but a client of ours may have left one.
        let others = groups.into_iter().map(|group| group.name);
        let mut others: Vec<_> = others.filter(|name| *name != own && !name.starts_with("nsys-")).collect();
        others.sort();
        others.truncate(OTHERS);
        self.clients.retain(|name, _| *name == own || others.contains(name));
        let sample = |name: &String| {
            let (group, offsets) = self.read_group_of(name, timeout)?;
            Ok(sample_of(&group, &offsets, false))
        };
        others.iter().map(sample).collect()
    }

    fn read_group_of(&mut self, group: &str, timeout: Duration) -> KafkaResult<(Group, Vec<GroupOffsets>)> {
        self.make_client(group)?;
        read_group(&self.clients[group], &mut self.wire, group, timeout)
    }

    fn make_client(&mut self, group: &str) -> KafkaResult<()> {
        if !self.clients.contains_key(group) {
            let mut config = config(&self.brokers);
            config.set("group.id", group).set("enable.auto.commit", "false");
            config.set("isolation.level", "read_uncommitted");
            self.clients.insert(group.to_owned(), config.create()?);
        }
        Ok(())
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

/// Who owns a partition; of those that share it one, and how many more there are.
fn owners(group: &Group, topic: &str, partition: i32) -> Option<String> {
    let mut owners = group.owners(topic, partition);
    let first = name_of(owners.next()?);
    match owners.count() {
        0 => Some(first),
        more => Some(format!("{first} +{more}")),
    }
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
            owner: owners(group, &topic, partition),
            lag: PartitionLag { topic, partition, committed, end, lag, lost: backlog.lost },
            oldest_s: None,
        })
    };
    GroupSample {
        group: group.name.clone(),
        kind: group.kind,
        state: group.state.clone(),
        members: group.members.len(),
        reason: group.reason.clone(),
        unknown: offsets.iter().filter(|one| one.backlog(begins_at_first).is_err()).count(),
        partitions: offsets.iter().filter_map(partition).collect(),
        keeps_s: BTreeMap::new(),
    }
}
