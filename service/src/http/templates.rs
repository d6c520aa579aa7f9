//! Templates: stored payloads with placeholders.

use super::admin::{bad_cursor, page, tenant_of};
use super::audit::{self, Action};
use super::endpoint::{Endpoint, delete, get, post, put};
use super::error::Problem;
use super::etag::{self, Expected};
use super::extract::{Body, Id, OptionalBody, Query, shortened};
use super::gate::{Access, Caller};
use crate::db::{DbError, Existing, parted};
use crate::domain::Violation;
use crate::domain::template::name_fits;
use crate::http::app::App;
use crate::http::app::template_cache::FillError;
use axum::Json;
use axum::extract::State;
use axum::http::header::{ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use nsys_contract::api::{
    NewTemplate, RenderRequest, RenderedTemplate, Template, TemplateList, TemplateQuery, TemplateUpdate,
    TenantQuery, paths,
};
use std::sync::Arc;

type TaggedTemplate = ([(HeaderName, String); 1], Json<Template>);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get(paths::TEMPLATES, Access::User, "List templates")
            .query::<TemplateQuery>()
            .gives::<TemplateList>(200, "The templates of the tenant, by name")
            .fails(&[403])
            .by(list),
        post(paths::TEMPLATES, Access::Operator, "Create a template")
            .notes(
                "Every text of the payload is a template in Jinja's syntax: `{{ name }}`, `{% if %}`, `{% for %}` \
                 and a few filters. Values in fields called `html` are escaped, unless `|safe` is written. Steps, \
                 depth and output are bounded, for the payload as a whole.",
            )
            .takes::<NewTemplate>()
            .gives::<Template>(201, "The template")
            .fails(&[409])
            .audited(Action::TemplateCreate)
            .by(create),
        get(paths::TEMPLATE, Access::User, "Show a template")
            .query::<TenantQuery>()
            .gives::<Template>(200, "The template; `ETag` is its version")
            .fails(&[403, 409])
            .by(show),
        put(paths::TEMPLATE, Access::Operator, "Create or replace a template")
            .notes("With `If-Match` only the version named there is replaced, with `If-None-Match: *` none.")
            .query::<TenantQuery>()
            .takes::<TemplateUpdate>()
            .gives::<Template>(200, "The template as it is now")
            .fails(&[412])
            .audited(Action::TemplateReplace)
            .by(replace),
        delete(paths::TEMPLATE, Access::Operator, "Delete a template")
            .query::<TenantQuery>()
            .gives_nothing(204, "It is gone")
            .audited(Action::TemplateDelete)
            .by(remove),
        post(paths::TEMPLATE_RENDER, Access::User, "Render a template without sending it")
            .query::<TenantQuery>()
            .may_take::<RenderRequest>()
            .gives::<RenderedTemplate>(200, "The payload with every placeholder filled")
            .fails(&[403, 409])
            .unaudited("nothing is sent or changed")
            .by(render),
    ]
}

fn absent(id: &str) -> Problem {
    Problem::not_found(format!("there is no template {}", shortened(id)))
}

/// A template that cannot be read is the tenant's to replace; anything else is ours.
fn unreadable(id: &str, cause: DbError) -> Problem {
    if cause.is_unreadable() {
        return Problem::conflict(format!("the template {id} cannot be read; replace or delete it: {cause}"));
    }
    cause.into()
}

fn tagged(template: Template) -> TaggedTemplate {
    ([(ETAG, format!("\"{}\"", template.version))], Json(template))
}

async fn list(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Query(query): Query<TemplateQuery>,
) -> Result<Json<TemplateList>, Problem> {
    let scope = super::admin::narrowed(&caller, query.tenant_id.as_deref())?;
    let after = query.cursor.as_deref().map(|text| {
        let place = page::read_cursor(text)?;
        // A name holds no line break, whatever a tenant's id holds.
        place.rsplit_once('\n').map(|(tenant, id)| (tenant.to_owned(), id.to_owned()))
    });
    let after = after.map(|place| place.ok_or_else(bad_cursor)).transpose()?;
    let read = app.parts.db.list_templates(&scope, after.as_ref()).await?;
    let next_cursor = read.more_after.map(|(tenant, id)| page::cursor(&format!("{tenant}\n{id}")));
    let (data, unreadable) = parted(read.rows);
    Ok(Json(TemplateList { data, has_more: next_cursor.is_some(), next_cursor, unreadable }))
}

