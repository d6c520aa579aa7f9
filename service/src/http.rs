//! Routes: one file per resource, each with its entries of the route table.

mod admin;
mod api_keys;
mod app;
mod audit;
mod auth;
pub mod bench;
mod body_drain;
mod client_address;
mod dead_letters;
mod endpoint;
mod error;
mod etag;
mod extract;
mod gate;
mod head;
mod header_read_timeout;
mod health;
mod idempotency;
mod metrics;
mod notifications;
mod openapi;
mod preferences;
mod profile;
mod senders;
mod server;
mod session;
mod signing_keys;
mod templates;
mod timeout;
mod users;
mod webhook_endpoints;

pub(crate) use app::App;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::Html;
use axum::routing::get;
use endpoint::Endpoint;
use error::Problem;
use nsys_contract::api::paths;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The route table by parts, as the documentation shows them.
fn table() -> Vec<(&'static str, &'static str, Vec<Endpoint>)> {
    vec![
        ("Accounts", "Registration, sign-in, and the keys that tokens are verified with.", auth::endpoints()),
        ("Notifications", "Sending, following, changing and exporting.", notifications::endpoints()),
        ("Preferences", "What users want to receive, and when.", preferences::endpoints()),
        ("Templates", "Stored payloads with placeholders.", templates::endpoints()),
        ("Senders", "In whose name tenants may send.", senders::endpoints()),
        ("Endpoints", "Receivers of webhooks, each with its own secret.", webhook_endpoints::endpoints()),
        ("Dead letters", "What could not be decoded or delivered.", dead_letters::endpoints()),
        ("Users", "Accounts, seen by admins.", users::endpoints()),
        ("API keys", "Credentials for programs.", api_keys::endpoints()),
        ("Signing keys", "The keys that sign tokens.", signing_keys::endpoints()),
        ("Operation", "The state of the service itself.", admin::endpoints()),
        ("Health", "For load balancers, probes and Prometheus.", health::endpoints()),
    ]
}

/// The OpenAPI document of the route table.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    let table = table();
    let sections: Vec<_> = table
        .iter()
        .map(|(name, about, endpoints)| openapi::Section {
            name,
            about,
            routes: endpoints.iter().map(|endpoint| &endpoint.route).collect(),
        })
        .collect();
    openapi::document(&sections)
}

/// The API.
pub(crate) fn router(app: Arc<App>) -> anyhow::Result<Router> {
    let shows_all = app.parts.config.service.public_diagnostics.is_on();
    let endpoints = table().into_iter().flat_map(|(_, _, endpoints)| endpoints);
    let router = endpoints
        .filter(|endpoint| shows_all || !endpoint.route.is_diagnostic)
        .fold(Router::new(), |router, endpoint| router.route(endpoint.route.path, endpoint.handlers));
    let router = if shows_all { router.merge(described()?) } else { router };
    Ok(router
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn(head::checked))
        .with_state(app))
}

/// Metrics and this replica's own health, on a listener of their own.
pub(crate) fn metrics_router(app: Arc<App>) -> anyhow::Result<Router> {
    let router = health::endpoints()
        .into_iter()
        .chain(admin::own_endpoints())
        .fold(Router::new(), |router, endpoint| router.route(endpoint.route.path, endpoint.handlers));
    Ok(router
        .merge(described()?)
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::map_response(async |answer| head::closed(answer)))
        .with_state(app))
}

/// The document of the API, for programs and for people.
fn described() -> anyhow::Result<Router<Arc<App>>> {
    let document = serde_json::to_value(document())?;
    let page = Html(openapi::page(&document)?);
    let document = Bytes::from(serde_json::to_vec(&document)?);
    Ok(Router::new()
        .route(paths::OPENAPI, get(async move || ([(CONTENT_TYPE, endpoint::JSON)], document)))
        .route(paths::DOCS, get(async move || page)))
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no {}", extract::shortened(uri.path())))
}

async fn wrong_method(method: Method, request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!(
            "{} does not support {}",
            extract::shortened(request.uri().path()),
            extract::shortened(method.as_str())
        ),
    )
}

/// Serves the API until `stopping`, then finishes what is in progress.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let metrics = app.parts.metrics.clone();
    server::serve(listener, router(app)?, metrics, stopping).await
}

