//! k6 in a cluster: a process of nsys that has the k6 operator run a level, and fetches its summaries.

use super::testrun::{Objects, name_of, runners};
use super::{GeneratorProcesses, News, Offer, plan_file, summary_file};
use crate::clients::kubernetes::Cluster;
use crate::clients::program::{Purpose, command};
use crate::domain::log::LogRequest;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::permit::ChangePermit;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::Instant;

/// How often the operator is asked how far it is.
const PERIOD: Duration = Duration::from_secs(2);
/// Questions in a row that may stay without an answer: half a minute.
const MOST_UNANSWERED: u32 = 15;
/// Pods must be scheduled and images pulled beside the level itself.
const OVERHEAD: Duration = Duration::from_secs(600);
const NO_OPERATOR: &str = "is the k6 operator installed? https://github.com/grafana/k6-operator";
/// Lines of a log's end among which the summary is.
const LINES: usize = 50;

/// Which cluster, and what there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Where {
    /// Context of the kubeconfig; empty: the current one.
    pub context: String,
    /// Namespace of the stack.
    pub namespace: String,
    /// Image of k6.
    pub image: String,
}

/// What the process is told beside the plan of the level.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ClusterJob {
    place: Where,
    name: String,
    parallelism: u32,
    seconds: u64,
    summaries: Vec<PathBuf>,
}

/// Starts the process that drives the cluster.
pub(super) fn start(offer: &Offer) -> Result<(GeneratorProcesses, Receiver<News>)> {
    let prefix = offer.plan["prefix"].as_str().unwrap_or("level");
    let summaries: Vec<_> = (0..offer.generators).map(|index| summary_file(&offer.work, index)).collect();
    for summary in &summaries {
        // One that is left from the level before must not be taken for this one's.
        let _ = std::fs::remove_file(summary);
    }
    let job = ClusterJob {
        place: offer.far.cluster.clone(),
        name: name_of(prefix),
        parallelism: offer.generators,
        seconds: offer.windows.iter().map(|window| window.seconds).sum(),
        summaries,
    };
    let (mut plan, file) = (offer.plan.clone(), plan_file(&offer.work, 0));
    plan["cluster"] = json!(job);
    crate::stack::layout::write_private(&file, &plan.to_string())?;
    let log = std::fs::File::create(&offer.log)
        .with_context(|| format!("cannot create {}", offer.log.display()))?;
    let own = std::env::current_exe().context("cannot find nsys itself")?;
    let mut command = command(Purpose::User, &own);
    command.arg("generate").arg("--plan").arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.stderr(log).process_group(0).spawn();
    let child = child.with_context(|| format!("cannot start {}", own.display()))?;
    // Runners tell nothing while they run that could be had from here.
    Ok((GeneratorProcesses::new(vec![child])?, channel(1).1))
}

/// What a plan file says of a cluster, if it does.
#[must_use]
pub fn plan_of(file: &Path) -> Option<Value> {
    let plan: Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    plan.get("cluster").is_some().then_some(plan)
}

/// Has the operator run the level; its objects are deleted whatever happens.
///
/// # Errors
/// When the cluster refuses an object, a runner fails or leaves no summary, or `stop` comes first.
pub async fn drive(mut plan: Value, stop: impl Future<Output = ()>) -> Result<()> {
    let job: ClusterJob = serde_json::from_value(plan["cluster"].take()).context("no plan for a cluster")?;
    #[expect(clippy::disallowed_methods, reason = "the load test that started it holds one")]
    let permit = &ChangePermit::of_the_load_test_that_started_this_process();
    let cluster = Cluster::connect(&job.place.context, &job.place.namespace).await?;
    let objects = Objects::new(&job.name, &job.place.namespace, &job.place.image, job.parallelism, &plan);
    let work = async {
        cluster.has(&objects.run).await.map_err(|error| match error.kind {
            // It answers, and does not know the kind.
            ErrorKind::Failed => error.hint(NO_OPERATOR),
            _ => error,
        })?;
        for object in objects.all() {
            cluster.apply(permit, object).await?;
        }
        finished(&cluster, &objects.run, job.seconds).await?;
        fetch(&cluster, &job).await
    };
    // `work` may be dropped anywhere: whatever it has made is deleted below.
    let ended = tokio::select! {
        ended = work => ended,
        () = stop => Err(Error::interrupted("the load was ended")),
    };
    // One that cannot be deleted keeps neither the others nor what happened.
    let mut left = Ok(());
    // In reverse order, so that nothing that is still there needs what has gone.
    for object in objects.all().into_iter().rev() {
        left = left.and(cluster.delete(permit, object).await);
    }
    ended.and(left)
}

/// Waits until the operator says that every runner has ended.
async fn finished(cluster: &Cluster, run: &Value, seconds: u64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(seconds) + OVERHEAD;
    let mut unanswered = 0;
    loop {
        let now = match cluster.get(run).await {
            Ok(now) => {
                unanswered = 0;
                now.unwrap_or_default()
            }
            // The level goes on without the API server: a few answers that fail do not end it.
            Err(_) if unanswered < MOST_UNANSWERED => {
                unanswered += 1;
                tokio::time::sleep(PERIOD).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let stage = now["status"]["stage"].as_str().unwrap_or("not seen by the k6 operator").to_owned();
        match stage.as_str() {
            "finished" | "stopped" => return Ok(()),
            "error" => {
                return Err(Error::failed("the k6 operator says: error").hint("kubectl describe testrun"));
            }
            _ if Instant::now() > deadline => {
                return Err(Error::failed(format!("the test run is still: {stage}")).hint(NO_OPERATOR));
            }
            _ => tokio::time::sleep(PERIOD).await,
        }
    }
}

/// The summary of each runner is a line of its log.
async fn fetch(cluster: &Cluster, job: &ClusterJob) -> Result<()> {
    let pods = cluster.pods_labelled(&runners(&job.name)).await?;
    if pods.len() != job.summaries.len() {
        return Err(Error::failed(format!("{} of {} runners are there", pods.len(), job.summaries.len())));
    }
    for (pod, file) in pods.iter().zip(&job.summaries) {
        let mut found = None;
        let mut each = |line: &str| {
            if is_summary(line) {
                found = Some(line.to_owned());
            }
            Ok(())
        };
        let request = LogRequest { parts: Vec::new(), lines: LINES, since: None, follow: false };
        cluster.logs(pod, &request, &mut each).await?;
        let summary = found.ok_or_else(|| Error::failed(format!("{pod} left no summary")))?;
        crate::stack::layout::write_private(file, &summary)?;
    }
    Ok(())
}

fn is_summary(line: &str) -> bool {
    line.starts_with('{')
        && serde_json::from_str::<Value>(line).is_ok_and(|value| value["metrics"].is_object())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_told_from_other_lines_of_a_log() {
        assert!(is_summary(r#"{"metrics":{"http_reqs":{}}}"#));
        assert!(!is_summary(r#"{"level":"info","msg":"metrics"}"#) && !is_summary("level=info"));
    }
}
