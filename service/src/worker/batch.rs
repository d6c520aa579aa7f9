//! What the messages of a batch say.

use super::message::Incoming;
use crate::db::Undecodable;
use crate::queue::{Feed, PartitionMessage};
use std::collections::HashSet;

/// A message with what it says.
pub(super) type Taken<'a> = (&'a PartitionMessage, Incoming<'a>);

/// The messages of a batch, read.
pub(super) struct ReadBatch<'a> {
    pub(super) fresh: Vec<Taken<'a>>,
    /// Those whose id came earlier in the batch: the first one counts.
    pub(super) again: Vec<Taken<'a>>,
    /// Those that will never be right.
    pub(super) poison: Vec<Undecodable<'a>>,
}

impl<'a> ReadBatch<'a> {
    pub(super) fn of(feed: &'a Feed, batch: &'a [PartitionMessage]) -> Self {
        let mut seen = HashSet::with_capacity(batch.len());
        let (fresh, again, poison) = (Vec::with_capacity(batch.len()), Vec::new(), Vec::new());
        let mut read = Self { fresh, again, poison };
        for message in batch {
            match Incoming::read(message) {
                Ok(incoming) if seen.insert(incoming.id()) => read.fresh.push((message, incoming)),
                Ok(incoming) => read.again.push((message, incoming)),
                Err(error) => read.poison.push(undecodable(feed, message, error)),
            }
        }
        read
    }

    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.again.len() + self.poison.len()
    }
}

/// A message that cannot be handled, as it is kept.
pub(super) fn undecodable<'a>(
    feed: &'a Feed,
    message: &'a PartitionMessage,
    error: String,
) -> Undecodable<'a> {
    Undecodable {
        reason: "undecodable",
        addressee: None,
        topic: &feed.topic,
        partition: feed.partition,
        offset: message.offset,
        key: &message.key,
        raw: &message.value,
        error,
    }
}

/// A message whose idempotency key stands for another request: acknowledged while nobody knew of the
/// first one, so it is kept and shown, and not thrown away.
pub(super) fn conflicting<'a>(feed: &'a Feed, (message, one): &'a Taken<'a>) -> Undecodable<'a> {
    let error = format!(
        "its idempotency key belongs to another request (notification {}); send it again with a key of its own",
        one.id()
    );
    let addressee = Some((one.tenant_id(), one.user_id(), one.channel()));
    Undecodable { reason: "key_conflict", addressee, ..undecodable(feed, message, error) }
}