/// Serves until aborted.
pub(crate) async fn serve_plain(listener: TcpListener, router: Router) {
    if let Err(cause) = axum::serve(listener, router).await {
        tracing::error!(%cause, "The metrics listener ended.");
    }
}

#[cfg(test)]
mod tests {
    use super::audit::AuditRule;
    use super::*;
    use serde_json::Value;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

    #[test]
    #[expect(clippy::disallowed_methods, reason = "whoever runs the test asks for a new document")]
    fn the_committed_document_is_the_served_one() {
        let made = serde_json::to_value(document()).unwrap();
        let committed = || {
            let text = std::fs::read_to_string(COMMITTED).unwrap_or_default();
            serde_json::from_str::<Value>(&text).unwrap_or_default()
        };
        // As values: extensions come in another order each time.
        if std::env::var_os("UPDATE_OPENAPI").is_some() && made != committed() {
            let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
            std::fs::write(COMMITTED, text).unwrap();
        }
        assert!(made == committed(), "service/openapi.json is old; UPDATE_OPENAPI=1 cargo test writes it");
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = serde_json::to_value(document()).unwrap();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }

    #[test]
    fn every_route_has_an_answer_and_a_summary() {
        for (_, _, endpoints) in table() {
            for Endpoint { route, .. } in endpoints {
                assert!(
                    !route.summary.is_empty() && !route.answers.is_empty(),
                    "{} {}",
                    route.method,
                    route.path
                );
            }
        }
    }

    #[test]
    fn every_route_that_may_change_something_says_what_the_audit_log_gets() {
        let mut recorded = Vec::new();
        for (_, _, endpoints) in table() {
            for Endpoint { route, .. } in endpoints {
                let (method, path) = (route.method, route.path);
                match route.audit {
                    None => assert_eq!(method, "GET", "{method} {path} records nothing and does not say why"),
                    Some(AuditRule::RecordsNothing(why)) => assert!(!why.is_empty(), "{method} {path}"),
                    Some(AuditRule::Records(action)) => recorded.push(action),
                }
            }
        }
        let all = recorded.len();
        recorded.sort_unstable();
        recorded.dedup();
        assert!(recorded.len() == all && all > 15, "two routes record the same act: {recorded:?}");
    }

    #[test]
    fn everything_that_a_request_may_hold_has_a_bound() {
        let document = serde_json::to_value(document()).unwrap();
        let mut unbounded = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let place = format!("{method} {path}");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let place = format!("{place} {}", parameter["name"]);
                    look(&document, &parameter["schema"], &place, &mut unbounded);
                }
                for (_, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                    look(&document, &content["schema"], &place, &mut unbounded);
                }
            }
        }
        assert_eq!(unbounded, Vec::<String>::new());
    }

    /// Texts without a longest, an enumeration or a format, and lists without a most.
    fn look(document: &Value, schema: &Value, place: &str, found: &mut Vec<String>) {
        if let Some(reference) = schema["$ref"].as_str() {
            return look(document, document.pointer(&reference[1..]).unwrap(), place, found);
        }
        let is = |kind: &str| match &schema["type"] {
            Value::Array(kinds) => kinds.iter().any(|one| one == kind),
            one => one == kind,
        };
        let lacks = |bounds: &[&str]| bounds.iter().all(|bound| schema[*bound].is_null());
        if (is("string") && lacks(&["maxLength", "enum", "format"])) || (is("array") && lacks(&["maxItems"]))
        {
            found.push(place.to_owned());
        }
        if let Some(items) = schema.get("items") {
            look(document, items, place, found);
        }
        for one in ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| schema[*key].as_array()).flatten() {
            look(document, one, place, found);
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            look(document, field, &format!("{place} /{name}"), found);
        }
    }

    #[test]
    fn the_page_shows_every_route() {
        let document = serde_json::to_value(document()).unwrap();
        let page = openapi::page(&document).unwrap().replace("&#x2f;", "/");
        for path in document["paths"].as_object().unwrap().keys() {
            assert!(page.contains(path), "{path}");
        }
        assert!(
            !page.contains("http://") && !page.contains("https://"),
            "the page needs nothing from elsewhere"
        );
    }
}
