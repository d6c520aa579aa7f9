//! One entry of the route table: path, who may use it, what it takes and gives, and its handler.
//!
//! The router and the OpenAPI document are both made from these entries, so neither can know a route
//! that the other does not, and no route exists without a decision on who may use it.

use super::audit::{Action, AuditRule};
use super::gate::{Access, Gate, Gated};
use crate::http::app::App;
use crate::http::app::concurrency::RequestClass;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use std::sync::{Arc, OnceLock};
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoParams, PartialSchema, ToSchema};

pub(crate) const JSON: &str = "application/json";
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// A route with its handler.
pub(crate) struct Endpoint {
    pub(crate) route: Route,
    pub(crate) handlers: MethodRouter<Arc<App>>,
}

/// A route as the table knows it.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) summary: &'static str,
    pub(crate) notes: &'static str,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Content>,
    pub(crate) answers: Vec<Answer>,
    /// The statuses it may fail with beyond those that follow from its shape.
    pub(crate) failures: &'static [u16],
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
    /// What it leaves in the audit log. Every route that may change something says so.
    pub(crate) audit: Option<AuditRule>,
    /// Whether it tells of the service's insides: served on the metrics port, and elsewhere only where that is wanted.
    pub(crate) is_diagnostic: bool,
    class: RequestClass,
}

/// A body by its media types.
pub(crate) struct Content {
    pub(crate) types: Vec<&'static str>,
    pub(crate) schema: Option<RefOr<Schema>>,
    pub(crate) required: bool,
}

/// One way to succeed.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) meaning: &'static str,
    pub(crate) content: Option<Content>,
}

fn route(method: &'static str, path: &'static str, access: Access, summary: &'static str) -> Route {
    Route {
        method,
        path,
        access,
        summary,
        notes: "",
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
        failures: &[],
        schemas: Vec::new(),
        audit: None,
        is_diagnostic: false,
        class: RequestClass::Query,
    }
}

pub(crate) fn get(path: &'static str, access: Access, summary: &'static str) -> Route {
    route("GET", path, access, summary)
}

pub(crate) fn post(path: &'static str, access: Access, summary: &'static str) -> Route {
    route("POST", path, access, summary)
}

pub(crate) fn put(path: &'static str, access: Access, summary: &'static str) -> Route {
    route("PUT", path, access, summary)
}

pub(crate) fn patch(path: &'static str, access: Access, summary: &'static str) -> Route {
    route("PATCH", path, access, summary)
}

pub(crate) fn delete(path: &'static str, access: Access, summary: &'static str) -> Route {
    route("DELETE", path, access, summary)
}

impl Route {
    /// What the summary does not say.
    pub(crate) fn notes(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }

    /// Query parameters.
    pub(crate) fn query<T: IntoParams>(mut self) -> Self {
        self.parameters.extend(T::into_params(|| Some(utoipa::openapi::path::ParameterIn::Query)));
        self
    }

    /// A type that its parameters refer to.
    pub(crate) fn mentions<T: ToSchema>(mut self) -> Self {
        self.reference::<T>();
        self
    }

    /// A JSON body.
    pub(crate) fn takes<T: ToSchema>(mut self) -> Self {
        let schema = Some(self.reference::<T>());
        self.body = Some(Content { types: vec![JSON], schema, required: true });
        self
    }

    /// A JSON body that may be left out.
    pub(crate) fn may_take<T: ToSchema>(mut self) -> Self {
        let schema = Some(self.reference::<T>());
        self.body = Some(Content { types: vec![JSON], schema, required: false });
        self
    }

    /// One JSON value a line.
    pub(crate) fn takes_lines<T: ToSchema>(mut self) -> Self {
        let schema = Some(self.reference::<T>());
        self.body = Some(Content { types: vec![NDJSON], schema, required: true });
        self
    }

    /// Answers with JSON.
    pub(crate) fn gives<T: ToSchema>(self, status: u16, meaning: &'static str) -> Self {
        self.gives_as::<T>(status, meaning, &[JSON])
    }

    /// Answers with these media types.
    pub(crate) fn gives_as<T: ToSchema>(
        mut self,
        status: u16,
        meaning: &'static str,
        types: &[&'static str],
    ) -> Self {
        let schema = Some(self.reference::<T>());
        let content = Some(Content { types: types.to_vec(), schema, required: true });
        self.answers.push(Answer { status, meaning, content });
        self
    }

    /// Answers with something that has no schema.
    pub(crate) fn gives_plain(mut self, status: u16, meaning: &'static str, kind: &'static str) -> Self {
        let content = Some(Content { types: vec![kind], schema: None, required: true });
        self.answers.push(Answer { status, meaning, content });
        self
    }

    /// Answers without a body.
    pub(crate) fn gives_nothing(mut self, status: u16, meaning: &'static str) -> Self {
        self.answers.push(Answer { status, meaning, content: None });
        self
    }

    /// Statuses it may fail with.
    pub(crate) fn fails(mut self, failures: &'static [u16]) -> Self {
        self.failures = failures;
        self
    }

    /// It tells of the service's insides.
    pub(crate) fn diagnostic(mut self) -> Self {
        self.is_diagnostic = true;
        self
    }

    /// It records this act.
    pub(crate) fn audited(mut self, action: Action) -> Self {
        self.audit = Some(AuditRule::Records(action));
        self
    }

    /// It records nothing, for this reason.
    pub(crate) fn unaudited(mut self, why: &'static str) -> Self {
        self.audit = Some(AuditRule::RecordsNothing(why));
        self
    }

    /// The kind of request it is, where it is not a query.
    pub(crate) fn class(mut self, class: RequestClass) -> Self {
        self.class = class;
        self
    }

    /// Puts the handler behind the gate.
    pub(crate) fn by<H, T>(self, handler: H) -> Endpoint
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let filter = match self.method {
            "POST" => MethodFilter::POST,
            "PUT" => MethodFilter::PUT,
            "PATCH" => MethodFilter::PATCH,
            "DELETE" => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        };
        let gate = Arc::new(Gate {
            method: self.method,
            path: self.path,
            access: self.access,
            class: self.class,
            ends_its_work: matches!(self.audit, Some(AuditRule::Records(_))),
            metrics: OnceLock::new(),
        });
        Endpoint { handlers: on(filter, Gated { handler, gate }), route: self }
    }

    fn reference<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), <T as PartialSchema>::schema()));
        <T as ToSchema>::schemas(&mut self.schemas);
        RefOr::Ref(Ref::from_schema_name(name))
    }
}
