//! Pages of an export: each is one short walk along an index, whatever the size of the table and whatever
//! fits.

use super::notifications::{Listed, place, sifted};
use super::rows::Read;
use super::walk::{COLUMNS, ListFilter, Place, WALKED, push_sieve};
use super::{Db, DbError};
use crate::domain::scope::Scope;
use nsys_contract::api::Notification;
use sqlx::QueryBuilder;
use sqlx::postgres::Postgres;
use uuid::Uuid;

/// One page of an export.
pub(crate) struct ExportPage {
    pub(crate) rows: Vec<Read<Notification>>,
    /// Where the next one begins; `None` when this is the last.
    pub(crate) next: Option<Place>,
}

impl Db {
    /// The next page of what a filter names: of one tenant newest first, of all of them by id.
    pub(crate) async fn export_page(&self, filter: &ListFilter) -> Result<ExportPage, DbError> {
        let listed = match filter.scope {
            Scope::Tenant(_) => self.list_notifications(filter).await?,
            Scope::All => self.export_by_id(filter).await?,
        };
        let is_full = i64::try_from(listed.rows.len()).is_ok_and(|len| len >= filter.limit);
        let last = if is_full { listed.rows.last() } else { listed.walked_to.as_ref() };
        Ok(ExportPage { next: last.map(place), rows: listed.rows })
    }

    async fn export_by_id(&self, filter: &ListFilter) -> Result<Listed, DbError> {
        let rows = self.list_rows(&filter.scope, || by_id(filter)).await?;
        Ok(sifted(&rows, 0)?)
    }
}

/// What fits among the next rows of the primary key, and the last of them whether it fits or not.
fn by_id(filter: &ListFilter) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS}, place, (true"));
    push_sieve(&mut sql, filter);
    sql.push(format_args!(
        ") AS fits FROM (SELECT {COLUMNS}, row_number() OVER (ORDER BY id) AS place FROM notifications WHERE id > "
    ));
    sql.push_bind(filter.after.map_or_else(Uuid::nil, |(_, id)| id));
    sql.push(format_args!(" ORDER BY id LIMIT {WALKED}) AS walked WHERE (true"));
    push_sieve(&mut sql, filter);
    sql.push(format_args!(") OR place = {WALKED} ORDER BY id LIMIT ")).push_bind(filter.limit);
    sql
}
