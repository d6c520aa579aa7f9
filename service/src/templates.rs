//! The templates of one process: read through from the database, and filled.

use crate::db::{Db, DbError};
use crate::domain::Violation;
use crate::domain::template::{MAX_DATA_BYTES, Renderer};
use nsys_contract::api::Template;
use nsys_contract::status::Channel;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

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
}

/// Templates by tenant and name.
pub(crate) struct Templates {
    pub(crate) renderer: Renderer,
    known: moka::future::Cache<(String, String), Option<Arc<Template>>>,
}

impl Default for Templates {
    fn default() -> Self {
        let known = moka::future::Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(STALENESS).build();
        Self { renderer: Renderer::default(), known }
    }
}

impl Templates {
    /// The payload that a template gives for some data; fields of `over` win. `None` when there is no
    /// such template.
    pub(crate) async fn fill(
        &self,
        db: &Db,
        tenant: Option<&str>,
        id: &str,
        data: &Map<String, Value>,
        over: &Map<String, Value>,
    ) -> Result<Option<(Channel, Map<String, Value>)>, FillError> {
        let too_large = serde_json::to_string(data).is_ok_and(|text| text.len() > MAX_DATA_BYTES);
        if too_large {
            let detail = format!("must be at most {MAX_DATA_BYTES} bytes");
            return Err(FillError::Wrong(Violation::new("/templateData", detail)));
        }
        let key = (tenant.unwrap_or_default().to_owned(), id.to_owned());
        let load = async { Ok::<_, DbError>(db.fetch_template(tenant, id).await?.map(Arc::new)) };
        let found = self.known.try_get_with(key, load).await;
        let Some(template) = found.map_err(|cause| FillError::Db(cause.as_ref().clone()))? else {
            return Ok(None);
        };
        let mut payload = self.renderer.render(&template.payload, data).map_err(FillError::Wrong)?;
        payload.extend(over.clone());
        Ok(Some((template.channel, payload)))
    }

    /// Forgets a template that was changed here.
    pub(crate) async fn forget(&self, tenant: Option<&str>, id: &str) {
        self.known.invalidate(&(tenant.unwrap_or_default().to_owned(), id.to_owned())).await;
    }
}
