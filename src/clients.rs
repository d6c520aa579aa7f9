//! One driver, one file. These return domain types and never print.

pub mod access;
pub mod http;
pub mod kafka;
pub mod postgres;
pub mod process;
pub mod redis;
