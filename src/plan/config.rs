//! Plans changes of the configuration: edits of the tuned overlay and a rolling restart. Pure.

use super::{ChangePlan, ConfigStep, ServiceStep, Step};
use crate::secret::Guarded;
use std::collections::BTreeMap;
use toml::Value;

/// What the planner must know of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownKey {
    /// What the overlay holds.
    pub tuned: Option<Guarded>,
    /// The effective value.
    pub effective: Guarded,
    /// Whether a layer above the overlay decides, and which: then a change would have no effect.
    pub overridden_by: Option<String>,
}

/// Sets keys to values. `replicas` is what runs and what shall run, absent when nothing runs.
///
/// # Errors
/// When the environment decides one of the keys; the message names the variable.
pub fn plan_settings(
    title: &str,
    known: &BTreeMap<String, KnownKey>,
    wanted: &[(&str, Value)],
    replicas: Option<((u32, u32), (u32, u32))>,
) -> Result<ChangePlan, String> {
    let mut plan = ChangePlan::new(title);
    for (key, value) in wanted {
        let now = known.get(*key).ok_or_else(|| format!("there is no key {key}"))?;
        if now.effective.reveal() == value {
            continue;
        }
        if let Some(variable) = &now.overridden_by {
            return Err(format!("{key} is set by {variable}, which wins over the tuned overlay"));
        }
        plan.notes.push(format!("{key} is {} now", now.effective));
        plan.steps.push(Step::Config(ConfigStep {
            key: (*key).to_owned(),
            before: now.tuned.clone(),
            after: Some(Guarded::new(key, value.clone())),
            effective: now.effective.clone(),
        }));
    }
    match replicas {
        Some((from, to)) if !plan.is_empty() || from != to => {
            plan.steps.push(Step::Service(ServiceStep::Roll { from, to }));
        }
        None if !plan.is_empty() => {
            plan.notes.push("nothing runs: the change takes effect at the next nsys up".into());
        }
        _ => {}
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(effective: i64, overridden_by: Option<&str>) -> BTreeMap<String, KnownKey> {
        let overridden_by = overridden_by.map(str::to_owned);
        let one = KnownKey {
            tuned: None,
            effective: Guarded::new("db.pool_size", effective.into()),
            overridden_by,
        };
        BTreeMap::from([("db.pool_size".to_owned(), one)])
    }

    #[test]
    fn what_is_so_already_needs_no_step() {
        let same = Some(((1, 1), (1, 1)));
        let plan = plan_settings("t", &known(20, None), &[("db.pool_size", 20.into())], same).unwrap();
        assert!(plan.is_empty());
    }

    #[test]
    fn a_change_ends_with_a_rolling_restart() {
        let same = Some(((1, 1), (1, 1)));
        let plan = plan_settings("t", &known(10, None), &[("db.pool_size", 20.into())], same).unwrap();
        assert!(matches!(plan.steps[..], [Step::Config(_), Step::Service(_)]));
    }

    #[test]
    fn the_environment_is_not_silently_beaten() {
        let over = known(10, Some("NSYS_DB__POOL_SIZE"));
        let why = plan_settings("t", &over, &[("db.pool_size", 20.into())], None).unwrap_err();
        assert!(why.contains("NSYS_DB__POOL_SIZE"), "{why}");
    }
}
