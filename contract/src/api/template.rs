//! Templates: stored payloads with placeholders.

use super::problem::UnreadableRow;
use crate::status::Channel;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A template as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// The name it is used by, unique in the tenant.
    pub id: String,
    /// The tenant it belongs to.
    pub tenant_id: Option<String>,
    /// The channel its payload is for.
    pub channel: Channel,
    /// The payload; every text in it is a template.
    pub payload: Map<String, Value>,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Body of `POST /templates`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewTemplate {
    /// Letters, digits, `-`, `_` and `.`; at most 64.
    #[cfg_attr(
        feature = "openapi",
        schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    )]
    pub id: String,
    /// The tenant; the caller's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
    /// The channel its payload is for.
    pub channel: Channel,
    /// The payload; every text in it is a template: `{{ name }}`, `{% if … %}`, `{% for … %}`. At most
    /// `limits.max_payload_bytes` and 256 texts, each of them at most 16 KiB.
    pub payload: Map<String, Value>,
}

/// Body of `PUT /templates/{id}`: created when there is none, replaced as a whole otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateUpdate {
    /// The channel its payload is for.
    pub channel: Channel,
    /// The payload; every text in it is a template.
    pub payload: Map<String, Value>,
}

/// Query of `GET /templates`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TemplateQuery {
    /// Only this tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 256))]
    pub tenant_id: Option<String>,
    /// The `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(min_length = 1, max_length = 1024, pattern = "^[A-Za-z0-9_-]+$"))]
    pub cursor: Option<String>,
}

/// The templates of the caller's tenant, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateList {
    /// The templates: up to 1,000 of them, and some megabytes.
    pub data: Vec<Template>,
    /// Ask for the next page with `cursor=` this; absent on the last page.
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_more: bool,
    /// Those that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableRow>,
}

/// Body of `POST /templates/{id}/render`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RenderRequest {
    /// Values for the template; at most 64 KiB.
    pub template_data: Map<String, Value>,
}

/// What a template gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RenderedTemplate {
    /// The channel the payload is for.
    pub channel: Channel,
    /// The payload with every placeholder filled.
    pub payload: Map<String, Value>,
}
