//! Notifications: one file for each way to send, read or change them.

pub(super) mod batch;
mod change;
mod create;
mod events;
mod export;
pub(super) mod intake;
mod lookup;
mod read;
mod stream;

use super::audit::Action;
use super::endpoint::{Endpoint, JSON, NDJSON, get, patch, post};
use super::gate::Access;
use crate::domain::view::NotificationView;
use crate::http::app::concurrency::RequestClass;
use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use nsys_contract::api::{
    AttemptList, Batch, BatchAnswer, CreateNotification, EventList, EventQuery, ExportFormat, ExportQuery,
    ItemResult, ListQuery, Notification, NotificationPage, Reschedule, StatusEvent, paths,
};

/// A notification with the tag of its state.
type TaggedView = ([(HeaderName, HeaderValue); 1], [(HeaderName, String); 1], Bytes);

fn tagged(view: &NotificationView) -> TaggedView {
    let kind = [(CONTENT_TYPE, HeaderValue::from_static(JSON))];
    (kind, [(ETAG, tag(view.updated_at()))], view.text())
}

/// The tag of a state: when it began.
fn tag(updated_at: Timestamp) -> String {
    format!("\"{}\"", updated_at.as_microsecond())
}

/// Why sending is not audited.
const OWN_HISTORY: &str = "a notification has a history of its own";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        post(paths::NOTIFICATIONS, Access::User, "Send a notification")
            .notes(
                "The answer 201 comes when every in-sync replica of the log has it. An idempotency key, in the \
                 body or as `Idempotency-Key`, stands for one request as long as its notification is kept: the same \
                 request again gets the first answer, another one 422. With `Prefer: respond-async` the answer is 202 and does not wait for the log.",
            )
            .takes::<CreateNotification>()
            .class(RequestClass::Intake)
            .gives::<Notification>(201, "The notification is written to the log")
            .gives::<Notification>(202, "The notification is queued for the log (`Prefer: respond-async`)")
            .fails(&[403, 409])
            .unaudited(OWN_HISTORY)
            .by(create::create),
        get(paths::NOTIFICATIONS, Access::User, "List notifications")
            .notes("Newest first. Admins see every tenant's, everyone else their own.")
            .query::<ListQuery>()
            .gives::<NotificationPage>(200, "One page")
            .fails(&[403])
            .by(read::list),
        post(paths::NOTIFICATIONS_BATCH, Access::User, "Send up to 1,000 notifications")
            .notes(
                "Each is accepted or refused on its own; the answer has one result for each, in their order. A \
                 repeated idempotency key gets the same id and one delivery, one that stands for another request \
                 422, within one batch too.",
            )
            .takes::<Batch>()
            .class(RequestClass::Intake)
            .gives::<BatchAnswer>(200, "The result of each")
            .unaudited(OWN_HISTORY)
            .by(batch::create),
        post(paths::NOTIFICATIONS_STREAM, Access::User, "Send notifications line by line")
            .notes(
                "One JSON object a line, as many as there are; one result a line comes back while lines are still \
                 sent, the last line is a summary. Lines are read only as fast as results are. \
                 Idempotency is as in a batch.",
            )
            .takes_lines::<CreateNotification>()
            .gives_as::<ItemResult>(200, "The result of each, then a summary", &[NDJSON])
            .class(RequestClass::Stream)
            .unaudited(OWN_HISTORY)
            .by(stream::create),
        get(paths::NOTIFICATIONS_EXPORT, Access::User, "Export notifications")
            .notes("Every notification that matches, in no particular order, in constant memory. A truncated body means that the export is incomplete.")
            .query::<ExportQuery>()
            .mentions::<ExportFormat>()
            .gives_as::<Notification>(200, "One notification per line", &[NDJSON, export::CSV])
            .fails(&[403])
            .class(RequestClass::Stream)
            .by(export::export),
        get(paths::NOTIFICATIONS_EVENTS, Access::User, "Follow changes of status")
            .notes(
                "Server-sent events, each with the id that resumes after it: a client that comes back with \
                 `Last-Event-ID` misses nothing that is still kept. A delivered in-app notification carries its \
                 message, so that an inbox can be filled from here.",
            )
            .query::<EventQuery>()
            .gives_as::<StatusEvent>(200, "Events as they happen", &["text/event-stream"])
            .fails(&[403])
            .class(RequestClass::Stream)
            .by(events::follow),
        get(paths::NOTIFICATION, Access::User, "Show a notification")
            .gives::<Notification>(200, "The notification; `ETag` is its state")
            .by(read::show),
        patch(paths::NOTIFICATION, Access::User, "Reschedule a notification that is not due yet")
            .notes("With `If-Match` only if it has not changed since the caller read it.")
            .takes::<Reschedule>()
            .gives::<Notification>(200, "The notification as it is now")
            .fails(&[409, 412])
            .audited(Action::NotificationReschedule)
            .by(change::reschedule),
        post(paths::NOTIFICATION_CANCEL, Access::User, "Cancel a notification")
            .notes("Possible until it is handed to its provider.")
            .gives::<Notification>(200, "The notification as it is now")
            .fails(&[409])
            .audited(Action::NotificationCancel)
            .by(change::cancel),
        post(paths::NOTIFICATION_RETRY, Access::User, "Retry a notification")
            .notes("One that failed gets a new round of attempts; one that waits for its next attempt gets it now.")
            .gives::<Notification>(202, "The notification as it is now")
            .fails(&[409])
            .audited(Action::NotificationRetry)
            .by(change::retry),
        get(paths::NOTIFICATION_EVENTS, Access::User, "List the status changes of a notification")
            .gives::<EventList>(200, "Its changes of status, oldest first")
            .by(change::events),
        get(paths::NOTIFICATION_ATTEMPTS, Access::User, "List the delivery attempts of a notification")
            .gives::<AttemptList>(200, "The attempts, first to last")
            .by(change::attempts),
    ]
}
