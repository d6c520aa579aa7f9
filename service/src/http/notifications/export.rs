//! Every matching notification, in constant memory.

use super::super::admin::narrowed;
use super::super::endpoint::NDJSON;
use super::super::error::Problem;
use super::super::extract::Query;
use super::super::gate::Caller;
use crate::db::{ExportFilter, Read};
use crate::domain::csv;
use crate::http::app::App;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use nsys_contract::api::{ExportFormat, ExportQuery, Notification};
use std::io;
use std::sync::Arc;
use uuid::Uuid;

/// Notifications read at once.
const PAGE: i64 = 1_000;
pub(super) const CSV: &str = "text/csv; charset=utf-8; header=present";

pub(super) async fn export(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let filter = ExportFilter {
        scope: narrowed(&caller, query.tenant_id.as_deref())?,
        user_id: query.user_id,
        status: query.status,
        channel: query.channel,
        from: query.from,
        to: query.to,
    };
    let (kind, name) = match query.format {
        ExportFormat::Ndjson => (NDJSON, "attachment; filename=\"notifications.ndjson\""),
        ExportFormat::Csv => (CSV, "attachment; filename=\"notifications.csv\""),
    };
    // The first page before the head of the answer: a database that is away becomes an error.
    let first = app.parts.db.export_page(&filter, Uuid::nil(), PAGE).await?;
    let state = Some(Exported { app, filter, format: query.format, begun: false, page: Some(first) });
    let pages = futures::stream::unfold(state, |state| async move { state?.next().await });
    Ok(([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)], Body::from_stream(pages)).into_response())
}

/// An export under way.
struct Exported {
    app: Arc<App>,
    filter: ExportFilter,
    format: ExportFormat,
    begun: bool,
    /// The page to be written; `None` when everything is.
    page: Option<Vec<Read<Notification>>>,
}

impl Exported {
    /// The next piece of the body and what remains. The body of an export that fails breaks off, so
    /// that nobody takes it for whole.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Option<Self>)> {
        let page = self.page.take()?;
        let text = self.written(&page);
        let full = i64::try_from(page.len()).is_ok_and(|len| len == PAGE);
        if let (true, Some(last)) = (full, page.last()) {
            if self.app.is_draining() {
                return Some((Err(io::Error::other("the service is stopping")), None));
            }
            // An unreadable row's id is that of its row: it was selected by it.
            let last = last.as_ref().map_or_else(|row| row.id.parse().unwrap_or_default(), |view| view.id);
            match self.app.parts.db.export_page(&self.filter, last, PAGE).await {
                Ok(next) => self.page = Some(next),
                Err(cause) => {
                    tracing::warn!(%cause, "An export was aborted.");
                    return Some((Err(io::Error::other("the database does not answer")), None));
                }
            }
        }
        Some((Ok(text), Some(self)))
    }

    fn written(&mut self, page: &[Read<Notification>]) -> Bytes {
        let begun = std::mem::replace(&mut self.begun, true);
        match self.format {
            ExportFormat::Ndjson => {
                let mut text = Vec::with_capacity(page.len() * 400);
                for view in page {
                    // Writing into memory does not fail.
                    let _ = match view {
                        Ok(view) => serde_json::to_writer(&mut text, view),
                        Err(row) => {
                            serde_json::to_writer(&mut text, &serde_json::json!({ "unreadable": row }))
                        }
                    };
                    text.push(b'\n');
                }
                text.into()
            }
            ExportFormat::Csv => {
                let mut text = String::with_capacity(page.len() * 250);
                if !begun {
                    text.push_str(csv::HEADER);
                }
                page.iter().for_each(|view| match view {
                    Ok(view) => csv::line(&mut text, view),
                    Err(row) => csv::unreadable(&mut text, &row.id, &row.error),
                });
                text.into()
            }
        }
    }
}
