//! The OpenAPI 3.1 document, made from the route table, and the page that shows it.

use super::audit::AuditRule;
use super::endpoint::{Content, JSON, Route};
use super::error::PROBLEM_JSON;
use super::gate::Access;
use axum::http::StatusCode;
use nsys_contract::api::Problem;
use std::collections::BTreeSet;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathsBuilder, Ref, RefOr,
    Required,
};
use utoipa::{PartialSchema, ToSchema};

const ABOUT: &str = "Accepts notifications, keeps them safe on a log, delivers them by e-mail, text message, \
push, webhook and inbox, and tells what became of each.\n\n\
Every error is `application/problem+json` (RFC 9457); fields that are wrong are named by JSON pointers. \
Callers are limited by rate: see the `RateLimit` and `RateLimit-Policy` fields; a batch or a stream counts \
as its notifications. An answer 201 means that the notification is on the log and will not be lost.";

/// No id is longer, in bytes: nothing goes by it.
const MAX_ID_LENGTH: usize = 256;

/// Where a route is that tells of the service's insides.
const DIAGNOSTIC: &str = "On the metrics port; here only with `service.public_diagnostics`.";

/// A part of the document, as it is shown.
pub(crate) struct Section<'a> {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) routes: Vec<&'a Route>,
}

/// The document.
pub(crate) fn document(sections: &[Section<'_>]) -> OpenApi {
    let mut components = ComponentsBuilder::new()
        .security_scheme(
            "token",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .bearer_format("JWT")
                    .description(Some("From `POST /auth/login`. An API key is taken here too."))
                    .build(),
            ),
        )
        .security_scheme("apiKey", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))))
        .schema(Problem::name(), Problem::schema());
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    let mut paths = PathsBuilder::new();
    let mut tags = Vec::new();
    for section in sections {
        tags.push(TagBuilder::new().name(section.name).description(Some(section.about)).build());
        for route in &section.routes {
            schemas.extend(route.schemas.iter().cloned());
            let item = utoipa::openapi::PathItem::new(method(route.method), operation(section.name, route));
            paths = paths.path(route.path, item);
        }
    }
    for (name, schema) in schemas {
        components = components.schema(name, schema);
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Notification service")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .build(),
        )
        .paths(paths.build())
        .components(Some(components.build()))
        .tags(Some(tags))
        .build()
}

fn method(name: &str) -> HttpMethod {
    match name {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn operation(section: &str, route: &Route) -> utoipa::openapi::path::Operation {
    let mut operation = OperationBuilder::new()
        .tag(section)
        .summary(Some(route.summary))
        .operation_id(Some(operation_id(route)))
        .extensions(Some(extensions(route)));
    let elsewhere = if route.is_diagnostic { DIAGNOSTIC } else { "" };
    let notes =
        [route.notes, elsewhere].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    if !notes.is_empty() {
        operation = operation.description(Some(notes));
    }
    if route.path.contains("{id}") {
        let id = ParameterBuilder::new()
            .name("id")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .min_length(Some(1))
                    .max_length(Some(MAX_ID_LENGTH)),
            ));
        operation = operation.parameter(id);
    }
    operation = operation.parameters(Some(route.parameters.iter().cloned()));
    if let Some(body) = &route.body {
        let required = if body.required { Required::True } else { Required::False };
        let mut built = RequestBodyBuilder::new().required(Some(required));
        for kind in &body.types {
            built = built.content(*kind, content(kind, body));
        }
        operation = operation.request_body(Some(built.build()));
    }
    for answer in &route.answers {
        let mut response = ResponseBuilder::new().description(answer.meaning);
        for (kind, body) in
            answer.content.iter().flat_map(|body| body.types.iter().map(move |kind| (kind, body)))
        {
            response = response.content(*kind, content(kind, body));
        }
        operation = operation.response(answer.status.to_string(), response.build());
    }
    for status in failures(route) {
        let meaning = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
        let response =
            ResponseBuilder::new().description(meaning.unwrap_or("Error")).content(PROBLEM_JSON, problem);
        operation = operation.response(status.to_string(), response.build());
    }
    if route.access != Access::Public {
        operation = operation
            .security(SecurityRequirement::new("token", Vec::<String>::new()))
            .security(SecurityRequirement::new("apiKey", Vec::<String>::new()));
    }
    operation.build()
}

/// Who may use a route, and which act it leaves in the audit log.
fn extensions(route: &Route) -> Extensions {
    let access = Extensions::builder().add("x-access", route.access.as_str());
    match route.audit {
        Some(AuditRule::Records(action)) => access.add("x-audit", action.as_str()).build(),
        Some(AuditRule::RecordsNothing(_)) | None => access.build(),
    }
}

/// What a route can fail with: what follows from its shape, and what it says itself.
fn failures(route: &Route) -> BTreeSet<u16> {
    let mut statuses: BTreeSet<u16> = route.failures.iter().copied().collect();
    statuses.extend([500, 503, 504]);
    if route.access != Access::Public {
        statuses.extend([401, 429]);
    }
    if route.access > Access::User {
        statuses.insert(403);
    }
    if route.body.is_some() {
        statuses.extend([400, 408, 413, 415, 422]);
    }
    if !route.parameters.is_empty() {
        statuses.insert(400);
    }
    if route.path.contains("{id}") {
        statuses.extend([400, 404]);
    }
    statuses
}

fn content(kind: &str, body: &Content) -> utoipa::openapi::Content {
    let plain = || {
        let of = if kind == JSON { Type::Object } else { Type::String };
        RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(of).build()))
    };
    ContentBuilder::new().schema(Some(body.schema.clone().unwrap_or_else(plain))).build()
}

/// `GET /notifications/{id}/events` is `getNotificationsIdEvents`.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(route.method.to_lowercase(), |mut id, word| {
        id.push_str(&word[..1].to_uppercase());
        id.push_str(&word[1..]);
        id
    })
}

/// The document as a page that needs nothing from elsewhere.
pub(crate) fn page(document: &serde_json::Value) -> anyhow::Result<String> {
    let mut environment = minijinja::Environment::new();
    environment.add_filter("prose", prose);
    environment.add_template("docs.html", include_str!("docs.html"))?;
    Ok(environment
        .get_template("docs.html")?
        .render(minijinja::context! { api => minijinja::Value::from(minijinja::value::Serde(document)) })?)
}

/// Text with `code` in it, as HTML.
fn prose(text: &str) -> minijinja::Value {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut html = String::with_capacity(escaped.len());
    for (place, part) in escaped.split('`').enumerate() {
        let code = place % 2 == 1;
        html.push_str(if code { "<code>" } else { "" });
        html.push_str(part);
        html.push_str(if code { "</code>" } else { "" });
    }
    minijinja::Value::from_safe_string(html)
}
