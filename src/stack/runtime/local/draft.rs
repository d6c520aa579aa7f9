//! What `up` would do to the parts that the service stands on, compared with how they run now. Nothing
//! is started or written here.

use crate::error::{Error, Result};
use crate::stack::parts::{self, StartedParts};
use crate::stack::runtime::{Restart, WantedParts};
use crate::stack::spec::{PartState, Record, Spec};
use crate::stack::{Stack, control, replica};

/// Parts as they are to run, beside those that run.
pub(super) struct Draft {
    /// How the parts that run were started.
    pub(super) known: Vec<Spec>,
    /// What runs; absent without a supervisor.
    pub(super) running: Option<Vec<Record>>,
    /// Parts beside the service, without PostgreSQL's replica.
    pub(super) infrastructure: Vec<Spec>,
    /// PostgreSQL's replica, where it was asked for or runs.
    pub(super) replica: Option<Spec>,
}

impl Draft {
    pub(super) async fn new(stack: &Stack, wanted: &WantedParts) -> Result<Self> {
        // An older supervisor starts parts in another directory and with another environment: half a stack
        // of each would be neither.
        let Some(known) = control::specs(&stack.layout).await? else {
            return Err(Error::refused(
                "this stack was started by an older nsys, whose supervisor still runs",
            )
            .hint("nsys down, then nsys up; the data stays"));
        };
        let running = control::parts(&stack.layout).await?;
        let chosen = |part: &str| wanted.choice.wants(part, !parts::OPTIONAL.contains(&part));
        let names: Vec<_> =
            parts::INFRASTRUCTURE.into_iter().chain(parts::OPTIONAL).filter(|part| chosen(part)).collect();
        let infrastructure = parts::infrastructure(stack, &names, StartedParts(&known))?;
        let left_out = wanted.choice.without.iter().any(|part| part == replica::PART);
        let there = running.iter().flatten().any(|record| record.name == replica::PART);
        let follows = !left_out && (there || wanted.choice.wants(replica::PART, false));
        let replica = follows.then(|| parts::database_replica(stack, StartedParts(&known))).transpose()?;
        Ok(Self { known, running, infrastructure, replica })
    }

    fn all(&self) -> impl Iterator<Item = &Spec> {
        self.infrastructure.iter().chain(&self.replica)
    }

    /// Why this part would be restarted; absent when it does not run, or runs as it is to.
    fn why(&self, spec: &Spec) -> Option<String> {
        let record = self.running.iter().flatten().find(|record| record.name == spec.name)?;
        if record.state == PartState::Failed {
            return None;
        }
        match StartedParts(&self.known).of(&spec.name) {
            Some(known) => known.difference(spec),
            None => Some("it was started by another version of nsys".into()),
        }
    }

    /// Parts that run and would be restarted.
    pub(super) fn restarts(&self) -> Vec<Restart> {
        let restart = |spec: &Spec| {
            Some(Restart { part: spec.name.clone(), why: self.why(spec)?, holds_data: spec.holds_data() })
        };
        self.all().filter_map(restart).collect()
    }

    /// Whether this part stays as it is: it holds data, and nobody said that it may be restarted.
    pub(super) fn stays(&self, spec: &Spec, wanted: &WantedParts) -> bool {
        spec.holds_data() && !wanted.restart.contains(&spec.name) && self.why(spec).is_some()
    }

    /// Whether a part is missing, so that this machine has to carry more than it does.
    pub(super) fn starts_something(&self) -> bool {
        let runs = |spec: &Spec| self.running.iter().flatten().any(|record| record.name == spec.name);
        !self.all().all(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::runtime::Choice;
    use std::time::Duration;

    fn spec(name: &str, argument: &str) -> Spec {
        Spec {
            name: name.into(),
            program: "/bin/true".into(),
            args: vec![argument.into()],
            env: Vec::new(),
            user: None,
            listen: None,
            port: 1,
            stage: 0,
            stop_by_interrupt: false,
            stop_timeout_s: 1,
            restart_limit: 1,
        }
    }

    fn record(name: &str, state: PartState) -> Record {
        Record {
            name: name.into(),
            state,
            process: None,
            container: None,
            address: None,
            port: 1,
            started_s: 0,
            restarts: 0,
            last_exit: None,
        }
    }

    fn wanted(restart: &[&str]) -> WantedParts {
        let restart = restart.iter().map(|part| (*part).to_owned()).collect();
        WantedParts {
            app: 1,
            worker: 1,
            timeout: Duration::ZERO,
            choice: Choice::default(),
            restart,
            migrate: false,
        }
    }

    #[test]
    fn what_holds_data_is_restarted_only_when_that_was_allowed() {
        let draft = Draft {
            known: vec![spec("postgres", "a"), spec("kafka", "a"), spec("prometheus", "a")],
            running: Some(
                ["postgres", "kafka", "prometheus", "redis"]
                    .map(|name| record(name, PartState::Running))
                    .into(),
            ),
            infrastructure: vec![
                spec("postgres", "a"),
                spec("kafka", "b"),
                spec("prometheus", "b"),
                spec("redis", "a"),
            ],
            replica: None,
        };
        let restarts = draft.restarts();
        let listed: Vec<_> = restarts.iter().map(|one| (one.part.as_str(), one.holds_data)).collect();
        assert_eq!(listed, [("kafka", true), ("prometheus", false), ("redis", true)]);
        assert_eq!(restarts[0].why, "b instead of a");
        let stays = |restart: &[&str]| -> Vec<_> {
            let wanted = wanted(restart);
            draft
                .infrastructure
                .iter()
                .filter(|spec| draft.stays(spec, &wanted))
                .map(|one| one.name.as_str())
                .collect()
        };
        assert_eq!(stays(&[]), ["kafka", "redis"]);
        assert_eq!(stays(&["kafka"]), ["redis"]);
        assert!(!draft.starts_something());
    }

    #[test]
    fn what_is_down_anyway_needs_no_question() {
        let draft = Draft {
            known: vec![spec("kafka", "a")],
            running: Some(vec![record("kafka", PartState::Failed)]),
            infrastructure: vec![spec("kafka", "b"), spec("redis", "a")],
            replica: None,
        };
        assert!(draft.restarts().is_empty() && draft.starts_something());
        assert!(!draft.stays(&draft.infrastructure[0], &wanted(&[])));
    }
}
