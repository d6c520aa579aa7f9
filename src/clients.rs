//! One driver, one file. These return domain types and never print.

pub mod access;
pub mod api;
pub mod cgroup;
pub mod compose;
pub mod docker;
pub mod http;
pub mod jaeger;
pub mod kafka;
pub mod kubernetes;
pub mod machine;
pub mod postgres;
pub mod process;
pub mod program;
pub mod prometheus;
pub mod redis;
pub mod tls;
