//! Brings the stack up: each step waits for a condition, not for a time, and running it again does nothing.

use super::spec::{Record, Request, State};
use super::{Stack, control, health, parts, prepare};
use crate::clients::{http, kafka, postgres::Postgres, process};
use crate::error::{Context, Error, Result};
use crate::render::progress::Progress;
use nsys_contract::{api, schema, topics};
use process_wrap::tokio::{CommandWrap, ProcessSession};
use std::process::Stdio;
use std::time::Duration;
use tokio::time::Instant;

/// Account that load tests use; an administrator, exempt from rate limits.
pub const LOADTEST_USER: &str = "loadtest@example.com";

/// What shall run.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Replicas of the api.
    pub app: u32,
    /// Replicas of the worker.
    pub worker: u32,
    /// Longest wait.
    pub timeout: Duration,
}

/// Brings everything up and waits until it is ready.
///
/// # Errors
/// When a tool is missing, a port is taken, or a part is not ready in time; the message says which and why.
pub async fn up(stack: &Stack, wanted: Wanted, progress: &Progress) -> Result<Vec<Record>> {
    let deadline = Instant::now() + wanted.timeout;
    stack.layout.create()?;
    let lock = std::fs::File::create(stack.layout.run().join("up.lock")).context("cannot create the lock")?;
    lock.try_lock().map_err(|_| Error::refused("another nsys is bringing this stack up"))?;
    let replicas: Vec<(&str, u32)> = (1..=wanted.app)
        .map(|index| ("app", index))
        .chain((1..=wanted.worker).map(|index| ("worker", index)))
        .collect();
    prepare::prometheus(stack, &replicas)?;
    let running = match control::ask(&stack.layout, &Request::Ps).await? {
        Some(running) => running,
        None => start_supervisor(stack).await?,
    };
    check_ports(stack, &running, wanted)?;
    let line = progress.line("prepare");
    line.update("data directories");
    let specs = parts::infrastructure(stack).await?;
    for spec in &specs {
        tracing::info!(part = spec.name, program = %spec.program.display(), args = spec.args.join(" "), "part");
    }
    line.finish("ready");
    send(stack, Request::Start { specs }).await?;
    let waits = parts::INFRASTRUCTURE.map(|part| wait_ready(stack, part, deadline, progress));
    futures::future::try_join_all(waits).await?;
    ground(stack, deadline).await?;

    let config = prepare::service(stack)?;
    let names: Vec<_> = replicas.iter().map(|(role, index)| format!("{role}-{index}")).collect();
    let surplus: Vec<_> = running
        .iter()
        .map(|record| record.name.clone())
        .filter(|name| name.contains('-') && !names.contains(name))
        .collect();
    if !surplus.is_empty() {
        send(stack, Request::Stop { names: surplus }).await?;
    }
    // One after the other: while one restarts with a new configuration, its siblings serve.
    for (role, index) in &replicas {
        send(stack, Request::Start { specs: vec![parts::replica(stack, role, *index, &config)?] }).await?;
        wait_ready(stack, &format!("{role}-{index}"), deadline, progress).await?;
    }
    loadtest_user(stack).await?;
    control::list(&stack.layout).await
}

async fn send(stack: &Stack, request: Request) -> Result<Vec<Record>> {
    control::ask(&stack.layout, &request).await?.ok_or_else(|| {
        Error::failed("the supervisor ended")
            .hint(format!("see {}", stack.layout.log("supervisor").display()))
    })
}

