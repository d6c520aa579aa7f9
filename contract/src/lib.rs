//! Facts that `nsys` and the notification service must agree on.
//!
//! A thing belongs here when the two programs would break each other if they disagreed about it:
//! the service's configuration, topic names, the event on the wire, HTTP types and paths, consumer lag,
//! metric names, Redis keys, and the names of tables, columns and indexes.
//! No I/O, no drivers, no runtime.

pub mod api;
pub mod config;
pub mod event;
pub mod keys;
pub mod lag;
pub mod metrics;
pub mod schema;
pub mod status;
pub mod topics;
pub mod ttl;
