//! Delivery: attempts ended, due rows claimed.
//!
//! When a row is due is decided by PostgreSQL's clock: a wait is handed over as a span, so that a worker
//! whose clock jumps, before a decision or after it, puts nothing off by hours.
//!
//! Every statement takes a batch. What is final stays as it is, so that a message or an attempt that
//! comes again takes effect once.

use super::rows::unreadable;
use super::{Db, DbError, member};
use crate::domain::stored::measure;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use nsys_contract::event::{Envelope, SCHEMA_VERSION};
use nsys_contract::schema;
use nsys_contract::status::{Channel, NotificationType, Priority, Status};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};
use std::time::Duration;
use uuid::Uuid;

/// When a row is due again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Due {
    /// At a time of day that somebody chose.
    At(Timestamp),
    /// So long after it is written.
    In(Duration),
}

impl Due {
    pub(super) fn at(self) -> Option<jiff_sqlx::Timestamp> {
        if let Self::At(at) = self { Some(at.to_sqlx()) } else { None }
    }

    pub(super) fn seconds(self) -> Option<f64> {
        if let Self::In(wait) = self { Some(wait.as_secs_f64()) } else { None }
    }
}

/// The state a row is written in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowState {
    pub(crate) status: Status,
    /// When the scheduler is to look at it. Ignored for `PROCESSING`, which gets a lease.
    pub(crate) due: Option<Due>,
    /// Attempts that failed so far.
    pub(crate) retry_count: u32,
    /// The attempt that led here, if there was one.
    pub(crate) attempt: Option<AttemptMade>,
    /// Why, when it is not as it should be.
    pub(crate) error: Option<String>,
    /// Whether it failed for good at once, not by exhaustion.
    pub(crate) refused: bool,
    /// How long it was held back in this round, this time included; `None`: as long as before.
    pub(crate) held: Option<Duration>,
}

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AttemptMade {
    /// Counted from 1.
    pub(crate) number: u32,
    pub(crate) provider: &'static str,
    pub(crate) took: Duration,
}

impl RowState {
    /// A state without an attempt.
    pub(crate) const fn new(status: Status, due: Option<Due>) -> Self {
        Self { status, due, retry_count: 0, attempt: None, error: None, refused: false, held: None }
    }

    /// Attempts that had failed before this state. An end that comes late, after another worker took the
    /// row over and recorded the same attempt, finds another number and changes nothing.
    fn failed_before(&self) -> u32 {
        self.attempt.map_or(self.retry_count, |attempt| attempt.number.saturating_sub(1))
    }

    /// Whether more than the row itself has to be written. What waits for its own time needs no more; what
    /// waits for another reason (quiet hours) does.
    pub(super) fn leaves_history(&self) -> bool {
        match self.status {
            Status::Retrying | Status::Failed => true,
            Status::Scheduled => self.error.is_some(),
            _ => false,
        }
    }

    const fn reason(&self) -> &'static str {
        if self.refused { "permanent" } else { "exhausted" }
    }
}

/// A row that a worker holds.
pub(crate) struct ClaimedRow {
    pub(crate) envelope: Envelope,
    /// Number of the first attempt of this round, from 1.
    pub(crate) first_attempt: u32,
    /// The number of this claim, from 1; who inserts a row holds it by claim 0.
    pub(crate) claim: i32,
    /// How long it was held back in this round because the circuit of its destination was open.
    pub(crate) held: Duration,
    /// Bytes of its payload, and those that it takes in memory, about.
    pub(crate) bytes: usize,
    pub(crate) memory: usize,
}

/// Largest payload that a worker reads, in bytes: what was accepted before payloads were bounded may have
/// grown in the table.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 4 << 20;

/// How much of a channel is claimed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelCapacity {
    pub(crate) channel: Channel,
    /// Rows at most.
    pub(crate) free: usize,
    /// Bytes of payload at most, but for the first row.
    pub(crate) bytes: usize,
}

