//! The only place that names kube: objects applied server-side, pods and what they wait for.

use crate::domain::log::LogRequest;
use crate::domain::pod::{Pod, Workload};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::permit::ChangePermit;
use futures::AsyncBufReadExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams, PropagationPolicy,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::time::Duration;

/// Who owns the fields that nsys sets.
const MANAGER: &str = "nsys";
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What applying an object did, in kubectl's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was not there.
    Created,
    /// It was there, and something changed.
    Configured,
    /// It was there as it should be.
    Unchanged,
}

impl Applied {
    /// The word that kubectl uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// A cluster and the namespace in it that the stack lives in.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    /// Its address, for people.
    pub address: String,
}

impl Cluster {
    /// Connects as the kubeconfig says; an empty context is the current one, and inside a pod its
    /// own service account.
    ///
    /// # Errors
    /// When there is no such context, or the cluster does not answer.
    pub async fn connect(context: &str, namespace: &str) -> Result<Self> {
        let mut config = configuration(context).await?;
        config.connect_timeout = Some(TIMEOUT);
        let address = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client =
            Client::try_from(config).map_err(|cause| Error::failed(format!("kubernetes: {cause}")))?;
        let answer = tokio::time::timeout(TIMEOUT, client.apiserver_version()).await;
        match answer {
            Ok(Ok(_)) => Ok(Self { client, namespace: namespace.to_owned(), address }),
            Ok(Err(cause)) => Err(refused(&format!("kubernetes at {address}"), cause)),
            Err(_) => {
                Err(Error::unreachable(format!("kubernetes at {address} did not answer within {TIMEOUT:?}")))
            }
        }
    }

    /// Applies an object server-side. Another owner of the same field is a conflict, not overridden.
    ///
    /// # Errors
    /// When the cluster refuses it, or does not know its kind.
    pub async fn apply(&self, _permit: &ChangePermit, object: &Value) -> Result<Applied> {
        self.patch(object, false).await
    }

    /// What applying an object would do, as the server says.
    ///
    /// # Errors
    /// As [`Cluster::apply`].
    pub async fn dry_run(&self, object: &Value) -> Result<Applied> {
        self.patch(object, true).await
    }

    async fn patch(&self, object: &Value, dry_run: bool) -> Result<Applied> {
        let name = name_of(object);
        let (api, id) = self.api(object).await?;
        let before = api.get_opt(&id).await.map_err(|cause| refused(&name, cause))?;
        let params = PatchParams { dry_run, ..PatchParams::apply(MANAGER) };
        let after =
            api.patch(&id, &params, &Patch::Apply(object)).await.map_err(|cause| refused(&name, cause))?;
        Ok(match before {
            None => Applied::Created,
            Some(before) if same(&before, &after) => Applied::Unchanged,
            Some(_) => Applied::Configured,
        })
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub async fn has(&self, object: &Value) -> Result<bool> {
        let (api, id) = self.api(object).await?;
        Ok(api.get_opt(&id).await.map_err(|cause| refused(&name_of(object), cause))?.is_some())
    }

    /// An object as it is now; none when it is not there.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub async fn get(&self, object: &Value) -> Result<Option<Value>> {
        let (api, id) = self.api(object).await?;
        let found = api.get_opt(&id).await.map_err(|cause| refused(&name_of(object), cause))?;
        found.map(|found| serde_json::to_value(found).context("cannot read an object")).transpose()
    }

