//! Dead letters: listed, shown, redriven, deleted.

use super::admin::{bad_cursor, narrowed, page};
use super::audit::{self, Action};
use super::endpoint::{Endpoint, delete, get, post};
use super::error::Problem;
use super::extract::{Body, Id, Query, shortened};
use super::gate::{Access, Caller};
use crate::auth::Principal;
use crate::db::{Reached, Read, parted};
use crate::domain::scope::Scope;
use crate::http::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use nsys_contract::api::{
    DeadLetter, DeadLetterFilter, DeadLetterPage, DeadLetterQuery, Redrive, RedriveAnswer, paths,
};
use std::sync::Arc;

/// Dead letters sent again a second when the request does not say.
const DEFAULT_RATE: u32 = 100;
/// Most dead letters of one call; the answer says how many remain.
const MAX_REDRIVE: u32 = 100_000;
/// Most ids of a filter.
const MAX_IDS: usize = 1_000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(paths::DEAD_LETTERS, Access::Operator, "List dead letters")
            .notes(
                "Newest first, without their messages. Those that were sent again are left out unless `redriven` \
                 is true. Operators see their tenant's; a message that could not be decoded has no tenant.",
            )
            .query::<DeadLetterQuery>()
            .gives::<DeadLetterPage>(200, "One page")
            .by(list),
        delete(paths::DEAD_LETTERS, Access::Operator, "Delete the dead letters that match a filter")
            .notes("Their notifications stay failed. With `dry_run` they are only counted.")
            .query::<DeadLetterQuery>()
            .gives::<RedriveAnswer>(200, "How many")
            .audited(Action::DeadLetterPurge)
            .by(purge),
        post(paths::DEAD_LETTERS_REDRIVE, Access::Operator, "Send dead letters again")
            .notes(
                "Their notifications begin a new round of attempts, so many a second. It goes on when the request \
                 is given up meanwhile. With `dry_run` they are only counted.",
            )
            .takes::<Redrive>()
            .gives::<RedriveAnswer>(200, "How many")
            .audited(Action::DeadLetterRedrive)
            .by(redrive),
        get(paths::DEAD_LETTER, Access::Operator, "Show a dead letter with its message")
            .gives::<DeadLetter>(200, "The dead letter")
            .by(show),
        delete(paths::DEAD_LETTER, Access::Operator, "Delete a dead letter")
            .gives_nothing(204, "It is gone")
            .audited(Action::DeadLetterDelete)
            .by(remove),
    ]
}

/// The filter within the caller's reach.
fn reach(caller: &Principal, mut filter: DeadLetterFilter) -> Result<DeadLetterFilter, Problem> {
    match narrowed(caller, filter.tenant_id.as_deref())? {
        Scope::All => {}
        Scope::Tenant(Some(tenant)) => filter.tenant_id = Some(tenant),
        Scope::Tenant(None) => {
            return Err(without_tenant());
        }
    }
    if filter.ids.len() > MAX_IDS {
        return Err(Problem::field("/filter/ids", format!("must be at most {MAX_IDS}")));
    }
    Ok(filter)
}

fn without_tenant() -> Problem {
    Problem::forbidden("a caller without a tenant cannot see dead letters")
}

fn filter(query: &DeadLetterQuery) -> DeadLetterFilter {
    DeadLetterFilter {
        ids: Vec::new(),
        reason: query.reason.clone(),
        channel: query.channel,
        tenant_id: query.tenant_id.clone(),
        from: query.from,
        to: query.to,
    }
}

async fn list(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Query(query): Query<DeadLetterQuery>,
) -> Result<Json<DeadLetterPage>, Problem> {
    let filter = reach(&caller, filter(&query))?;
    let limit = page::limit(query.limit);
    let before = query.cursor.as_deref().map(|text| page::read_cursor(text).and_then(|id| id.parse().ok()));
    let before = before.map(|id| id.ok_or_else(bad_cursor)).transpose()?;
    let read =
        app.parts.db.list_dead_letters(&filter, query.redriven == Some(true), before, limit + 1).await?;
    let id = |letter: &Read<DeadLetter>| match letter {
        Ok(letter) => letter.id.to_string(),
        Err(letter) => letter.id.clone(),
    };
    let (rows, next_cursor) = page::cut(read, limit, id);
    let (data, unreadable) = parted(rows);
    Ok(Json(DeadLetterPage { has_more: next_cursor.is_some(), data, next_cursor, unreadable }))
}