/// Rows that a worker took.
#[derive(Default)]
pub(crate) struct ClaimedRows {
    pub(crate) due: Vec<ClaimedRow>,
    /// Those that cannot be read.
    pub(crate) poison: Vec<UnreadableClaim>,
}

/// A row that a worker holds and cannot read.
pub(crate) struct UnreadableClaim {
    pub(crate) id: Uuid,
    pub(crate) error: String,
    /// What it is, as far as it is known: channel, type, priority, and when it was accepted, in ms.
    pub(crate) about: Option<(Channel, NotificationType, Priority, i64)>,
}

/// The end of an attempt, or of a look at a row.
pub(crate) struct FinishedAttempt {
    pub(crate) id: Uuid,
    /// The number of the claim that the row was held by. Where another worker has claimed it since, this end comes
    /// too late and changes nothing.
    pub(crate) claim: i32,
    pub(crate) state: RowState,
}

const FINAL: &str = "('SENT', 'DELIVERED', 'FAILED', 'CANCELLED', 'EXPIRED')";

/// Writes what a failed attempt leaves beside the row: the attempt, the event, the dead letter.
/// `$1` ids, `$2` attempt numbers, `$3` providers, `$4` ms, `$5` errors, `$6` reasons.
const HISTORY: &str = concat!(
    "WITH tried AS (
         SELECT n.*, t.attempt, t.by_provider, t.took_ms, t.error, t.reason
         FROM UNNEST($1::uuid[], $2::int[], $3::text[], $4::real[], $5::text[], $6::text[])
             AS t(tried_id, attempt, by_provider, took_ms, error, reason)
         JOIN notifications n ON n.id = t.tried_id
     ), attempts AS (
         INSERT INTO delivery_attempts (notification_id, attempt, provider, outcome, error, duration_ms, started_at)
         SELECT id, attempt, by_provider, status, error, took_ms, now() - make_interval(secs => took_ms / 1000)
         FROM tried WHERE status = 'RETRYING' AND attempt IS NOT NULL
         ON CONFLICT (notification_id, attempt) DO NOTHING
     ), happened AS (
         INSERT INTO events (notification_id, status, detail) SELECT id, status, error FROM tried
         WHERE status IN ('RETRYING', 'SCHEDULED')
     )
     INSERT INTO dead_letters (notification_id, tenant_id, user_id, channel, attempts, reason, error, raw)
     SELECT id, tenant_id, user_id, channel, retry_count + 1, reason, coalesce(error, ''), ",
    envelope_sql!(),
    "
     FROM tried WHERE status = 'FAILED'
     ON CONFLICT (notification_id) WHERE notification_id IS NOT NULL AND redriven_at IS NULL DO NOTHING"
);

/// What the stored row of a message says that came again.
pub(crate) struct ExistingRow {
    /// Whether there is a row with its id at all.
    pub(crate) stored: bool,
    pub(crate) request_hash: Option<String>,
    pub(crate) user_id: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) kind: Option<String>,
    /// JSON text, where a key has no fingerprints to compare.
    pub(crate) payload: Option<String>,
}

