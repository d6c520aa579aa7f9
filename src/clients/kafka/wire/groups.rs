//! Groups of every type: which there are, who is in them, where share groups begin to read.

use super::codec::{ResponseReader, Writer};
use super::{Address, Wire, WireResult};
use crate::domain::group::{Group, GroupType, Member};
use std::collections::BTreeMap;
use std::time::Instant;

/// The request for groups, and the version from which on it tells their types.
const LIST_GROUPS: i16 = 16;
const WITH_TYPES: i16 = 5;
/// The requests that describe groups, by their type, with the versions that are read here.
const CONSUMER_GROUP_DESCRIBE: i16 = 69;
const CONSUMER_VERSIONS: (i16, i16) = (0, 1);
const SHARE_GROUP_DESCRIBE: i16 = 77;
const SHARE_VERSIONS: (i16, i16) = (1, 1);
/// The request for the offsets of share groups; from its second version on it counts what is left to do.
const SHARE_OFFSETS: i16 = 90;
const SHARE_OFFSET_VERSIONS: (i16, i16) = (0, 1);

const OK: i16 = 0;
const GROUP_AUTHORIZATION_FAILED: i16 = 30;
const GROUP_ID_NOT_FOUND: i16 = 69;

/// A group as ListGroups names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct ListedGroup {
    pub(in super::super) name: String,
    pub(in super::super) kind: GroupType,
    state: String,
}

/// Which groups there are; what one broker did not say is a reason.
#[derive(Debug, Default)]
pub(in super::super) struct Listing {
    pub(in super::super) groups: Vec<ListedGroup>,
    pub(in super::super) missed: Option<String>,
}

/// A partition of a share group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Share {
    pub(in super::super) topic: String,
    pub(in super::super) partition: i32,
    /// The first record that is not acknowledged; absent when nobody has read yet.
    pub(in super::super) start: WireResult<Option<i64>>,
    /// Records that are not acknowledged, if the broker counts them.
    pub(in super::super) unacknowledged: Option<i64>,
}

impl Wire {
    /// Every group, as these brokers tell of those that they coordinate. One that knows no types has classic
    /// groups only and is left out.
    pub(in super::super) fn list(&mut self, brokers: &[Address], deadline: Instant) -> Listing {
        let mut listing = Listing::default();
        for broker in brokers {
            match self.list_at(broker, deadline) {
                Ok(groups) => {
                    self.coordinators.extend(groups.iter().map(|one| (one.name.clone(), broker.clone())));
                    listing.groups.extend(groups);
                }
                Err(why) => listing.missed = Some(why),
            }
        }
        listing
    }

    fn list_at(&mut self, at: &Address, deadline: Instant) -> WireResult<Vec<ListedGroup>> {
        if self.version(at, LIST_GROUPS, (WITH_TYPES, WITH_TYPES), deadline)?.is_none() {
            return Ok(Vec::new());
        }
        let mut body = Writer::default();
        body.count(0); // In every state,
        body.count(0); // of every type.
        body.tags();
        let answer = self.ask(at, (LIST_GROUPS, WITH_TYPES), &body.bytes, deadline)?;
        let (code, groups) = read_list(&answer).ok_or_else(|| unreadable(at))?;
        if code == OK { Ok(groups) } else { Err(reason(code, "", at)) }
    }

    /// These groups with their members.
    pub(in super::super) fn describe(&mut self, groups: &[ListedGroup], deadline: Instant) -> Vec<Group> {
        let mut asked: BTreeMap<(Address, GroupType), Vec<&ListedGroup>> = BTreeMap::new();
        for group in groups {
            if let Some(at) = self.coordinators.get(&group.name) {
                asked.entry((at.clone(), group.kind)).or_default().push(group);
            }
        }
        let mut described = Vec::new();
        for ((at, kind), groups) in asked {
            let found = self.describe_at(&at, kind, &groups, deadline);
            let undescribed = |group: &&ListedGroup, why: String| Group {
                name: group.name.clone(),
                kind,
                state: group.state.clone(),
                reason: Some(why),
                ..Group::default()
            };
            let missing = || format!("{}:{} says nothing of it", at.0, at.1);
            described.extend(groups.iter().map(|group| match &found {
                Err(why) => undescribed(group, why.clone()),
                Ok(found) => match found.iter().find(|(one, _)| one.name == group.name) {
                    None => undescribed(group, missing()),
                    Some((_, Some(why))) => undescribed(group, why.clone()),
                    Some((one, None)) => Group { kind, ..one.clone() },
                },
            }));
        }
        described
    }

