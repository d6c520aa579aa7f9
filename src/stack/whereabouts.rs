//! Whether the stack runs on the machine that nsys runs on.

use super::Stack;
use crate::clients::{machine, process};
use crate::domain::address::is_of;

/// Programs that listen here for something that runs elsewhere.
const TUNNELS: [&str; 14] = [
    "ssh",
    "autossh",
    "sshuttle",
    "kubectl",
    "oc",
    "k9s",
    "socat",
    "ncat",
    "telepresence",
    "cloudflared",
    "cloud-sql-proxy",
    "cloud_sql_proxy",
    "session-manager",
    "chisel",
];

/// Whether it does. What the replicas say of their machine counts first, then where their address leads; a
/// tunnel to elsewhere is elsewhere. Absent when neither tells.
pub async fn is_here(stack: &Stack) -> Option<bool> {
    if stack.runtime.is_here() {
        return Some(true);
    }
    let records = stack.records().await.unwrap_or_default();
    let looks = stack.usage(&records).await;
    let mut machines = looks.iter().flatten().filter_map(|look| Some(look.cores?.machine)).peekable();
    if let (Some(own), Some(_)) = (machine::id(), machines.peek()) {
        return Some(machines.all(|machine| machine == own));
    }
    let url = stack.endpoints.api_url();
    let addresses = machine::addresses();
    if !is_of(&url, machine::host().as_deref(), &addresses) {
        return Some(false);
    }
    let (_, name) = process::listener(port(&url)?)?;
    Some(!is_tunnel(&name))
}

fn is_tunnel(name: &str) -> bool {
    TUNNELS.iter().any(|tunnel| name == *tunnel || name.starts_with(&format!("{tunnel}:")))
}

fn port(url: &str) -> Option<u16> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let given = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    match given {
        Some((_, port)) => port.parse().ok(),
        None => Some(if scheme == "https" { 443 } else { 80 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_an_address_is_found_or_follows_from_its_scheme() {
        for (url, wanted) in [
            ("http://127.0.0.1:3000/x", Some(3000)),
            ("https://[::1]", Some(443)),
            ("http://[::1]:81", Some(81)),
            ("http://host", Some(80)),
            ("host:1", None),
        ] {
            assert_eq!(port(url), wanted, "{url}");
        }
    }

    #[test]
    fn a_tunnel_is_told_from_a_service() {
        assert!(is_tunnel("ssh") && is_tunnel("kubectl") && is_tunnel("ssh: 10.0.0.1"));
        assert!(!is_tunnel("sshd") && !is_tunnel("node") && !is_tunnel("docker-proxy"));
    }
}
