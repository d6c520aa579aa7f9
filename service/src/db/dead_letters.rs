//! Dead letters: kept when a message cannot be handled, published, listed and redriven.

mod admin;
mod relay;

pub(crate) use admin::Reached;
pub(crate) use relay::{OutgoingDeadLetter, Undecodable};