impl Db {
    /// Records messages that came again after their rows were stored, and returns what those rows say. A row that an
    /// earlier worker left behind without a lease becomes due; a key that came again with another request
    /// is noted once.
    pub(crate) async fn record_redelivery(
        &self,
        again: &[(Uuid, Option<&str>)],
    ) -> Result<Vec<ExistingRow>, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "WITH again AS (
                 SELECT * FROM UNNEST($1::uuid[], $2::text[]) WITH ORDINALITY AS t(id, request_hash, place)
             ), left_behind AS (
                 UPDATE notifications n SET next_attempt_at = now() FROM again a
                 WHERE n.id = a.id AND n.status = 'PENDING' AND n.next_attempt_at IS NULL
             ), noted AS (
                 INSERT INTO events (notification_id, status, detail)
                 SELECT DISTINCT n.id, 'DUPLICATE_CONFLICT', 'the idempotency key was used again for a different request'
                 FROM notifications n JOIN again a USING (id)
                 WHERE n.request_hash <> a.request_hash AND NOT EXISTS (
                     SELECT 1 FROM events e WHERE e.notification_id = n.id AND e.status = 'DUPLICATE_CONFLICT')
             )
             SELECT n.id IS NOT NULL AS stored, n.request_hash, n.user_id, n.channel, n.type,
                 CASE WHEN n.idempotency_key IS NOT NULL AND (n.request_hash IS NULL OR a.request_hash IS NULL)
                     THEN n.payload::text END AS payload
             FROM again a LEFT JOIN notifications n USING (id) ORDER BY a.place",
        )
        .bind(again.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(again.iter().map(|(_, hash)| *hash).collect::<Vec<_>>())
        .fetch_all(&mut *connection);
        let rows = self.timed("update", schema::NOTIFICATIONS, query).await?;
        let existing = |row: &PgRow| {
            Ok(ExistingRow {
                stored: row.try_get("stored")?,
                request_hash: row.try_get("request_hash")?,
                user_id: row.try_get("user_id")?,
                channel: row.try_get("channel")?,
                kind: row.try_get("type")?,
                payload: row.try_get("payload")?,
            })
        };
        rows.iter().map(existing).collect::<Result<_, sqlx::Error>>().map_err(DbError::from)
    }

    /// Writes the ends of attempts with what they leave behind, in one transaction, and returns which took
    /// effect: a row that is final already, or whose attempt another worker recorded, is not changed.
    pub(crate) async fn finish(&self, ended: &[FinishedAttempt]) -> Result<Vec<Uuid>, DbError> {
        if ended.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.acquire().await?;
        let both = async {
            let mut transaction = connection.begin().await?;
            let changed = update(&mut transaction, ended).await?;
            let history = |one: &&FinishedAttempt| one.state.leaves_history() && changed.contains(&one.id);
            let states = ended.iter().filter(history).map(|one| (one.id, &one.state)).collect::<Vec<_>>();
            if !states.is_empty() {
                write_history(&mut transaction, &states).await?;
            }
            transaction.commit().await?;
            Ok(changed)
        };
        self.timed("update", schema::NOTIFICATIONS, both).await
    }

    /// Takes rows that are due (scheduled, retrying, waiting for capacity, or left behind by a worker that
    /// died), up to a number and so many bytes of payload for each channel, and holds them for `lease`. Two
    /// workers never get the same row. The first row of a channel is taken whatever its size, up to
    /// [`MAX_PAYLOAD_BYTES`]; a larger one cannot be read.
    pub(crate) async fn claim_due(
        &self,
        capacity: &[ChannelCapacity],
        lease: Duration,
    ) -> Result<ClaimedRows, DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "WITH due AS MATERIALIZED (
                 SELECT one.id, one.next_attempt_at, one.bytes, capacity.channel, capacity.bytes AS most
                 FROM UNNEST($1::text[], $2::bigint[], $3::bigint[]) AS capacity(channel, free, bytes), LATERAL (
                     SELECT id, next_attempt_at, octet_length(payload::text) AS bytes FROM notifications n
                     WHERE n.channel = capacity.channel AND next_attempt_at <= now()
                         AND status IN ('PENDING', 'SCHEDULED', 'RETRYING', 'PROCESSING')
                     ORDER BY next_attempt_at LIMIT capacity.free FOR UPDATE SKIP LOCKED) AS one
             ), taken AS (
                 SELECT id, bytes FROM (
                     SELECT id, bytes, most, sum(bytes) OVER (PARTITION BY channel ORDER BY next_attempt_at, id) AS upto
                     FROM due) AS sized
                 WHERE upto - bytes < most
             )
             UPDATE notifications n SET status = 'PROCESSING', next_attempt_at = now() + make_interval(secs => $4),
                 updated_at = now(), claims = n.claims + 1
             FROM taken WHERE n.id = taken.id
             RETURNING n.id, user_id, tenant_id, channel, type, priority, retry_count, first_attempt,
                 CASE WHEN taken.bytes <= $5 THEN payload::text END AS payload, taken.bytes,
                 scheduled_for, expires_at, created_at, correlation_id, causation_id, idempotency_key, request_hash,
                 held_s, claims",
        )
        .bind(capacity.iter().map(|capacity| capacity.channel.as_str()).collect::<Vec<_>>())
        .bind(capacity.iter().map(|capacity| whole(capacity.free)).collect::<Vec<_>>())
        .bind(capacity.iter().map(|capacity| whole(capacity.bytes)).collect::<Vec<_>>())
        .bind(lease.as_secs_f64())
        .bind(whole(MAX_PAYLOAD_BYTES))
        .fetch_all(&mut *connection);
        let rows = self.timed("update", schema::NOTIFICATIONS, query).await?;
        let mut claims = ClaimedRows::default();
        for row in &rows {
            match claimed(row) {
                Ok(one) => claims.due.push(one),
                Err(cause) => claims.poison.push(poison(row, &cause)),
            }
        }
        Ok(claims)
    }

    /// Releases the leases of rows that were claimed but not tried, so that another worker may claim them now.
    pub(crate) async fn release_leases(&self, ids: &[Uuid]) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        let query = sqlx::query(
            "UPDATE notifications SET next_attempt_at = now() WHERE id = ANY($1) AND status = 'PROCESSING'",
        )
        .bind(ids)
        .execute(&mut *connection);
        self.timed("update", schema::NOTIFICATIONS, query).await.map(|_| ())
    }
}

