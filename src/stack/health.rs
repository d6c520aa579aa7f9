//! Asks each part whether it can do its work, not whether its port is open.

use super::spec::{PartState, Record};
use super::{Stack, log, replica};
use crate::clients::{http, kafka, postgres::Postgres, redis};
use crate::domain::health::{HealthStatus, PartReport};
use crate::error::{Error, Result};
use futures::future::{BoxFuture, FutureExt, join_all};
use nsys_contract::{schema, topics};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(3);

/// Whether a part can do its work, and what it says.
///
/// # Errors
/// The reason why it cannot.
pub async fn probe(stack: &Stack, part: &str) -> Result<String> {
    let ports = &stack.endpoints;
    match part {
        "postgres" => {
            Postgres::connect(&server_url(stack)?, TIMEOUT).await?;
            Ok("takes connections".into())
        }
        "schema" => {
            let mut database = Postgres::connect(&stack.database_url()?, TIMEOUT).await?;
            let version = database.schema_version().await?;
            if version < schema::REQUIRED_SCHEMA_VERSION {
                return Err(Error::failed(format!(
                    "schema {version}, the service needs {}",
                    schema::REQUIRED_SCHEMA_VERSION
                )));
            }
            Ok(format!("schema {version}"))
        }
        replica::PART => follows(stack).await,
        "redis" => redis::ping(&ports.redis_url(), TIMEOUT).await.map(|()| "PONG".into()),
        "kafka" => {
            let known = kafka::topics(&ports.brokers(), TIMEOUT).await?;
            Ok(format!("{} topics", known.iter().filter(|(name, _)| !name.starts_with("__")).count()))
        }
        "topics" => {
            let known = kafka::topics(&ports.brokers(), TIMEOUT).await?;
            match topics::ALL.iter().find(|topic| !known.iter().any(|(name, _)| name == *topic)) {
                Some(missing) => Err(Error::failed(format!("topic {missing} is missing"))),
                None => Ok(format!("{} topics", topics::ALL.len())),
            }
        }
        "prometheus" => {
            let answer = http::get(&format!("{}/-/ready", ports.prometheus_url()), TIMEOUT).await?;
            if answer.status == 200 {
                Ok("ready".into())
            } else {
                Err(Error::failed(format!("answers {}", answer.status)))
            }
        }
        "jaeger" => {
            let answer = http::get(&format!("{}/api/services", ports.jaeger_url()), TIMEOUT).await?;
            if answer.status == 200 {
                Ok("takes traces".into())
            } else {
                Err(Error::failed(format!("answers {}", answer.status)))
            }
        }
        "api" => ready(stack, &ports.api_url()).await,
        replica => {
            let records = stack.records().await?;
            let record = records.iter().find(|record| record.name == replica);
            let record = record.ok_or_else(|| Error::unreachable("it does not run"))?;
            match (&record.address, record.state) {
                // Elsewhere the address may be one that only its neighbours reach.
                (Some(address), _) if stack.runtime.is_here() => {
                    ready(stack, &format!("http://{address}")).await
                }
                (Some(_), PartState::Running) => Ok("ready".into()),
                // What nsys has no client for is as well as its own health check says.
                (None, PartState::Running | PartState::Done) if record.role().is_none() => {
                    Ok("healthy".into())
                }
                (_, state) => Err(Error::unreachable(format!("it is {}", state.as_str()))),
            }
        }
    }
}

/// The server's own database, so that it answers before ours is made; elsewhere there is but one.
fn server_url(stack: &Stack) -> Result<String> {
    if stack.runtime.is_elsewhere() {
        return stack.database_url();
    }
    Ok(stack.endpoints.postgres_url(&stack.layout.secret("postgres")?, "postgres"))
}

/// Asks the service at this base address whether it can work. One that names no such request is there when it
/// answers anything.
pub(super) async fn ready(stack: &Stack, base: &str) -> Result<String> {
    let Some(path) = &stack.profile().ready else {
        let answer = http::get(base, TIMEOUT).await?;
        return Ok(format!("answers ({}); the profile names no request for ready", answer.status));
    };
    let answer = http::get(&format!("{base}{path}"), TIMEOUT).await?;
    // The companion says so with 200 alone.
    let is_ready = answer.status == 200 || !stack.profile().is_companion() && answer.status / 100 == 2;
    if is_ready {
        Ok("ready".into())
    } else {
        Err(Error::failed(format!("not ready ({}): {}", answer.status, answer.body)))
    }
}

/// Whether the replica follows its primary.
async fn follows(stack: &Stack) -> Result<String> {
    let url = stack.endpoints.replica_url(&stack.layout.secret("postgres")?);
    match Postgres::connect(&url, TIMEOUT).await?.recovery().await? {
        (true, Some(status)) if status == "streaming" => Ok("follows the primary".into()),
        (true, status) => Err(Error::failed(format!(
            "does not follow the primary: {}",
            status.unwrap_or_else(|| "it is not connected".into())
        ))),
        (false, _) => Err(Error::failed("is no longer a replica")),
    }
}

