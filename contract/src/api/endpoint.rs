//! Webhook endpoints: receivers that a tenant registers, each with a secret of its own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Texts of a bounded length, at most so many.
#[cfg(feature = "openapi")]
fn event_types() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
    use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
    let one = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(128));
    ArrayBuilder::new().items(one).max_items(Some(50)).into()
}

/// A webhook endpoint as the API shows it: everything but its secret and the values of its headers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct WebhookEndpoint {
    /// Notifications name it by this, as `endpointId` of their payload.
    pub id: Uuid,
    /// The tenant it belongs to.
    pub tenant_id: Option<String>,
    /// Where it is called.
    pub url: String,
    /// What it is for.
    pub description: String,
    /// The event types it gets; all of them when there is none. `invoice.*` stands for all that begin with
    /// `invoice.`.
    pub event_types: Vec<String>,
    /// Names of the headers that each of its requests carries. Their values are never shown.
    pub header_names: Vec<String>,
    /// Until when requests are signed with the previous secret as well.
    pub previous_secret_until: Option<Timestamp>,
    /// Since when every attempt has failed.
    pub failing_since: Option<Timestamp>,
    /// When it was disabled: nothing is sent there since.
    pub disabled_at: Option<Timestamp>,
    /// Why it was disabled.
    pub disabled_reason: Option<String>,
    /// Counts its changes, from 1.
    pub version: i32,
    /// The account or the API key it was created with.
    pub created_by: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Body of `POST /endpoints`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewWebhookEndpoint {
    /// Where it is called, by `http` or `https`; not into a private network.
    #[cfg_attr(feature = "openapi", schema(max_length = 2048, example = "https://example.com/hooks"))]
    pub url: String,
    /// The tenant; the caller's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
    /// What it is for.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 500))]
    pub description: String,
    /// The event types it gets, such as `invoice.paid` or `invoice.*`; all of them when left out. At most 50.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(schema_with = event_types))]
    pub event_types: Vec<String>,
    /// Headers that each of its requests carries, such as `Authorization`; at most 20. They are encrypted at rest.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// Answer to `POST /endpoints`. The secret is shown this once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct IssuedWebhookEndpoint {
    /// Verifies the signatures (Standard Webhooks, `whsec_…`).
    pub secret: String,
    /// The endpoint.
    pub endpoint: WebhookEndpoint,
}

/// Body of `PATCH /endpoints/{id}`: what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WebhookEndpointUpdate {
    /// Where it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 2048))]
    pub url: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 500))]
    pub description: Option<String>,
    /// The event types it gets; all of them when empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = event_types))]
    pub event_types: Option<Vec<String>>,
    /// Its headers, all of them: one that is left out is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// `true` sends nothing there, `false` sends again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// Query of `GET /endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WebhookEndpointQuery {
    /// Only this tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
    /// The `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9_-]+$"))]
    pub cursor: Option<String>,
    /// Most endpoints of a page, 1 to 200; 50 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 200))]
    pub limit: Option<u32>,
}

/// One page of endpoints, by tenant and id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookEndpointPage {
    /// The endpoints.
    pub data: Vec<WebhookEndpoint>,
    /// Ask for the next page with `cursor=` this; absent on the last page.
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_more: bool,
}

/// Body of `POST /endpoints/{id}/rotate`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SecretRotation {
    /// Seconds for which requests carry a signature of the old secret as well, 0 to 2,592,000;
    /// `endpoints.secret_overlap` when left out. 0 is for a secret that leaked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 2_592_000))]
    pub overlap_seconds: Option<u32>,
}

/// The secret that signs the webhooks of a tenant whose notifications name their URL themselves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TenantWebhookSecret {
    /// The tenant.
    pub tenant_id: Option<String>,
    /// Verifies the signatures (Standard Webhooks, `whsec_…`).
    pub secret: String,
}

/// Query of `GET /endpoints/{id}/attempts`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WebhookAttemptQuery {
    /// The tenant; the caller's own when left out. Only admins may name another.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
    /// The `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9_-]+$"))]
    pub cursor: Option<String>,
    /// Most attempts of a page, 1 to 200; 50 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 200))]
    pub limit: Option<u32>,
}

/// One attempt at an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct WebhookAttempt {
    /// Its place among all attempts.
    pub id: i64,
    /// The notification that was delivered.
    pub notification_id: Uuid,
    /// The `webhook-id` that was sent: the same in every delivery of one event.
    pub message_id: Uuid,
    /// Number of the attempt, from 1.
    pub attempt: i32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in ms.
    pub duration_ms: f32,
    /// The status that the endpoint answered; absent when it did not answer.
    pub status: Option<i16>,
    /// What went wrong.
    pub error: Option<String>,
    /// The beginning of the answer's body, up to 1 KiB.
    pub answer: Option<String>,
}

/// One page of attempts, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookAttemptPage {
    /// The attempts.
    pub data: Vec<WebhookAttempt>,
    /// Ask for the next page with `cursor=` this; absent on the last page.
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_more: bool,
}