/// A dead letter within the caller's reach.
async fn own(app: &App, caller: &Principal, id: &Id) -> Result<DeadLetter, Problem> {
    let absent = || Problem::not_found(format!("there is no dead letter {}", shortened(&id.0)));
    // What could not be decoded has no tenant: it may be anybody's.
    if matches!(caller.scope(), Scope::Tenant(None)) {
        return Err(without_tenant());
    }
    let letter = app.parts.db.fetch_dead_letter(id.number("dead letter")?).await?;
    letter.filter(|letter| caller.may_use_tenant(letter.tenant_id.as_deref())).ok_or_else(absent)
}

async fn show(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    id: Id,
) -> Result<Json<DeadLetter>, Problem> {
    own(&app, &caller, &id).await.map(Json)
}

async fn remove(State(app): State<Arc<App>>, Caller(caller): Caller, id: Id) -> Result<StatusCode, Problem> {
    let letter = own(&app, &caller, &id).await?;
    let only = DeadLetterFilter { ids: vec![letter.id], ..DeadLetterFilter::default() };
    app.parts.db.purge_dead_letters(&only, &mut Reached::default()).await?;
    let (tenant, detail) = (letter.tenant_id.as_deref(), serde_json::json!({"reason": letter.reason}));
    audit::record(&app, &*caller, tenant, Action::DeadLetterDelete, &id.0, detail).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn redrive(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Body(request): Body<Redrive>,
) -> Result<Json<RedriveAnswer>, Problem> {
    let filter = reach(&caller, request.filter)?;
    if request.dry_run {
        return count(&app, &filter).await;
    }
    if request.rate == Some(0) {
        return Err(Problem::field("/rate", "must be at least 1"));
    }
    let limit = request.limit.unwrap_or(MAX_REDRIVE).min(MAX_REDRIVE);
    let rate = request.rate.unwrap_or(DEFAULT_RATE);
    let (mut reached, by) = (Reached::default(), format!("by {}", caller.name));
    let answer = app.parts.db.redrive(&filter, rate, u64::from(limit), &by, &mut reached).await;
    let places = entries(&reached, &serde_json::json!({"filter": filter, "rate": rate}));
    audit::record_each(&app, &*caller, Action::DeadLetterRedrive, "filter", places).await;
    Ok(Json(answer?))
}

/// What an act that went by a filter did in each tenant, also when it came to a bad end.
fn entries(reached: &Reached, detail: &serde_json::Value) -> Vec<(Option<String>, serde_json::Value)> {
    let entry = |(tenant, done): (&Option<String>, &u64)| {
        let mut detail = detail.clone();
        detail["done"] = (*done).into();
        (tenant.clone(), detail)
    };
    reached.iter().map(entry).collect()
}

async fn count(app: &App, filter: &DeadLetterFilter) -> Result<Json<RedriveAnswer>, Problem> {
    let matched = app.parts.db.count_dead_letters(filter).await?;
    Ok(Json(RedriveAnswer { matched, done: 0, remaining: matched, dry_run: true }))
}

async fn purge(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Query(query): Query<DeadLetterQuery>,
) -> Result<Json<RedriveAnswer>, Problem> {
    let filter = reach(&caller, filter(&query))?;
    if query.dry_run == Some(true) {
        return count(&app, &filter).await;
    }
    let mut reached = Reached::default();
    let purged = app.parts.db.purge_dead_letters(&filter, &mut reached).await;
    let places = entries(&reached, &serde_json::json!({ "filter": filter }));
    audit::record_each(&app, &*caller, Action::DeadLetterPurge, "filter", places).await;
    purged?;
    let done = reached.values().sum();
    Ok(Json(RedriveAnswer { matched: done, done, remaining: 0, dry_run: false }))
}
