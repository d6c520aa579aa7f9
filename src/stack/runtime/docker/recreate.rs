//! Which containers Compose would make anew, told before it does: a part with data is only replaced after that was
//! shown and confirmed. Pure.

use crate::domain::container::{Container, ContainerPhase};
use crate::stack::runtime::Restart;

/// Services whose replacement interrupts the stack.
const DATA: [&str; 3] = ["postgres", "redis", "kafka"];
/// Services whose replicas nsys replaces one by one, without a gap, or that run once.
const ROLLED: [&str; 3] = ["app", "worker", "prepare"];

/// The containers that run and that Compose would make anew: those whose configuration has another digest.
/// `hashes` is what `docker compose config --hash *` says, a service and its digest a line.
pub(super) fn restarts(hashes: &[String], there: &[Container], services: &[String]) -> Vec<Restart> {
    let wanted = |service: &str| {
        hashes.iter().find_map(|line| line.strip_prefix(service)?.strip_prefix(' ').map(str::trim))
    };
    let differs = |one: &&Container| {
        one.phase == ContainerPhase::Running
            && services.contains(&one.service)
            && !ROLLED.contains(&one.service.as_str())
            && wanted(&one.service).is_some_and(|hash| hash != one.config_hash)
    };
    let restart = |one: &Container| Restart {
        part: one.service.clone(),
        holds_data: DATA.contains(&one.service.as_str()),
        why: "its container is made anew, as its image or its settings are others now".to_owned(),
    };
    let mut found: Vec<_> = there.iter().filter(differs).map(restart).collect();
    found.sort_by(|one, other| one.part.cmp(&other.part));
    found
}

/// The parts with data that would be made anew and may not: nobody agreed to it, so they go on as they run.
pub(super) fn kept(restarts: &[Restart], allowed: &[String]) -> Vec<String> {
    let kept = restarts.iter().filter(|one| one.holds_data && !allowed.contains(&one.part));
    kept.map(|one| one.part.clone()).collect()
}

/// The calls of Compose that start these services. Where parts are kept as they run, Compose makes nothing anew of
/// what is there, and then only what may be, without what it stands on.
pub(super) fn calls(
    services: &[String],
    scales: &[String],
    restarts: &[Restart],
    kept: &[String],
) -> Vec<Vec<String>> {
    let owned = |words: &[&str]| words.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let mut first = owned(&["up", "--detach", "--no-build", "--remove-orphans"]);
    if !kept.is_empty() {
        first.push("--no-recreate".into());
    }
    for scale in scales {
        first.extend(["--scale".into(), scale.clone()]);
    }
    first.extend(services.iter().cloned());
    let anew: Vec<_> =
        restarts.iter().map(|one| one.part.clone()).filter(|part| !kept.contains(part)).collect();
    if kept.is_empty() || anew.is_empty() {
        return vec![first];
    }
    let mut second = owned(&["up", "--detach", "--no-build", "--no-deps"]);
    second.extend(anew);
    vec![first, second]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::container::ContainerVerdict;

    fn container(service: &str, hash: &str) -> Container {
        Container {
            id: format!("id-{service}"),
            service: service.into(),
            number: 1,
            config_hash: hash.into(),
            once: false,
            phase: ContainerPhase::Running,
            health: ContainerVerdict::Healthy,
            exit_code: None,
            out_of_memory: false,
            started_s: 1,
            restarts: 0,
            ports: Vec::new(),
        }
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    /// Kafka and Prometheus are configured otherwise; so is a replica, which is replaced without a gap.
    fn changed() -> Vec<Restart> {
        let hashes = ["postgres a", "redis b", "kafka new", "kafkaui x", "prometheus new", "app new"];
        let there = [
            container("postgres", "a"),
            container("redis", "b"),
            container("kafka", "old"),
            container("prometheus", "old"),
            container("app", "old"),
        ];
        let services = words("postgres redis kafka prometheus app");
        restarts(&hashes.map(str::to_owned), &there, &services)
    }

    #[test]
    fn what_compose_would_make_anew_is_told_with_what_holds_data() {
        let told: Vec<_> = changed().into_iter().map(|one| (one.part, one.holds_data)).collect();
        assert_eq!(told, [("kafka".to_owned(), true), ("prometheus".to_owned(), false)]);
    }

    #[test]
    fn a_container_that_does_not_run_or_is_not_wanted_interrupts_nothing() {
        let hashes = words("kafka").into_iter().map(|one| format!("{one} new")).collect::<Vec<_>>();
        let stopped = Container { phase: ContainerPhase::Exited, ..container("kafka", "old") };
        assert!(restarts(&hashes, &[stopped], &words("kafka")).is_empty());
        assert!(restarts(&hashes, &[container("kafka", "old")], &words("redis")).is_empty());
        // What Compose does not know is none of its services.
        assert!(restarts(&[], &[container("kafka", "old")], &words("kafka")).is_empty());
    }

    #[test]
    fn a_part_with_data_that_nobody_agreed_to_is_left_as_it_runs() {
        let (restarts, services) = (changed(), words("kafka prometheus app"));
        let kept = kept(&restarts, &[]);
        assert_eq!(kept, ["kafka"]);
        let scales = ["app=2".to_owned()];
        assert_eq!(
            calls(&services, &scales, &restarts, &kept),
            [
                words(
                    "up --detach --no-build --remove-orphans --no-recreate --scale app=2 kafka prometheus app"
                ),
                words("up --detach --no-build --no-deps prometheus"),
            ]
        );
    }

    #[test]
    fn what_was_agreed_to_is_made_anew_in_one_call() {
        let (restarts, services) = (changed(), words("kafka prometheus app"));
        let kept = kept(&restarts, &["kafka".to_owned()]);
        assert!(kept.is_empty());
        let expected = words("up --detach --no-build --remove-orphans kafka prometheus app");
        assert_eq!(calls(&services, &[], &restarts, &kept), [expected]);
    }
}
