//! Brings the project up: images, containers in order, the service rolled without a gap.

use super::{compose, files, project, record, records, recreate};
use crate::clients::compose::Compose;
use crate::clients::docker::ContainerEngine;
use crate::domain::container::{Container, ContainerPhase};
use crate::error::{Error, ErrorKind, Result};
use crate::permit::ChangePermit;
use crate::render::progress::{ProgressLine, ProgressView};
use crate::stack::Stack;
use crate::stack::account::make_loadtest_user;
use crate::stack::capacity;
use crate::stack::layout::write_private;
use crate::stack::log;
use crate::stack::ready::wait_ready;
use crate::stack::runtime::{Choice, Restart, Runtime, WantedParts};
use crate::stack::spec::PartState;
use std::time::Duration;
use tokio::time::Instant;

/// The one-shot container that makes schema and topics.
const PROVISION: &str = "prepare";
/// Longest time a replica may take to finish what it has: the grace period of compose.yaml.
const GRACE_S: i32 = 45;

/// Whether a stack can be brought up in containers here: an engine, Compose, and every image there
/// or, with a permit, to be had.
///
/// # Errors
/// The reason why not.
pub(in crate::stack::runtime) async fn available(
    permit: Option<&ChangePermit>,
    stack: &Stack,
    progress: &ProgressView,
) -> Result<()> {
    let engine = ContainerEngine::connect().await?;
    stack.layout.create()?;
    files::unpack(stack)?;
    let compose = compose(stack).await?;
    match permit {
        Some(permit) => images(permit, stack, &engine, &compose, &progress.line("images")).await,
        None => Ok(()),
    }
}

pub(in crate::stack::runtime) async fn up(
    permit: &ChangePermit,
    stack: &Stack,
    wanted: &WantedParts,
    deadline: Instant,
    progress: &ProgressView,
) -> Result<()> {
    let engine = ContainerEngine::connect().await?;
    adopt_password(stack).await?;
    files::unpack(stack)?;
    let mut compose = compose(stack).await?;
    let known = compose.config(&["--services"]).await?;
    wanted.choice.check(Runtime::Docker, &known.iter().map(String::as_str).collect::<Vec<_>>())?;
    let services = chosen(&wanted.choice, known);
    let has = |name: &str| services.iter().any(|service| service == name);
    if let Some(collector) = files::collector(&stack.loaded.config.telemetry.otlp_url, &services) {
        compose.variables.push(("OTLP_URL".into(), collector));
    }
    let there = engine.containers(&project(stack)).await?;
    let restarts = recreate::restarts(&compose.config(&["--hash", "*"]).await?, &there, &services);
    let kept = recreate::kept(&restarts, &wanted.restart);
    for part in &kept {
        progress
            .line(part)
            .finish("configured otherwise; left as it runs, nsys up asks before it restarts it");
    }
    check_ports(stack, &services, &there)?;
    images(permit, stack, &engine, &compose, &progress.line("images")).await?;
    stack.runtime.remember(&stack.layout)?;
    let mut rolls = Vec::new();
    for role in ["app", "worker"] {
        if has(role) {
            rolls.extend(Roll::needed(&compose, role, &there).await?);
        }
    }
    if !rolls.is_empty() && has(PROVISION) {
        provision((permit, stack, &compose), &kept, deadline, progress).await?;
    }
    for one in &rolls {
        roll((permit, stack, &engine, &compose), one, &there, deadline, progress).await?;
    }
    let calls = recreate::calls(&services, &scales(wanted, &services), &restarts, &kept);
    start((permit, stack, &compose), &calls, deadline, progress).await?;
    if has(PROVISION) {
        await_provisioned(stack, deadline).await?;
    }
    let running = records(stack).await?;
    let parts = running.iter().filter(|one| one.state != PartState::Done && one.role().is_none());
    let parts = parts
        .map(|one| one.name.as_str())
        .chain(["api"].into_iter().filter(|_| has("balancer") && has("app")));
    futures::future::try_join_all(parts.map(|part| wait_ready(stack, part, deadline, progress))).await?;
    for replica in running.iter().filter(|one| one.role().is_some()) {
        wait_ready(stack, &replica.name, deadline, progress).await?;
    }
    if running.iter().any(|one| one.role() == Some("app")) {
        make_loadtest_user(permit, stack).await?;
    }
    Ok(())
}

