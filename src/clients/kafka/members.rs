//! Groups with their members, whatever their type.
//!
//! The driver's own request knows the classic protocol only: to it a group of another type is dead. Those are
//! asked about in the protocol itself.

use super::wire::{Address, Wire};
use crate::domain::group::{Group, GroupType, Member, read_assignment};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use std::time::{Duration, Instant};

/// Groups with their members, asked over clients that are there already. `brokers` are all of the cluster's.
pub(super) fn members(
    consumer: &BaseConsumer,
    wire: &mut Wire,
    brokers: &[Address],
    name: Option<&str>,
    timeout: Duration,
) -> KafkaResult<Vec<Group>> {
    let list = consumer.fetch_group_list(name, timeout)?;
    let mut groups: Vec<_> = list.groups().iter().map(classic).collect();
    if let Some(name) = name.filter(|_| groups.is_empty()) {
        groups.push(Group::missing(name));
    }
    if groups.iter().all(Group::exists) {
        return Ok(groups);
    }
    let deadline = Instant::now() + timeout;
    let mut listing = wire.list(brokers, deadline);
    listing.groups.retain(|one| one.kind != GroupType::Classic);
    listing.groups.retain(|one| groups.iter().any(|group| !group.exists() && group.name == one.name));
    for described in wire.describe(&listing.groups, deadline) {
        groups
            .iter_mut()
            .filter(|group| group.name == described.name)
            .for_each(|group| *group = described.clone());
    }
    if let Some(why) = listing.missed {
        // Whatever its type, the broker lists a group that is there.
        let all = if name.is_some() { consumer.fetch_group_list(None, timeout)? } else { list };
        let is_listed = |group: &Group| all.groups().iter().any(|one| one.name() == group.name);
        for group in groups.iter_mut().filter(|group| !group.exists() && is_listed(group)) {
            *group = Group::unknown(&group.name, &why);
        }
    }
    Ok(groups)
}

fn classic(one: &rdkafka::groups::GroupInfo) -> Group {
    let member = |one: &rdkafka::groups::GroupMemberInfo| Member {
        id: one.id().to_owned(),
        client: one.client_id().to_owned(),
        host: one.client_host().to_owned(),
        owns: read_assignment(one.assignment().unwrap_or_default()),
    };
    Group {
        name: one.name().to_owned(),
        kind: GroupType::Classic,
        state: one.state().to_owned(),
        members: one.members().iter().map(member).collect(),
        reason: None,
    }
}
