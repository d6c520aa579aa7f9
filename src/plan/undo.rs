//! The plan that takes a journaled change back. Pure.

use super::{ChangePlan, Step, Undo};

/// The way back from steps that were made, or why there is none.
///
/// Steps are taken back in reverse order; replicas are restarted last, when everything they read
/// is as it was.
///
/// # Errors
/// With the reason, when one of the steps cannot be taken back.
pub fn plan_undo(id: &str, done: &[Step]) -> Result<ChangePlan, String> {
    let mut plan = ChangePlan::new(format!("take {id} back"));
    let mut rolls = Vec::new();
    for step in done.iter().rev() {
        match step.undo() {
            Undo::By(back) if matches!(*back, Step::Service(_)) => rolls.push(*back),
            Undo::By(back) => plan.steps.push(*back),
            Undo::NotNeeded => {}
            Undo::Impossible(why) => return Err(why),
        }
    }
    plan.steps.extend(rolls);
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ConfigStep, DbStep, KafkaStep, ServiceStep};
    use crate::secret::Guarded;

    fn set(before: Option<i64>, after: i64) -> Step {
        let size = |value: i64| Guarded::new("db.pool_size", value.into());
        Step::Config(ConfigStep {
            key: "db.pool_size".into(),
            before: before.map(size),
            after: Some(size(after)),
            effective: size(before.unwrap_or(10)),
        })
    }

    #[test]
    fn undoing_twice_is_the_change_itself() {
        let roll = Step::Service(ServiceStep::Roll { from: (1, 1), to: (1, 1) });
        let steps = vec![set(Some(12), 20), roll];
        let back = plan_undo("c1", &steps).unwrap();
        let forth = plan_undo("c2", &back.steps).unwrap();
        assert_eq!(forth.steps.len(), 2);
        let size = |value: i64| Guarded::new("db.pool_size", value.into());
        let Step::Config(first) = &forth.steps[0] else { panic!("{forth:?}") };
        assert_eq!((first.before.clone(), first.after.clone()), (Some(size(12)), Some(size(20))));
    }

    #[test]
    fn replicas_restart_after_the_configuration_is_back() {
        let roll = Step::Service(ServiceStep::Roll { from: (1, 1), to: (3, 1) });
        let plan = plan_undo("c1", &[set(None, 20), roll]).unwrap();
        assert!(matches!(plan.steps[0], Step::Config(_)));
        assert_eq!(plan.steps[1], Step::Service(ServiceStep::Roll { from: (3, 1), to: (1, 1) }));
    }

    #[test]
    fn what_cannot_be_taken_back_says_why() {
        let grown = Step::Kafka(KafkaStep::Partitions { topic: "notifications".into(), from: 3, to: 10 });
        let why = plan_undo("c1", &[Step::Db(DbStep::Analyze { table: "t".into() }), grown]).unwrap_err();
        assert!(why.contains("partitions"), "{why}");
    }
}
