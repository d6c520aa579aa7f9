//! Keeps the parts alive: starts them, restarts them with back-off, stops them in order, rotates
//! their logs, and answers on a Unix socket. It knows processes, not what they are for.

use super::control::SocketDir;
use super::layout::log_aside;
use super::spec::{PartState, Record, Reply, Request, Spec};
use crate::clients::process::Identity;
use crate::clients::program::ChildEnvironment;
use crate::error::{Context, Error, Result};
use futures::future::join_all;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};

/// A log longer than this is moved aside.
const LOG_LIMIT_BYTES: u64 = 20 << 20;
/// A part that ran this long has proved itself; its restarts count anew.
const PROVED: Duration = Duration::from_secs(60);
/// Tries to get the lock, 50 ms apart.
const LOCK_TRIES: u32 = 20;
/// Connections the kernel queues while every replica is busy.
const BACKLOG: i32 = 4_096;

enum SupervisorEvent {
    Exited { name: String, run: u64, how: String },
    Again { name: String, run: u64 },
    Asked { request: Request, reply: oneshot::Sender<Reply> },
}

struct SupervisedPart {
    spec: Spec,
    record: Record,
    /// Counts the processes, so that news of an old one is not taken for news of the current.
    run: u64,
    since: Instant,
    stop: Option<oneshot::Sender<oneshot::Sender<()>>>,
}

struct Supervisor {
    root: PathBuf,
    parts: BTreeMap<String, SupervisedPart>,
    listeners: HashMap<SocketAddr, TcpListener>,
    events: mpsc::Sender<SupervisorEvent>,
    runs: u64,
}

/// Runs until it is told to shut down, or gets SIGTERM or SIGINT.
///
/// # Errors
/// When another supervisor holds the lock, or the socket cannot be made.
pub async fn run(root: &Path) -> Result<()> {
    let dir = root.join("run");
    let lock = take_lock(&dir).await?;
    let held = SocketDir::open(&dir)?;
    let socket = held.socket();
    // Under the lock, a socket that is there belongs to a supervisor that was killed.
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).context("cannot make the control socket")?;
    let (events, mut inbox) = mpsc::channel(64);
    tokio::spawn(serve(listener, events.clone()));
    let mut supervisor = Supervisor {
        root: root.to_owned(),
        parts: BTreeMap::new(),
        listeners: HashMap::new(),
        events,
        runs: 0,
    };
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for signals")?;
    let mut rotate = tokio::time::interval(Duration::from_secs(10));
    loop {
        tokio::select! {
            event = inbox.recv() => match event {
                Some(SupervisorEvent::Asked { request: Request::Shutdown, reply }) => {
                    supervisor.shutdown().await;
                    // One that stays is removed by the next supervisor.
                    let _ = std::fs::remove_file(&socket);
                    // Whoever is told may start the next one at once: it finds ports and lock free.
                    drop(lock);
                    let _ = reply.send(Reply::default());
                    // The answer must leave before the process does.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    return Ok(());
                }
                Some(event) => supervisor.handle(event).await,
                None => return Ok(()),
            },
            _ = terminate.recv() => {
                supervisor.shutdown().await;
                let _ = std::fs::remove_file(&socket);
                return Ok(());
            }
            _ = rotate.tick() => supervisor.rotate_logs(),
        }
    }
}

/// Holds the stack for this process and says in the lock which one it is. Whoever only asks whether
/// somebody holds it does so for a moment.
async fn take_lock(dir: &Path) -> Result<std::fs::File> {
    let mut lock = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("supervisor.lock"))
        .context("cannot create the lock")?;
    for _ in 0..LOCK_TRIES {
        if lock.try_lock().is_ok() {
            let written = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
            written.context("cannot write the lock")?;
            return Ok(lock);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Error::refused("another supervisor runs this stack"))
}

async fn serve(listener: UnixListener, events: mpsc::Sender<SupervisorEvent>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(cause) => {
                // Too many open files, for instance: the next one may find it better.
                tracing::warn!(%cause, "cannot take a request");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let events = events.clone();
        tokio::spawn(async move {
            let (read, mut write) = stream.into_split();
            let mut line = String::new();
            if BufReader::new(read).read_line(&mut line).await.is_err() || line.is_empty() {
                return;
            }
            let reply = match serde_json::from_str(&line) {
                Ok(request) => {
                    let (reply, answer) = oneshot::channel();
                    // Where the supervisor has ended, `answer` fails.
                    let _ = events.send(SupervisorEvent::Asked { request, reply }).await;
                    answer.await.ok()
                }
                Err(cause) => Some(Reply { error: Some(format!("no request: {cause}")), ..Reply::default() }),
            };
            let text = reply.and_then(|reply| serde_json::to_string(&reply).ok()).unwrap_or_default();
            // The asker may have left; that is its affair.
            let _ = write.write_all(format!("{text}\n").as_bytes()).await;
        });
    }
}