async fn create(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Body(request): Body<NewTemplate>,
) -> Result<(StatusCode, TaggedTemplate), Problem> {
    let tenant = tenant_of(&caller, request.tenant_id)?;
    let mut wrong = app.templates.renderer.check(&request.payload, app.parts.config.limits.max_payload_bytes);
    if !name_fits(&request.id) {
        wrong.push(Violation::new("/id", "must be 1 to 64 letters, digits, `-`, `_` or `.`"));
    }
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let put = app.parts.db.put_template(
        tenant.as_deref(),
        &request.id,
        request.channel,
        &request.payload,
        Existing::Keep,
    );
    let template = put
        .await?
        .ok_or_else(|| Problem::conflict(format!("a template named {} already exists", request.id)))?;
    app.templates.forget(tenant.as_deref(), &request.id).await;
    let detail = serde_json::json!({"channel": template.channel});
    audit::record(&app, &*caller, tenant.as_deref(), Action::TemplateCreate, &template.id, detail).await;
    Ok((StatusCode::CREATED, tagged(template)))
}

async fn show(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Id(id): Id,
    Query(query): Query<TenantQuery>,
) -> Result<TaggedTemplate, Problem> {
    let tenant = tenant_of(&caller, query.tenant_id)?;
    let found =
        app.parts.db.fetch_template(tenant.as_deref(), &id).await.map_err(|cause| unreadable(&id, cause))?;
    found.map(tagged).ok_or_else(|| absent(&id))
}

async fn replace(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Id(id): Id,
    Query(query): Query<TenantQuery>,
    headers: HeaderMap,
    Body(update): Body<TemplateUpdate>,
) -> Result<TaggedTemplate, Problem> {
    let tenant = tenant_of(&caller, query.tenant_id)?;
    if !name_fits(&id) {
        return Err(absent(&id));
    }
    let wrong = app.templates.renderer.check(&update.payload, app.parts.config.limits.max_payload_bytes);
    if !wrong.is_empty() {
        return Err(Problem::invalid(wrong));
    }
    let existing = expected(&headers);
    let put = app.parts.db.put_template(tenant.as_deref(), &id, update.channel, &update.payload, existing);
    let stale = || Problem::new(StatusCode::PRECONDITION_FAILED, "the template has a different version");
    let template = put.await?.ok_or_else(stale)?;
    app.templates.forget(tenant.as_deref(), &id).await;
    let detail = serde_json::json!({"version": template.version});
    audit::record(&app, &*caller, tenant.as_deref(), Action::TemplateReplace, &id, detail).await;
    Ok(tagged(template))
}

/// What the preconditions of the request allow.
fn expected(headers: &HeaderMap) -> Existing {
    if headers.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes().trim_ascii() == b"*") {
        return Existing::Keep;
    }
    match etag::expected(headers, |text| text.parse().ok()) {
        Expected::Any => Existing::Replace,
        Expected::OneOf(versions) => Existing::ReplaceVersions(versions),
    }
}

async fn remove(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Id(id): Id,
    Query(query): Query<TenantQuery>,
) -> Result<StatusCode, Problem> {
    let tenant = tenant_of(&caller, query.tenant_id)?;
    if !app.parts.db.delete_template(tenant.as_deref(), &id).await? {
        return Err(absent(&id));
    }
    app.templates.forget(tenant.as_deref(), &id).await;
    let detail = serde_json::json!({});
    audit::record(&app, &*caller, tenant.as_deref(), Action::TemplateDelete, &id, detail).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn render(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Id(id): Id,
    Query(query): Query<TenantQuery>,
    OptionalBody(request): OptionalBody<RenderRequest>,
) -> Result<Json<RenderedTemplate>, Problem> {
    let tenant = tenant_of(&caller, query.tenant_id)?;
    let max_bytes = app.parts.config.limits.max_payload_bytes;
    let filled =
        app.templates.fill(&app.parts.db, tenant.as_deref(), &id, &request.template_data, max_bytes).await;
    let filled = filled.map_err(|cause| match cause {
        FillError::Db(cause) => unreadable(&id, cause),
        other => other.into(),
    })?;
    let (channel, payload) = filled.ok_or_else(|| absent(&id))?;
    Ok(Json(RenderedTemplate { channel, payload }))
}
