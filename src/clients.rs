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

/// Why a connection failed, in words that do not need the system's numbers.
fn network_reason(cause: &std::io::Error) -> String {
    use std::io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkUnreachable, TimedOut, UnexpectedEof,
    };
    match cause.kind() {
        ConnectionRefused => "nothing listens there".to_owned(),
        ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof => "the connection broke".to_owned(),
        TimedOut => "no answer in time".to_owned(),
        HostUnreachable | NetworkUnreachable => "there is no way to that host".to_owned(),
        _ => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_failed_is_told_in_words() {
        let refused = std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).unwrap();
        let cause = std::net::TcpStream::connect(refused).unwrap_err();
        assert_eq!(network_reason(&cause), "nothing listens there");
        let odd = std::io::Error::other("something new");
        assert_eq!(network_reason(&odd), "something new");
    }
}