async fn start_supervisor(stack: &Stack) -> Result<Vec<Record>> {
    control::end_leftovers(&stack.layout).await?;
    let log = std::fs::File::create(stack.layout.log("supervisor"))
        .context("cannot create the supervisor's log")?;
    let own = std::env::current_exe().context("cannot find nsys itself")?;
    let root = stack.layout.path("");
    let mut command = CommandWrap::with_new(own, |command| {
        command
            .arg("supervise")
            .arg("--root")
            .arg(&root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .current_dir("/");
    });
    // Its own session: neither Ctrl-C nor the end of this terminal reaches it.
    let mut child = command.wrap(ProcessSession).spawn().context("cannot start the supervisor")?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(parts) = control::ask(&stack.layout, &Request::Ps).await? {
            return Ok(parts);
        }
        if let Ok(Some(status)) = child.try_wait() {
            let why = std::fs::read_to_string(stack.layout.log("supervisor")).unwrap_or_default();
            return Err(Error::failed(format!("the supervisor ended at once ({status}): {}", why.trim())));
        }
        if Instant::now() > deadline {
            return Err(Error::failed("the supervisor does not answer"));
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// A port that somebody else holds is named with its holder before anything is started.
fn check_ports(stack: &Stack, running: &[Record], wanted: Wanted) -> Result<()> {
    let ports = &stack.endpoints;
    let mut needed = vec![
        ("postgres".to_owned(), ports.postgres()),
        ("redis".to_owned(), ports.redis()),
        ("kafka".to_owned(), ports.kafka()),
        ("kafka".to_owned(), ports.kafka_controller()),
        ("prometheus".to_owned(), ports.prometheus()),
    ];
    for (role, count) in [("app", wanted.app), ("worker", wanted.worker)] {
        needed.extend((1..=count).map(|index| (format!("{role}-{index}"), ports.metrics(role, index))));
    }
    if !running.iter().any(|record| record.name.starts_with("app-")) {
        needed.push(("api".to_owned(), ports.api()));
    }
    for (part, port) in needed {
        if running.iter().any(|record| record.name == part) {
            continue;
        }
        if let Err(cause) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            let holder = process::holder_of_port(port).unwrap_or_else(|| cause.to_string());
            return Err(Error::failed(format!("port {port} for {part} is taken: {holder}"))
                .hint("free it, or move the stack: NSYS_STACK__PORT_OFFSET=1000 nsys up"));
        }
    }
    Ok(())
}

/// Waits until a part can do its work, showing what it still waits for.
///
/// # Errors
/// When the deadline passes, or the part failed for good.
pub async fn wait_ready(stack: &Stack, part: &str, deadline: Instant, progress: &Progress) -> Result<()> {
    let (line, started) = (progress.line(part), Instant::now());
    loop {
        let reason = match health::probe(stack, part).await {
            Ok(_) => {
                line.finish("ready");
                return Ok(());
            }
            Err(error) => error.message,
        };
        let record = control::list(&stack.layout).await?.into_iter().find(|record| record.name == part);
        let failed = record.as_ref().is_some_and(|record| record.state == State::Failed);
        if failed || Instant::now() > deadline {
            let how = record.and_then(|record| record.last_exit).map(|how| format!("; it ended with {how}"));
            let tail = last_lines(stack, part, 5);
            line.finish("not ready");
            return Err(Error::unreachable(format!(
                "{part} is not ready: {reason}{}{tail}",
                how.unwrap_or_default()
            ))
            .hint(format!("nsys logs {part}")));
        }
        let slow = Instant::now() > started + Duration::from_secs(10);
        let last = if slow { last_lines(stack, part, 1).replace('\n', " | log:") } else { String::new() };
        line.update(&format!("waits: {reason}{last}"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn last_lines(stack: &Stack, part: &str, count: usize) -> String {
    let text = std::fs::read_to_string(stack.layout.log(part)).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| format!("\n  {line}")).collect()
}

/// Database, schema and topics.
async fn ground(stack: &Stack, deadline: Instant) -> Result<()> {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(5));
    let password = stack.layout.secret("postgres")?;
    let database = async {
        let patience = Duration::from_secs(5);
        let mut postgres =
            Postgres::connect(&stack.endpoints.postgres_url(&password, "postgres"), patience).await?;
        postgres.ensure_database("notifications").await?;
        let mut ours =
            Postgres::connect(&stack.endpoints.postgres_url(&password, "notifications"), patience).await?;
        if ours.schema_version().await.unwrap_or(0) < schema::REQUIRED_SCHEMA_VERSION {
            ours.migrate().await?;
        }
        Ok(())
    };
    let settings = &stack.loaded.config.kafka;
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let wanted = [
        (topics::NOTIFICATIONS, number(settings.partitions)),
        (topics::RETRY, number(settings.partitions)),
        (topics::DEAD_LETTERS, 1),
    ];
    let brokers = stack.endpoints.brokers();
    let topics = kafka::ensure_topics(
        &brokers,
        &wanted,
        number(settings.replication),
        left.min(Duration::from_secs(30)),
    );
    tokio::try_join!(database, topics).map(|_| ())
}

/// Logs the load-test account in, creating it on first use. Returns its token.
///
/// # Errors
/// When the API refuses.
pub async fn loadtest_user(stack: &Stack) -> Result<String> {
    let (base, patience) = (stack.endpoints.api_url(), Duration::from_secs(15));
    let password = stack.layout.secret("loadtest-user")?;
    let login = api::Login { email: LOADTEST_USER.into(), password: password.clone() };
    let sign_in = async || http::post(&format!("{base}{}", api::paths::LOGIN), &login, patience).await;
    let mut answer = sign_in().await?;
    if answer.status != 200 && answer.status != 201 {
        let new = api::Register { email: LOADTEST_USER.into(), password, name: "Load test".into() };
        let made = http::post(&format!("{base}{}", api::paths::REGISTER), &new, patience).await?;
        if made.status != 201 {
            return Err(Error::failed(format!(
                "cannot create {LOADTEST_USER}: {} {}",
                made.status, made.body
            )));
        }
        let url = stack.endpoints.postgres_url(&stack.layout.secret("postgres")?, "notifications");
        Postgres::connect(&url, patience).await?.set_role(LOADTEST_USER, "ADMIN").await?;
        answer = sign_in().await?;
    }
    answer.body["access_token"].as_str().map(str::to_owned).ok_or_else(|| {
        Error::failed(format!("cannot sign {LOADTEST_USER} in: {} {}", answer.status, answer.body))
    })
}