/// The services to start. The ground, schema and topics, comes with what it lies on.
fn chosen(choice: &Choice, known: Vec<String>) -> Vec<String> {
    let on_its_own = |service: &str| choice.wants(service, true);
    let both = on_its_own("postgres") && on_its_own("kafka");
    let with_provisioning = |service: &str| service == PROVISION && both && !choice.only.is_empty();
    known.into_iter().filter(|service| on_its_own(service) || with_provisioning(service)).collect()
}

/// A project that somebody started by hand has a password already: it becomes ours.
pub(crate) async fn adopt_password(stack: &Stack) -> Result<()> {
    let path = stack.layout.path("secrets/postgres");
    if path.exists() {
        return Ok(());
    }
    let engine = ContainerEngine::connect().await?;
    let containers = engine.containers(&project(stack)).await?;
    let Some(postgres) = containers.iter().find(|one| one.service == "postgres") else { return Ok(()) };
    match engine.environment(&postgres.id).await.get("POSTGRES_PASSWORD") {
        Some(password) => {
            stack.layout.create()?;
            write_private(&path, password)
        }
        None => Ok(()),
    }
}

/// Pulls and builds what is missing, and nothing else.
async fn images(
    permit: &ChangePermit,
    stack: &Stack,
    engine: &ContainerEngine,
    compose: &Compose,
    line: &ProgressLine,
) -> Result<()> {
    let docker = &stack.loaded.config.docker;
    let ours = [docker.service_image.as_str(), docker.nsys_image.as_str()];
    let (mut pull, mut build) = (Vec::new(), Vec::new());
    for image in compose.config(&["--images"]).await? {
        if !engine.has_image(&image).await {
            if ours.contains(&image.as_str()) { build.push(image) } else { pull.push(image) }
        }
    }
    if !pull.is_empty() {
        line.update(&format!("pulls {}", pull.join(", ")));
        let pull = ["pull", "--policy", "missing", "--ignore-buildable"];
        let pulled = compose.run(permit, &pull, |text| line.update(text));
        pulled.await.map_err(|error| error.hint("without a registry: nsys up --runtime local"))?;
    }
    if !build.is_empty() {
        if files::source_dir(stack).is_none() {
            return Err(Error::failed(format!("there is no image {}", build.join(", ")))
                .hint("run nsys up where the sources are, or name another image: docker.service_image"));
        }
        line.update(&format!("builds {} (the first time takes some minutes)", build.join(", ")));
        compose.run(permit, &["build", "app", "prepare"], |text| line.update(text)).await?;
    }
    line.finish("all there");
    Ok(())
}

/// A port that somebody else holds is named with its holder before anything is started: Compose
/// would notice only half way.
fn check_ports(stack: &Stack, services: &[String], there: &[Container]) -> Result<()> {
    let ports = &stack.endpoints;
    let needed = [
        ("balancer", ports.api()),
        ("postgres", ports.postgres()),
        ("redis", ports.redis()),
        ("kafka", ports.kafka()),
        ("prometheus", ports.prometheus()),
        ("grafana", ports.grafana()),
        ("jaeger", ports.jaeger()),
        ("jaeger", ports.otlp_grpc()),
        ("jaeger", ports.otlp_http()),
        ("kafkaui", ports.kafka_ui()),
    ];
    for (service, port) in needed {
        let ours = there.iter().any(|one| one.service == service && one.phase == ContainerPhase::Running);
        if ours || !services.iter().any(|one| one == service) {
            continue;
        }
        capacity::free_port(port, service)?;
    }
    Ok(())
}

