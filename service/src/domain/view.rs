//! A notification as the API shows it: its JSON text, and what has to be known before it is shown. Pure.

use jiff::Timestamp;
use nsys_contract::api::Notification;
use tokio_util::bytes::Bytes;
use uuid::Uuid;

/// The JSON text of a notification, made once for everybody who reads it.
#[derive(Clone, Debug)]
pub(crate) struct NotificationView {
    id: Uuid,
    text: Bytes,
    tenant: Option<Box<str>>,
    updated_at: Timestamp,
}

impl NotificationView {
    pub(crate) fn new(notification: &Notification) -> Self {
        // Names, texts and instants: writing them does not fail.
        let text = serde_json::to_vec(notification).unwrap_or_default();
        Self::of(notification, text.into())
    }

    /// From its text; nothing when that is no notification.
    pub(crate) fn from_text(text: Bytes) -> Option<Self> {
        let notification = serde_json::from_slice(&text).ok()?;
        Some(Self::of(&notification, text))
    }

    fn of(notification: &Notification, text: Bytes) -> Self {
        let tenant = notification.tenant_id.as_deref().map(Into::into);
        Self { id: notification.id, text, tenant, updated_at: notification.updated_at }
    }

    pub(crate) const fn id(&self) -> Uuid {
        self.id
    }

    pub(crate) fn text(&self) -> Bytes {
        self.text.clone()
    }

    /// Whose it is.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// When this state of it began.
    pub(crate) const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// The notification itself, for those who need more than its text.
    pub(crate) fn notification(&self) -> Result<Notification, serde_json::Error> {
        serde_json::from_slice(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::draft::Draft;

    #[test]
    fn text_and_notification_are_the_same() {
        let text = r#"{"userId": "u", "tenantId": "t\"1", "channel": "IN_APP", "type": "SYSTEM", "payload": {"title": "t"}}"#;
        let draft: Draft<'_> = serde_json::from_str(text).unwrap();
        let notification = draft.accept(None, 65_536, 1_700_000_000_123).unwrap().view();
        let shown = NotificationView::new(&notification);
        assert_eq!(shown.notification().unwrap(), notification);
        let again = NotificationView::from_text(shown.text()).unwrap();
        assert_eq!((again.id(), again.tenant()), (notification.id, Some("t\"1")));
        assert_eq!(again.updated_at(), notification.updated_at);
        assert_eq!(again.text(), shown.text());
    }

    #[test]
    fn other_text_is_no_notification() {
        for text in ["", "{}", "null", "{\"id\":"] {
            assert!(NotificationView::from_text(Bytes::from(text)).is_none(), "{text:?}");
        }
    }
}
