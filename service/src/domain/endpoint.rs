//! Webhook endpoints: what their fields may hold, which events they get, where a webhook goes. Pure.

use super::Violation;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

const MAX_URL: usize = 2_048;
const MAX_DESCRIPTION: usize = 500;
const MAX_EVENT_TYPES: usize = 50;
const MAX_EVENT_TYPE: usize = 128;
/// Most headers of an endpoint, and of a notification that names its URL itself.
pub(crate) const MAX_HEADERS: usize = 20;
/// Longest value of a header, in bytes.
pub(crate) const MAX_HEADER: usize = 4_096;
/// Name space of the deliveries of one event to several endpoints.
const DELIVERIES: Uuid = Uuid::from_u128(0x6e73_7973_2e65_6e64_706f_696e_7473_0001);

/// What is kept of an endpoint under encryption. It has no `Debug`: nothing of it is ever shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointSecrets {
    /// Signs (`whsec_…`).
    pub(crate) secret: String,
    /// Signs as well, until the overlap of the last rotation has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<String>,
    /// Headers that every request carries.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
}

impl EndpointSecrets {
    /// With another secret; the one before is kept when it is to go on signing.
    pub(crate) fn rotated(self, secret: String, keep_previous: bool) -> Self {
        Self { previous: keep_previous.then_some(self.secret), secret, headers: self.headers }
    }
}

/// What is wrong with the fields of an endpoint, as far as they are given.
pub(crate) fn violations(
    url: Option<&str>,
    description: Option<&str>,
    event_types: Option<&[String]>,
) -> Vec<Violation> {
    let mut wrong = Vec::new();
    if url.is_some_and(|url| url.len() > MAX_URL || url.contains('\0')) {
        wrong.push(Violation::new("/url", format!("must be at most {MAX_URL} bytes")));
    }
    if description.is_some_and(|text| text.chars().count() > MAX_DESCRIPTION || text.contains('\0')) {
        wrong.push(Violation::new("/description", format!("must be at most {MAX_DESCRIPTION} characters")));
    }
    let types = event_types.unwrap_or_default();
    if types.len() > MAX_EVENT_TYPES {
        wrong.push(Violation::new("/eventTypes", format!("must be at most {MAX_EVENT_TYPES}")));
    }
    let unfit = types.iter().position(|one| !is_pattern(one));
    wrong.extend(unfit.map(|place| {
        Violation::at(
            format!("/eventTypes/{place}"),
            "must be 1 to 128 letters, digits, `-`, `_` and `.`; `.*` at the end stands for all that follow",
        )
    }));
    wrong
}

fn is_pattern(text: &str) -> bool {
    let stem = text.strip_suffix(".*").unwrap_or(text);
    text.len() <= MAX_EVENT_TYPE
        && !stem.is_empty()
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Whether an endpoint with these event types gets an event of this type.
pub(crate) fn takes(event_types: &[String], event: &str) -> bool {
    let fits = |pattern: &String| match pattern.strip_suffix('*') {
        Some(stem) => event.starts_with(stem),
        None => pattern == event,
    };
    event_types.is_empty() || event_types.iter().any(fits)
}

/// Where a webhook goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebhookTarget<'p> {
    /// To the URL that it names.
    Url(&'p str),
    /// To this endpoint of its tenant.
    Endpoint(Uuid),
    /// To every endpoint of its tenant that takes this event type.
    Event(&'p str),
}

/// Where a webhook with this payload goes: its URL, else its endpoint, else whoever takes its event type.
///
/// # Errors
/// When it names none of them.
pub(crate) fn target(payload: &Value) -> Result<WebhookTarget<'_>, String> {
    let text = |name: &str| payload.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(url) = text("url") {
        return Ok(WebhookTarget::Url(url));
    }
    if let Some(id) = text("endpointId") {
        return match id.parse() {
            Ok(id) => Ok(WebhookTarget::Endpoint(id)),
            Err(_) => Err("its endpointId is not the id of an endpoint".to_owned()),
        };
    }
    text("eventType").map(WebhookTarget::Event).ok_or_else(|| {
        "a webhook needs a URL (url), an endpoint (endpointId) or an event type (eventType)".to_owned()
    })
}

/// What an attempt says of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptResult {
    /// It took the message.
    Worked,
    /// It did not.
    Failed,
    /// It is gone for good, and says so.
    Gone,
}