    /// Each group that was answered for, or why its members are not told.
    fn describe_at(
        &mut self,
        at: &Address,
        kind: GroupType,
        groups: &[&ListedGroup],
        deadline: Instant,
    ) -> WireResult<Vec<(Group, Option<String>)>> {
        let (key, known) = match kind {
            GroupType::Consumer => (CONSUMER_GROUP_DESCRIBE, CONSUMER_VERSIONS),
            GroupType::Share => (SHARE_GROUP_DESCRIBE, SHARE_VERSIONS),
            other => return Err(format!("nsys does not read the members of {other} groups")),
        };
        let version = self.version(at, key, known, deadline)?;
        let version = version.ok_or_else(|| format!("{}:{} does not describe {kind} groups", at.0, at.1))?;
        let mut body = Writer::default();
        body.count(groups.len());
        groups.iter().for_each(|group| body.text(&group.name));
        body.byte(0); // Without what one may do with it.
        body.tags();
        let answer = self.ask(at, (key, version), &body.bytes, deadline)?;
        let read = read_groups(&answer, kind, version).ok_or_else(|| unreadable(at))?;
        let told = |(code, message, group): (i16, String, Group)| {
            (group, (code != OK && code != GROUP_ID_NOT_FOUND).then(|| reason(code, &message, at)))
        };
        Ok(read.into_iter().map(told).collect())
    }

    /// Where a share group stands on each partition that it reads.
    pub(in super::super) fn share_offsets(
        &mut self,
        group: &str,
        deadline: Instant,
    ) -> WireResult<Vec<Share>> {
        let at = self.coordinators.get(group).cloned().ok_or("no broker coordinates it")?;
        let version = self.version(&at, SHARE_OFFSETS, SHARE_OFFSET_VERSIONS, deadline)?;
        let version =
            version.ok_or_else(|| format!("{}:{} does not tell the offsets of share groups", at.0, at.1))?;
        let mut body = Writer::default();
        body.count(1);
        body.text(group);
        body.all();
        body.tags();
        body.tags();
        let answer = self.ask(&at, (SHARE_OFFSETS, version), &body.bytes, deadline)?;
        let mut reader = ResponseReader::new(&answer);
        let groups = read_offsets(&mut reader, version, &at).ok_or_else(|| unreadable(&at))?;
        let (code, message, shares) = groups.into_iter().next().ok_or_else(|| unreadable(&at))?;
        if code == OK { Ok(shares) } else { Err(reason(code, &message, &at)) }
    }
}

fn unreadable(at: &Address) -> String {
    format!("{}:{} gives an answer that cannot be read", at.0, at.1)
}

fn reason(code: i16, message: &str, at: &Address) -> String {
    match code {
        GROUP_AUTHORIZATION_FAILED => "the broker does not let nsys describe the group".into(),
        _ if message.is_empty() => format!("{}:{} answers with error {code}", at.0, at.1),
        _ => message.to_owned(),
    }
}

fn read_list(answer: &[u8]) -> Option<(i16, Vec<ListedGroup>)> {
    let mut reader = ResponseReader::new(answer);
    reader.int()?; // How long the request was throttled.
    let code = reader.short()?;
    let groups = reader.list(|reader| {
        let name = reader.text()?;
        reader.text()?; // What its members speak among themselves.
        let (state, kind) = (reader.text()?, reader.text()?);
        reader.tags()?;
        Some(ListedGroup { name, kind: GroupType::named(&kind), state })
    })?;
    Some((code, groups))
}

fn read_groups(answer: &[u8], kind: GroupType, version: i16) -> Option<Vec<(i16, String, Group)>> {
    let mut reader = ResponseReader::new(answer);
    reader.int()?; // How long the request was throttled.
    reader.list(|reader| {
        let (code, message) = (reader.short()?, reader.text()?);
        let (name, state) = (reader.text()?, reader.text()?);
        reader.skip(8)?; // Epochs of the group and its assignment,
        reader.text()?; // and who assigns.
        let members = reader.list(|reader| read_member(reader, kind, version))?;
        reader.int()?; // What one may do with it.
        reader.tags()?;
        Some((code, message, Group { name, state, members, ..Group::default() }))
    })
}

