//! Processes of this machine under one supervisor.

mod draft;

use super::{EachLine, Restart, Runtime, WantedParts};
use crate::clients::process;
use crate::clients::program::{Purpose, command};
use crate::domain::log::{self, LogRequest};
use crate::domain::usage::Usage;
use crate::error::{Context, Error, Result};
use crate::permit::ChangePermit;
use crate::render::progress::ProgressView;
use crate::stack::account::make_loadtest_user;
use crate::stack::capacity::{self, Capacity};
use crate::stack::parts::StartedParts;
use crate::stack::ready::wait_ready;
use crate::stack::spec::{Record, Request};
use crate::stack::up::ensure_schema_and_topics;
use crate::stack::{Stack, control, parts, prepare, replica};
use draft::Draft;
use process_wrap::tokio::{CommandWrap, ProcessSession};
use std::io::{Read, Seek};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::time::Instant;

pub(super) async fn records(stack: &Stack) -> Result<Vec<Record>> {
    let Some(mut records) = control::parts(&stack.layout).await? else {
        return match control::orphans(&stack.layout)?.len() {
            0 => Ok(Vec::new()),
            left => Err(Error::unreachable(format!(
                "the supervisor of this stack was killed; {left} of its processes still run"
            ))
            .hint("nsys up starts them anew, nsys down ends them")),
        };
    };
    for record in &mut records {
        if let Some((role, index)) = record.role().zip(record.name.rsplit_once('-')) {
            let port = stack.endpoints.metrics(role, index.1.parse().unwrap_or(1));
            record.address = Some(format!("127.0.0.1:{port}"));
        }
    }
    Ok(records)
}

pub(super) fn usage(records: &[Record]) -> Vec<Option<Usage>> {
    let look = |record: &Record| process::usage_of(record.process.as_ref()?.pid);
    records.iter().map(look).collect()
}

/// The parts that `up` may be told to start or to leave out.
const PARTS: [&str; 8] = ["postgres", "replica", "redis", "kafka", "prometheus", "jaeger", "app", "worker"];

/// Parts that run and that `up` would restart.
pub(super) async fn restarts(stack: &Stack, wanted: &WantedParts) -> Result<Vec<Restart>> {
    Ok(Draft::new(stack, wanted).await?.restarts())
}

pub(super) async fn up(
    permit: &ChangePermit,
    stack: &Stack,
    wanted: &WantedParts,
    deadline: Instant,
    progress: &ProgressView,
) -> Result<()> {
    wanted.choice.check(Runtime::Local, &PARTS)?;
    let chosen = |part: &str| wanted.choice.wants(part, !parts::OPTIONAL.contains(&part));
    let replicas: Vec<(&str, u32)> = (1..=wanted.app)
        .map(|index| ("app", index))
        .chain((1..=wanted.worker).map(|index| ("worker", index)))
        .filter(|(role, _)| chosen(role))
        .collect();
    let draft = Draft::new(stack, wanted).await?;
    if draft.starts_something() {
        for note in Capacity::measure(stack).check()? {
            progress.line("machine").finish(&note);
        }
    }
    let running = match &draft.running {
        Some(running) => running.clone(),
        None => start_supervisor(permit, stack).await?,
    };
    check_ports(stack, &running, &replicas, |part| {
        wanted.choice.wants(part, part != replica::PART && !parts::OPTIONAL.contains(&part))
    })?;
    provision((permit, stack), wanted, &draft, &replicas, deadline, progress).await?;

    // An optional part that an earlier `up` started stays until it is left out by name.
    let left_out = |name: &str| wanted.choice.without.iter().any(|part| part == name);
    let unwanted = running.iter().map(|record| record.name.clone()).filter(|name| left_out(name));
    stop(permit, stack, unwanted.collect()).await?;
    let traced =
        chosen("jaeger") || running.iter().any(|record| record.name == "jaeger" && !left_out(&record.name));
    let replicated = follow(permit, stack, wanted, &draft, deadline, progress).await?;
    let (file, config) = prepare::service(stack, prepare::Helpers { replicated, traced })?;
    let names: Vec<_> = replicas.iter().map(|(role, index)| format!("{role}-{index}")).collect();
    let surplus: Vec<_> = running
        .iter()
        .filter(|record| record.role().is_some() && !names.contains(&record.name))
        .map(|record| record.name.clone())
        .collect();
    stop(permit, stack, surplus).await?;
    // One after the other: while one restarts with a new configuration, its siblings serve.
    for (role, index) in &replicas {
        let spec = parts::replica(stack, role, *index, (&file, &config), StartedParts(&draft.known))?;
        send(permit, stack, Request::Start { specs: vec![spec] }).await?;
        wait_ready(stack, &format!("{role}-{index}"), deadline, progress).await?;
    }
    if replicas.iter().any(|(role, _)| *role == "app") {
        make_loadtest_user(permit, stack).await?;
    }
    Ok(())
}

