//! What the shipped deployments say of themselves adds up: memory, grace periods, ports.

use nsys_contract::config::ServiceConfig;
use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("compose").join(path)).unwrap()
}

/// The number after the first `name` in a text.
fn number(text: &str, name: &str) -> u64 {
    let rest = text.split_once(name).unwrap_or_else(|| panic!("no {name:?}")).1;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number after {name:?}"))
}

#[test]
fn the_balancer_has_the_memory_for_every_connection_that_it_takes() {
    let settings = read("haproxy/haproxy.cfg");
    let compose = read("compose.yaml");
    let balancer = compose.split("\n  balancer:\n").nth(1).unwrap();
    let limit = number(balancer, "limits: { memory: ") << 20;
    // A request and its answer have a buffer each; 8,000 halves of heads took 1.0 buffers each (measured).
    let worst = number(&settings, "\n    maxconn ") * 2 * number(&settings, "tune.bufsize ");
    let itself = 64 << 20;
    assert!(worst + itself <= limit, "{worst} bytes of buffers, {limit} allowed");
}

#[test]
fn nobody_is_killed_while_it_finishes_what_it_has() {
    let shutdown = ServiceConfig::default().service.shutdown_timeout.as_secs();
    let (app, worker) = (read("k8s/base/app.yaml"), read("k8s/base/worker.yaml"));
    let compose = read("compose.yaml");
    let deployments = [
        ("app", number(&app, "terminationGracePeriodSeconds:"), number(&app, "\"--drain-delay\", \"")),
        ("worker", number(&worker, "terminationGracePeriodSeconds:"), 0),
        ("compose", number(&compose, "stop_grace_period:"), number(&compose, "\"--drain-delay\", \"")),
    ];
    for (name, grace, drain) in deployments {
        // Requests and batches end, then the producer flushes: each for the shutdown timeout at most.
        assert!(grace > drain + 2 * shutdown, "{name}: {grace} s, and it may take {}", drain + 2 * shutdown);
    }
}

#[test]
fn pods_reach_what_the_channels_may_call() {
    let policy = read("k8s/base/network.yaml");
    let outside = policy.split("0.0.0.0/0").nth(1).expect("a rule for the outside");
    assert!(outside.starts_with(", except: [169.254.0.0/16]"), "credentials of machines are within reach");
    for port in [80, 443, 8080, 8443, 25, 465, 587] {
        assert!(outside.contains(&format!("port: {port} }}")), "port {port} is not open");
    }
}