/// Schema and topics, before the replicas that need them: new ones may ask for more than the old ones.
async fn provision(
    (permit, stack, compose): (&ChangePermit, &Stack, &Compose),
    kept: &[String],
    deadline: Instant,
    progress: &ProgressView,
) -> Result<()> {
    let line = progress.line(PROVISION);
    line.update("schema and topics");
    let up = ["up", "--detach", "--no-build", PROVISION];
    // What it stands on runs, and is not made anew for it.
    let up: Vec<_> =
        if kept.is_empty() { up.to_vec() } else { [&up[..3], &["--no-deps"], &up[3..]].concat() };
    let started = compose.run(permit, &up, |text| line.update(text)).await;
    if let Err(error) = started {
        return Err(culprit(stack, error).await);
    }
    await_provisioned(stack, deadline).await?;
    log::keep_by_time(permit, stack).await?;
    line.finish("done");
    Ok(())
}

/// Waits for the end of the one-shot container: Compose does so only where something depends on it.
async fn await_provisioned(stack: &Stack, deadline: Instant) -> Result<()> {
    loop {
        let state = records(stack).await?.into_iter().find(|one| one.name == PROVISION).map(|one| one.state);
        let late = Instant::now() > deadline;
        match state {
            Some(PartState::Done) => return Ok(()),
            Some(PartState::Failed) | None => {
                return Err(culprit(stack, Error::failed("schema and topics could not be prepared")).await);
            }
            Some(_) if late => {
                let error = Error::new(ErrorKind::Unreachable, "schema and topics were not prepared in time");
                return Err(culprit(stack, error).await);
            }
            Some(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Replicas of a role that run with another configuration than they should.
struct Roll<'a> {
    role: &'static str,
    /// How many run as they should.
    same: usize,
    old: Vec<&'a Container>,
}

impl<'a> Roll<'a> {
    async fn needed(compose: &Compose, role: &'static str, there: &'a [Container]) -> Result<Option<Self>> {
        let hashes = compose.config(&["--hash", role]).await?;
        let hash = hashes.iter().find_map(|line| line.strip_prefix(role)).map(str::trim).unwrap_or_default();
        let all = there.iter().filter(|one| one.service == role && one.phase == ContainerPhase::Running);
        let (same, old): (Vec<_>, Vec<_>) = all.partition(|one| one.config_hash == hash);
        Ok((!old.is_empty()).then_some(Self { role, same: same.len(), old }))
    }
}

/// Replaces old replicas: new ones beside them first, and when those are ready the old ones finish what
/// they have and go.
async fn roll(
    (permit, stack, engine, compose): (&ChangePermit, &Stack, &ContainerEngine, &Compose),
    Roll { role, same, old }: &Roll<'_>,
    there: &[Container],
    deadline: Instant,
    progress: &ProgressView,
) -> Result<()> {
    let line = progress.line(role);
    line.update(&format!("starts {} with the new configuration", old.len()));
    let scale = format!("{role}={}", same + 2 * old.len());
    let args = ["up", "--detach", "--no-deps", "--no-recreate", "--no-build", "--scale", &scale, role];
    compose.run(permit, &args, |_| {}).await?;
    let fresh = engine.containers(&project(stack)).await?;
    let fresh =
        fresh.iter().filter(|one| one.service == *role && !there.iter().any(|known| known.id == one.id));
    for replica in fresh {
        wait_ready(stack, &record(replica).name, deadline, progress).await?;
    }
    for replica in old {
        line.update(&format!("{} finishes its requests", record(replica).name));
        engine.retire_container(permit, &replica.id, GRACE_S).await?;
    }
    line.finish("runs with the new configuration");
    Ok(())
}

/// How many replicas of each role, as Compose takes it.
fn scales(wanted: &WantedParts, services: &[String]) -> Vec<String> {
    let scales = [("app", wanted.app), ("worker", wanted.worker)].into_iter();
    let chosen = scales.filter(|(role, _)| services.iter().any(|service| service == role));
    chosen.map(|(role, count)| format!("{role}={count}")).collect()
}

/// Containers that run and that `up` would make anew. Nothing is compared where nothing runs.
pub(in crate::stack::runtime) async fn restarts(stack: &Stack, wanted: &WantedParts) -> Result<Vec<Restart>> {
    // Where no engine answers nothing runs; `up` itself says why.
    let Ok(engine) = ContainerEngine::connect().await else { return Ok(Vec::new()) };
    let there = engine.containers(&project(stack)).await?;
    if !there.iter().any(|one| one.phase == ContainerPhase::Running) {
        return Ok(Vec::new());
    }
    files::unpack(stack)?;
    let compose = compose(stack).await?;
    let services = chosen(&wanted.choice, compose.config(&["--services"]).await?);
    Ok(recreate::restarts(&compose.config(&["--hash", "*"]).await?, &there, &services))
}

/// Lets Compose start everything in order, and shows meanwhile what each part still waits for.
async fn start(
    (permit, stack, compose): (&ChangePermit, &Stack, &Compose),
    calls: &[Vec<String>],
    deadline: Instant,
    progress: &ProgressView,
) -> Result<()> {
    let line = progress.line("containers");
    let left = deadline.saturating_duration_since(Instant::now());
    let outcome = tokio::time::timeout(left, async {
        for call in calls {
            let args: Vec<_> = call.iter().map(String::as_str).collect();
            tokio::select! {
                outcome = compose.run(permit, &args, |text| tracing::debug!(text, "compose")) => outcome?,
                never = show(stack, &line) => never?,
            }
        }
        Ok(())
    });
    match outcome.await {
        Ok(Ok(())) => {
            line.finish("started");
            Ok(())
        }
        Ok(Err(error)) => Err(culprit(stack, error).await),
        Err(_) => {
            let late = Error::new(ErrorKind::Unreachable, "the containers did not come up in time");
            Err(culprit(stack, late).await)
        }
    }
}

/// Shows who is not up yet; ends only with the one it accompanies.
async fn show(stack: &Stack, line: &ProgressLine) -> Result<()> {
    loop {
        let records = records(stack).await.unwrap_or_default();
        let pending = records.iter().filter(|one| !matches!(one.state, PartState::Running | PartState::Done));
        let pending: Vec<_> = pending.map(|one| one.name.as_str()).collect();
        if !pending.is_empty() {
            line.update(&format!("waits for {}", pending.join(", ")));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Compose says that something failed; the container says what: its exit code and its last lines.
async fn culprit(stack: &Stack, error: Error) -> Error {
    let records = records(stack).await.unwrap_or_default();
    let guilty = records.iter().find(|one| one.state == PartState::Failed);
    let guilty = guilty.or_else(|| {
        records.iter().find(|one| matches!(one.state, PartState::Unhealthy | PartState::Restarting))
    });
    let Some(part) = guilty else { return error };
    let how = part
        .last_exit
        .as_ref()
        .map_or_else(|| "fails its health check".to_owned(), |how| format!("ended with {how}"));
    let tail: String = stack.log_tail(&part.name, 8).await.iter().map(|line| format!("\n  {line}")).collect();
    Error::new(error.kind, format!("{} {how}{tail}", part.name)).hint(format!("nsys logs {}", part.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ground_comes_with_database_and_log_unless_it_is_left_out() {
        let known = || ["postgres", "kafka", "prepare", "app"].map(str::to_owned).to_vec();
        let only = |parts: &[&str]| Choice {
            only: parts.iter().map(|part| (*part).to_owned()).collect(),
            ..Choice::default()
        };
        assert_eq!(chosen(&only(&["postgres", "kafka"]), known()), ["postgres", "kafka", "prepare"]);
        assert_eq!(chosen(&only(&["postgres"]), known()), ["postgres"]);
        assert_eq!(chosen(&Choice::default(), known()), known());
        let without = Choice { without: vec!["prepare".to_owned()], ..Choice::default() };
        assert_eq!(chosen(&without, known()), ["postgres", "kafka", "app"]);
    }
}
