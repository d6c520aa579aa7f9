//! Text messages and push through an HTTP gateway of one's own choice.

use super::DeliveryOutcome;
use super::http::{Call, HeaderName, HeaderValue, Http, Method, Url};
use anyhow::Context;
use nsys_contract::event::Envelope;
use serde_json::json;
use std::time::Duration;

/// Where text messages or push messages are posted.
pub(crate) struct Gateway {
    http: Http,
    url: Url,
    token: Option<HeaderValue>,
    destination: String,
}

impl Gateway {
    pub(super) fn open(url: &str, token: &str, timeout: Duration) -> anyhow::Result<Self> {
        let url: Url = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
        let host = url.host_str().with_context(|| format!("{url} has no host"))?;
        let destination = match url.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let token = match token {
            "" => None,
            token => {
                let mut value: HeaderValue = format!("Bearer {token}")
                    .parse()
                    .context("the token contains characters that a header cannot hold")?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self { http: Http::trusted(timeout)?, url, token, destination })
    }

    pub(super) fn destination(&self) -> &str {
        &self.destination
    }

    /// Posts the payload with the notification's id, which the gateway may use to take a repeat for
    /// what it is.
    pub(super) async fn deliver(&self, envelope: &Envelope) -> DeliveryOutcome {
        let body = json!({
            "id": envelope.id,
            "userId": envelope.user_id,
            "tenantId": envelope.tenant_id,
            "type": envelope.kind,
            "priority": envelope.priority,
            "payload": envelope.payload,
        });
        let Ok(id) = HeaderValue::from_str(&envelope.id.to_string()) else {
            return DeliveryOutcome::Refused(
                "the id contains characters that a header cannot hold".to_owned(),
            );
        };
        let mut headers = vec![
            (HeaderName::from_static("content-type"), HeaderValue::from_static("application/json")),
            (HeaderName::from_static("idempotency-key"), id),
        ];
        if let Some(token) = &self.token {
            headers.push((HeaderName::from_static("authorization"), token.clone()));
        }
        let body = body.to_string().into_bytes();
        self.http.send(Call { method: Method::POST, url: self.url.clone(), headers, body }).await
    }
}
