//! Whether PostgreSQL is reached through a pooler that this service cannot work behind.

use anyhow::Context;
use sqlx::postgres::PgPool;
use sqlx::{PgConnection, Row};

/// A pooler gives whatever is free, so that two callers get the same session soon, if not at once.
const TURNS: usize = 5;

/// Refuses a pooler that gives one session to several connections and keeps their prepared statements in
/// it: a statement would meet that of somebody else. One that keeps them apart is told in the log.
pub(super) async fn check(pool: &PgPool, other: &PgPool) -> anyhow::Result<()> {
    // Whoever cannot give a second connection now gives one session to one connection.
    let (Ok(mut one), Ok(mut two)) = (pool.acquire().await, other.acquire().await) else { return Ok(()) };
    let mut is_shared = false;
    for _ in 0..TURNS {
        is_shared |= backend(&mut one).await? == backend(&mut two).await?;
    }
    if !is_shared {
        return Ok(());
    }
    for connection in [&mut one, &mut two] {
        // Of its first statement each connection takes the same name.
        sqlx::query("SELECT 1").execute(&mut **connection).await.context(
            "db.url leads through a pooler in transaction mode that mixes up prepared statements; \
             PgBouncer can keep them apart from 1.21 on (max_prepared_statements), or use pool_mode = session",
        )?;
    }
    tracing::warn!(
        "db.url leads through a pooler in transaction mode: db.statement_timeout is not in force there; \
         set statement_timeout on the role"
    );
    Ok(())
}

async fn backend(connection: &mut PgConnection) -> anyhow::Result<i32> {
    // The simple protocol: it prepares nothing.
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}
