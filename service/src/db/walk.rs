//! Pages of notifications as walks along one index, each bounded in the rows it looks at.
//!
//! A tenant's notifications are walked along an index that begins with the tenant, and goes on with the user or
//! the act that caused them where one is asked for. What no index holds (status, channel, type, priority) is
//! sorted out on the way: such a walk ends after `WALKED` rows, the page is as long as what it found, and the
//! next page goes on from there. So no page costs more because of what others have stored, or because
//! little of it fits.

use super::push_scope;
use crate::domain::scope::Scope;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use nsys_contract::status::{Channel, NotificationType, Priority, Status};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

pub(super) const COLUMNS: &str = "id, user_id, tenant_id, channel, type, priority, status, scheduled_for, expires_at, \
    created_at, updated_at, correlation_id, idempotency_key";

/// A notification's place in the order of lists, (created_at, id); of one that cannot be read the id alone.
pub(crate) type Place = (Option<Timestamp>, Uuid);

/// Which notifications a list shows. `after` is the last one that the page before looked at.
#[derive(Clone, Debug)]
pub(crate) struct ListFilter {
    pub(crate) scope: Scope,
    pub(crate) user_id: Option<String>,
    pub(crate) status: Option<Status>,
    pub(crate) channel: Option<Channel>,
    pub(crate) kind: Option<NotificationType>,
    pub(crate) priority: Option<Priority>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
    pub(crate) after: Option<Place>,
    pub(crate) limit: i64,
    pub(crate) skip: i64,
}

/// Rows that one page looks at, where some of them may not fit.
pub(crate) const WALKED: i64 = 20_000;

/// The columns that the index of a walk begins with, the tenant apart; the last ones are always
/// `created_at, id`.
const fn leading(filter: &ListFilter) -> &'static str {
    match (&filter.correlation_id, &filter.user_id) {
        (Some(_), _) => "correlation_id DESC, ",
        (None, Some(_)) => "user_id DESC, ",
        (None, None) => "",
    }
}

/// Whether what is asked for is more than an index holds.
pub(super) const fn is_sifted(filter: &ListFilter) -> bool {
    filter.status.is_some()
        || filter.channel.is_some()
        || filter.kind.is_some()
        || filter.priority.is_some()
        || (filter.correlation_id.is_some() && filter.user_id.is_some())
}

/// Whether a page of this filter ends after `WALKED` rows.
pub(super) const fn is_bounded(filter: &ListFilter) -> bool {
    matches!(filter.scope, Scope::Tenant(_)) && is_sifted(filter)
}

/// The statement of one page.
pub(super) fn statement(filter: &ListFilter) -> QueryBuilder<Postgres> {
    match filter.scope {
        Scope::Tenant(_) if is_sifted(filter) => sifted(filter),
        Scope::Tenant(_) => along_index(filter),
        Scope::All if is_sifted(filter) || filter.user_id.is_some() || filter.correlation_id.is_some() => {
            of_any_tenant(filter)
        }
        Scope::All => newest_of_all(filter),
    }
}

/// Everything that fits lies together in an index.
fn along_index(filter: &ListFilter) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM notifications WHERE true"));
    push_range(&mut sql, filter);
    push_order(&mut sql, filter);
    push_limit(&mut sql, filter);
    sql
}

/// What fits among the next rows of an index, and the last of them whether it fits or not: there the next
/// page goes on. What is skipped is read too, because that last row is not to be counted.
fn sifted(filter: &ListFilter) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS}, place, (true"));
    push_sieve(&mut sql, filter);
    sql.push(format_args!(") AS fits FROM (SELECT {COLUMNS}, row_number() OVER ("));
    push_order(&mut sql, filter);
    sql.push(") AS place FROM notifications WHERE true");
    push_range(&mut sql, filter);
    push_order(&mut sql, filter);
    // Written out: as a parameter it would be unknown to the planner.
    sql.push(format_args!(" LIMIT {WALKED}) AS walked WHERE (true"));
    push_sieve(&mut sql, filter);
    sql.push(format_args!(") OR place = {WALKED}"));
    push_order(&mut sql, filter);
    sql.push(" LIMIT ").push_bind(filter.limit + filter.skip);
    sql
}