/// Every part of the stack, and the log, probed side by side.
///
/// # Errors
/// When the supervisor answers nonsense.
pub async fn probe_parts(stack: &Stack) -> Result<Vec<PartReport>> {
    if !stack.profile().is_companion() {
        return Box::pin(probe_running(stack)).await;
    }
    let (reports, log) = tokio::join!(Box::pin(probe_running(stack)), Box::pin(log::report(stack)));
    let mut reports = reports?;
    let after_topics = reports.iter().position(|one| one.name == "topics").map_or(0, |at| at + 1);
    reports.insert(after_topics, log);
    Ok(reports)
}

/// Every part of the stack, without what its log has lost or may lose.
///
/// # Errors
/// When the supervisor answers nonsense.
pub async fn probe_running(stack: &Stack) -> Result<Vec<PartReport>> {
    let records = stack.records().await?;
    let known = known(stack);
    let mut names: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
    let others = records.iter().filter(|record| record.state != PartState::Done);
    names.extend(others.map(|one| one.name.clone()).filter(|name| !known.contains(&name.as_str())));
    if stack.runtime.is_elsewhere() && stack.jaeger_url().await?.is_some() {
        names.push("jaeger".into());
    }
    if stack.endpoints.prometheus_url().is_empty() {
        names.retain(|name| name != "prometheus");
    }
    if !stack.runtime.is_elsewhere() && !names.iter().any(|name| name.starts_with("worker-")) {
        names.push("worker-1".into());
    }
    let probes =
        names.iter().map(|name| -> BoxFuture<'_, PartReport> { report(stack, name, &records).boxed() });
    let mut reports = join_all(probes).await;
    if !names.iter().any(|name| name == "jaeger") && !stack.runtime.is_elsewhere() {
        reports.push(PartReport::absent("jaeger"));
    }
    Ok(reports)
}

/// The parts that are there in any case: those of the companion, or those that the profile names.
fn known(stack: &Stack) -> Vec<&'static str> {
    if stack.profile().is_companion() {
        return vec!["postgres", "schema", "redis", "kafka", "topics", "prometheus", "api"];
    }
    let (config, mut known) = (&stack.loaded.config, vec!["api"]);
    let addresses = [
        ("postgres", &config.db.url),
        ("redis", &config.cache.url),
        ("kafka", &config.kafka.brokers),
        ("prometheus", &config.external.prometheus_url),
    ];
    known.extend(addresses.iter().filter(|(_, address)| !address.is_empty()).map(|(part, _)| *part));
    known
}

/// What does not work while a part of the companion is away.
fn consequence(stack: &Stack, part: &str) -> Option<&'static str> {
    if !stack.profile().is_companion() {
        return None;
    }
    Some(match part {
        "postgres" => "accepted notifications wait in Kafka; uncached reads fail",
        replica::PART => "reads go to the primary",
        "redis" => "reads go to PostgreSQL, idempotency is decided there",
        "kafka" => "no notification is accepted",
        "prometheus" => "metrics are not recorded; load tests cannot be judged",
        "schema" | "topics" => "the service does not start",
        "api" => "no request is answered",
        _ if part.starts_with("worker") => "accepted notifications wait in Kafka",
        _ => return None,
    })
}

async fn report(stack: &Stack, name: &str, records: &[Record]) -> PartReport {
    let start = Instant::now();
    let answer = probe(stack, name).await;
    let latency_ms = Some(start.elapsed().as_secs_f64() * 1_000.0);
    let name = name.to_owned();
    match answer {
        Ok(detail) => {
            let restarts =
                records.iter().find(|record| record.name == name).map_or(0, |record| record.restarts);
            let (status, detail) = if restarts > 0 {
                (HealthStatus::Degraded, format!("{detail}; restarted {restarts} times"))
            } else {
                (HealthStatus::Ok, detail)
            };
            PartReport { name, status, latency_ms, detail, hint: None }
        }
        Err(error) => {
            let record = records.iter().find(|record| record.name == name);
            let hint = match record {
                _ if stack.runtime == super::Runtime::External => match name.as_str() {
                    "schema" | "topics" => "nsys up --migrate".to_owned(),
                    _ => "check its address: nsys config show".to_owned(),
                },
                _ if records.is_empty() => "nsys up".to_owned(),
                Some(record) if record.state == PartState::Failed => {
                    format!("nsys logs {name}, then nsys restart {name}")
                }
                Some(_) => format!("nsys logs {name}"),
                None => "nsys up".to_owned(),
            };
            let ended = record
                .and_then(|record| record.last_exit.as_ref())
                .map(|how| format!("; it exited with {how}"));
            let breaks = consequence(stack, &name).map(|what| format!("; {what}")).unwrap_or_default();
            let detail = error.message + &ended.unwrap_or_default() + &breaks;
            PartReport { name, status: HealthStatus::Down, latency_ms: None, detail, hint: Some(hint) }
        }
    }
}
