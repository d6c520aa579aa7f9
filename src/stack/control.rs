//! The way to the supervisor: its socket, and what is left behind when it was killed.

use super::layout::Layout;
use super::spec::{Record, Reply, Request, Spec};
use crate::clients::process::Identity;
use crate::error::{Context, Error, Result};
use crate::permit::ChangePermit;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// Longest time in which a supervisor holds its lock and has no socket yet, or no longer.
const STARTS_OR_ENDS: Duration = Duration::from_secs(2);

/// A directory held open, so that a socket in it has a short name however deep it lies (the
/// address of a Unix socket holds at most 107 bytes).
#[derive(Debug)]
pub(super) struct SocketDir {
    dir: OwnedFd,
}

impl SocketDir {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        Self::hold(dir).with_context(|| format!("cannot open {}", dir.display()))
    }

    fn hold(dir: &Path) -> std::io::Result<Self> {
        Ok(Self { dir: std::fs::File::open(dir)?.into() })
    }

    pub(super) fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/supervisor.sock", self.dir.as_raw_fd()))
    }
}

/// Has the supervisor change something; `None` when none runs.
///
/// # Errors
/// When the supervisor runs and refuses, or breaks off.
pub async fn change(
    _permit: &ChangePermit,
    layout: &Layout,
    request: &Request,
) -> Result<Option<Vec<Record>>> {
    ask(layout, request).await
}

/// The parts that the supervisor knows; `None` when none runs.
///
/// # Errors
/// When the supervisor breaks off.
pub async fn parts(layout: &Layout) -> Result<Option<Vec<Record>>> {
    ask(layout, &Request::Ps).await
}

async fn ask(layout: &Layout, request: &Request) -> Result<Option<Vec<Record>>> {
    Ok(exchange(layout, request).await?.map(|reply| reply.parts))
}

/// How the parts that run now were started, none when no supervisor runs; `None` when the supervisor is of
/// an older nsys, which cannot be asked.
///
/// # Errors
/// As [`parts`].
pub async fn specs(layout: &Layout) -> Result<Option<Vec<Spec>>> {
    match exchange(layout, &Request::Specs).await {
        Ok(reply) => Ok(Some(reply.map(|reply| reply.specs).unwrap_or_default())),
        Err(error) if error.message.starts_with("no request") => Ok(None),
        Err(error) => Err(error),
    }
}

async fn exchange(layout: &Layout, request: &Request) -> Result<Option<Reply>> {
    let Some(mut stream) = reach(&layout.run()).await? else { return Ok(None) };
    let mut line = serde_json::to_string(request).context("cannot write the request")?;
    line.push('\n');
    stream.write_all(line.as_bytes()).await.context("the supervisor closed the connection")?;
    let mut answer = String::new();
    let mut reader = BufReader::new(stream);
    let read = reader.read_line(&mut answer);
    tokio::time::timeout(Duration::from_secs(90), read)
        .await
        .map_err(|_| Error::failed("the supervisor did not answer within 90 s"))?
        .context("the supervisor closed the connection")?;
    let reply: Reply = serde_json::from_str(&answer).context("the supervisor sent an invalid answer")?;
    match reply.error {
        Some(error) => Err(Error::failed(error)),
        None => Ok(Some(reply)),
    }
}

/// The connection to the supervisor; `None` only when none is there, which its lock says: a connection
/// that fails may have many causes, and what a living supervisor keeps must not be ended.
async fn reach(run: &Path) -> Result<Option<UnixStream>> {
    let connect = async || UnixStream::connect(SocketDir::hold(run)?.socket()).await;
    let deadline = Instant::now() + STARTS_OR_ENDS;
    loop {
        let cause = match connect().await {
            Ok(stream) => return Ok(Some(stream)),
            Err(cause) => cause,
        };
        if cause.kind() == ErrorKind::PermissionDenied {
            return Err(not_ours(run));
        }
        let Some(holder) = holder_of(&run.join("supervisor.lock"))? else { return Ok(None) };
        if Instant::now() >= deadline {
            let whose = format!("the supervisor of this stack (pid {holder}) runs, but does not answer");
            return Err(Error::unreachable(format!("{whose}: {cause}"))
                .hint(format!("end it with kill {holder}, which stops the parts too; then nsys up")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn not_ours(path: &Path) -> Error {
    Error::refused(format!("permission denied on {}: it is another user's", path.display()))
        .hint("run nsys as that user, or give another --state-dir")
}

/// The pid that a held lock names; `None` when nobody holds it.
fn holder_of(lock: &Path) -> Result<Option<String>> {
    let mut file = match std::fs::File::open(lock) {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) if cause.kind() == ErrorKind::PermissionDenied => return Err(not_ours(lock)),
        Err(cause) => return Err(Error::failed(format!("cannot open {}: {cause}", lock.display()))),
    };
    if file.try_lock().is_ok() {
        return Ok(None);
    }
    let mut pid = String::new();
    // One of an older nsys says nothing there.
    let _ = file.read_to_string(&mut pid);
    Ok(Some(if pid.is_empty() { "unknown".to_owned() } else { pid }))
}

/// The parts that run now, or nothing.
///
/// # Errors
/// As [`parts`].
pub async fn list(layout: &Layout) -> Result<Vec<Record>> {
    Ok(parts(layout).await?.unwrap_or_default())
}

/// What a killed supervisor left running.
///
/// # Errors
/// When the records cannot be read.
pub fn orphans(layout: &Layout) -> Result<Vec<Identity>> {
    let path = layout.run().join("parts.json");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let records: Vec<Record> =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    Ok(records.into_iter().filter_map(|record| record.process).filter(Identity::runs).collect())
}

/// Ends what a killed supervisor left running. Returns how many processes that were.
///
/// # Errors
/// When the records cannot be read.
pub async fn end_orphans(_permit: &ChangePermit, layout: &Layout) -> Result<usize> {
    let (path, left) = (layout.run().join("parts.json"), orphans(layout)?);
    futures::future::join_all(left.iter().map(|one| one.end(Duration::from_secs(10)))).await;
    if path.exists() {
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(left.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(dir: &Path) -> Layout {
        let layout = Layout::new(dir, "test");
        layout.create().unwrap();
        layout
    }

    #[tokio::test]
    async fn a_supervisor_that_does_not_answer_is_not_none() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        assert!(ask(&layout, &Request::Ps).await.unwrap().is_none());
        let path = layout.run().join("supervisor.lock");
        std::fs::write(&path, "4711").unwrap();
        assert!(ask(&layout, &Request::Ps).await.unwrap().is_none(), "nobody holds the lock");
        let held = std::fs::File::open(&path).unwrap();
        held.lock().unwrap();
        let error = ask(&layout, &Request::Ps).await.unwrap_err();
        assert!(error.message.contains("(pid 4711) runs, but does not answer"), "{error}");
    }

    #[tokio::test]
    async fn nothing_is_there_before_the_first_start() {
        let dir = tempfile::tempdir().unwrap();
        let never = Layout::new(dir.path(), "never");
        assert!(ask(&never, &Request::Ps).await.unwrap().is_none());
        assert_eq!(specs(&never).await.unwrap(), Some(Vec::new()));
    }
}
