//! PostgreSQL: one connection that is kept; what is costly is asked less often.

use super::{TIMEOUT, UpdateSender, ticks};
use crate::clients::postgres::Postgres;
use crate::domain::live::TableUse;
use crate::error::Result;
use crate::stack::Stack;
use crate::tui::update::{Database, Update};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Statements that are followed.
const STATEMENTS: i64 = 60;
/// Tables that are followed.
const TABLES: i64 = 12;
/// How often sizes are asked for: they cost a look at every file.
const SIZES_EVERY: Duration = Duration::from_secs(15);

#[derive(Default)]
struct DbSource {
    connection: Option<Postgres>,
    sizes: Option<(Instant, Vec<TableUse>, i64)>,
}

pub(super) async fn run(stack: Arc<Stack>, sender: UpdateSender) {
    // The password stays out of it: psql asks, or finds it where it looks for passwords.
    let url = stack.endpoints.postgres_url("", "notifications");
    let command = format!(
        "psql '{}' -c 'SELECT * FROM pg_stat_activity' -c 'SELECT * FROM pg_stat_statements'",
        super::masked(&url)
    );
    let mut kept = DbSource::default();
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        let answer = sender.ask(&command, fetch(&stack, &mut kept)).await;
        if answer.is_err() {
            kept.connection = None;
        }
        if !sender.send(Update::Db(answer)).await {
            return;
        }
    }
}

async fn fetch(stack: &Stack, kept: &mut DbSource) -> Result<Database> {
    let mut connection = match kept.connection.take() {
        Some(connection) => connection,
        None => Postgres::connect(&stack.database_url()?, TIMEOUT).await?,
    };
    if kept.sizes.as_ref().is_none_or(|(at, ..)| at.elapsed() >= SIZES_EVERY) {
        let (tables, bytes) = connection.table_use(TABLES).await?;
        kept.sizes = Some((Instant::now(), tables, bytes));
    }
    let (connections, limit) = connection.connection_states().await?;
    let database = Database {
        connections,
        limit,
        statements: connection.counted_statements(STATEMENTS).await?,
        locks: connection.lock_waits().await?,
        totals: connection.totals().await?,
        tables: kept.sizes.as_ref().map(|(_, tables, _)| tables.clone()).unwrap_or_default(),
        bytes: kept.sizes.as_ref().map(|(.., bytes)| *bytes),
    };
    kept.connection = Some(connection);
    Ok(database)
}