pub(super) fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

/// The same of values that are often missing. Where all are, none is sent: UNNEST fills up what is shorter.
pub(super) fn sparse<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> Option<V>) -> Vec<Option<V>> {
    let values = column(rows, value);
    if values.iter().all(Option::is_none) { Vec::new() } else { values }
}

pub(super) fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn ms(took: Duration) -> f32 {
    took.as_secs_f32() * 1_000.0
}

async fn update(connection: &mut PgConnection, ended: &[FinishedAttempt]) -> Result<Vec<Uuid>, sqlx::Error> {
    let sql = format!(
        "UPDATE notifications n
         SET status = e.status, retry_count = e.retry_count, error_message = e.error,
             next_attempt_at = e.due, updated_at = now(),
             provider = CASE WHEN e.due IS NULL THEN e.provider END,
             duration_ms = CASE WHEN e.due IS NULL THEN e.took_ms END,
             sent_at = CASE WHEN e.status IN ('SENT', 'DELIVERED') THEN now() END,
             failed_at = CASE WHEN e.status = 'FAILED' THEN now() END,
             event_id = CASE WHEN e.due IS NULL THEN nextval('events_id_seq') END,
             held_s = coalesce(e.held_s, n.held_s)
         FROM (SELECT *, coalesce(due_at, now() + make_interval(secs => wait_s)) AS due
             FROM UNNEST($1::uuid[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::text[], $7::real[],
             $8::int[], $9::float8[], $10::real[], $11::int[])
             AS t(id, status, retry_count, error, due_at, provider, took_ms, failed_before, wait_s, held_s, claim)) AS e
         WHERE n.id = e.id AND n.status NOT IN {FINAL} AND n.retry_count = e.failed_before
             AND n.claims = e.claim
         RETURNING n.id"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(column(ended, |one| one.id))
        .bind(column(ended, |one| one.state.status.as_str()))
        .bind(column(ended, |one| count(one.state.retry_count)))
        .bind(sparse(ended, |one| one.state.error.as_deref()))
        .bind(sparse(ended, |one| one.state.due.and_then(Due::at)))
        .bind(column(ended, |one| one.state.attempt.map(|attempt| attempt.provider)))
        .bind(column(ended, |one| one.state.attempt.map(|attempt| ms(attempt.took))))
        .bind(column(ended, |one| count(one.state.failed_before())))
        .bind(sparse(ended, |one| one.state.due.and_then(Due::seconds)))
        .bind(sparse(ended, |one| one.state.held.map(|held| held.as_secs_f32())))
        .bind(column(ended, |one| one.claim))
        .fetch_all(connection)
        .await
}

pub(super) async fn write_history(
    connection: &mut PgConnection,
    states: &[(Uuid, &RowState)],
) -> Result<(), sqlx::Error> {
    let made = |value: fn(AttemptMade) -> i32| column(states, |(_, state)| state.attempt.map(value));
    sqlx::query(HISTORY)
        .bind(column(states, |(id, _)| *id))
        .bind(made(|attempt| count(attempt.number)))
        .bind(column(states, |(_, state)| state.attempt.map(|attempt| attempt.provider)))
        .bind(column(states, |(_, state)| state.attempt.map(|attempt| ms(attempt.took))))
        .bind(column(states, |(_, state)| state.error.as_deref()))
        .bind(column(states, |(_, state)| state.reason()))
        .execute(connection)
        .await
        .map(|_| ())
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What is known of a row that cannot be read.
fn poison(row: &PgRow, cause: &sqlx::Error) -> UnreadableClaim {
    let about = || {
        let accepted = row.try_get::<jiff_sqlx::Timestamp, _>("created_at").ok()?.to_jiff().as_millisecond();
        let (kind, priority) = (member(row, "type").ok()?, member(row, "priority").ok()?);
        Some((member(row, "channel").ok()?, kind, priority, accepted))
    };
    let unreadable = unreadable(schema::NOTIFICATIONS, row, cause);
    // It was found by this id.
    UnreadableClaim {
        id: row.try_get("id").unwrap_or_default(),
        error: format!("it cannot be read: {}", unreadable.error),
        about: about(),
    }
}

/// The text of a payload, and what it says.
fn payload(row: &PgRow) -> Result<(&str, serde_json::Value), sqlx::Error> {
    let wrong = |source: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::ColumnDecode {
        index: "payload".to_owned(),
        source,
    };
    let Some(text) = row.try_get::<Option<&str>, _>("payload")? else {
        let bytes: i32 = row.try_get("bytes")?;
        return Err(wrong(format!("{bytes} bytes are more than {MAX_PAYLOAD_BYTES}").into()));
    };
    serde_json::from_str(text).map(|value| (text, value)).map_err(|cause| wrong(cause.into()))
}

fn claimed(row: &PgRow) -> Result<ClaimedRow, sqlx::Error> {
    let ms = |column: &str| {
        row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column)
            .map(|at| at.map(|at| at.to_jiff().as_millisecond()))
    };
    let number = |column: &str| row.try_get::<i32, _>(column).map(i32::unsigned_abs);
    let (text, payload) = payload(row)?;
    let envelope = Envelope {
        id: row.try_get("id")?,
        version: SCHEMA_VERSION.to_owned(),
        timestamp: ms("created_at")?.unwrap_or_default(),
        idempotency_key: row.try_get("idempotency_key")?,
        request_hash: row.try_get("request_hash")?,
        user_id: row.try_get("user_id")?,
        tenant_id: row.try_get("tenant_id")?,
        kind: member(row, "type")?,
        channel: member(row, "channel")?,
        priority: member(row, "priority")?,
        status: Status::Processing,
        scheduled_for: ms("scheduled_for")?,
        expires_at: ms("expires_at")?,
        payload,
        correlation_id: row.try_get("correlation_id")?,
        causation_id: row.try_get("causation_id")?,
        retry_count: number("retry_count")?,
    };
    let held = Duration::try_from_secs_f32(row.try_get("held_s")?).unwrap_or_default();
    let (bytes, memory) = (text.len(), measure(text).memory());
    let (first_attempt, claim) = (number("first_attempt")?, row.try_get("claims")?);
    Ok(ClaimedRow { envelope, first_attempt, claim, held, bytes, memory })
}
