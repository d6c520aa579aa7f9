//! Health of components and of the whole.

use serde::Serialize;

/// How a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, but not as it should.
    Degraded,
    /// Does not answer, or answers that it cannot work.
    Down,
    /// Could not be found out.
    Unknown,
    /// An optional part that was not asked for: neither good nor bad.
    Absent,
}

/// One component.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// How it is.
    pub status: Status,
    /// How long it took to answer, in ms.
    pub latency_ms: Option<f64>,
    /// What it said, or why it is not ready.
    pub detail: String,
    /// What to do now.
    pub hint: Option<String>,
}

impl Component {
    /// A part that the stack was not asked to have.
    #[must_use]
    pub fn absent(name: &str) -> Self {
        let detail = format!("optional; nsys up --with {name} starts it");
        Self { name: name.to_owned(), status: Status::Absent, latency_ms: None, detail, hint: None }
    }
}

/// The worst status wins; what is absent does not count; no component at all is unknown, not ok.
#[must_use]
pub fn overall(components: &[Component]) -> Status {
    let any = |status| components.iter().any(|component| component.status == status);
    let counted = components.iter().any(|component| component.status != Status::Absent);
    if !counted || any(Status::Unknown) && !any(Status::Down) {
        Status::Unknown
    } else if any(Status::Down) {
        Status::Down
    } else if any(Status::Degraded) {
        Status::Degraded
    } else {
        Status::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(status: Status) -> Component {
        Component { name: "x".into(), status, latency_ms: None, detail: String::new(), hint: None }
    }

    #[test]
    fn the_worst_status_wins_and_nothing_is_not_ok() {
        assert_eq!(overall(&[]), Status::Unknown);
        assert_eq!(overall(&[component(Status::Ok), component(Status::Degraded)]), Status::Degraded);
        assert_eq!(overall(&[component(Status::Unknown), component(Status::Down)]), Status::Down);
        assert_eq!(overall(&[component(Status::Ok), component(Status::Absent)]), Status::Ok);
        assert_eq!(overall(&[component(Status::Absent)]), Status::Unknown);
    }
}