impl Supervisor {
    async fn handle(&mut self, event: SupervisorEvent) {
        match event {
            SupervisorEvent::Exited { name, run, how } => self.exited(&name, run, how),
            SupervisorEvent::Again { name, run } => {
                if self
                    .parts
                    .get(&name)
                    .is_some_and(|part| part.run == run && part.record.state == PartState::Restarting)
                {
                    self.start(&name);
                }
            }
            SupervisorEvent::Asked { request, reply } => {
                let wants_specs = matches!(request, Request::Specs);
                let error = self.obey(request).await.err().map(|error| error.message);
                self.forgive();
                let specs = self.parts.values().filter(|_| wants_specs).map(|part| part.spec.clone());
                let specs = specs.collect();
                let parts = self.parts.values().map(|part| part.record.clone()).collect();
                let _ = reply.send(Reply { error, parts, specs });
            }
        }
        self.save();
    }

    async fn obey(&mut self, request: Request) -> Result<()> {
        match request {
            Request::Ps | Request::Specs | Request::Shutdown => Ok(()),
            Request::Start { specs } => {
                for spec in specs {
                    let same = self
                        .parts
                        .get(&spec.name)
                        .is_some_and(|part| part.spec == spec && part.record.state == PartState::Running);
                    if same {
                        continue;
                    }
                    self.stop(std::slice::from_ref(&spec.name)).await;
                    if let Some(address) = spec.listen {
                        self.listen(address)?;
                    }
                    let name = spec.name.clone();
                    self.insert(spec);
                    self.start(&name);
                }
                Ok(())
            }
            Request::Stop { names } => {
                self.stop(&names).await;
                self.close_unused();
                Ok(())
            }
            Request::Restart { names } => {
                // Before the stop, which forgets them.
                let specs: Vec<_> = names
                    .iter()
                    .filter_map(|name| self.parts.get(name))
                    .map(|part| part.spec.clone())
                    .collect();
                self.stop(&names).await;
                for spec in specs {
                    let name = spec.name.clone();
                    self.insert(spec);
                    self.start(&name);
                }
                Ok(())
            }
        }
    }

    fn insert(&mut self, spec: Spec) {
        let record = Record {
            name: spec.name.clone(),
            state: PartState::Restarting,
            process: None,
            container: None,
            address: None,
            port: spec.port,
            started_s: 0,
            restarts: 0,
            last_exit: None,
        };
        self.parts.insert(
            spec.name.clone(),
            // Runs are counted from 1: a restart that was put off for the part before this one fits none.
            SupervisedPart { spec, record, run: 0, since: Instant::now(), stop: None },
        );
    }

    fn listen(&mut self, address: SocketAddr) -> Result<()> {
        if let Entry::Vacant(free) = self.listeners.entry(address) {
            let listener =
                TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
            rustix::net::listen(&listener, BACKLOG).with_context(|| format!("cannot listen on {address}"))?;
            free.insert(listener);
        }
        Ok(())
    }

    /// Closes the sockets that no part is there for. A caller is then refused at once, instead of
    /// waiting in a queue that nobody serves.
    fn close_unused(&mut self) {
        let used: Vec<_> = self.parts.values().filter_map(|part| part.spec.listen).collect();
        self.listeners.retain(|address, _| used.contains(address));
    }

    /// Forgets the restarts of parts that have proved themselves since.
    fn forgive(&mut self) {
        for part in self.parts.values_mut() {
            part.record.restarts = counted(part.record.restarts, part.record.state, part.since.elapsed());
        }
    }

    fn start(&mut self, name: &str) {
        self.runs += 1;
        let run = self.runs;
        let spawned = self.parts.get(name).map(|part| self.spawn(&part.spec));
        let (Some(spawned), Some(part)) = (spawned, self.parts.get_mut(name)) else { return };
        part.run = run;
        part.since = Instant::now();
        match spawned {
            Ok(child) => {
                let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
                part.record.state = PartState::Running;
                part.record.process = pid.and_then(Identity::of);
                part.record.started_s = crate::clock::now().as_second();
                let (stop, stopped) = oneshot::channel();
                part.stop = Some(stop);
                tokio::spawn(watch(child, part.spec.clone(), run, stopped, self.events.clone()));
            }
            Err(cause) => {
                let how = format!("cannot start {}: {cause}", part.spec.program.display());
                self.exited(name, run, how);
            }
        }
    }

