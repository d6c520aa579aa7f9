//! The only place that names bollard: containers of a project, their figures, logs and endings.

use super::program::{Purpose, command};
use crate::domain::container::{Container, ContainerCounters, ContainerPhase, ContainerVerdict};
use crate::domain::log::LogRequest;
use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use crate::process_env;
use bollard::models::{
    ContainerBlkioStatEntry, ContainerInspectResponse, ContainerStateStatusEnum, ContainerStatsResponse,
    HealthStatusEnum,
};
use bollard::query_parameters::{
    ListContainersOptions, LogsOptions, RemoveContainerOptions, StatsOptions, StopContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::future::join_all;
use futures::{Stream, StreamExt};
use std::collections::HashMap;
use std::path::Path;

/// Longest wait for one answer, in s.
const TIMEOUT_S: u64 = 10;
/// Labels that Compose gives.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const NUMBER: &str = "com.docker.compose.container-number";
const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// Our own label: the container does its work once and ends.
const ONCE: &str = "nsys.once";

/// A container engine.
#[derive(Clone, Debug)]
pub struct ContainerEngine {
    docker: Docker,
    /// Name and version of the engine, for people.
    pub version: String,
}

impl ContainerEngine {
    /// Finds the engine as the docker CLI does: `DOCKER_HOST`, else the current context, else the
    /// usual socket.
    ///
    /// # Errors
    /// When there is none, it does not answer, or this user may not talk to it; the message says
    /// which, the hint what to do.
    pub async fn connect() -> Result<Self> {
        let address = address().await;
        let path = address.strip_prefix("unix://").ok_or_else(|| {
            Error::refused(format!("the container engine at {address} is on another machine")).hint(
                "its ports are not this machine's: run nsys there, or attach to it with runtime external",
            )
        })?;
        reach(Path::new(path))?;
        let away = |cause: bollard::errors::Error| Error::unreachable(format!("container engine: {cause}"));
        let docker = Docker::connect_with_unix(path, TIMEOUT_S, API_DEFAULT_VERSION).map_err(away)?;
        // Older engines speak older versions of the protocol.
        let docker = docker.negotiate_version().await.map_err(away)?;
        let said = docker.version().await.map_err(away)?;
        let components = said.components.unwrap_or_default();
        let name = if components.iter().any(|one| one.name.contains("Podman")) { "Podman" } else { "Docker" };
        let version = format!("{name} {}", said.version.unwrap_or_default());
        Ok(Self { docker, version })
    }

    /// The containers of a project, those that ended included.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn containers(&self, project: &str) -> Result<Vec<Container>> {
        let label = format!("{PROJECT}={project}");
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), vec![label])])),
            ..ListContainersOptions::default()
        };
        let listed = self.docker.list_containers(Some(options)).await.map_err(failed)?;
        let inspections = listed.iter().filter_map(|one| one.id.as_deref()).map(|id| self.container(id));
        let mut containers: Vec<_> = join_all(inspections).await.into_iter().flatten().collect();
        containers.sort_by(|one, other| (&one.service, one.number).cmp(&(&other.service, other.number)));
        Ok(containers)
    }

    /// One container; absent when it went away meanwhile.
    async fn container(&self, id: &str) -> Option<Container> {
        read_container(self.docker.inspect_container(id, None).await.ok()?)
    }

    /// The counters of a container; absent when it does not run.
    pub async fn counters(&self, id: &str) -> Option<ContainerCounters> {
        let once = StatsOptions { stream: false, one_shot: true };
        let said = Box::pin(self.docker.stats(id, Some(once))).next().await?.ok()?;
        read_counters(&said)
    }

    /// The lines of a container's log.
    pub fn logs(&self, id: &str, request: &LogRequest) -> impl Stream<Item = String> + Send + use<> {
        let options = LogsOptions {
            follow: request.follow,
            stdout: true,
            stderr: true,
            // The engine counts in 32 bits, and takes 0 for the beginning.
            tail: i32::try_from(request.lines).map_or("all".to_owned(), |lines| lines.to_string()),
            since: request.since.map_or(0, |at| i32::try_from(at.as_second()).unwrap_or(i32::MAX)),
            ..LogsOptions::default()
        };
        let (docker, id) = (self.docker.clone(), id.to_owned());
        async_lines(docker, id, options)
    }

    /// The environment a container was started with.
    pub async fn environment(&self, id: &str) -> HashMap<String, String> {
        let found = self.docker.inspect_container(id, None).await.ok();
        let lines = found.and_then(|one| one.config?.env).unwrap_or_default();
        let pair = |line: String| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        lines.into_iter().filter_map(pair).collect()
    }

    /// Whether the engine has this image.
    pub async fn has_image(&self, name: &str) -> bool {
        self.docker.inspect_image(name).await.is_ok()
    }

    /// Restarts a container: it is asked to end first.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn restart_container(&self, _permit: &ChangePermit, id: &str) -> Result<()> {
        self.docker.restart_container(id, None).await.map_err(failed)
    }

    /// Asks a container to end, waits as long as it may take, and removes it.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn retire_container(&self, _permit: &ChangePermit, id: &str, timeout_s: i32) -> Result<()> {
        let timeout = StopContainerOptions { t: Some(timeout_s), ..StopContainerOptions::default() };
        // The answer comes when the container has ended, later than other answers.
        let slow = self
            .docker
            .clone()
            .with_timeout(std::time::Duration::from_secs(TIMEOUT_S + u64::try_from(timeout_s).unwrap_or(0)));
        slow.stop_container(id, Some(timeout)).await.map_err(failed)?;
        self.docker.remove_container(id, None::<RemoveContainerOptions>).await.map_err(failed)
    }
}