/// Starts what the service stands on, and makes schema and topics.
async fn provision(
    (permit, stack): (&ChangePermit, &Stack),
    wanted: &WantedParts,
    draft: &Draft,
    replicas: &[(&str, u32)],
    deadline: Instant,
    progress: &ProgressView,
) -> Result<()> {
    let line = progress.line("prepare");
    line.update("data directories");
    prepare::targets(stack, replicas)?;
    let specs: Vec<_> =
        draft.infrastructure.iter().filter(|spec| !draft.stays(spec, wanted)).cloned().collect();
    let make = specs.iter().map(|spec| prepare::part(stack, &spec.name, &spec.program));
    futures::future::try_join_all(make).await?;
    for spec in &specs {
        tracing::info!(part = spec.name, program = %spec.program.display(), args = spec.args.join(" "), "part");
    }
    line.finish("ready");
    stack.runtime.remember(&stack.layout)?;
    send(permit, stack, Request::Start { specs }).await?;
    let names: Vec<_> = draft.infrastructure.iter().map(|spec| spec.name.as_str()).collect();
    let waits = names.iter().map(|part| wait_ready(stack, part, deadline, progress));
    futures::future::try_join_all(waits).await?;
    if names.contains(&"postgres") && names.contains(&"kafka") {
        ensure_schema_and_topics(permit, stack, deadline).await?;
    }
    Ok(())
}

/// Starts the replica of PostgreSQL when it was asked for, and keeps one that runs. Tells whether one runs.
async fn follow(
    permit: &ChangePermit,
    stack: &Stack,
    wanted: &WantedParts,
    draft: &Draft,
    deadline: Instant,
    progress: &ProgressView,
) -> Result<bool> {
    let Some(spec) = &draft.replica else { return Ok(false) };
    if !draft.running.iter().flatten().any(|record| record.name == replica::PART) {
        let line = progress.line(replica::PART);
        line.update("copies the database");
        replica::copy(stack).await?;
        line.finish("copied");
    }
    if !draft.stays(spec, wanted) {
        send(permit, stack, Request::Start { specs: vec![spec.clone()] }).await?;
    }
    wait_ready(stack, replica::PART, deadline, progress).await?;
    Ok(true)
}

/// Ends a supervisor that keeps nothing: what an `up` that failed early leaves.
pub(super) async fn end_idle_supervisor(permit: &ChangePermit, stack: &Stack) {
    let asked = control::parts(&stack.layout).await;
    if asked.is_ok_and(|parts| parts.is_some_and(|parts| parts.is_empty())) {
        // The failure that came before is what is told.
        let _ = control::change(permit, &stack.layout, &Request::Shutdown).await;
    }
}

async fn stop(permit: &ChangePermit, stack: &Stack, names: Vec<String>) -> Result<()> {
    if !names.is_empty() {
        send(permit, stack, Request::Stop { names }).await?;
    }
    Ok(())
}

async fn send(permit: &ChangePermit, stack: &Stack, request: Request) -> Result<Vec<Record>> {
    control::change(permit, &stack.layout, &request).await?.ok_or_else(|| {
        Error::failed("the supervisor ended")
            .hint(format!("see {}", stack.layout.log("supervisor").display()))
    })
}

