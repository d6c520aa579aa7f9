//! The streaming replica of PostgreSQL on this machine: a copy of the primary's data that follows it.

use super::prepare::{hand_to_postgres, postgres_user};
use super::{Stack, setup};
use crate::clients::program::{ChildEnvironment, Purpose};
use crate::error::{Context, Error, Result};
use std::path::PathBuf;

/// The part's name.
pub const PART: &str = "replica";

/// Where its data is.
#[must_use]
pub fn data(stack: &Stack) -> PathBuf {
    let primary = stack.layout.postgres_home(rustix::process::geteuid().is_root());
    let mut home = primary.into_os_string();
    home.push("-replica");
    PathBuf::from(home).join("data")
}

/// Copies the primary's data as it is now. An older copy is thrown away: what the primary has
/// removed from its log since could not be replayed.
///
/// # Errors
/// When the primary does not let itself be copied.
pub async fn copy(stack: &Stack) -> Result<()> {
    let (data, user) = (data(stack), postgres_user()?);
    let home = data.parent().map(PathBuf::from).unwrap_or_default();
    if home.exists() {
        std::fs::remove_dir_all(&home).with_context(|| format!("cannot remove {}", home.display()))?;
    }
    std::fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    // The password goes by the environment: a command line can be read by everybody.
    let environment =
        ChildEnvironment::new(Purpose::Part).with("PGPASSWORD", stack.layout.secret("postgres")?);
    let mut command = environment.command(setup::need(setup::postgres("pg_basebackup"), "pg_basebackup")?);
    if let Some((user, group)) = user {
        hand_to_postgres(&home, (user, group))?;
        command.uid(user).gid(group).current_dir("/");
    }
    command.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-password"]);
    command.args(["--host=127.0.0.1", "--username=nsys"]);
    command.arg(format!("--port={}", stack.endpoints.postgres())).arg("--pgdata").arg(&data);
    let output = command.output().await.context("cannot start pg_basebackup")?;
    if output.status.success() {
        return Ok(());
    }
    // Half a copy would be taken for a whole one.
    let _ = std::fs::remove_dir_all(&home);
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::failed(format!("cannot copy the database for the replica: {}", said.trim())))
}
