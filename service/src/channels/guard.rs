//! Which addresses a webhook may reach: none inside our own network. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The rule, with the exceptions for development.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    allow: Vec<String>,
}

impl Guard {
    /// `allow` holds addresses and host names that may be reached all the same.
    pub(crate) fn new(allow: &[String]) -> Self {
        let normal = |entry: &String| entry.trim().trim_end_matches('.').to_ascii_lowercase();
        Self { allow: allow.iter().map(normal).collect() }
    }

    /// Whether a host name is an exception.
    pub(crate) fn allows_host(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.allow.contains(&host)
    }

    /// Whether a port may be called: below 1024 only those of HTTP, so that nobody speaks to mail servers and the
    /// like through us.
    pub(crate) fn allows_port(&self, host: &str, port: u16) -> bool {
        port >= 1024 || matches!(port, 80 | 443) || self.allows_host(host)
    }

    /// Whether an address may be reached.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        is_public(address) || self.allow.contains(&address.to_string())
    }
}

/// Whether an address belongs to the open internet. An IPv6 address that carries an IPv4 address
/// (mapped, compatible, NAT64, 6to4, Teredo) counts as what it carries.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match carried(address) {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        // Carrier-grade NAT, protocol assignments, benchmarks, reserved.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240;
    !special
}

/// Only global unicast (2000::/3) is public, and of that not documentation and ORCHID.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let documentation = (first == 0x2001 && second == 0xdb8) || (first == 0x3fff && second < 0x1000);
    let special_purpose = first == 0x2001 && second < 0x0200;
    (0x2000..0x4000).contains(&first) && !documentation && !special_purpose
}

fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        // IPv4-compatible; :: and ::1 are themselves not public.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        [0x2001, 0, _, _, _, _, high, low] => Some(v4(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_network_is_out_of_reach() {
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "203.0.113.9",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "fec0::1",
            "100::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn an_inner_address_in_another_form_is_out_of_reach_too() {
        for address in [
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:10.0.0.1",
            "64:ff9b::127.0.0.1",
            "::127.0.0.1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001:0:1:2:3:4:80ff:fffe",
            "64:ff9b:1::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn the_internet_is_in_reach() {
        for address in ["1.1.1.1", "93.184.215.14", "172.32.0.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn exceptions_are_exact() {
        let guard = Guard::new(&["127.0.0.1".into(), "Hook.Local.".into()]);
        assert!(guard.allows("127.0.0.1".parse().unwrap()));
        assert!(!guard.allows("127.0.0.2".parse().unwrap()));
        assert!(guard.allows_host("hook.local") && guard.allows_host("HOOK.local."));
        assert!(!guard.allows_host("evil.hook.local"));
    }
}
