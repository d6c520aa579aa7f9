//! Templates: stored payloads with places to fill.

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
    pub id: String,
    /// The tenant; the caller's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The channel its payload is for.
    pub channel: Channel,
    /// The payload; every text in it is a template: `{{ name }}`, `{% if … %}`, `{% for … %}`.
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

/// The templates of the caller's tenant, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateList {
    /// The templates.
    pub data: Vec<Template>,
    /// Those that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableRow>,
}

/// Body of `POST /templates/{id}/render`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RenderRequest {
    /// Values for the template.
    pub template_data: Map<String, Value>,
}

/// What a template gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RenderedTemplate {
    /// The channel the payload is for.
    pub channel: Channel,
    /// The payload with every place filled.
    pub payload: Map<String, Value>,
}
