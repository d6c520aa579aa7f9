//! What bringing a stack up needs on every runtime: waits for a condition, not for a time; the
//! ground the service stands on; the load-test account.

use super::spec::State;
use super::{Runtime, Stack, health, log};
use crate::clients::{http, kafka, postgres::Postgres};
use crate::error::{Error, Result};
use crate::render::progress::Progress;
use nsys_contract::{api, schema, topics};
use std::time::Duration;
use tokio::time::Instant;

/// Account that load tests use; an administrator, exempt from rate limits.
pub const LOADTEST_USER: &str = "loadtest@example.com";

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
        let record = stack.records().await?.into_iter().find(|record| record.name == part);
        if record.is_none() && stack.runtime == Runtime::Local {
            // It was just started by this supervisor.
            line.finish("stopped");
            return Err(
                Error::refused(format!("{part} was stopped meanwhile, by another nsys")).hint("nsys up")
            );
        }
        let failed = record.as_ref().is_some_and(|record| record.state == State::Failed);
        if failed || Instant::now() > deadline {
            let how = record.and_then(|record| record.last_exit).map(|how| format!("; it ended with {how}"));
            let tail: String =
                stack.log_tail(part, 5).await.iter().map(|line| format!("\n  {line}")).collect();
            line.finish("not ready");
            return Err(Error::unreachable(format!(
                "{part} is not ready: {reason}{}{tail}",
                how.unwrap_or_default()
            ))
            .hint(format!("nsys logs {part}")));
        }
        let slow = Instant::now() > started + Duration::from_secs(10);
        let last = if slow { stack.log_tail(part, 1).await.pop() } else { None };
        let last = last.map(|line| format!(" | log: {line}")).unwrap_or_default();
        line.update(&format!("waits: {reason}{last}"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Database, schema and topics, as far as they are missing.
///
/// # Errors
/// When PostgreSQL or Kafka refuses.
pub async fn ground(stack: &Stack, deadline: Instant) -> Result<()> {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(5));
    let database = async {
        let patience = Duration::from_secs(5);
        if !stack.runtime.is_elsewhere() {
            // Elsewhere the address names a database that is there already.
            let server = stack.endpoints.postgres_url(&stack.layout.secret("postgres")?, "postgres");
            Postgres::connect(&server, patience).await?.ensure_database("notifications").await?;
        }
        let mut ours = Postgres::connect(&stack.database_url()?, patience).await?;
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
        settings.retention,
        left.min(Duration::from_secs(30)),
    );
    tokio::try_join!(database, topics)?;
    log::keep_by_time(stack).await
}

/// Logs the load-test account in, creating it on first use. Returns its token.
///
/// # Errors
/// When the API refuses.
pub async fn loadtest_user(stack: &Stack) -> Result<String> {
    let given = &stack.loaded.config.external.api_token;
    if stack.runtime.is_elsewhere() && !given.is_empty() {
        return Ok(given.clone());
    }
    let (base, patience) = (stack.endpoints.api_url(), Duration::from_secs(15));
    let password = stack.layout.secret("loadtest-user")?;
    let login = api::Login { email: LOADTEST_USER.into(), password: password.clone() };
    let sign_in = async || http::post(&format!("{base}{}", api::paths::LOGIN), &login, patience).await;
    let mut answer = sign_in().await?;
    let unknown = answer.status == 401;
    // An account whose making was cut short is there, but is no administrator yet.
    if unknown || answer.body["user"]["role"].as_str().is_some_and(|role| role != "ADMIN") {
        if stack.loaded.config.stack.protected && stack.runtime.is_elsewhere() {
            return Err(Error::refused("this stack is protected; nsys makes no account there")
                .hint("give a token of an administrator: NSYS_EXTERNAL__API_TOKEN"));
        }
        if unknown {
            let new = api::Register { email: LOADTEST_USER.into(), password, name: "Load test".into() };
            let made = http::post(&format!("{base}{}", api::paths::REGISTER), &new, patience).await?;
            if made.status != 201 {
                let why = format!("cannot create {LOADTEST_USER}: {} {}", made.status, made.body);
                return Err(Error::failed(why));
            }
        }
        Postgres::connect(&stack.database_url()?, patience).await?.set_role(LOADTEST_USER, "ADMIN").await?;
        answer = sign_in().await?;
    }
    answer.body["access_token"].as_str().map(str::to_owned).ok_or_else(|| {
        Error::failed(format!("cannot sign {LOADTEST_USER} in: {} {}", answer.status, answer.body))
    })
}
