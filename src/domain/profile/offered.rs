//! A profile's requests as both engines read them: templates resolved, the base path and the credentials put in.

use super::{Profile, ProfileRequest, StatusSet, Template, TemplatePiece};
use serde::{Deserialize, Serialize};

/// A request in the plan file of a level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfferedRequest {
    /// What reports call it.
    pub name: String,
    /// How often it is made, against the weights of the others.
    pub weight: f64,
    /// `GET`, `POST`, ….
    pub method: String,
    /// Path with its query, the base path included.
    pub path: Vec<TemplatePiece>,
    /// Every header but the host and the length.
    pub headers: Vec<HeaderTemplate>,
    /// The body; none is sent where there is none.
    pub body: Option<Vec<TemplatePiece>>,
    /// Statuses that are a success.
    pub success: StatusSet,
    /// Those by which the service acknowledges.
    pub acknowledged: StatusSet,
    /// Whether it has an id of its own, by which it can be told whether it was stored.
    pub tracked: bool,
}

/// A header: its name in lower case, and its value.
pub type HeaderTemplate = (String, Vec<TemplatePiece>);

/// The value of a variable of the environment.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Profile {
    /// The requests for the generators: behind `base_path`, with this header that shows who makes them.
    ///
    /// # Errors
    /// Names the variable that a template needs and that is not set.
    pub fn offered(
        &self,
        base_path: &str,
        credentials: Option<&(String, String)>,
        variables: Variables<'_>,
    ) -> Result<Vec<OfferedRequest>, String> {
        let made = self.requests.iter().filter(|one| one.weight > 0.0);
        made.map(|one| offered(one, base_path, credentials, variables)).collect()
    }
}

impl OfferedRequest {
    /// A request that reads one path, for comparing generators.
    #[must_use]
    pub fn reading(path: &str, credentials: Option<&(String, String)>) -> Self {
        Self {
            name: format!("GET {path}"),
            weight: 1.0,
            method: "GET".into(),
            path: vec![TemplatePiece::Text(path.to_owned())],
            headers: credentials.into_iter().map(header).collect(),
            body: None,
            success: StatusSet::of(&[200, 201]),
            acknowledged: StatusSet::default(),
            tracked: false,
        }
    }
}

fn header((name, value): &(String, String)) -> HeaderTemplate {
    (name.clone(), vec![TemplatePiece::Text(value.clone())])
}

fn offered(
    one: &ProfileRequest,
    base_path: &str,
    credentials: Option<&(String, String)>,
    variables: Variables<'_>,
) -> Result<OfferedRequest, String> {
    let resolve = |template: &Template| resolved(template, variables);
    let mut path = resolve(&one.path)?;
    if !base_path.is_empty() {
        path.insert(0, TemplatePiece::Text(base_path.to_owned()));
    }
    let own = one.headers.iter().map(|(name, value)| Ok((name.clone(), resolve(value)?)));
    let mut headers: Vec<HeaderTemplate> = own.collect::<Result<_, String>>()?;
    // What the profile writes itself goes before what follows from its auth.
    let shown = credentials.filter(|(name, _)| !one.headers.contains_key(name));
    headers.extend(shown.into_iter().map(header));
    Ok(OfferedRequest {
        name: one.name.clone(),
        weight: one.weight,
        method: one.method.clone(),
        path: joined(path),
        headers,
        body: one.body.as_ref().map(resolve).transpose()?,
        success: one.success.clone(),
        acknowledged: one.acknowledged.clone(),
        tracked: one.is_tracked(),
    })
}

fn resolved(template: &Template, variables: Variables<'_>) -> Result<Vec<TemplatePiece>, String> {
    let of = |piece: &TemplatePiece| match piece {
        TemplatePiece::Env(name) => variables(name)
            .map(TemplatePiece::Text)
            .ok_or_else(|| format!("the variable {name} is not set, and {} needs it", template.source())),
        other => Ok(other.clone()),
    };
    template.pieces().iter().map(of).collect::<Result<_, _>>().map(joined)
}

/// Neighbouring texts as one: each piece costs a request something.
fn joined(pieces: Vec<TemplatePiece>) -> Vec<TemplatePiece> {
    let mut all: Vec<TemplatePiece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (all.last_mut(), piece) {
            (Some(TemplatePiece::Text(before)), TemplatePiece::Text(more)) => before.push_str(&more),
            (_, piece) => all.push(piece),
        }
    }
    all
}