/// Those of one user, of one cause or in one state, whoever's they are. No index of the base schema serves
/// that; those of the tuning step do.
fn of_any_tenant(filter: &ListFilter) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(format!("SELECT {COLUMNS} FROM notifications WHERE true"));
    push_sieve(&mut sql, filter);
    push_after(&mut sql, filter);
    sql.push(" ORDER BY created_at DESC, id DESC");
    push_limit(&mut sql, filter);
    sql
}

/// The newest of each tenant, merged: what it costs grows with the number of tenants, not of rows.
fn newest_of_all(filter: &ListFilter) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(
        "WITH RECURSIVE tenants AS (
             (SELECT tenant_id FROM notifications ORDER BY tenant_id LIMIT 1)
             UNION ALL
             SELECT (SELECT n.tenant_id FROM notifications n WHERE n.tenant_id > t.tenant_id
                     ORDER BY n.tenant_id LIMIT 1)
             FROM tenants t WHERE t.tenant_id IS NOT NULL
         ), newest AS (
             SELECT one.id FROM (
                 SELECT found.* FROM tenants t CROSS JOIN LATERAL (
                     SELECT created_at, id FROM notifications n WHERE n.tenant_id = t.tenant_id",
    );
    let each = filter.limit + filter.skip;
    push_time(&mut sql, filter);
    sql.push(" ORDER BY n.created_at DESC, n.id DESC LIMIT ").push_bind(each);
    sql.push(
        ") AS found UNION ALL
                 (SELECT created_at, id FROM notifications WHERE tenant_id IS NULL",
    );
    push_time(&mut sql, filter);
    sql.push(" ORDER BY tenant_id DESC, created_at DESC, id DESC LIMIT ").push_bind(each);
    sql.push(")) AS one ORDER BY one.created_at DESC, one.id DESC");
    push_limit(&mut sql, filter);
    sql.push(format_args!(
        ") SELECT {COLUMNS} FROM newest JOIN notifications USING (id) ORDER BY created_at DESC, id DESC"
    ));
    sql
}

/// The part of an index that a walk goes along: tenant, user or cause, and time.
fn push_range(sql: &mut QueryBuilder<Postgres>, filter: &ListFilter) {
    push_scope(sql, "tenant_id", &filter.scope);
    if let Some(correlation) = &filter.correlation_id {
        sql.push(" AND correlation_id = ").push_bind(correlation.clone());
    } else if let Some(user) = &filter.user_id {
        sql.push(" AND user_id = ").push_bind(user.clone());
    }
    push_time(sql, filter);
}

/// The order of lists, written so that it is that of the index, and also where the tenant is none: `IS NULL`
/// is no equality to the planner.
fn push_order(sql: &mut QueryBuilder<Postgres>, filter: &ListFilter) {
    sql.push(format_args!(" ORDER BY tenant_id DESC, {}created_at DESC, id DESC", leading(filter)));
}

fn push_limit(sql: &mut QueryBuilder<Postgres>, filter: &ListFilter) {
    sql.push(" LIMIT ").push_bind(filter.limit);
    if filter.skip > 0 {
        sql.push(" OFFSET ").push_bind(filter.skip);
    }
}

/// What the index that is walked along does not hold.
pub(super) fn push_sieve(sql: &mut QueryBuilder<Postgres>, filter: &ListFilter) {
    let is_along_tenant = matches!(filter.scope, Scope::Tenant(_));
    if let Some(user) = &filter.user_id
        && (!is_along_tenant || filter.correlation_id.is_some())
    {
        sql.push(" AND user_id = ").push_bind(user.clone());
    }
    if let Some(correlation) = &filter.correlation_id
        && !is_along_tenant
    {
        sql.push(" AND correlation_id = ").push_bind(correlation.clone());
    }
    if let Some(status) = filter.status {
        sql.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some(channel) = filter.channel {
        sql.push(" AND channel = ").push_bind(channel.as_str());
    }
    if let Some(kind) = filter.kind {
        sql.push(" AND type = ").push_bind(kind.as_str());
    }
    if let Some(priority) = filter.priority {
        sql.push(" AND priority = ").push_bind(priority.as_str());
    }
    if !is_along_tenant {
        push_span(sql, filter);
    }
}

/// From when to when, and where the page before ended.
fn push_time(sql: &mut QueryBuilder<Postgres>, filter: &ListFilter) {
    push_span(sql, filter);
    push_after(sql, filter);
}

fn push_after(sql: &mut QueryBuilder<Postgres>, filter: &ListFilter) {
    if let Some((created_at, id)) = filter.after {
        match created_at {
            Some(at) => sql.push(" AND (created_at, id) < (").push_bind(at.to_sqlx()),
            None => sql
                .push(" AND (created_at, id) < ((SELECT created_at FROM notifications WHERE id = ")
                .push_bind(id)
                .push(")"),
        };
        sql.push(", ").push_bind(id).push(")");
    }
}

fn push_span(sql: &mut QueryBuilder<Postgres>, filter: &ListFilter) {
    if let Some(from) = filter.from {
        sql.push(" AND created_at >= ").push_bind(from.to_sqlx());
    }
    if let Some(to) = filter.to {
        sql.push(" AND created_at < ").push_bind(to.to_sqlx());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_filter(scope: &Scope) -> Vec<ListFilter> {
        let filter = |bits: u32| {
            let has = |bit: u32| bits & (1 << bit) != 0;
            ListFilter {
                scope: scope.clone(),
                user_id: has(0).then(|| "u".to_owned()),
                correlation_id: has(1).then(|| "c".to_owned()),
                status: has(2).then_some(Status::Failed),
                channel: has(3).then_some(Channel::Sms),
                kind: has(4).then_some(NotificationType::System),
                priority: has(5).then_some(Priority::Low),
                from: has(6).then_some(Timestamp::UNIX_EPOCH),
                to: None,
                after: has(7).then(|| (Some(Timestamp::UNIX_EPOCH), Uuid::nil())),
                limit: 51,
                skip: i64::from(has(8)),
            }
        };
        (0..1 << 9).map(filter).collect()
    }

    fn text(filter: &ListFilter) -> String {
        statement(filter).sql().as_str().to_owned()
    }

    #[test]
    fn what_a_tenant_asks_for_is_in_an_index_or_among_a_bounded_number_of_rows() {
        for scope in [Scope::Tenant(Some("t".to_owned())), Scope::Tenant(None)] {
            for filter in every_filter(&scope) {
                let sql = text(&filter);
                let bound = format!("LIMIT {WALKED})");
                let (walk, sieve) = sql.split_once(&bound).unwrap_or((&sql, ""));
                assert_eq!(is_bounded(&filter), !sieve.is_empty(), "{sql}");
                assert!(walk.contains("WHERE true AND tenant_id "), "another tenant's rows are read: {sql}");
                assert!(walk.contains(" ORDER BY tenant_id DESC, "), "not the order of an index: {sql}");
                let walk = walk.rsplit_once("FROM notifications").unwrap().1;
                for column in ["status", "channel", "type", "priority"] {
                    let equals = format!("AND {column} = ");
                    assert!(!walk.contains(&equals), "{column} is in no index that is walked: {sql}");
                }
            }
        }
    }

    #[test]
    fn what_is_asked_for_is_asked_for_once() {
        for scope in [Scope::Tenant(Some("t".to_owned())), Scope::All] {
            for filter in every_filter(&scope) {
                let sql = text(&filter);
                for (column, is_wanted) in [
                    ("user_id", filter.user_id.is_some()),
                    ("correlation_id", filter.correlation_id.is_some()),
                    ("status", filter.status.is_some()),
                    ("priority", filter.priority.is_some()),
                ] {
                    let equals = format!("AND {column} = ");
                    assert_eq!(sql.contains(&equals), is_wanted, "{column}: {sql}");
                }
                let is_resumed = sql.contains("(created_at, id) < (");
                assert_eq!(is_resumed, filter.after.is_some(), "{sql}");
            }
        }
    }
}
