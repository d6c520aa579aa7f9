//! One request of each kind, filled as the generator fills it, for whoever wants to see or to try it.

use super::text::{TextTemplate, Values};
use crate::domain::profile::OfferedRequest;
use crate::error::Result;

/// A request as it would be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleRequest {
    /// `GET`, `POST`, ….
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, where there is one.
    pub body: Option<String>,
}

/// The request, with `run` for the level's name.
///
/// # Errors
/// When a template holds what only the profile's reader can put in.
pub fn sample(request: &OfferedRequest, run: &str) -> Result<SampleRequest> {
    let values = Values::new(run, run, 0, 1);
    values.begin(Some(0));
    let fill = |pieces: &[_]| Ok::<_, crate::error::Error>(TextTemplate::new(pieces)?.fill(&values));
    let header = |(name, value): &(String, Vec<_>)| Ok((name.clone(), fill(value)?));
    Ok(SampleRequest {
        method: request.method.clone(),
        path: fill(&request.path)?,
        headers: request.headers.iter().map(header).collect::<Result<_>>()?,
        body: request.body.as_deref().map(fill).transpose()?,
    })
}
