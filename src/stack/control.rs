//! The way to the supervisor: its socket, and what is left behind when it was killed.

use super::layout::Layout;
use super::spec::{Record, Reply, Request};
use crate::error::{Context, Error, Result};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// A directory held open, so that a socket in it has a short name however deep it lies (the
/// address of a Unix socket holds at most 107 bytes).
#[derive(Debug)]
pub(super) struct SocketDir {
    dir: OwnedFd,
}

impl SocketDir {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let dir = std::fs::File::open(dir).with_context(|| format!("cannot open {}", dir.display()))?;
        Ok(Self { dir: dir.into() })
    }

    pub(super) fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/supervisor.sock", self.dir.as_raw_fd()))
    }
}

/// Sends one request; `None` when no supervisor runs.
///
/// # Errors
/// When the supervisor runs and refuses, or breaks off.
pub async fn ask(layout: &Layout, request: &Request) -> Result<Option<Vec<Record>>> {
    let run = layout.run();
    if !run.join("supervisor.sock").exists() {
        return Ok(None);
    }
    let dir = SocketDir::open(&run)?;
    let Ok(mut stream) = UnixStream::connect(dir.socket()).await else { return Ok(None) };
    let mut line = serde_json::to_string(request).context("cannot write the request")?;
    line.push('\n');
    stream.write_all(line.as_bytes()).await.context("the supervisor went away")?;
    let mut answer = String::new();
    let mut reader = BufReader::new(stream);
    let read = reader.read_line(&mut answer);
    tokio::time::timeout(Duration::from_secs(90), read)
        .await
        .map_err(|_| Error::failed("the supervisor did not answer within 90 s"))?
        .context("the supervisor went away")?;
    let reply: Reply = serde_json::from_str(&answer).context("the supervisor answered nonsense")?;
    match reply.error {
        Some(error) => Err(Error::failed(error)),
        None => Ok(Some(reply.parts)),
    }
}

/// The parts that run now, or nothing.
///
/// # Errors
/// As [`ask`].
pub async fn list(layout: &Layout) -> Result<Vec<Record>> {
    Ok(ask(layout, &Request::Ps).await?.unwrap_or_default())
}

/// Ends what a killed supervisor left running. Returns how many processes that were.
///
/// # Errors
/// When the records cannot be read.
pub async fn end_leftovers(layout: &Layout) -> Result<usize> {
    let path = layout.run().join("parts.json");
    if !path.exists() {
        return Ok(0);
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let records: Vec<Record> =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    let left: Vec<_> =
        records.into_iter().filter_map(|record| record.process).filter(|one| one.runs()).collect();
    futures::future::join_all(left.iter().map(|one| one.end(Duration::from_secs(10)))).await;
    std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    Ok(left.len())
}
