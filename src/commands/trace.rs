//! `nsys trace`: one notification, followed from the request to its final status; `nsys traces`: recorded ones.

use crate::cli::{TraceArgs, TracesArgs};
use crate::clients::{jaeger, kafka, postgres::Postgres};
use crate::domain::partitioner;
use crate::domain::trace::{Station, TraceSummary, traceparent};
use crate::error::{Error, Result};
use crate::permit::{Consent, PermitRequest, Reach, RequiredConsent};
use crate::render::schema::AnswerSchema;
use crate::render::{Out, OutputFormat, Report, Tone, format, style::paint, table::Table};
use crate::stack::{Stack, account, safety};
use nsys_contract::api::paths;
use nsys_contract::status::Status;
use nsys_contract::topics;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Serialize, schemars::JsonSchema)]
struct Journey {
    trace_id: String,
    notification_id: Uuid,
    status: String,
    stations: Vec<Station>,
    link: Option<String>,
}

impl Report for Journey {
    fn text(&self) -> String {
        let mut table = Table::new(["station", "after", "since the one before", "detail"]).right(&[1, 2]);
        let mut before = 0.0;
        for station in &self.stations {
            let took = format::millis((station.after_ms - before).max(0.0));
            table.row([
                station.name.to_owned(),
                format::millis(station.after_ms),
                took,
                station.detail.clone(),
            ]);
            before = station.after_ms;
        }
        let link = self.link.as_ref().map_or_else(
            || "no traces are kept; nsys up --with jaeger".to_owned(),
            |link| paint(Tone::Command, link),
        );
        format!(
            "trace {}, notification {}\n\n{}\n\n{link}",
            self.trace_id,
            self.notification_id,
            table.text()
        )
    }
}

/// Sends one notification and follows it.
pub(super) async fn trace(stack: &Stack, args: TraceArgs, out: Out) -> Result<()> {
    let change = PermitRequest { what: "trace", reach: Reach::Api, agreement: RequiredConsent::Command };
    let consent = Consent { yes: false, name: args.confirm.as_deref() };
    let permit = safety::permit(stack, change, consent, out).await?;
    let api = account::operator_api(stack).await?;
    let trace_id = Uuid::new_v4().simple().to_string();
    let user = format!("trace-{}", &trace_id[..12]);
    let (partition, end) = place_in_log(stack, &user).await?;
    let mut database = stack.postgres().await?;
    let body = serde_json::json!({
        "userId": user, "channel": "IN_APP", "type": "SYSTEM", "correlationId": trace_id,
        "payload": {"title": "trace", "message": "sent by nsys trace"},
    });
    let header = traceparent(&trace_id, &Uuid::new_v4().simple().to_string()[..16]);
    let url = format!("{}{}", stack.endpoints.api_url(), paths::NOTIFICATIONS);

    let (sent, sent_ms) = (Instant::now(), crate::clock::now().as_millisecond());
    let after = move || sent.elapsed().as_secs_f64() * 1_000.0;
    let made = api.create_traced(&permit, &[("traceparent", &header)], &body, TIMEOUT).await;
    let answered = after();
    let id = made.map_err(|error| error.hint("nsys health"))?;
    let brokers = stack.endpoints.brokers();
    let logged = kafka::find(&brokers, topics::NOTIFICATIONS, partition, end, id, TIMEOUT);
    let followed = follow(&mut database, id, args.timeout, after);
    let (logged, followed) = tokio::join!(logged, followed);
    let (mut stations, status) = followed?;
    if let Some(found) = logged? {
        // The log's clock has only milliseconds: it cannot be later than the answer that waited for it.
        let after_ms = ((found.timestamp_ms - sent_ms) as f64).clamp(0.0, answered);
        let detail = format!("{}[{partition}] offset {}", topics::NOTIFICATIONS, found.offset);
        stations.push(Station { name: "logged", after_ms, detail });
    }
    stations.push(Station { name: "answered", after_ms: answered, detail: format!("201, {url}") });
    stations.sort_by(|a, b| a.after_ms.total_cmp(&b.after_ms));
    let jaeger = stack.jaeger_url().await?;
    let link = jaeger.map(|base| format!("{base}/trace/{trace_id}"));
    out.report(&Journey { trace_id, notification_id: id, status, stations, link })
}

