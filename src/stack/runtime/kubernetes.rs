//! Pods of a cluster: nsys applies the objects and waits; the cluster runs them. PostgreSQL, Redis and
//! Kafka are somebody else's, at the addresses of the configuration.

mod manifests;

use super::{EachLine, WantedParts};
use crate::clients::kubernetes::Cluster;
use crate::domain::log::LogRequest;
use crate::domain::pod::Pod;
use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use crate::render::progress::ProgressView;
use crate::stack::Stack;
use crate::stack::spec::{PartState, Record};
use manifests::kind_and_name;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

async fn cluster(stack: &Stack) -> Result<Cluster> {
    let config = &stack.loaded.config.kubernetes;
    manifests::check_namespace(&config.namespace)?;
    Cluster::connect(&config.context, &config.namespace).await
}

pub(super) async fn records(stack: &Stack) -> Result<Vec<Record>> {
    let mut pods = cluster(stack).await?.pods().await?;
    pods.sort_by(|one, other| {
        (&one.role, one.started_s, &one.name).cmp(&(&other.role, other.started_s, &other.name))
    });
    let mut records: Vec<Record> = Vec::new();
    for pod in pods {
        let number =
            records.iter().filter(|record| record.name.starts_with(&format!("{}-", pod.role))).count() + 1;
        records.push(record(&pod, number));
    }
    Ok(records)
}

/// Pods have random names; replicas are counted as everywhere else, the oldest first.
fn record(pod: &Pod, number: usize) -> Record {
    let name = if matches!(pod.role.as_str(), "app" | "worker") {
        format!("{}-{number}", pod.role)
    } else {
        pod.role.clone()
    };
    Record {
        name,
        state: state(pod),
        process: None,
        container: Some(pod.name.clone()),
        address: pod.address.as_ref().map(|address| format!("{address}:9400")),
        port: 0,
        started_s: pod.started_s,
        restarts: pod.restarts,
        last_exit: pod.waits_for.clone().or_else(|| pod.ended.clone()),
    }
}

fn state(pod: &Pod) -> PartState {
    match pod.phase.as_str() {
        _ if pod.leaving => PartState::Stopping,
        "Succeeded" => PartState::Done,
        "Failed" => PartState::Failed,
        "Running" if pod.ready => PartState::Running,
        "Running" if pod.waits_for.is_some() => PartState::Restarting,
        "Running" => PartState::Unhealthy,
        _ => PartState::Waiting,
    }
}

pub(super) async fn logs(stack: &Stack, request: &LogRequest, each: &mut EachLine<'_>) -> Result<()> {
    let cluster = cluster(stack).await?;
    let records = records(stack).await?;
    let wanted = super::asked_for(&records, request)?;
    if request.follow && wanted.len() > 1 {
        return Err(Error::usage("one pod can be followed at a time")
            .hint("name one, for example: nsys logs -f app-1; or follow all with kubectl logs -f -l app.kubernetes.io/name=app"));
    }
    for record in wanted {
        let pod = record.container.as_deref().unwrap_or_default();
        cluster.logs(pod, request, &mut |line| each(&record.name, line)).await?;
    }
    Ok(())
}

/// Restarts the whole role that a pod belongs to: pods of a deployment are replaced, not restarted.
pub(super) async fn restart(permit: &ChangePermit, stack: &Stack, record: &Record) -> Result<()> {
    let role = record.role().ok_or_else(|| Error::refused(format!("{} does its work once", record.name)))?;
    cluster(stack).await?.roll(permit, role).await
}

/// Asks the cluster what applying would do, and changes nothing. In kubectl's words.
pub(super) async fn dry_run(stack: &Stack, wanted: &WantedParts) -> Result<String> {
    let cluster = cluster(stack).await?;
    let mut lines = vec![format!("on {}:", cluster.address)];
    let objects = manifests::objects(stack, wanted.app, wanted.worker)?;
    let there = cluster.has(&objects[0]).await?;
    for object in &objects {
        let (kind, name) = kind_and_name(object);
        if kind == "Job" && !wanted.migrate {
            continue;
        }
        let word = if there || kind == "Namespace" {
            cluster.dry_run(object).await?.as_str()
        } else {
            // The server refuses to look at objects of a namespace that is not there.
            "would be created with the namespace"
        };
        lines.push(format!("{}/{name} {word} (server dry run)", kind.to_lowercase()));
    }
    Ok(lines.join("\n"))
}

/// Applies the objects and waits. The job that migrates the database, which is somebody else's, only when
/// that was asked for and agreed to.
pub(super) async fn up(
    permit: &ChangePermit,
    stack: &Stack,
    wanted: &WantedParts,
    deadline: Instant,
    progress: &ProgressView,
) -> Result<()> {
    let cluster = cluster(stack).await?;
    let objects = manifests::objects(stack, wanted.app, wanted.worker)?;
    let addresses = manifests::addresses(stack)?;
    stack.runtime.remember(&stack.layout)?;
    let line = progress.line("objects");
    for object in &objects {
        let (kind, name) = kind_and_name(object);
        if kind == "Job" {
            secrets(permit, stack, &cluster, &addresses).await?;
            if wanted.migrate {
                replace_job(permit, &cluster, object).await?;
            }
        } else {
            let applied = cluster.apply(permit, object).await?;
            line.update(&format!("{}/{name} {}", kind.to_lowercase(), applied.as_str()));
        }
    }
    line.finish(&format!("{} applied to {}", objects.len(), cluster.address));
    if wanted.migrate {
        wait_job(stack, &cluster, deadline, progress).await?;
    }
    for role in ["worker", "app"] {
        let ready = wait_rollout(stack, &cluster, role, deadline, progress).await;
        ready.map_err(|error| {
            if wanted.migrate {
                error
            } else {
                error.hint(format!("nsys logs {role}; for schema and topics: nsys up --migrate"))
            }
        })?;
    }
    Ok(())
}