    /// Names of the pods with these labels, in order.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn pods_labelled(&self, labels: &str) -> Result<Vec<String>> {
        let api: Api<v1::Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let all = api.list(&ListParams::default().labels(labels)).await;
        let all = all.map_err(|cause| refused("pods", cause))?;
        let mut names: Vec<_> = all.items.into_iter().filter_map(|pod| pod.metadata.name).collect();
        names.sort();
        Ok(names)
    }

    /// Deletes an object with what it owns; nothing when it is not there.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub async fn delete(&self, _permit: &ChangePermit, object: &Value) -> Result<()> {
        let (api, id) = self.api(object).await?;
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        match api.delete(&id, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(cause) => Err(refused(&name_of(object), cause)),
        }
    }

    async fn api(&self, object: &Value) -> Result<(Api<DynamicObject>, String)> {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
        let kind = GroupVersionKind::gvk(group, version, text("/kind"));
        let unknown =
            || Error::failed(format!("the cluster knows no {} of {}", kind.kind, text("/apiVersion")));
        let (resource, capabilities) =
            pinned_kind(&self.client, &kind).await.map_err(|cause| match cause {
                kube::Error::Discovery(_) => unknown(),
                // Nothing of the whole group.
                kube::Error::Api(status) if status.code == 404 => unknown(),
                cause => refused(&name_of(object), cause),
            })?;
        let api = if capabilities.scope == Scope::Cluster {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        };
        Ok((api, text("/metadata/name").to_owned()))
    }

    /// The deployments of the stack.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn workloads(&self) -> Result<Vec<Workload>> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let all = api.list(&ours()).await.map_err(|cause| refused("deployments", cause))?;
        Ok(all.items.into_iter().filter_map(read_workload).collect())
    }

    /// Whether a job has done its work: yes, not yet, or why it never will.
    ///
    /// # Errors
    /// When it failed for good, or the cluster does not answer.
    pub async fn job_done(&self, name: &str) -> Result<bool> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        let job = api.get_opt(name).await.map_err(|cause| refused(name, cause))?;
        let conditions = job.and_then(|job| job.status?.conditions).unwrap_or_default();
        let holds = |what: &str| conditions.iter().find(|one| one.type_ == what && one.status == "True");
        match holds("Failed") {
            Some(failed) => Err(Error::failed(format!(
                "job {name} failed: {}",
                failed.message.as_deref().unwrap_or("it does not say why")
            ))),
            None => Ok(holds("Complete").is_some()),
        }
    }

    /// The pods of the stack.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let api: Api<v1::Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let all = api.list(&ours()).await.map_err(|cause| refused("pods", cause))?;
        Ok(all.items.into_iter().filter_map(read_pod).collect())
    }

    /// The lines of a pod's log, told one by one.
    ///
    /// # Errors
    /// When the log cannot be read, or `each` fails.
    pub async fn logs(
        &self,
        pod: &str,
        request: &LogRequest,
        each: &mut (dyn FnMut(&str) -> Result<()> + Send),
    ) -> Result<()> {
        let api: Api<v1::Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = LogParams {
            follow: request.follow,
            tail_lines: i32::try_from(request.lines).ok().map(i64::from),
            since_time: request.since,
            ..LogParams::default()
        };
        let stream = api.log_stream(pod, &params).await.map_err(|cause| refused(pod, cause))?;
        let mut stream = Box::pin(stream);
        let mut line = Vec::new();
        // By bytes: a line that is no UTF-8 must not end the log.
        while stream
            .read_until(b'\n', &mut line)
            .await
            .with_context(|| format!("cannot read the log of {pod}"))?
            > 0
        {
            each(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']))?;
            line.clear();
        }
        Ok(())
    }

    /// Sets the number of replicas of a deployment.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub async fn scale(&self, _permit: &ChangePermit, deployment: &str, replicas: u32) -> Result<()> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        api.patch_scale(deployment, &PatchParams::default(), &patch)
            .await
            .map(|_| ())
            .map_err(|cause| refused(deployment, cause))
    }

    /// Makes a deployment replace its pods one after the other, as `kubectl rollout restart` does.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub async fn roll(&self, _permit: &ChangePermit, deployment: &str) -> Result<()> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        api.restart(deployment).await.map(|_| ()).map_err(|cause| refused(deployment, cause))
    }
}

async fn configuration(context: &str) -> Result<Config> {
    if context.is_empty() {
        return Config::infer().await.map_err(|cause| {
            Error::usage(format!("kubernetes: no cluster is configured: {cause}"))
                .hint("set KUBECONFIG, or name a context: kubernetes.context")
        });
    }
    let file = Kubeconfig::read().map_err(|cause| Error::usage(format!("kubernetes: {cause}")))?;
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(file, &options).await.map_err(|cause| {
        Error::usage(format!("kubernetes: context {context}: {cause}")).hint("kubectl config get-contexts")
    })
}