fn read_member(reader: &mut ResponseReader<'_>, kind: GroupType, version: i16) -> Option<Member> {
    let is_consumer = kind == GroupType::Consumer;
    let id = reader.text()?;
    if is_consumer {
        reader.text()?; // The name that a static member keeps.
    }
    reader.text()?; // Its rack,
    reader.int()?; // and its epoch.
    let (client, host) = (reader.text()?, reader.text()?);
    reader.list(ResponseReader::text)?; // The topics that it wants,
    if is_consumer {
        reader.text()?; // also by a pattern.
    }
    let owns = read_assigned(reader)?;
    if is_consumer {
        read_assigned(reader)?; // What it is to own.
        if version >= 1 {
            reader.skip(1)?; // Whether it speaks the classic protocol.
        }
    }
    reader.tags()?;
    Some(Member { id, client, host, owns })
}

fn read_assigned(reader: &mut ResponseReader<'_>) -> Option<Vec<(String, Vec<i32>)>> {
    let owned = reader.list(|reader| {
        reader.skip(16)?; // The topic's id.
        let owned = (reader.text()?, reader.list(ResponseReader::int)?);
        reader.tags()?;
        Some(owned)
    })?;
    reader.tags()?;
    Some(owned)
}

type GroupShares = (i16, String, Vec<Share>);

fn read_offsets(reader: &mut ResponseReader<'_>, version: i16, at: &Address) -> Option<Vec<GroupShares>> {
    reader.int()?; // How long the request was throttled.
    reader.list(|reader| {
        reader.text()?; // The group.
        let topics = reader.list(|reader| {
            let topic = reader.text()?;
            reader.skip(16)?; // Its id.
            let shares = reader.list(|reader| read_share(reader, &topic, version, at))?;
            reader.tags()?;
            Some(shares)
        })?;
        let (code, message) = (reader.short()?, reader.text()?);
        reader.tags()?;
        Some((code, message, topics.into_iter().flatten().collect()))
    })
}

fn read_share(reader: &mut ResponseReader<'_>, topic: &str, version: i16, at: &Address) -> Option<Share> {
    let (partition, start) = (reader.int()?, reader.long()?);
    reader.int()?; // The epoch of its leader.
    let unacknowledged = if version >= 1 { reader.long()? } else { -1 };
    let (code, message) = (reader.short()?, reader.text()?);
    reader.tags()?;
    let known = |offset: i64| (offset >= 0).then_some(offset);
    Some(Share {
        topic: topic.to_owned(),
        partition,
        start: if code == OK { Ok(known(start)) } else { Err(reason(code, &message, at)) },
        unacknowledged: known(unacknowledged),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(writer: &mut Writer) {
        writer.text("id");
        writer.byte(0); // No static name,
        writer.byte(0); // no rack.
        writer.int(3);
        writer.text("client");
        writer.text("/127.0.0.1");
        writer.count(1);
        writer.text("orders");
        writer.byte(0); // No pattern.
        for _ in 0..2 {
            writer.count(1);
            writer.bytes.extend([7; 16]);
            writer.text("orders");
            writer.count(2);
            writer.int(0);
            writer.int(4);
            writer.tags();
            writer.tags();
        }
        writer.byte(1);
        writer.tags();
    }

    #[test]
    fn a_group_is_read_with_what_its_members_own() {
        let mut writer = Writer::default();
        writer.int(0);
        writer.count(1);
        writer.short(0);
        writer.byte(0);
        writer.text("n1");
        writer.text("Stable");
        writer.int(5);
        writer.int(5);
        writer.text("uniform");
        writer.count(1);
        member(&mut writer);
        writer.int(i32::MIN);
        writer.tags();
        writer.tags();
        let read = read_groups(&writer.bytes, GroupType::Consumer, 1).unwrap();
        let (code, _, group) = &read[0];
        assert_eq!((*code, group.name.as_str(), group.state.as_str()), (0, "n1", "Stable"));
        assert_eq!(group.members[0].owns, [("orders".to_owned(), vec![0, 4])]);
        // Cut anywhere it is no answer, never half of one.
        let whole = writer.bytes.len() - 1;
        assert!((0..whole).all(|cut| read_groups(&writer.bytes[..cut], GroupType::Consumer, 1).is_none()));
    }
}
