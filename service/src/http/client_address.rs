//! From where a request comes: the connection's other end, or whom a balancer names.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Where a caller is counted: its address, for IPv6 the network that one customer usually has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddress(pub(super) IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        // Set by the server; without it everybody is one.
        let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        Ok(Self(of(peer, &parts.headers)))
    }
}

/// A balancer stands in the same network and adds whom it serves at the end; from elsewhere the header says
/// what its sender likes.
fn of(peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let peer = peer.to_canonical();
    let told = || headers.get_all(FORWARDED_FOR).iter().next_back()?.to_str().ok()?.rsplit(',').next();
    let named = || told().and_then(|text| text.trim().parse::<IpAddr>().ok());
    network(if is_inside(peer) { named().unwrap_or(peer) } else { peer })
}

fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

/// The /64 of an IPv6 address: whoever has one of its addresses has them all.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        of(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_balancer_is_believed_and_only_its_own_word() {
        assert_eq!(address("203.0.113.5", &[]), "203.0.113.5");
        assert_eq!(address("203.0.113.5", &["198.51.100.1"]), "203.0.113.5", "it says what it likes");
        assert_eq!(address("10.0.0.2", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            address("10.0.0.2", &["192.0.2.9, 198.51.100.1"]),
            "198.51.100.1",
            "the first was sent along"
        );
        assert_eq!(address("::ffff:10.0.0.2", &["192.0.2.9", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(address("10.0.0.2", &["nonsense"]), "10.0.0.2");
    }

    #[test]
    fn the_addresses_of_one_network_count_together() {
        assert_eq!(address("2001:db8:1:2:3::4", &[]), "2001:db8:1:2::");
        assert_eq!(address("127.0.0.1", &["2001:db8:1:2:ffff::1"]), "2001:db8:1:2::");
    }
}
