//! Drives Docker Compose through its command line: what is up to Compose, Compose does.

use super::program::{ChildEnvironment, Purpose, command};
use crate::error::{Context, Error, Result};
use crate::permit::ChangePermit;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

/// So many of the last lines say why a command failed.
const LAST_LINES: usize = 12;

/// One project and how to call Compose for it.
#[derive(Clone, Debug)]
pub struct Compose {
    program: Vec<String>,
    /// Compose's version, for people.
    pub version: String,
    /// The project's name.
    pub project: String,
    /// The files, later ones over earlier ones.
    pub files: Vec<PathBuf>,
    /// The variables of the files.
    pub variables: Vec<(String, String)>,
}

impl Compose {
    /// Finds Compose 2 or later.
    ///
    /// # Errors
    /// When there is none, or only version 1, which does not know these files.
    pub async fn find(
        project: String,
        files: Vec<PathBuf>,
        variables: Vec<(String, String)>,
    ) -> Result<Self> {
        let candidates = [vec!["docker".to_owned(), "compose".to_owned()], vec!["docker-compose".to_owned()]];
        let mut old = None;
        for program in candidates {
            let Some(version) = version_of(&program).await else { continue };
            if version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(0) >= 2 {
                return Ok(Self { program, version, project, files, variables });
            }
            old = Some(version);
        }
        let hint = "install the Compose plugin (sudo apt-get install docker-compose-v2, or docker-compose-plugin \
                    from Docker), or use: nsys up --runtime local";
        Err(match old {
            Some(version) => {
                Error::failed(format!("docker-compose {version} is too old; Compose 2 or later is needed"))
            }
            None => Error::failed("Docker Compose is missing: docker compose version does not answer"),
        }
        .hint(hint))
    }

    fn command(&self, args: &[&str]) -> Command {
        let variables = self.variables.iter();
        let environment = variables
            .fold(ChildEnvironment::new(Purpose::Engine), |all, (name, value)| all.with(name, value));
        let mut command = environment.command(&self.program[0]);
        command.args(&self.program[1..]).args(["--project-name", &self.project]);
        for file in &self.files {
            command.arg("--file").arg(file);
        }
        command.args(args);
        // Ctrl-C ends nsys, and with it what it started.
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command that changes something and tells each line of its progress.
    ///
    /// # Errors
    /// When it fails; its last lines say why.
    pub async fn run(
        &self,
        _permit: &ChangePermit,
        args: &[&str],
        mut report: impl FnMut(&str) + Send,
    ) -> Result<()> {
        let mut command = self.command(&[&["--ansi", "never", "--progress", "plain"], args].concat());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.join(" ")))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (to, mut from) = tokio::sync::mpsc::channel(64);
        let readers =
            [out.map(|out| tokio::spawn(read(out, to.clone()))), err.map(|err| tokio::spawn(read(err, to)))];
        let mut last = VecDeque::new();
        while let Some(line) = from.recv().await {
            report(line.trim());
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
        for reader in readers.into_iter().flatten() {
            let _ = reader.await;
        }
        let status = child.wait().await.context("cannot wait for Compose")?;
        if status.success() {
            return Ok(());
        }
        let lines: Vec<_> = last.into_iter().map(|line| format!("\n  {}", line.trim_end())).collect();
        Err(Error::failed(format!("docker compose {} failed ({status}):{}", args[0], lines.concat())))
    }

    /// Runs a command that only tells something, and returns the words it writes, one a line.
    ///
    /// # Errors
    /// When it fails.
    pub async fn config(&self, args: &[&str]) -> Result<Vec<String>> {
        let args = &[&["config"], args].concat();
        let output = self.command(args).output().await.context("cannot start Compose")?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(Error::failed(format!("docker compose {} failed: {}", args.join(" "), why.trim())));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }
}

async fn read(from: impl AsyncRead + Unpin, to: tokio::sync::mpsc::Sender<String>) {
    // Split by bytes: a line that is no UTF-8 must not close the pipe of who writes it.
    let mut lines = BufReader::new(from).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).into_owned();
        if !line.trim().is_empty() && to.send(line).await.is_err() {
            return;
        }
    }
}

async fn version_of(program: &[String]) -> Option<String> {
    let mut ask = command(Purpose::Engine, program.first()?);
    ask.args(&program[1..]).args(["version", "--short"]).stdin(Stdio::null());
    let output = ask.output().await.ok().filter(|output| output.status.success())?;
    let said = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches('v').to_owned();
    said.starts_with(|first: char| first.is_ascii_digit()).then_some(said)
}
