//! Health of components and of the whole.

use serde::Serialize;

/// How a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
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
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct PartReport {
    /// Its name.
    pub name: String,
    /// How it is.
    pub status: HealthStatus,
    /// How long it took to answer, in ms.
    pub latency_ms: Option<f64>,
    /// What it said, or why it is not ready.
    pub detail: String,
    /// What to do now.
    pub hint: Option<String>,
}

impl PartReport {
    /// A part that the stack was not asked to have.
    #[must_use]
    pub fn absent(name: &str) -> Self {
        let detail = format!("optional; nsys up --with {name} starts it");
        Self { name: name.to_owned(), status: HealthStatus::Absent, latency_ms: None, detail, hint: None }
    }
}

/// The worst status wins; what is absent does not count; no component at all is unknown, not ok.
#[must_use]
pub fn overall(reports: &[PartReport]) -> HealthStatus {
    let any = |status| reports.iter().any(|report| report.status == status);
    let counted = reports.iter().any(|report| report.status != HealthStatus::Absent);
    if !counted || any(HealthStatus::Unknown) && !any(HealthStatus::Down) {
        HealthStatus::Unknown
    } else if any(HealthStatus::Down) {
        HealthStatus::Down
    } else if any(HealthStatus::Degraded) {
        HealthStatus::Degraded
    } else {
        HealthStatus::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(status: HealthStatus) -> PartReport {
        PartReport { name: "x".into(), status, latency_ms: None, detail: String::new(), hint: None }
    }

    #[test]
    fn the_worst_status_wins_and_nothing_is_not_ok() {
        assert_eq!(overall(&[]), HealthStatus::Unknown);
        assert_eq!(
            overall(&[report(HealthStatus::Ok), report(HealthStatus::Degraded)]),
            HealthStatus::Degraded
        );
        assert_eq!(overall(&[report(HealthStatus::Unknown), report(HealthStatus::Down)]), HealthStatus::Down);
        assert_eq!(overall(&[report(HealthStatus::Ok), report(HealthStatus::Absent)]), HealthStatus::Ok);
        assert_eq!(overall(&[report(HealthStatus::Absent)]), HealthStatus::Unknown);
    }
}