/// What the CLI said of its context. It is asked once: each question is a process.
static CONTEXT: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();

/// The engine's address: what the CLI would use.
async fn address() -> String {
    if let Some(host) = process_env::var("DOCKER_HOST").filter(|host| !host.is_empty()) {
        return host;
    }
    CONTEXT.get_or_init(context).await.clone()
}

async fn context() -> String {
    let mut ask = command(Purpose::Engine, "docker");
    ask.args(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]);
    let said = ask.output().await.ok().filter(|output| output.status.success());
    said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
}

/// Says what is wrong with the way to the engine before a driver wraps it in words of its own.
fn reach(socket: &Path) -> Result<()> {
    use std::io::ErrorKind;
    let Err(cause) = std::os::unix::net::UnixStream::connect(socket) else { return Ok(()) };
    let place = socket.display();
    Err(match cause.kind() {
        ErrorKind::NotFound => Error::unreachable(format!("no container engine: there is no {place}"))
            .hint("start it (sudo systemctl start docker), or use: nsys up --runtime local"),
        ErrorKind::PermissionDenied => Error::refused(format!("this user may not talk to {place}"))
            .hint("sudo usermod -aG docker $USER, then log in again; or use: nsys up --runtime local"),
        ErrorKind::ConnectionRefused => Error::unreachable(format!("nothing answers on {place}"))
            .hint("start it (sudo systemctl start docker), or use: nsys up --runtime local"),
        _ => Error::unreachable(format!("{place}: {cause}")),
    })
}

fn failed(cause: bollard::errors::Error) -> Error {
    match cause {
        bollard::errors::Error::DockerResponseServerError { message, .. } => {
            Error::failed(format!("container engine: {message}"))
        }
        cause => Error::unreachable(format!("container engine: {cause}")),
    }
}

fn async_lines(
    docker: Docker,
    id: String,
    options: LogsOptions,
) -> impl Stream<Item = String> + Send + use<> {
    let stream = Box::pin(docker.logs(&id, Some(options)));
    stream.filter_map(async |piece| piece.ok()).flat_map(|piece| {
        let text = piece.to_string();
        futures::stream::iter(text.lines().map(str::to_owned).collect::<Vec<_>>())
    })
}

