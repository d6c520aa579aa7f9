//! The templates of one process: read through from the database, and filled.

use crate::db::{Db, DbError};
use crate::domain::template::{MAX_DATA_BYTES, Renderer};
use crate::domain::{Violation, stored};
use nsys_contract::api::Template;
use nsys_contract::status::Channel;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a template may be used after another replica changed it.
const STALENESS: Duration = Duration::from_secs(5);
/// Most templates remembered.
const MAX_ENTRIES: u64 = 10_000;

/// Why a template gives nothing.
#[derive(Debug)]
pub(crate) enum FillError {
    /// The database failed.
    Db(DbError),
    /// The data does not fit the template.
    Wrong(Violation),
    /// Filling it came to no end.
    Broken(String),
}

/// Templates by tenant and name.
pub(crate) struct Templates {
    pub(crate) renderer: Arc<Renderer>,
    /// Templates are filled beside the threads that answer, as many at once as there are cores.
    places: Arc<Semaphore>,
    known: moka::future::Cache<(String, String), Option<Arc<Template>>>,
}

impl Default for Templates {
    fn default() -> Self {
        let known = moka::future::Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(STALENESS).build();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { renderer: Arc::default(), places: Arc::new(Semaphore::new(cores)), known }
    }
}

impl Templates {
    /// The payload of at most `max_bytes` that a template gives for some data. `None` when there is no such
    /// template.
    pub(crate) async fn fill(
        &self,
        db: &Db,
        tenant: Option<&str>,
        id: &str,
        data: &Map<String, Value>,
        max_bytes: usize,
    ) -> Result<Option<(Channel, Map<String, Value>)>, FillError> {
        let text = serde_json::to_string(data).unwrap_or_default();
        if let Some(wrong) = stored::violation("/templateData", &text, MAX_DATA_BYTES) {
            return Err(FillError::Wrong(wrong));
        }
        let key = (tenant.unwrap_or_default().to_owned(), id.to_owned());
        let load = async { Ok::<_, DbError>(db.fetch_template(tenant, id).await?.map(Arc::new)) };
        let found = self.known.try_get_with(key, load).await;
        let Some(template) = found.map_err(|cause| FillError::Db(cause.as_ref().clone()))? else {
            return Ok(None);
        };
        let channel = template.channel;
        let payload = self.render(template, data.clone(), max_bytes).await?;
        Ok(Some((channel, payload)))
    }

    async fn render(
        &self,
        template: Arc<Template>,
        data: Map<String, Value>,
        max_bytes: usize,
    ) -> Result<Map<String, Value>, FillError> {
        let broken = |cause: &dyn std::fmt::Display| FillError::Broken(cause.to_string());
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|cause| broken(&cause))?;
        let renderer = Arc::clone(&self.renderer);
        let filled = tokio::task::spawn_blocking(move || {
            // Given back when the work is over, whether or not anybody still waits for it.
            let _place = place;
            renderer.render(&template.payload, &data, max_bytes)
        });
        filled.await.map_err(|cause| broken(&cause))?.map_err(FillError::Wrong)
    }

    /// Forgets a template that was changed here.
    pub(crate) async fn forget(&self, tenant: Option<&str>, id: &str) {
        self.known.invalidate(&(tenant.unwrap_or_default().to_owned(), id.to_owned())).await;
    }
}