async fn start_supervisor(permit: &ChangePermit, stack: &Stack) -> Result<Vec<Record>> {
    control::end_orphans(permit, &stack.layout).await?;
    let log = std::fs::File::create(stack.layout.log("supervisor"))
        .context("cannot create the supervisor's log")?;
    let own = std::env::current_exe().context("cannot find nsys itself")?;
    let mut command = command(Purpose::Part, own);
    command.arg("supervise").arg("--root").arg(stack.layout.path("")).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut command = CommandWrap::from(command);
    // Its own session: neither Ctrl-C nor the end of this terminal reaches it.
    let mut child = command.wrap(ProcessSession).spawn().context("cannot start the supervisor")?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(parts) = control::parts(&stack.layout).await? {
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
fn check_ports(
    stack: &Stack,
    running: &[Record],
    replicas: &[(&str, u32)],
    chosen: impl Fn(&str) -> bool,
) -> Result<()> {
    let ports = &stack.endpoints;
    let mut needed = vec![
        ("postgres".to_owned(), ports.postgres()),
        (replica::PART.to_owned(), ports.replica()),
        ("redis".to_owned(), ports.redis()),
        ("kafka".to_owned(), ports.kafka()),
        ("kafka".to_owned(), ports.kafka_controller()),
        ("prometheus".to_owned(), ports.prometheus()),
        ("jaeger".to_owned(), ports.jaeger()),
        ("jaeger".to_owned(), ports.otlp_http()),
    ];
    needed.retain(|(part, _)| chosen(part));
    needed.extend(
        replicas.iter().map(|(role, index)| (format!("{role}-{index}"), ports.metrics(role, *index))),
    );
    if chosen("app") && !running.iter().any(|record| record.name.starts_with("app-")) {
        needed.push(("api".to_owned(), ports.api()));
    }
    for (part, port) in needed {
        if running.iter().any(|record| record.name == part) {
            continue;
        }
        capacity::free_port(port, &part)?;
    }
    Ok(())
}

pub(super) async fn restart(permit: &ChangePermit, stack: &Stack, record: &Record) -> Result<()> {
    send(permit, stack, Request::Restart { names: vec![record.name.clone()] }).await.map(|_| ())
}

pub(super) async fn down(permit: &ChangePermit, stack: &Stack, volumes: bool) -> Result<String> {
    let mut told = if control::change(permit, &stack.layout, &Request::Shutdown).await?.is_none() {
        match control::end_orphans(permit, &stack.layout).await? {
            0 => "nothing ran".to_owned(),
            ended => format!("ended {ended} processes a killed supervisor left"),
        }
    } else {
        "stopped".to_owned()
    };
    if volumes {
        let root = rustix::process::geteuid().is_root();
        let copy = replica::data(stack).parent().map(std::path::PathBuf::from).unwrap_or_default();
        for dir in [copy, stack.layout.postgres_home(root), stack.layout.path("")] {
            if dir.exists() {
                std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
            }
        }
        told.push_str("; the data is gone");
        for kept in stack.layout.set_aside(root) {
            told.push_str(&format!(
                "; the data of an earlier stack of this name is still in {}",
                kept.display()
            ));
        }
    }
    Ok(told)
}

pub(super) async fn logs(stack: &Stack, request: &LogRequest, each: &mut EachLine<'_>) -> Result<()> {
    let dir = stack.layout.path("logs");
    let mut names: Vec<_> = std::fs::read_dir(&dir)
        .map_err(|cause| {
            Error::failed(format!("there are no logs in {}: {cause}", dir.display())).hint("nsys up")
        })?
        .flatten()
        .filter_map(|file| file.file_name().to_str()?.strip_suffix(".log").map(str::to_owned))
        .collect();
    names.sort();
    if let Some(missing) = request.missing(&names) {
        let known = names.iter().map(String::as_str);
        return Err(Error::no_such("log of", missing, known, "nsys ps lists the parts that run"));
    }
    if names.is_empty() {
        return Err(Error::unreachable("there are no logs yet").hint("nsys up"));
    }
    names.retain(|name| request.wants(name));
    // Parts are told to write UTC.
    let zone = jiff::tz::TimeZone::UTC;
    let mut places = Vec::new();
    for name in &names {
        let (text, end) = last_part(stack, name, request.lines)
            .with_context(|| format!("cannot read the log of {name}"))?;
        let mut lines: Vec<_> = text.lines().collect();
        if let Some(since) = request.since {
            lines.drain(..log::first_since(&lines, since, &zone));
        }
        for line in &lines[lines.len().saturating_sub(request.lines)..] {
            each(name, line)?;
        }
        places.push(end);
    }
    if !request.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        for (name, place) in names.iter().zip(&mut places) {
            for line in grown(&stack.layout.log(name), place).lines() {
                each(name, line)?;
            }
        }
    }
}

/// The end of a log, surely long enough for so many lines unless they are very long, and where the
/// log ends now. Long logs are not read whole.
fn last_part(stack: &Stack, name: &str, lines: usize) -> std::io::Result<(String, u64)> {
    let mut file = std::fs::File::open(stack.layout.log(name))?;
    let end = file.metadata()?.len();
    let start = end.saturating_sub((lines as u64).saturating_mul(2_048));
    file.seek(std::io::SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // The first line is whole only at the beginning of the file.
    let first =
        if start == 0 { 0 } else { bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
    Ok((String::from_utf8_lossy(&bytes[first..]).into_owned(), end))
}

/// The whole lines that a log has got since `place`, which moves behind them. What is no UTF-8 is shown
/// with replacement characters.
fn grown(log: &Path, place: &mut u64) -> String {
    let Ok(mut file) = std::fs::File::open(log) else { return String::new() };
    if file.metadata().map_or(0, |data| data.len()) < *place {
        // It was rotated.
        *place = 0;
    }
    let mut bytes = Vec::new();
    if file.seek(std::io::SeekFrom::Start(*place)).is_err() || file.read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    // A line that is still being written waits for its end.
    bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    *place += bytes.len() as u64;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_no_utf8_does_not_end_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let (log, mut place) = (dir.path().join("part.log"), 0);
        std::fs::write(&log, b"bad \xff byte\nafter\nhalf \xe2\x82").unwrap();
        assert_eq!(grown(&log, &mut place), "bad \u{fffd} byte\nafter\n");
        std::fs::write(&log, b"bad \xff byte\nafter\nhalf \xe2\x82\xac\n").unwrap();
        assert_eq!(grown(&log, &mut place), "half €\n");
    }
}