fn read_container(said: ContainerInspectResponse) -> Option<Container> {
    let labels = said.config.as_ref()?.labels.clone().unwrap_or_default();
    let state = said.state?;
    let phase = match state.status? {
        ContainerStateStatusEnum::RUNNING => ContainerPhase::Running,
        ContainerStateStatusEnum::RESTARTING => ContainerPhase::Restarting,
        ContainerStateStatusEnum::PAUSED => ContainerPhase::Paused,
        ContainerStateStatusEnum::CREATED => ContainerPhase::Created,
        _ => ContainerPhase::Exited,
    };
    let health = match state.health.as_ref().and_then(|health| health.status) {
        None | Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) => ContainerVerdict::None,
        Some(HealthStatusEnum::STARTING) => ContainerVerdict::Starting,
        Some(HealthStatusEnum::HEALTHY) => ContainerVerdict::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => ContainerVerdict::Unhealthy,
    };
    let bindings = said.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
    let port = |(inside, outside): (String, Option<Vec<bollard::models::PortBinding>>)| {
        let inside = inside.split('/').next()?.parse().ok()?;
        Some((inside, outside?.first()?.host_port.as_ref()?.parse().ok()?))
    };
    Some(Container {
        id: said.id?,
        service: labels.get(SERVICE)?.clone(),
        number: labels.get(NUMBER).and_then(|number| number.parse().ok()).unwrap_or(1),
        config_hash: labels.get(CONFIG_HASH).cloned().unwrap_or_default(),
        once: labels.contains_key(ONCE),
        phase,
        health,
        exit_code: state.exit_code,
        out_of_memory: state.oom_killed.unwrap_or(false),
        started_s: state
            .started_at
            .and_then(|at| at.parse::<jiff::Timestamp>().ok())
            .map_or(0, |at| at.as_second()),
        restarts: said.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        ports: bindings.into_iter().filter_map(port).collect(),
    })
}

fn read_counters(said: &ContainerStatsResponse) -> Option<ContainerCounters> {
    let cpu = said.cpu_stats.as_ref()?;
    let memory = said.memory_stats.as_ref()?;
    // A container that has ended answers too, with nothing in it.
    let memory_bytes = memory.usage?;
    let used = cpu.cpu_usage.as_ref()?;
    let cores = || used.percpu_usage.as_ref().and_then(|all| u32::try_from(all.len()).ok());
    let disk = said.blkio_stats.as_ref().and_then(|disk| disk.io_service_bytes_recursive.as_ref());
    let network = said.networks.as_ref().map(|all| {
        all.values()
            .fold((0, 0), |sum, one| (sum.0 + one.rx_bytes.unwrap_or(0), sum.1 + one.tx_bytes.unwrap_or(0)))
    });
    Some(ContainerCounters {
        cpu_ns: used.total_usage.unwrap_or(0),
        system_ns: cpu.system_cpu_usage,
        cpus: cpu.online_cpus.filter(|count| *count > 0).or_else(cores).unwrap_or(1),
        memory_bytes,
        memory: memory.stats.clone().unwrap_or_default(),
        disk: disk
            .filter(|entries| !entries.is_empty())
            .map(|entries| (bytes_of(entries, "read"), bytes_of(entries, "write"))),
        network,
        read_s: crate::clock::now().as_microsecond() as f64 / 1e6,
    })
}

fn bytes_of(entries: &[ContainerBlkioStatEntry], operation: &str) -> u64 {
    let same = |entry: &&ContainerBlkioStatEntry| {
        entry.op.as_ref().is_some_and(|op| op.eq_ignore_ascii_case(operation))
    };
    entries.iter().filter(same).filter_map(|entry| entry.value).sum()
}