/// The partition of this user's messages and its end, before anything is sent.
async fn place_in_log(stack: &Stack, user: &str) -> Result<(i32, i64)> {
    let partitions = kafka::describe(&stack.endpoints.brokers(), topics::NOTIFICATIONS, TIMEOUT).await?;
    let partitions = partitions.ok_or_else(|| {
        Error::failed(format!("there is no topic {}", topics::NOTIFICATIONS)).hint("nsys up")
    })?;
    let count = u32::try_from(partitions.len()).unwrap_or(1);
    let index = i32::try_from(partitioner::partition(user.as_bytes(), count)).unwrap_or(0);
    let end = partitions.iter().find(|one| one.partition == index).and_then(|one| one.end);
    let end = end.ok_or_else(|| {
        Error::unreachable(format!("kafka: nobody answers for {}-{index}", topics::NOTIFICATIONS))
            .hint(format!("nsys kafka describe {}", topics::NOTIFICATIONS))
    })?;
    Ok((index, end))
}

/// Looks at the row until it is final. Times are those of the first look that saw the change.
async fn follow(
    database: &mut Postgres,
    id: Uuid,
    timeout: Duration,
    after: impl Fn() -> f64,
) -> Result<(Vec<Station>, String)> {
    let deadline = Instant::now() + timeout;
    let (mut stations, mut attempts) = (Vec::new(), 0);
    loop {
        let progress = database.progress_of(id).await?;
        let now = after();
        if let Some(progress) = &progress {
            if stations.is_empty() {
                let detail = format!("row, {}", progress.status);
                stations.push(Station { name: "stored", after_ms: now, detail });
            }
            let status: Option<Status> = progress.status.parse().ok();
            if progress.attempts > attempts {
                attempts = progress.attempts;
                let went =
                    progress.last.as_ref().map(|(through, ms)| format!(" through {through}, {ms:.1} ms"));
                let error = progress.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
                let detail = format!("attempt {attempts}{}{error}", went.unwrap_or_default());
                stations.push(Station { name: "attempted", after_ms: now, detail });
            }
            if status.is_some_and(Status::is_final) {
                stations.push(Station { name: "final", after_ms: now, detail: progress.status.clone() });
                return Ok((stations, progress.status.clone()));
            }
        }
        if Instant::now() > deadline {
            let (state, hint) = progress.map_or_else(
                || {
                    (
                        "published, but not yet stored by a worker".to_owned(),
                        "nsys lag, then nsys logs worker",
                    )
                },
                |progress| (format!("{} after {attempts} attempts", progress.status), "nsys logs worker"),
            );
            return Err(Error::failed(format!("notification {id} is not final after {timeout:?}: {state}"))
                .hint(hint));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Recorded traces, slowest first.
pub(super) async fn traces(stack: &Stack, args: TracesArgs, out: Out) -> Result<()> {
    let objective = Duration::from_secs_f64(stack.loaded.config.objectives.p95_ms.max(0.0) / 1_000.0);
    let search = jaeger::TraceSearch {
        service: stack.loaded.config.telemetry.service_name.clone(),
        operation: args.operation,
        errors: args.errors,
        min: args.min.or(args.slow.then_some(objective)),
        since: args.since,
        limit: args.limit,
    };
    let base = stack.jaeger_url().await?.ok_or_else(|| {
        Error::unreachable("no traces are kept: there is no Jaeger").hint("nsys up --with jaeger")
    })?;
    let found = jaeger::search(&base, &search).await?;
    if out.format() == OutputFormat::Json {
        return out.json(&found);
    }
    if found.is_empty() {
        return out.line("no matching trace; traces are sampled: telemetry.trace_sample");
    }
    out.line(&table(&found, &base).text())
}

fn table(found: &[TraceSummary], base: &str) -> Table {
    let mut table =
        Table::new(["duration", "operation", "spans", "errors", "longest part", "link"]).right(&[0, 2, 3]);
    for one in found {
        let longest = one.slowest.as_ref().map(|(name, ms)| format!("{name} {}", format::millis(*ms)));
        let errors = one.errors.to_string();
        table.row([
            format::millis(one.duration_ms),
            one.operation.clone(),
            one.spans.to_string(),
            if one.errors > 0 { paint(Tone::Bad, &errors) } else { errors },
            format::or_missing(longest, |text| text),
            format!("{base}/trace/{}", one.trace_id),
        ]);
    }
    table
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<Journey>("trace", 1), AnswerSchema::of::<Vec<TraceSummary>>("traces", 1)]
}
