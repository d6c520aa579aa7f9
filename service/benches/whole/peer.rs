//! What the service is measured against: the least that a route can do, without and with the log.
//!
//! Both verify an HS256 token, read JSON and answer JSON of the service's shape. The prototype also sends
//! with acks=all and waits for the delivery report: the service's promise, without its features.

use super::hs256;
use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use nsys_contract::api::Notification;
use nsys_contract::status::{Channel, NotificationType, Priority, Status};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const SECRET: &[u8] = b"a secret of the peers, known to everybody";
/// Where the prototype's messages go: nobody reads them.
pub(crate) const TOPIC: &str = "notifications-bench";

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
}

/// A token that the peers accept.
pub(crate) fn token() -> Result<String> {
    let claims = Claims { sub: "bench".to_owned(), exp: 4_000_000_000 };
    hs256::install();
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET))?)
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    id: Uuid,
    user_id: String,
    channel: String,
    #[serde(rename = "type")]
    kind: String,
    payload: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
}

struct Peer {
    since: jiff::Timestamp,
    key: DecodingKey,
    validation: Validation,
    producer: Option<FutureProducer>,
}

impl Peer {
    fn verify(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let token =
            headers.get(header::AUTHORIZATION).and_then(|text| text.to_str().ok()?.strip_prefix("Bearer "));
        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
        let verified = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation);
        verified.map(|_| ()).map_err(|_| StatusCode::UNAUTHORIZED)
    }
}

async fn create(
    State(peer): State<Arc<Peer>>,
    headers: HeaderMap,
    Json(mut body): Json<Body>,
) -> Result<(StatusCode, Json<Body>), StatusCode> {
    peer.verify(&headers)?;
    body.id = Uuid::now_v7();
    if let Some(producer) = &peer.producer {
        let text = serde_json::to_vec(&body).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        let record = FutureRecord::to(TOPIC).key(&body.user_id).payload(&text);
        let sent = producer.send(record, Duration::ZERO).await;
        sent.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    }
    Ok((StatusCode::CREATED, Json(body)))
}

async fn read(
    State(peer): State<Arc<Peer>>,
    headers: HeaderMap,
    Path(id): Path<Uuid>,
) -> Result<Json<Notification>, StatusCode> {
    peer.verify(&headers)?;
    Ok(Json(Notification {
        id,
        user_id: "user-1".to_owned(),
        tenant_id: None,
        channel: Channel::InApp,
        kind: NotificationType::Transactional,
        priority: Priority::Medium,
        status: Status::Pending,
        scheduled_for: None,
        created_at: peer.since,
        updated_at: peer.since,
        correlation_id: None,
        idempotency_key: None,
        expires_at: None,
        duplicate: false,
    }))
}

/// Serves at `listen` until the process is ended; with `brokers` as the prototype.
pub(crate) async fn serve(listen: SocketAddr, brokers: Option<&str>) -> Result<()> {
    let producer = match brokers {
        Some(brokers) => Some(producer(brokers).await?),
        None => None,
    };
    hs256::install();
    let peer = Peer {
        since: jiff::Timestamp::now(),
        key: DecodingKey::from_secret(SECRET),
        validation: Validation::new(Algorithm::HS256),
        producer,
    };
    let routes = Router::new().route("/notifications", post(create)).route("/notifications/{id}", get(read));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    axum::serve(listener, routes.with_state(Arc::new(peer))).await?;
    Ok(())
}

/// Set as the service sets its own.
async fn producer(brokers: &str) -> Result<FutureProducer> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("batch.size", "1000000")
        .set("message.timeout.ms", "5000")
        .create()?;
    let first = producer.send(FutureRecord::to(TOPIC).key("warm-up").payload("{}"), Duration::ZERO).await;
    first.map_err(|(cause, _)| cause).context("the prototype's topic takes no message")?;
    Ok(producer)
}
