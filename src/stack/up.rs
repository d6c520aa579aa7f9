//! What bringing a stack up needs on every runtime: waits for a condition, not for a time; the
//! ground the service stands on; the load-test account.

use super::spec::State;
use super::{Runtime, Stack, health, log};
use crate::clients::{
    api::{self, Api},
    kafka,
    postgres::Postgres,
};
use crate::error::{Error, Kind, Result};
use crate::permit::ChangePermit;
use crate::render::progress::Progress;
use nsys_contract::api::{Register, TokenGrant};
use nsys_contract::status::Role;
use nsys_contract::{schema, topics};
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

/// Database, schema and topics of a stack that nsys starts, as far as they are missing.
///
/// # Errors
/// When PostgreSQL or Kafka refuses.
pub async fn ground(permit: &ChangePermit, stack: &Stack, deadline: Instant) -> Result<()> {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(5));
    let database = async {
        let patience = Duration::from_secs(5);
        let server = stack.endpoints.postgres_url(&stack.layout.secret("postgres")?, "postgres");
        Postgres::connect(&server, patience).await?.ensure_database(permit, "notifications").await?;
        let mut ours = Postgres::connect(&stack.database_url()?, patience).await?;
        if ours.schema_version().await.unwrap_or(0) < schema::REQUIRED_SCHEMA_VERSION {
            ours.migrate(permit).await?;
        }
        Ok(())
    };
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let wanted = wanted_topics(stack).map(|(name, partitions)| (name, number(partitions)));
    let brokers = stack.endpoints.brokers();
    let topics = kafka::ensure_topics(
        permit,
        &brokers,
        &wanted,
        number(stack.loaded.config.kafka.replication),
        stack.loaded.config.kafka.retention,
        left.min(Duration::from_secs(30)),
    );
    tokio::try_join!(database, topics)?;
    log::keep_by_time(permit, stack).await
}

/// The service's topics with their partitions.
#[must_use]
pub fn wanted_topics(stack: &Stack) -> [(&'static str, u32); 3] {
    let partitions = stack.loaded.config.kafka.partitions;
    [(topics::NOTIFICATIONS, partitions), (topics::RETRY, partitions), (topics::DEAD_LETTERS, 1)]
}

/// Name of the file with the load-test account's password.
const PASSWORD: &str = "loadtest-user";

/// A token of an administrator: the one that the configuration gives for a stack that runs elsewhere, or the
/// load-test account's. Makes and promotes no account.
///
/// # Errors
/// Refused when there is no such account here, or it is no administrator; when the API does not answer.
pub async fn loadtest_user(stack: &Stack) -> Result<String> {
    let given = &stack.loaded.config.external.api_token;
    if stack.runtime.is_elsewhere() && !given.is_empty() {
        return Ok(given.clone());
    }
    let missing = |why: &str| {
        let hint = if stack.runtime.is_elsewhere() {
            "give a token of an administrator in NSYS_EXTERNAL__API_TOKEN, or have one made: nsys user bootstrap"
        } else {
            "nsys up makes it"
        };
        Err(Error::refused(format!("{LOADTEST_USER} {why}")).hint(hint))
    };
    let Some(password) = stack.layout.known_secret(PASSWORD)? else {
        return missing("has no password here: nsys made no such account on this stack");
    };
    match sign_in(stack, &password).await? {
        Some(grant) if grant.user.role == Role::Admin => Ok(grant.access_token),
        Some(_) => missing("is no administrator"),
        None => missing("is not known to the API"),
    }
}

/// The same after the account was made an administrator, or made at all, where it is not one.
///
/// # Errors
/// When the API or the database refuses.
pub async fn make_loadtest_user(permit: &ChangePermit, stack: &Stack) -> Result<String> {
    let password = stack.layout.secret(PASSWORD)?;
    let known = sign_in(stack, &password).await?;
    // An account whose making was cut short is there, but is no administrator yet.
    if known.as_ref().is_none_or(|grant| grant.user.role != Role::Admin) {
        if known.is_none() {
            let new = Register { email: LOADTEST_USER.into(), password, name: "Load test".into() };
            api::register(permit, &stack.endpoints.api_url(), &new).await?;
        }
        let mut database = Postgres::connect(&stack.database_url()?, Duration::from_secs(15)).await?;
        database.set_role(permit, LOADTEST_USER, "ADMIN").await?;
    }
    loadtest_user(stack).await
}

/// Signs the load-test account in; absent when the API does not know it by this password.
async fn sign_in(stack: &Stack, password: &str) -> Result<Option<TokenGrant>> {
    match api::sign_in(&stack.endpoints.api_url(), LOADTEST_USER, password).await {
        Ok(grant) => Ok(Some(grant)),
        Err(error) if error.kind == Kind::Refused => Ok(None),
        Err(error) => Err(error),
    }
}

/// The service's API, called as the load-test account.
///
/// # Errors
/// As [`loadtest_user`].
pub async fn operator_api(stack: &Stack) -> Result<Api> {
    Ok(Api::new(stack.endpoints.api_url(), loadtest_user(stack).await?))
}