impl AttemptResult {
    /// By what it answered, if anything.
    pub(crate) const fn of(status: Option<u16>) -> Self {
        match status {
            Some(200..300) => Self::Worked,
            Some(410) => Self::Gone,
            _ => Self::Failed,
        }
    }

    /// What several attempts say: that it is gone, else that it works, else that it fails.
    pub(crate) const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Gone, _) | (_, Self::Gone) => Self::Gone,
            (Self::Worked, _) | (_, Self::Worked) => Self::Worked,
            _ => Self::Failed,
        }
    }
}

/// The id of the notification that brings an event to one endpoint: the same however often it is made.
pub(crate) fn delivery_id(event: Uuid, endpoint: Uuid, replay: Option<Uuid>) -> Uuid {
    let mut name = [event.into_bytes(), endpoint.into_bytes()].concat();
    name.extend(replay.map(Uuid::into_bytes).unwrap_or_default());
    Uuid::new_v5(&DELIVERIES, &name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn types(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn an_endpoint_gets_the_types_it_names() {
        assert!(takes(&[], "anything"));
        let some = types(&["invoice.paid", "user.*"]);
        for event in ["invoice.paid", "user.created", "user.address.changed"] {
            assert!(takes(&some, event), "{event}");
        }
        for event in ["invoice", "invoice.paid.twice", "user", "users.created", ""] {
            assert!(!takes(&some, event), "{event}");
        }
    }

    #[test]
    fn fields_that_do_not_fit_are_named() {
        let long = "x".repeat(3_000);
        let wrong = violations(Some(&long), Some(&long), Some(&types(&["a.b", "a b", "*"])));
        let places: Vec<_> = wrong.iter().map(|wrong| wrong.pointer.as_ref()).collect();
        assert_eq!(places, ["/url", "/description", "/eventTypes/1"]);
        for unfit in ["", "*", ".*x", "ä", "a\0", "a.**"] {
            assert!(!violations(None, None, Some(&types(&[unfit]))).is_empty(), "{unfit:?}");
        }
        assert!(violations(None, None, Some(&types(&["a", "a.*", "a-b_c.d"]))).is_empty());
    }

    #[test]
    fn a_url_goes_before_an_endpoint_and_that_before_an_event_type() {
        let id = Uuid::nil();
        let all = json!({"url": "https://a", "endpointId": id, "eventType": "e"});
        assert_eq!(target(&all), Ok(WebhookTarget::Url("https://a")));
        let both = json!({"endpointId": id, "eventType": "e"});
        assert_eq!(target(&both), Ok(WebhookTarget::Endpoint(id)));
        assert_eq!(target(&json!({"url": "", "eventType": "e"})), Ok(WebhookTarget::Event("e")));
        assert!(
            target(&json!({"endpointId": "x", "eventType": "e"})).is_err(),
            "a mistake goes nowhere else"
        );
        assert!(target(&json!({"url": 5})).is_err());
    }

    #[test]
    fn one_success_outweighs_failures_and_gone_outweighs_all() {
        use AttemptResult::{Failed, Gone, Worked};
        let of = |statuses: &[Option<u16>]| {
            statuses.iter().map(|status| AttemptResult::of(*status)).reduce(AttemptResult::and).unwrap()
        };
        assert_eq!(of(&[Some(500), Some(204), None]), Worked);
        assert_eq!(of(&[Some(404), None, Some(302)]), Failed);
        assert_eq!(of(&[Some(204), Some(410), Some(204)]), Gone);
    }

    #[test]
    fn a_delivery_has_one_id_and_a_replay_another() {
        let (event, one, two) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        assert_eq!(delivery_id(event, one, None), delivery_id(event, one, None));
        assert_ne!(delivery_id(event, one, None), delivery_id(event, two, None));
        assert_ne!(delivery_id(event, one, None), delivery_id(event, one, Some(two)));
    }
}