fn ours() -> ListParams {
    ListParams::default().labels("app.kubernetes.io/part-of=notification-system")
}

fn name_of(object: &Value) -> String {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}", text("/kind").to_lowercase(), text("/metadata/name"))
}

/// A dry run gives the object as it would be; only what the server counts by itself may differ.
fn same(before: &DynamicObject, after: &DynamicObject) -> bool {
    let bare = |object: &DynamicObject| {
        let mut meta = object.metadata.clone();
        meta.managed_fields = None;
        meta.resource_version = None;
        meta.generation = None;
        (meta, object.data.clone())
    };
    bare(before) == bare(after)
}

fn refused(what: &str, cause: kube::Error) -> Error {
    match cause {
        kube::Error::Api(status) => {
            let kind = match status.code {
                401 | 403 | 409 => ErrorKind::Refused,
                _ => ErrorKind::Failed,
            };
            let error = Error::new(kind, format!("{what}: {}", status.message));
            match status.code {
                409 => {
                    error.hint("another owner holds these fields; give them up there, or leave them out here")
                }
                401 | 403 => error.hint("this user lacks the right: kubectl auth can-i --list"),
                _ => error,
            }
        }
        cause => Error::unreachable(format!("{what}: {cause}")),
    }
}

fn read_workload(said: Deployment) -> Option<Workload> {
    let status = said.status.unwrap_or_default();
    let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    let bad = [("ReplicaFailure", "True"), ("Progressing", "False")];
    let complaint =
        status.conditions.unwrap_or_default().into_iter().find(|one| {
            bad.contains(&(one.type_.as_deref().unwrap_or(""), one.status.as_deref().unwrap_or("")))
        });
    Some(Workload {
        name: said.metadata.name?,
        wanted: count(said.spec.replicas.or(Some(1))),
        updated: count(status.updated_replicas),
        ready: count(status.ready_replicas),
        total: count(status.replicas),
        seen: status.observed_generation.unwrap_or(0) >= said.metadata.generation.unwrap_or(0),
        complaint: complaint.and_then(|one| one.message),
    })
}

fn read_pod(said: v1::Pod) -> Option<Pod> {
    let status = said.status.unwrap_or_default();
    let role = said.metadata.labels.as_ref()?.get("app.kubernetes.io/name")?.clone();
    let holds = |what: &str| {
        status
            .conditions
            .iter()
            .flatten()
            .find(|one| one.type_ == what)
            .is_some_and(|one| one.status == "True")
    };
    let container = status.container_statuses.iter().flatten().next();
    let state = container.and_then(|one| one.state.as_ref());
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let ended = state.and_then(|state| state.terminated.as_ref()).or_else(|| {
        container.and_then(|one| one.last_state.as_ref()).and_then(|state| state.terminated.as_ref())
    });
    let unscheduled =
        status.conditions.iter().flatten().find(|one| one.type_ == "PodScheduled" && one.status == "False");
    let joined = |reason: Option<&String>, message: Option<&String>| {
        let words: Vec<_> = [reason, message].into_iter().flatten().cloned().collect();
        (!words.is_empty()).then(|| words.join(": "))
    };
    Some(Pod {
        name: said.metadata.name?,
        role,
        phase: status.phase.clone().unwrap_or_default(),
        ready: holds("Ready"),
        leaving: said.metadata.deletion_timestamp.is_some(),
        restarts: container.and_then(|one| u32::try_from(one.restart_count).ok()).unwrap_or(0),
        started_s: status.start_time.as_ref().map_or(0, |at| at.0.as_second()),
        address: status.pod_ip.clone(),
        waits_for: waiting
            .and_then(|one| joined(one.reason.as_ref(), one.message.as_ref()))
            .or_else(|| unscheduled.and_then(|one| joined(one.reason.as_ref(), one.message.as_ref()))),
        ended: ended.map(|one| {
            let reason = one.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("exit code {}{reason}", one.exit_code)
        }),
    })
}
