//! Dead letters: kept when a message cannot be handled, passed on, looked at and sent again.

mod admin;
mod relay;

pub(crate) use relay::{OutgoingDeadLetter, Undecodable};
