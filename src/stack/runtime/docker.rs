//! Containers of a Compose project. Compose makes and removes them, the engine tells of them.

mod deploy;
mod files;
mod recreate;

pub(crate) use deploy::adopt_password;
pub(super) use deploy::{available, restarts, up};
pub(crate) use files::service_environment;

use super::EachLine;
use crate::clients::compose::Compose;
use crate::clients::docker::ContainerEngine;
use crate::clients::machine;
use crate::domain::container::{Container, ContainerPhase, ContainerVerdict};
use crate::domain::log::LogRequest;
use crate::domain::usage::Usage;
use crate::error::{Context, Error, Result};
use crate::permit::ChangePermit;
use crate::stack::Stack;
use crate::stack::spec::{PartState, Record};
use futures::StreamExt;
use futures::future::join_all;

/// Where each replica serves metrics and its own health, inside.
const METRICS_PORT: u16 = 9400;

/// Compose allows lower case only.
fn project(stack: &Stack) -> String {
    stack.loaded.config.stack.name.to_lowercase()
}

async fn compose(stack: &Stack) -> Result<Compose> {
    Compose::find(project(stack), files::compose_files(stack), files::variables(stack)?).await
}

pub(super) async fn records(stack: &Stack) -> Result<Vec<Record>> {
    let containers = ContainerEngine::connect().await?.containers(&project(stack)).await?;
    Ok(containers.iter().map(record).collect())
}

/// The port that this machine reaches a service by, where it publishes several the first.
fn port(container: &Container) -> u16 {
    container.ports.iter().map(|(_, outside)| *outside).min().unwrap_or(0)
}

fn record(container: &Container) -> Record {
    let replica = matches!(container.service.as_str(), "app" | "worker");
    let name = if replica {
        format!("{}-{}", container.service, container.number)
    } else {
        container.service.clone()
    };
    Record {
        name,
        state: state(container),
        process: None,
        container: Some(container.id.chars().take(12).collect()),
        address: container
            .published(METRICS_PORT)
            .filter(|_| replica)
            .map(|port| format!("127.0.0.1:{port}")),
        port: port(container),
        started_s: container.started_s,
        restarts: container.restarts,
        last_exit: container.ending(),
    }
}

fn state(container: &Container) -> PartState {
    match (container.phase, container.health) {
        (ContainerPhase::Created, _) | (ContainerPhase::Running, ContainerVerdict::Starting) => {
            PartState::Waiting
        }
        (ContainerPhase::Running, ContainerVerdict::Unhealthy) | (ContainerPhase::Paused, _) => {
            PartState::Unhealthy
        }
        (ContainerPhase::Running, ContainerVerdict::Healthy | ContainerVerdict::None) => PartState::Running,
        (ContainerPhase::Restarting, _) => PartState::Restarting,
        (ContainerPhase::Exited, _) if container.once && container.exit_code == Some(0) => PartState::Done,
        (ContainerPhase::Exited, _) => PartState::Failed,
    }
}

pub(super) async fn usage(records: &[Record]) -> Vec<Option<Usage>> {
    let Ok(engine) = ContainerEngine::connect().await else { return vec![None; records.len()] };
    let usage_of = async |record: &Record| {
        let id = record.container.as_ref().filter(|_| record.state != PartState::Done)?;
        Some(engine.counters(id).await?.usage(machine::id().unwrap_or_default()))
    };
    join_all(records.iter().map(usage_of)).await
}

pub(super) async fn logs(stack: &Stack, request: &LogRequest, each: &mut EachLine<'_>) -> Result<()> {
    let engine = ContainerEngine::connect().await?;
    let records = records(stack).await?;
    let wanted = super::asked_for(&records, request)?;
    let streams = wanted.into_iter().filter_map(|record| {
        let name = record.name.clone();
        let lines = engine.logs(record.container.as_ref()?, request);
        Some(lines.map(move |line| (name.clone(), line)).boxed())
    });
    if request.follow {
        let mut lines = futures::stream::select_all(streams);
        while let Some((name, line)) = lines.next().await {
            each(&name, &line)?;
        }
        return Ok(());
    }
    // One part after the other, as they are listed.
    for mut lines in streams {
        while let Some((name, line)) = lines.next().await {
            each(&name, &line)?;
        }
    }
    Ok(())
}

pub(super) async fn restart(permit: &ChangePermit, record: &Record) -> Result<()> {
    let id = record
        .container
        .as_ref()
        .ok_or_else(|| Error::failed(format!("{} has no container", record.name)))?;
    ContainerEngine::connect().await?.restart_container(permit, id).await
}

pub(super) async fn down(permit: &ChangePermit, stack: &Stack, volumes: bool) -> Result<String> {
    let before = records(stack).await?;
    files::unpack(stack)?;
    let mut args = vec!["down", "--remove-orphans"];
    if volumes {
        args.push("--volumes");
    }
    compose(stack).await?.run(permit, &args, |_| {}).await?;
    let mut summary = if before.is_empty() { "nothing ran".to_owned() } else { "stopped".to_owned() };
    if volumes {
        let dir = stack.layout.path("");
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        summary.push_str("; the data is gone");
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(service: &str, phase: ContainerPhase, health: ContainerVerdict) -> Container {
        Container {
            id: "0123456789abcdef".into(),
            service: service.into(),
            number: 2,
            config_hash: String::new(),
            once: service == "prepare",
            phase,
            health,
            exit_code: Some(0),
            out_of_memory: false,
            started_s: 1,
            restarts: 0,
            ports: vec![(METRICS_PORT, 49_200)],
        }
    }

    #[test]
    fn a_one_shot_that_ended_well_is_done_and_a_server_that_ended_is_not() {
        let seen = |service: &str, phase, health| record(&container(service, phase, health)).state;
        assert_eq!(seen("prepare", ContainerPhase::Exited, ContainerVerdict::None), PartState::Done);
        assert_eq!(seen("redis", ContainerPhase::Exited, ContainerVerdict::None), PartState::Failed);
        assert_eq!(seen("redis", ContainerPhase::Running, ContainerVerdict::Starting), PartState::Waiting);
        assert_eq!(seen("redis", ContainerPhase::Running, ContainerVerdict::Unhealthy), PartState::Unhealthy);
        let failed = Container {
            exit_code: Some(3),
            ..container("prepare", ContainerPhase::Exited, ContainerVerdict::None)
        };
        assert_eq!(record(&failed).state, PartState::Failed);
        assert_eq!(record(&failed).last_exit.as_deref(), Some("exit code 3"));
    }

    #[test]
    fn a_replica_is_found_by_the_port_the_engine_chose() {
        let replica = record(&container("app", ContainerPhase::Running, ContainerVerdict::Healthy));
        assert_eq!((replica.name.as_str(), replica.address.as_deref()), ("app-2", Some("127.0.0.1:49200")));
        assert_eq!(
            record(&container("redis", ContainerPhase::Running, ContainerVerdict::Healthy)).address,
            None
        );
    }
}
