//! Groups with their members.

use crate::domain::group::{Group, Member, read_assignment};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use std::time::Duration;

/// Groups with their members, asked over a consumer that is there already.
pub(super) fn members(
    consumer: &BaseConsumer,
    name: Option<&str>,
    timeout: Duration,
) -> KafkaResult<Vec<Group>> {
    let list = consumer.fetch_group_list(name, timeout)?;
    let member = |one: &rdkafka::groups::GroupMemberInfo| Member {
        id: one.id().to_owned(),
        client: one.client_id().to_owned(),
        host: one.client_host().to_owned(),
        owns: read_assignment(one.assignment().unwrap_or_default()),
    };
    let group = |one: &rdkafka::groups::GroupInfo| Group {
        name: one.name().to_owned(),
        state: one.state().to_owned(),
        members: one.members().iter().map(member).collect(),
    };
    Ok(list.groups().iter().map(group).collect())
}
