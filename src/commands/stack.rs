//! The commands around the stack: setup, up, down, ps, logs, restart, scale, health.

use crate::change::schema;
use crate::cli::{DownArgs, HealthArgs, LogsArgs, PlanFlags, RestartArgs, ScaleArgs, SetupArgs, UpArgs};
use crate::domain::health::{HealthStatus, PartReport, overall};
use crate::domain::image;
use crate::domain::log::LogRequest;
use crate::error::{Error, Result};
use crate::permit::{ChangePermit, PermitRequest, Reach, RequiredConsent};
use crate::render::schema::{AnswerSchema, Either};
use crate::render::{
    Out, OutputFormat, Report, Tone, format, progress::ProgressView, style::paint, table::Table,
};
use crate::stack::restart::{chosen, one_after_the_other};
use crate::stack::runtime::{Choice, Restart};
use crate::stack::spec::{self, PartState, Record};
use crate::stack::{Runtime, Stack, WantedParts, health as probes, safety, setup as tools};
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Serialize, schemars::JsonSchema)]
struct Tools {
    tools: Vec<tools::Tool>,
}

impl Report for Tools {
    fn text(&self) -> String {
        let mut table = Table::new(["tool", "where"]);
        for tool in &self.tools {
            let place = tool
                .path
                .as_ref()
                .map_or_else(|| paint(Tone::Warn, "missing"), |path| path.display().to_string());
            table.row([tool.name.to_owned(), place]);
        }
        table.text()
    }
}

pub(super) async fn setup(args: SetupArgs, out: Out) -> Result<()> {
    let found = tools::survey(&args.with);
    let complete = found.iter().all(|tool| tool.path.is_some());
    if args.check || args.change.dry_run || complete {
        out.report(&Tools { tools: found })?;
        return if complete || args.change.dry_run {
            Ok(())
        } else {
            Err(Error::failed("tools are missing").hint("run: nsys setup"))
        };
    }
    tools::install(&found, |text| out.say(text)).await?;
    let found = tools::survey(&args.with);
    let missing: Vec<_> = found.iter().filter(|tool| tool.path.is_none()).map(|tool| tool.name).collect();
    if !missing.is_empty() {
        return Err(Error::failed(format!("still missing after the installation: {}", missing.join(", "))));
    }
    out.report(&Tools { tools: found })
}

