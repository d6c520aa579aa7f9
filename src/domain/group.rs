//! Consumer groups: members and what each of them owns.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The protocol by which the members of a group share what there is to read.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum GroupType {
    /// The members assign partitions among themselves.
    #[default]
    Classic,
    /// The broker assigns partitions (KIP-848).
    Consumer,
    /// Members share the records of a partition and acknowledge each (KIP-932).
    Share,
    /// Members of Kafka Streams (KIP-1071).
    Streams,
    /// It could not be asked, or is one that is not known here.
    Unknown,
}

impl GroupType {
    /// By the broker's name for it.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name.to_lowercase().as_str() {
            "classic" => Self::Classic,
            "consumer" => Self::Consumer,
            "share" => Self::Share,
            "streams" => Self::Streams,
            _ => Self::Unknown,
        }
    }
}

impl std::fmt::Display for GroupType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
            Self::Unknown => "unknown",
        })
    }
}

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How its members share what there is to read.
    #[serde(rename = "type")]
    pub kind: GroupType,
    /// As the broker calls it: `Stable`, `Empty`, `PreparingRebalance`, `Assigning`, `Reconciling`, `Dead`, ...
    pub state: String,
    /// Who is in it.
    pub members: Vec<Member>,
    /// Why type, members or offsets are not known; then there may be members that are not listed.
    pub reason: Option<String>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Member {
    /// The id the broker gave it.
    pub id: String,
    /// What it calls itself.
    pub client: String,
    /// Where it connects from.
    pub host: String,
    /// Topics with the partitions it owns, or shares.
    pub owns: Vec<(String, Vec<i32>)>,
}

impl Member {
    fn has(&self, topic: &str, partition: i32) -> bool {
        self.owns.iter().any(|(name, partitions)| name == topic && partitions.contains(&partition))
    }
}

impl Group {
    /// The state of a group that the broker does not know.
    pub const DEAD: &str = "Dead";
    /// The state of a group that the broker could not be asked about.
    pub const UNKNOWN: &str = "Unknown";

    /// A group that the broker does not know.
    #[must_use]
    pub fn missing(name: &str) -> Self {
        Self { name: name.to_owned(), state: Self::DEAD.to_owned(), ..Self::default() }
    }

    /// A group that the broker could not be asked about.
    #[must_use]
    pub fn unknown(name: &str, why: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: GroupType::Unknown,
            state: Self::UNKNOWN.to_owned(),
            members: Vec::new(),
            reason: Some(why.to_owned()),
        }
    }

    /// Whether the broker knows of it, as far as members and state tell, or may; what it committed may tell
    /// more.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.state != Self::DEAD || !self.members.is_empty()
    }

    /// How many are in it; absent when that is not known.
    #[must_use]
    pub fn size(&self) -> Option<usize> {
        (self.reason.is_none() || !self.members.is_empty()).then_some(self.members.len())
    }

    /// Who owns a partition; the first of those that share it.
    #[must_use]
    pub fn owner(&self, topic: &str, partition: i32) -> Option<&Member> {
        self.members.iter().find(|member| member.has(topic, partition))
    }

    /// Who owns a partition: one, or all that share it.
    pub fn owners<'a>(&'a self, topic: &'a str, partition: i32) -> impl Iterator<Item = &'a Member> {
        self.members.iter().filter(move |member| member.has(topic, partition))
    }

    /// How many partitions of a topic have an owner.
    #[must_use]
    pub fn owned(&self, topic: &str) -> usize {
        let owns = self.members.iter().flat_map(|member| &member.owns);
        let own = owns.filter(|(name, _)| name == topic).flat_map(|(_, partitions)| partitions);
        own.collect::<BTreeSet<_>>().len()
    }

    /// The partitions that have an owner, each once.
    #[must_use]
    pub fn assigned(&self) -> BTreeSet<(&str, i32)> {
        let owns = self.members.iter().flat_map(|member| &member.owns);
        owns.flat_map(|(topic, partitions)| partitions.iter().map(|one| (topic.as_str(), *one))).collect()
    }
}

/// Reads a member's assignment as the consumer protocol writes it: a version, then topics with
/// their partitions, big-endian. Nonsense owns nothing.
#[must_use]
pub fn read_assignment(bytes: &[u8]) -> Vec<(String, Vec<i32>)> {
    let mut reader = AssignmentReader { bytes };
    reader.assignment().unwrap_or_default()
}

struct AssignmentReader<'a> {
    bytes: &'a [u8],
}

impl AssignmentReader<'_> {
    fn assignment(&mut self) -> Option<Vec<(String, Vec<i32>)>> {
        self.short()?;
        let topics = self.int()?;
        (0..topics)
            .map(|_| {
                let length = usize::try_from(self.short()?).ok()?;
                let name = String::from_utf8(self.take(length)?.to_vec()).ok()?;
                let count = self.int()?;
                let partitions = (0..count).map(|_| self.int()).collect::<Option<_>>()?;
                Some((name, partitions))
            })
            .collect()
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &[u8] = b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x05\xff\xff\xff\xff";

    #[test]
    fn an_assignment_names_topics_and_partitions() {
        assert_eq!(read_assignment(BYTES), [("t".to_owned(), vec![0, 5])]);
    }

    #[test]
    fn a_member_in_a_rebalance_owns_nothing() {
        assert!(read_assignment(b"").is_empty());
        assert!(read_assignment(&BYTES[..12]).is_empty());
    }

    #[test]
    fn a_partition_has_its_owner() {
        let member =
            Member { id: "a".into(), client: "w".into(), host: "h".into(), owns: read_assignment(BYTES) };
        let group = Group { members: vec![member], ..Group::default() };
        assert_eq!(group.owner("t", 5).map(|owner| owner.id.as_str()), Some("a"));
        assert_eq!(group.owner("t", 1), None);
        assert_eq!(group.owned("t"), 2);
    }

    #[test]
    fn a_partition_that_is_shared_is_counted_once() {
        let member = |id: &str| Member {
            id: id.into(),
            client: id.into(),
            host: "h".into(),
            owns: read_assignment(BYTES),
        };
        let group = Group { members: vec![member("a"), member("b")], ..Group::default() };
        assert_eq!((group.owned("t"), group.owners("t", 5).count(), group.assigned().len()), (2, 2, 2));
    }

    #[test]
    fn every_type_that_a_broker_names_is_known_by_its_name_and_others_are_unknown() {
        for name in ["Classic", "Consumer", "Share", "Streams"] {
            assert_eq!(GroupType::named(name).to_string(), name.to_lowercase());
        }
        assert_eq!(GroupType::named("Later"), GroupType::Unknown);
    }

    #[test]
    fn a_group_that_could_not_be_asked_about_is_neither_missing_nor_empty() {
        let unknown = Group::unknown("g", "no connection");
        assert!(unknown.exists() && unknown.size().is_none());
        let missing = Group::missing("g");
        assert!(!missing.exists() && missing.size() == Some(0));
    }
}
