//! Every matching notification, in constant memory.

use super::super::admin::narrowed;
use super::super::endpoint::NDJSON;
use super::super::error::Problem;
use super::super::extract::Query;
use super::super::gate::Caller;
use crate::db::{ExportPage, ListFilter, Place, Read};
use crate::domain::csv;
use crate::http::app::App;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use nsys_contract::api::{ExportFormat, ExportQuery, Notification};
use std::io;
use std::sync::Arc;

/// Notifications read at once.
const PAGE: i64 = 1_000;
pub(super) const CSV: &str = "text/csv; charset=utf-8; header=present";

pub(super) async fn export(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let filter = ListFilter {
        scope: narrowed(&caller, query.tenant_id.as_deref())?,
        user_id: query.user_id,
        status: query.status,
        channel: query.channel,
        kind: None,
        priority: None,
        correlation_id: None,
        from: query.from,
        to: query.to,
        after: None,
        limit: PAGE,
        skip: 0,
    };
    let (kind, name) = match query.format {
        ExportFormat::Ndjson => (NDJSON, "attachment; filename=\"notifications.ndjson\""),
        ExportFormat::Csv => (CSV, "attachment; filename=\"notifications.csv\""),
    };
    // The first page before the head of the answer: a database that is away becomes an error.
    let first = app.parts.db.export_page(&filter).await?;
    let state = Some(Exported { app, filter, format: query.format, begun: false, page: Some(first) });
    let pages = futures::stream::unfold(state, |state| async move { state?.next().await });
    Ok(([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)], Body::from_stream(pages)).into_response())
}

/// An export under way.
struct Exported {
    app: Arc<App>,
    filter: ListFilter,
    format: ExportFormat,
    begun: bool,
    /// The page to be written; `None` when everything is.
    page: Option<ExportPage>,
}

impl Exported {
    /// The next piece of the body and what remains. The body of an export that fails breaks off, so
    /// that nobody takes it for whole.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Option<Self>)> {
        let mut page = self.page.take()?;
        // Pages in which nothing fits are no pieces of the body.
        while page.rows.is_empty()
            && let Some(after) = page.next
        {
            page = match self.read(after).await {
                Ok(next) => next,
                Err(cause) => return Some((Err(cause), None)),
            };
        }
        let text = self.written(&page.rows);
        if let Some(after) = page.next {
            match self.read(after).await {
                Ok(next) => self.page = Some(next),
                Err(cause) => return Some((Err(cause), None)),
            }
        }
        Some((Ok(text), Some(self)))
    }

    async fn read(&mut self, after: Place) -> io::Result<ExportPage> {
        if self.app.is_draining() {
            return Err(io::Error::other("the service is stopping"));
        }
        self.filter.after = Some(after);
        self.app.parts.db.export_page(&self.filter).await.map_err(|cause| {
            tracing::warn!(%cause, "An export was aborted.");
            io::Error::other("the database does not answer")
        })
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