    fn spawn(&self, spec: &Spec) -> std::io::Result<Child> {
        let path = self.root.join("logs").join(format!("{}.log", spec.name));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        let input = match spec.listen.and_then(|address| self.listeners.get(&address)) {
            // The socket stays open here while replicas restart: callers queue instead of being refused.
            Some(listener) => Stdio::from(OwnedFd::from(listener.try_clone()?)),
            None => Stdio::null(),
        };
        let mut command = ChildEnvironment::exactly(&spec.env).command(&spec.program);
        // Below its own directory a part's configuration names no path of the user's, whatever the
        // characters in that.
        command.args(&spec.args).current_dir(&self.root);
        // A group of its own: a stop reaches what the part has started too, Ctrl-C in a terminal does not.
        command.stdin(input).stdout(log.try_clone()?).stderr(log).process_group(0);
        if let Some((user, group)) = spec.user {
            command.uid(user).gid(group).current_dir("/");
        }
        command.spawn()
    }

    fn exited(&mut self, name: &str, run: u64, how: String) {
        let Some(part) = self.parts.get_mut(name).filter(|part| part.run == run) else { return };
        part.record.process = None;
        part.record.last_exit = Some(format!("{how} at {}", crate::clock::now().strftime("%H:%M:%S UTC")));
        part.stop = None;
        part.record.restarts = counted(part.record.restarts, part.record.state, part.since.elapsed());
        if part.record.restarts >= part.spec.restart_limit {
            part.record.state = PartState::Failed;
            return;
        }
        part.record.state = PartState::Restarting;
        let wait = Duration::from_millis(250 << part.record.restarts.min(6));
        part.record.restarts += 1;
        let (events, name) = (self.events.clone(), name.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = events.send(SupervisorEvent::Again { name, run }).await;
        });
    }

    /// Stops parts side by side and forgets them.
    async fn stop(&mut self, names: &[String]) {
        let mut ends = Vec::new();
        for name in names {
            let Some(part) = self.parts.get_mut(name) else { continue };
            part.record.state = PartState::Stopping;
            if let Some(stop) = part.stop.take() {
                let (done, end) = oneshot::channel();
                if stop.send(done).is_ok() {
                    ends.push(end);
                }
            }
        }
        join_all(ends).await;
        for name in names {
            self.parts.remove(name);
        }
        self.save();
    }

    async fn shutdown(&mut self) {
        let mut stages: Vec<u8> = self.parts.values().map(|part| part.spec.stage).collect();
        stages.sort_unstable();
        stages.dedup();
        for stage in stages.into_iter().rev() {
            let of_stage = self.parts.iter().filter(|(_, part)| part.spec.stage == stage);
            let names: Vec<_> = of_stage.map(|(name, _)| name.clone()).collect();
            self.stop(&names).await;
        }
        self.listeners.clear();
        self.save();
    }

    /// What runs, for whoever comes after a kill of this process.
    fn save(&self) {
        let records: Vec<_> = self.parts.values().map(|part| &part.record).collect();
        let path = self.root.join("run/parts.json");
        let written =
            serde_json::to_string_pretty(&records).map_err(std::io::Error::other).and_then(|text| {
                let part = path.with_extension("part");
                std::fs::write(&part, text)?;
                std::fs::rename(&part, &path)
            });
        if let Err(cause) = written {
            tracing::error!(%cause, "cannot record what runs");
        }
    }

    fn rotate_logs(&self) {
        for name in self.parts.keys() {
            let log = self.root.join("logs").join(format!("{name}.log"));
            if std::fs::metadata(&log).is_ok_and(|file| file.len() > LOG_LIMIT_BYTES) {
                // Writers append, so after the truncation they go on at the new end.
                // Not renamed: parts hold the file open and would go on in the one that was set aside.
                let moved = std::fs::copy(&log, log_aside(&log))
                    .and_then(|_| std::fs::OpenOptions::new().write(true).open(&log)?.set_len(0));
                if let Err(cause) = moved {
                    tracing::warn!(%cause, name, "cannot rotate a log");
                }
            }
        }
    }
}

/// The restarts that still count for a part that has been in this state for so long.
fn counted(restarts: u32, state: PartState, since: Duration) -> u32 {
    if state == PartState::Running && since > PROVED { 0 } else { restarts }
}

/// Owns one process to its end, so that a signal never goes to a pid that was reaped.
async fn watch(
    mut child: Child,
    spec: Spec,
    run: u64,
    stopped: oneshot::Receiver<oneshot::Sender<()>>,
    events: mpsc::Sender<SupervisorEvent>,
) {
    tokio::select! {
        status = child.wait() => {
            let how = status.map_or_else(|cause| cause.to_string(), |status| status.to_string());
            let _ = events.send(SupervisorEvent::Exited { name: spec.name, run, how }).await;
        }
        Ok(done) = stopped => {
            let group = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
            if let Some(group) = group {
                let gentle = if spec.stop_by_interrupt { Signal::INT } else { Signal::TERM };
                let _ = kill_process_group(group, gentle);
                if tokio::time::timeout(Duration::from_secs(spec.stop_timeout_s), child.wait()).await.is_err() {
                    let _ = kill_process_group(group, Signal::KILL);
                    let _ = child.wait().await;
                }
            }
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests;