#[derive(Serialize, schemars::JsonSchema)]
struct PartRow {
    name: String,
    state: PartState,
    pid: Option<i32>,
    container: Option<String>,
    port: Option<u16>,
    uptime_s: Option<i64>,
    restarts: u32,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Parts {
    runtime: &'static str,
    parts: Vec<PartRow>,
}

impl Parts {
    fn new(runtime: Runtime, records: Vec<Record>) -> Self {
        let now = crate::clock::now().as_second();
        let part = |record: Record| PartRow {
            uptime_s: (record.started_s > 0 && record.state == PartState::Running)
                .then(|| now - record.started_s),
            pid: record.process.map(|process| process.pid),
            name: record.name,
            state: record.state,
            container: record.container,
            port: (record.port > 0).then_some(record.port),
            restarts: record.restarts,
        };
        Self { runtime: runtime.as_str(), parts: records.into_iter().map(part).collect() }
    }
}

impl Report for Parts {
    fn text(&self) -> String {
        if self.parts.is_empty() {
            return "nothing runs; start it with: nsys up".into();
        }
        let contained = self.parts.iter().any(|part| part.container.is_some());
        let id = if contained { "container" } else { "pid" };
        let mut table = Table::new(["part", "state", id, "port", "uptime", "restarts"]).right(&[3, 4, 5]);
        for part in &self.parts {
            let tone = match part.state {
                PartState::Running => Tone::Good,
                PartState::Failed | PartState::Unhealthy => Tone::Bad,
                PartState::Restarting | PartState::Stopping | PartState::Waiting => Tone::Warn,
                PartState::Done => Tone::Dim,
            };
            let uptime =
                |seconds: i64| format::duration(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
            table.row([
                part.name.clone(),
                paint(tone, part.state.as_str()),
                part.container.clone().unwrap_or_else(|| format::or_missing(part.pid, |pid| pid.to_string())),
                format::or_missing(part.port, |port| port.to_string()),
                format::or_missing(part.uptime_s, uptime),
                part.restarts.to_string(),
            ]);
        }
        table.text()
    }
}

/// What a dry run would do.
#[derive(Serialize, schemars::JsonSchema)]
struct DryRunIntent {
    /// As people read it.
    #[serde(rename = "plan")]
    text: String,
    /// The parts that it stops, restarts or scales.
    parts: Vec<String>,
}

impl Report for DryRunIntent {
    fn text(&self) -> String {
        self.text.clone()
    }
}

/// Images of ours that are of another version than this program.
fn other_images(stack: &Stack) -> Vec<String> {
    let config = &stack.loaded.config;
    let images = match stack.runtime {
        Runtime::Docker => [
            ("docker.nsys_image", &config.docker.nsys_image),
            ("docker.service_image", &config.docker.service_image),
        ],
        Runtime::Kubernetes => [
            ("kubernetes.nsys_image", &config.kubernetes.nsys_image),
            ("kubernetes.service_image", &config.kubernetes.service_image),
        ],
        Runtime::Local | Runtime::External => return Vec::new(),
    };
    images
        .iter()
        .filter_map(|(key, image)| image::difference(key, image, env!("CARGO_PKG_VERSION")))
        .collect()
}

pub(super) async fn up(stack: &Stack, args: UpArgs, out: Out) -> Result<()> {
    let replicas = |part: &str, default: u32| {
        args.scale.iter().find(|scale| scale.part == part).map_or(default, |scale| scale.replicas)
    };
    let config = &stack.loaded.config.stack;
    let mut wanted = WantedParts {
        app: replicas("app", config.app),
        worker: replicas("worker", config.worker),
        timeout: args.timeout,
        choice: Choice { only: args.only, with: args.with, without: args.without },
        restart: Vec::new(),
        migrate: args.migrate,
    };
    let progress = ProgressView::new(out);
    let word = args.runtime.as_deref().unwrap_or(&stack.loaded.config.stack.runtime);
    let dry_run = args.flags.change.dry_run;
    let permit = if dry_run
        || Runtime::named(word) == Some(Runtime::External)
        || stack.runtime == Runtime::External && Runtime::named(word).is_none()
    {
        // A stack that runs elsewhere is only looked at.
        None
    } else {
        Some(permit(stack, "up", &args.flags, out).await?)
    };
    let runtime = match Runtime::named(word) {
        Some(runtime) => runtime,
        None => Runtime::choose(permit.as_ref(), stack, &progress).await,
    };
    let stack = &Stack::on(runtime, stack.loaded.clone());
    if let Some(other) = Runtime::chosen_before(&stack.layout).filter(|other| *other != runtime)
        && other.is_here()
        && !Stack::on(other, stack.loaded.clone()).records().await.unwrap_or_default().is_empty()
    {
        let name = &stack.loaded.config.stack.name;
        return Err(Error::refused(format!("{name} runs on the {} runtime", other.as_str()))
            .hint("stop it first with nsys down, or give this one another stack.name and port_offset"));
    }
    for told in other_images(stack) {
        out.warn(told);
    }
    stack.attach().await?;
    let restarts = stack.restarts(&wanted).await?;
    if dry_run && !(runtime == Runtime::External && args.migrate) {
        let text = [stack.intent(&wanted).await?, restart_lines(&restarts)].concat();
        return out
            .report(&DryRunIntent { text, parts: restarts.iter().map(|one| one.part.clone()).collect() });
    }
    wanted.restart = allowed(&restarts, &args.flags, out)?;
    if args.migrate && runtime == Runtime::External {
        stack.await_servers(&wanted, &progress).await?;
        let chosen = |part: &str| wanted.choice.wants(part, true);
        let provisioned = (chosen("schema"), chosen("topics"));
        if !schema::ensure_schema_and_topics(stack, provisioned, &args.flags, out).await? {
            return Ok(());
        }
    }
    let records = match &permit {
        Some(permit) => {
            if args.migrate {
                agree_to_job(stack, &args.flags, out).await?;
            }
            stack.up(permit, wanted, &progress).await?
        }
        None => stack.await_elsewhere(wanted, &progress).await?,
    };
    out.report(&Parts::new(stack.runtime, records))?;
    out.say(format!("The API is at {}", stack.endpoints.api_url()));
    Ok(())
}

/// The restarts, one a line, each behind a line break.
fn restart_lines(restarts: &[Restart]) -> String {
    let one = |restart: &Restart| {
        let effect = if restart.holds_data { "the stack is unavailable meanwhile; " } else { "" };
        format!("\n  restarts {}: {effect}{}", restart.part, restart.why)
    };
    restarts.iter().map(one).collect()
}

/// The parts with data that may be restarted, after that was shown and asked for.
fn allowed(restarts: &[Restart], flags: &PlanFlags, out: Out) -> Result<Vec<String>> {
    let plan = format!("plan:{}", restart_lines(restarts));
    let names: Vec<_> = restarts.iter().filter(|one| one.holds_data).map(|one| one.part.clone()).collect();
    if names.is_empty() || flags.change.yes || flags.confirm.is_some() {
        if !restarts.is_empty() {
            out.say(plan);
        }
        return Ok(names);
    }
    if !out.can_ask() {
        return Err(Error::refused(format!(
            "this restarts {}, and there is no terminal to confirm at\n{plan}",
            names.join(", ")
        ))
        .hint("nsys up --yes restarts them; what was changed may be changed back instead"));
    }
    // With --quiet too: a question that does not say what it is about is none.
    match out.ask(&format!("{plan}\ntype y to restart them: "))?.as_str() {
        "y" => Ok(names),
        _ => Err(Error::refused("not confirmed; nothing was changed")),
    }
}

/// The permit for a change of the parts that the command itself asks for.
async fn permit(stack: &Stack, what: &str, flags: &PlanFlags, out: Out) -> Result<ChangePermit> {
    let change = PermitRequest { what, reach: Reach::Parts, agreement: RequiredConsent::Command };
    safety::permit(stack, change, flags.consent(), out).await
}

/// In a cluster a job migrates, against a database that nsys did not start and may not reach from here.
async fn agree_to_job(stack: &Stack, flags: &PlanFlags, out: Out) -> Result<()> {
    if stack.runtime != Runtime::Kubernetes {
        // What nsys starts it migrates anyway.
        return Ok(());
    }
    out.say("plan: the job prepare migrates the database of db.url and creates the topics that are missing");
    out.say("  ! this cannot be undone: migrations only go forward");
    let change = PermitRequest { what: "the plan", reach: Reach::Parts, agreement: RequiredConsent::ForGood };
    safety::permit(stack, change, flags.consent(), out).await.map(|_| ())
}

pub(super) async fn down(stack: &Stack, args: DownArgs, out: Out) -> Result<()> {
    if args.flags.change.dry_run {
        let names: Vec<_> = stack.records().await?.into_iter().map(|record| record.name).collect();
        return out.report(&DryRunIntent { text: format!("would stop: {}", names.join(", ")), parts: names });
    }
    stack.runtime.must_run_parts("stop the parts")?;
    let permit = if args.volumes {
        let what = "down --volumes, which deletes the data of the stack,";
        let change = PermitRequest { what, reach: Reach::Parts, agreement: RequiredConsent::ForGood };
        safety::permit(stack, change, args.flags.consent(), out).await?
    } else {
        permit(stack, "down", &args.flags, out).await?
    };
    out.say(stack.down(&permit, args.volumes).await?);
    Ok(())
}

pub(super) async fn ps(stack: &Stack, out: Out) -> Result<()> {
    out.report(&Parts::new(stack.runtime, stack.records().await?))
}

pub(super) async fn restart(stack: &Stack, args: RestartArgs, out: Out) -> Result<()> {
    stack.runtime.must_run_parts("restart a part")?;
    let records = stack.records().await?;
    let asked = if args.parts.is_empty() { vec!["app".to_owned(), "worker".to_owned()] } else { args.parts };
    let names = chosen(&records, &asked)?;
    if args.flags.change.dry_run {
        return out
            .report(&DryRunIntent { text: format!("would restart: {}", names.join(", ")), parts: names });
    }
    let permit = permit(stack, "restart", &args.flags, out).await?;
    one_after_the_other(&permit, stack, &records, &names, out).await?;
    ps(stack, out).await
}

pub(super) async fn scale(stack: &Stack, args: ScaleArgs, out: Out) -> Result<()> {
    stack.runtime.must_run_parts("scale the service")?;
    let records = stack.records().await?;
    if records.is_empty() {
        return Err(Error::unreachable("nothing runs").hint("nsys up"));
    }
    let (app, worker) = spec::replicas(&records);
    let asked = |role: &str| args.scale.iter().find(|scale| scale.part == role).map(|scale| scale.replicas);
    let wanted = WantedParts {
        app: asked("app").unwrap_or(app),
        worker: asked("worker").unwrap_or(worker),
        timeout: Duration::from_secs(120),
        choice: Choice::as_running(&records),
        restart: Vec::new(),
        migrate: false,
    };
    if args.flags.change.dry_run {
        let parts = vec![format!("app={}", wanted.app), format!("worker={}", wanted.worker)];
        let text = format!("would run {} app and {} worker", wanted.app, wanted.worker);
        return out.report(&DryRunIntent { text, parts });
    }
    let permit = permit(stack, "scale", &args.flags, out).await?;
    let records = stack.up(&permit, wanted, &ProgressView::new(out)).await?;
    out.report(&Parts::new(stack.runtime, records))
}

#[derive(Serialize, schemars::JsonSchema)]
struct HealthReport {
    status: HealthStatus,
    parts: Vec<PartReport>,
}

impl Report for HealthReport {
    fn text(&self) -> String {
        let mut table = Table::new(["part", "status", "latency", "detail"]).right(&[2]);
        let mut hints = Vec::new();
        for one in &self.parts {
            let (tone, status) = match one.status {
                HealthStatus::Ok => (Tone::Good, "ok"),
                HealthStatus::Degraded => (Tone::Warn, "degraded"),
                HealthStatus::Down => (Tone::Bad, "down"),
                HealthStatus::Unknown => (Tone::Warn, "unknown"),
                HealthStatus::Absent => (Tone::Dim, "absent"),
            };
            let latency = format::or_missing(one.latency_ms, format::millis);
            table.row([one.name.clone(), paint(tone, status), latency, one.detail.clone()]);
            hints.extend(
                one.hint.as_ref().map(|hint| format!("{}: {}", one.name, paint(Tone::Command, hint))),
            );
        }
        hints.sort();
        hints.dedup();
        let hints: String = hints.iter().map(|hint| format!("\n{hint}")).collect();
        table.text() + &hints
    }
}

pub(super) async fn health(stack: &Stack, args: HealthArgs, out: Out) -> Result<()> {
    let deadline = Instant::now() + args.wait.unwrap_or_default();
    loop {
        let parts = probes::probe_parts(stack).await?;
        let status = overall(&parts);
        if status == HealthStatus::Ok || Instant::now() >= deadline {
            let down: Vec<_> = parts
                .iter()
                .filter(|one| matches!(one.status, HealthStatus::Down | HealthStatus::Unknown))
                .map(|one| one.name.clone())
                .collect();
            out.report(&HealthReport { status, parts })?;
            return match status {
                HealthStatus::Ok | HealthStatus::Degraded => Ok(()),
                _ => Err(Error::unreachable(format!("not ready: {}", down.join(", ")))),
            };
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// One line of a log.
#[derive(Serialize, schemars::JsonSchema)]
struct LogAnswer<'a> {
    part: &'a str,
    line: &'a str,
}

/// Lines of each log to begin with.
const LOG_LINES: usize = 100;

pub(super) async fn logs(stack: &Stack, args: LogsArgs, out: Out) -> Result<()> {
    let pattern = args.grep.as_deref().map(regex::Regex::new).transpose();
    let pattern = pattern.map_err(|cause| Error::usage(format!("--grep: {cause}")))?;
    let lines = args.lines.unwrap_or(if args.since.is_some() { usize::MAX } else { LOG_LINES });
    let request = LogRequest { parts: args.parts, lines, since: args.since, follow: args.follow };
    let mut show = |name: &str, line: &str| match &pattern {
        Some(pattern) if !pattern.is_match(line) => Ok(()),
        _ if out.format() == OutputFormat::Json => {
            out.json_line(&LogAnswer { part: name, line })?;
            out.must_be_read()
        }
        _ => out.stream(&format!("{} {line}", paint(Tone::Dim, &format!("{name:<12}")))),
    };
    stack.logs(&request, &mut show).await
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![
        AnswerSchema::of::<Tools>("setup", 1),
        AnswerSchema::of::<Either<Parts, DryRunIntent>>("up", 1),
        AnswerSchema::of::<DryRunIntent>("down", 1),
        AnswerSchema::of::<Parts>("ps", 1),
        AnswerSchema::of::<Either<Parts, DryRunIntent>>("restart", 1),
        AnswerSchema::of::<Either<Parts, DryRunIntent>>("scale", 1),
        AnswerSchema::of::<HealthReport>("health", 1),
        AnswerSchema::of::<LogAnswer<'_>>("logs", 1),
    ]
}
