//! Consumer groups: members and what each of them owns.

use serde::Serialize;

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// `Stable`, `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Dead`.
    pub state: String,
    /// Who is in it.
    pub members: Vec<Member>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The id the broker gave it.
    pub id: String,
    /// What it calls itself.
    pub client: String,
    /// Where it connects from.
    pub host: String,
    /// Topics with the partitions it owns.
    pub owns: Vec<(String, Vec<i32>)>,
}

impl Group {
    /// The state of a group that the broker does not know, and of one whose protocol it was not asked in.
    pub const DEAD: &str = "Dead";

    /// Whether the broker knows of it, as far as members and state tell; what it committed may tell more.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.state != Self::DEAD || !self.members.is_empty()
    }

    /// Who owns a partition.
    #[must_use]
    pub fn owner(&self, topic: &str, partition: i32) -> Option<&Member> {
        let owns = |member: &&Member| {
            member.owns.iter().any(|(name, partitions)| name == topic && partitions.contains(&partition))
        };
        self.members.iter().find(owns)
    }

    /// How many partitions of a topic have an owner.
    #[must_use]
    pub fn owned(&self, topic: &str) -> usize {
        let owns = self.members.iter().flat_map(|member| &member.owns);
        owns.filter(|(name, _)| name == topic).map(|(_, partitions)| partitions.len()).sum()
    }
}

/// Reads a member's assignment as the consumer protocol writes it: a version, then topics with
/// their partitions, big-endian. Nonsense owns nothing.
#[must_use]
pub fn read_assignment(bytes: &[u8]) -> Vec<(String, Vec<i32>)> {
    let mut reader = Reader { bytes };
    reader.assignment().unwrap_or_default()
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
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
}
