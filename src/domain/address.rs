//! What an address says of where something is.

use core::net::IpAddr;

/// Whether an address (`host`, `host:port`, a URL, or several of them with commas) names this machine
/// by its loopback.
#[must_use]
pub fn is_loopback(address: &str) -> bool {
    address.split(',').any(|one| is_own(host(one.trim())))
}

/// Whether an address names a machine: by its loopback, by its name, or by an address of one of its
/// interfaces.
#[must_use]
pub fn is_of(address: &str, name: Option<&str>, interfaces: &[IpAddr]) -> bool {
    let of = |host: &str| {
        let host = host.trim_end_matches('.');
        let named = name.is_some_and(|name| {
            let short = name.split('.').next().unwrap_or(name);
            host.eq_ignore_ascii_case(name) || host.eq_ignore_ascii_case(short)
        });
        let ip = host.parse::<IpAddr>().map(|ip| ip.to_canonical());
        named || ip.is_ok_and(|ip| interfaces.iter().any(|own| own.to_canonical() == ip))
    };
    is_loopback(address) || address.split(',').any(|one| of(host(one.trim())))
}

fn is_own(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_ip = host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    name == "localhost" || name.ends_with(".localhost") || is_ip
}

fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    match place.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        // A bare IPv6 address has no port.
        None if place.matches(':').count() > 1 => place,
        None => place.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_known_by_its_name_and_its_interfaces() {
        let interfaces = ["192.168.7.9".parse().unwrap(), "fe80::1".parse().unwrap()];
        let of = |address: &str| is_of(address, Some("build.lan"), &interfaces);
        for own in [
            "http://192.168.7.9:3000",
            "http://BUILD:80",
            "build.lan.",
            "[fe80::1]:1",
            "localhost",
            "::ffff:192.168.7.9",
        ] {
            assert!(of(own), "{own}");
        }
        for other in ["http://192.168.7.10", "http://build.wan", "http://builder", ""] {
            assert!(!of(other), "{other}");
        }
        assert!(!is_of("http://host", None, &[]));
    }

    #[test]
    fn the_loopback_is_this_machine_however_it_is_written() {
        for own in [
            "http://127.0.0.1:3000",
            "https://user:pass@LOCALHOST/path?host=elsewhere",
            "http://[::1]:3000/",
            "::1",
            "redis://127.8.0.3:6379/0",
            "broker:9092, localhost:9093",
            "http://[::ffff:127.0.0.1]",
            "http://api.localhost.:80",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "",
            "http://10.0.0.1:3000",
            "http://localhost.example.com",
            "postgres://127.0.0.1@db/x",
            "kafka:9092",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