/// Addresses follow the configuration; the key is made once and kept.
async fn secrets(permit: &ChangePermit, stack: &Stack, cluster: &Cluster, addresses: &Value) -> Result<()> {
    cluster.apply(permit, addresses).await?;
    let key = manifests::signing_key(stack);
    if !cluster.has(&key).await? {
        cluster.apply(permit, &key).await?;
    }
    Ok(())
}

/// A job cannot be changed, only made anew; one that is as it should be stays.
async fn replace_job(permit: &ChangePermit, cluster: &Cluster, object: &Value) -> Result<()> {
    if cluster.apply(permit, object).await.is_ok() {
        return Ok(());
    }
    cluster.delete(permit, object).await?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while cluster.has(object).await? && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    cluster.apply(permit, object).await.map(|_| ())
}

async fn wait_job(
    stack: &Stack,
    cluster: &Cluster,
    deadline: Instant,
    progress: &ProgressView,
) -> Result<()> {
    let line = progress.line("prepare");
    loop {
        match cluster.job_done("prepare").await {
            Ok(true) => {
                line.finish("schema and topics are there");
                return Ok(());
            }
            Ok(false) if Instant::now() < deadline => {}
            Ok(false) => {
                let why = pod_trouble(cluster, "prepare")
                    .await
                    .unwrap_or_else(|| "its pod was never started".into());
                return Err(
                    Error::unreachable(format!("prepare is not done: {why}")).hint("nsys logs prepare")
                );
            }
            Err(error) => {
                let tail: String =
                    stack.log_tail("prepare", 8).await.iter().map(|line| format!("\n  {line}")).collect();
                return Err(Error::failed(format!("{}{tail}", error.message)).hint("nsys logs prepare"));
            }
        }
        let why = pod_trouble(cluster, "prepare").await;
        line.update(&format!("waits{}", why.map(|why| format!(": {why}")).unwrap_or_default()));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn wait_rollout(
    stack: &Stack,
    cluster: &Cluster,
    role: &str,
    deadline: Instant,
    progress: &ProgressView,
) -> Result<()> {
    let line = progress.line(role);
    loop {
        let workloads = cluster.workloads().await?;
        let workload = workloads.iter().find(|one| one.name == role);
        let pending = workload.map_or_else(|| Some("it is not there".to_owned()), |one| one.pending());
        let Some(pending) = pending else {
            line.finish("ready");
            return Ok(());
        };
        let why = pod_trouble(cluster, role).await.map(|why| format!("; {why}")).unwrap_or_default();
        if Instant::now() > deadline {
            let tail: String =
                stack.log_tail(role, 5).await.iter().map(|line| format!("\n  {line}")).collect();
            return Err(Error::unreachable(format!("{role} is not ready: {pending}{why}{tail}"))
                .hint(format!("nsys ps, nsys logs {role}")));
        }
        line.update(&format!("waits: {pending}{why}"));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// What keeps a pod of this role from its work, in the cluster's words.
async fn pod_trouble(cluster: &Cluster, role: &str) -> Option<String> {
    let pods = cluster.pods().await.ok()?;
    let pod = pods.iter().find(|pod| pod.role == role && !pod.ready && pod.phase != "Succeeded")?;
    let why = pod.waits_for.clone().or_else(|| pod.ended.clone())?;
    Some(format!("{}: {why}", pod.name))
}

/// Deletes what `up` applied; namespace and secrets only with `volumes`.
pub(super) async fn down(permit: &ChangePermit, stack: &Stack, volumes: bool) -> Result<String> {
    let cluster = cluster(stack).await?;
    let objects = manifests::objects(stack, 1, 1)?;
    let keep = |object: &&Value| volumes || kind_and_name(object).0 != "Namespace";
    for object in objects.iter().rev().filter(keep) {
        cluster.delete(permit, object).await?;
    }
    Ok(if volumes {
        "stopped; the namespace with its secrets is being deleted, the data of PostgreSQL, Redis and Kafka is not nsys' to delete".into()
    } else {
        "stopped; namespace and secrets stay".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(phase: &str, ready: bool) -> Pod {
        Pod {
            name: "app-7d9f-x1".into(),
            role: "app".into(),
            phase: phase.into(),
            ready,
            leaving: false,
            restarts: 0,
            started_s: 1,
            address: Some("10.0.0.7".into()),
            waits_for: None,
            ended: None,
        }
    }

    #[test]
    fn pods_are_counted_as_replicas_and_told_in_the_words_of_every_runtime() {
        let running = record(&pod("Running", true), 2);
        assert_eq!((running.name.as_str(), running.state), ("app-2", PartState::Running));
        assert_eq!(running.container.as_deref(), Some("app-7d9f-x1"));
        assert_eq!(record(&pod("Running", false), 1).state, PartState::Unhealthy);
        assert_eq!(record(&pod("Pending", false), 1).state, PartState::Waiting);
        let pulling = Pod { waits_for: Some("ImagePullBackOff".into()), ..pod("Pending", false) };
        assert_eq!(record(&pulling, 1).last_exit.as_deref(), Some("ImagePullBackOff"));
        assert_eq!(record(&Pod { leaving: true, ..pod("Running", true) }, 1).state, PartState::Stopping);
        assert_eq!(record(&Pod { role: "prepare".into(), ..pod("Succeeded", false) }, 1).name, "prepare");
    }
}
