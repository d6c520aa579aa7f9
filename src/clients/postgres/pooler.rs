//! Whether an address leads to PostgreSQL itself, or through a pooler that gives one session to many.

use crate::error::{Error, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection, Row};
use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

/// Where it is known that a connection is a session.
static SESSIONS: Mutex<Option<HashSet<String>>> = Mutex::new(None);
/// Longest time the check may take; a pool that has no second connection to give is none of transactions.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// A pooler gives whatever is free, so that two callers get the same session soon, if not at once.
const TURNS: usize = 5;

const HINT: &str = "give nsys the address of PostgreSQL itself, or of a pool in session mode (PgBouncer: pool_mode = session, ignore_startup_parameters = extra_float_digits, options)";

/// Refuses a pooler in transaction mode: what nsys prepares, sets and locks belongs to a session, and there
/// the next statement may meet that of somebody else.
///
/// # Errors
/// Refused, when two connections are one session.
pub(super) async fn check(connection: &mut PgConnection, options: &PgConnectOptions) -> Result<()> {
    let place = format!("{}:{}", options.get_host(), options.get_port());
    if known(|sessions| sessions.contains(&place)) || leads_there(connection, options).await {
        return Ok(());
    }
    let shared = tokio::time::timeout(PROBE_TIMEOUT, are_one_session(connection, options)).await;
    if shared.is_ok_and(|shared| shared == Some(true)) {
        let why = format!("{place} is a pooler in transaction mode: nsys needs sessions of its own");
        return Err(Error::refused(why).hint(HINT));
    }
    known(|sessions| sessions.insert(place));
    Ok(())
}

/// What a refusal of a pooler means; absent where it is none of a pooler.
pub(super) fn refusal(cause: &sqlx::Error) -> Option<Error> {
    let said = cause.to_string();
    said.contains("unsupported startup parameter")
        .then(|| Error::refused(format!("postgres: a pooler answers, and refuses: {said}")).hint(HINT))
}

fn known<T>(of: impl FnOnce(&mut HashSet<String>) -> T) -> T {
    let mut sessions = SESSIONS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    of(sessions.get_or_insert_default())
}

/// Whether the server says that it has the address that was asked for.
async fn leads_there(connection: &mut PgConnection, options: &PgConnectOptions) -> bool {
    // The simple protocol: it prepares nothing.
    let asked =
        sqlx::raw_sql("SELECT coalesce(host(inet_server_addr()), ''), coalesce(inet_server_port(), 0)");
    let Ok(row) = asked.fetch_one(connection).await else { return false };
    let (Ok(address), Ok(port)) = (row.try_get::<String, _>(0), row.try_get::<i32, _>(1)) else {
        return false;
    };
    let host = options.get_host();
    let is_there = host == address || host == "localhost" && matches!(address.as_str(), "127.0.0.1" | "::1");
    is_there && i32::from(options.get_port()) == port
}

async fn are_one_session(connection: &mut PgConnection, options: &PgConnectOptions) -> Option<bool> {
    let mut other = options.connect().await.ok()?;
    for _ in 0..TURNS {
        if backend(connection).await? == backend(&mut other).await? {
            return Some(true);
        }
    }
    Some(false)
}

async fn backend(connection: &mut PgConnection) -> Option<i32> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await.ok()?;
    row.try_get(0).ok()
}
