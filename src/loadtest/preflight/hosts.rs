//! The hosts of a distributed load test: whether they answer, what they have, and whether they reach the
//! service.

use crate::domain::address::is_loopback;
use crate::domain::preflight::{PreflightFacts, PreflightFinding, PreflightStatus};
use crate::loadtest::engine::{self, Far, RemoteHost};
use crate::stack::Stack;

/// Clocks that are further apart shift the seconds of the series.
const APART_S: f64 = 1.0;

/// Asks every host at once.
pub(super) async fn probe_all(stack: &Stack, names: &[String]) -> (Vec<RemoteHost>, Vec<PreflightFinding>) {
    let far = Far::of(&stack.loaded.config);
    let answers = futures::future::join_all(names.iter().map(|name| engine::probe(&far, name))).await;
    let (mut machines, mut findings) = (Vec::new(), vec![reached(stack)]);
    for (name, answer) in names.iter().zip(answers) {
        match answer {
            Ok(machine) => {
                findings.push(finding(name, &machine));
                machines.push(machine);
            }
            Err(error) => {
                let finding = PreflightFinding::new("host", PreflightStatus::Refuse, error.message);
                findings.push(match error.hint {
                    Some(hint) => finding.remedy(hint),
                    None => finding,
                });
            }
        }
    }
    (machines, findings)
}

/// An address that only this machine knows means another service there, or none.
fn reached(stack: &Stack) -> PreflightFinding {
    let given = &stack.loaded.config.loadtest.target_url;
    let url = if given.is_empty() { stack.endpoints.api_url() } else { given.clone() };
    if is_loopback(&url) && given.is_empty() {
        let detail = format!("the service is at {url}, which is another address on each host");
        return PreflightFinding::new("target", PreflightStatus::Refuse, detail)
            .remedy("NSYS_LOADTEST__TARGET_URL=http://THIS-MACHINE:PORT");
    }
    PreflightFinding::new("target", PreflightStatus::Ok, url)
}

fn finding(name: &str, machine: &RemoteHost) -> PreflightFinding {
    let judged = super::version(&machine.k6);
    let detail = format!("{name}: {}, {} cores", judged.detail, machine.cpus);
    let mut finding = PreflightFinding { name: "host".into(), detail, ..judged };
    if let Some(ahead) = machine.ahead_s.filter(|ahead| ahead.abs() > APART_S) {
        finding.detail = format!("{}; its clock is {ahead:+.1} s off", finding.detail);
        if finding.status == PreflightStatus::Ok {
            finding.status = PreflightStatus::Warn;
            finding.remedy = Some("set the clocks (NTP)".into());
        }
    }
    finding
}

/// What the hosts have together. Each takes an equal share, so the smallest one counts for all.
pub(super) fn facts(here: PreflightFacts, machines: &[RemoteHost]) -> PreflightFacts {
    let count = machines.len() as f64;
    let least = |values: Option<Vec<f64>>| values?.into_iter().reduce(f64::min);
    PreflightFacts {
        cpus: machines.iter().map(|one| one.cpus).sum::<usize>().max(1) as f64,
        memory_mb: least(machines.iter().map(|one| one.memory_mb).collect()).map(|least| least * count),
        files: machines.iter().filter_map(|one| one.files).min(),
        ports: None,
        ..here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_host_counts_for_all_and_a_clock_that_is_off_is_told() {
        let machine = |cpus, memory_mb| RemoteHost {
            k6: "k6 v1.1.0".into(),
            cpus,
            memory_mb: Some(memory_mb),
            files: Some(1_000),
            ahead_s: Some(0.1),
        };
        let (small, large) = (machine(2, 1_000.0), machine(8, 9_000.0));
        let here = PreflightFacts {
            cpus: 1.0,
            memory_mb: None,
            files: None,
            ports: Some(1),
            disk_mb: None,
            token_s: Some(1),
            k6_user_mb: 1.0,
            k6_rate_per_cpu: 1.0,
            native_rate_per_cpu: 1.0,
            create_share: Some(0.5),
            bytes_per_notification: 1.0,
            p95_ms: 1.0,
        };
        let found = facts(here, &[small.clone(), large]);
        assert_eq!((found.cpus, found.memory_mb, found.ports), (10.0, Some(2_000.0), None));
        assert_eq!(finding("a", &small).status, PreflightStatus::Ok);
        let off = RemoteHost { ahead_s: Some(-7.0), ..small };
        assert!(finding("a", &off).detail.ends_with("its clock is -7.0 s off"));
    }
}
