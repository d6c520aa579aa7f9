//! One plan of several: the order is kept, nothing is done twice, replicas restart once. Pure.

use super::{ChangePlan, ServiceStep, Step};

/// The steps of all plans in their order. A key that two of them set is set as the first wants it,
/// which a warning tells; replicas restart last, and only once.
#[must_use]
pub fn merge(title: impl Into<String>, plans: Vec<ChangePlan>) -> ChangePlan {
    let mut whole = ChangePlan::new(title);
    let mut roll: Option<((u32, u32), (u32, u32))> = None;
    for plan in plans {
        for step in plan.steps {
            match step {
                Step::Service(ServiceStep::Roll { from, to }) => {
                    let (_, most) = roll.unwrap_or((from, to));
                    roll = Some((from, (most.0.max(to.0), most.1.max(to.1))));
                }
                step => add(&mut whole, step),
            }
        }
        whole.notes.extend(plan.notes);
        whole.warnings.extend(plan.warnings);
        whole.reads.extend(plan.reads);
    }
    whole.steps.extend(roll.map(|(from, to)| Step::Service(ServiceStep::Roll { from, to })));
    whole.notes.dedup();
    whole.warnings.dedup();
    whole
}

fn add(whole: &mut ChangePlan, step: Step) {
    if whole.steps.contains(&step) {
        return;
    }
    if let Step::Config(change) = &step {
        let decided =
            whole.steps.iter().any(|one| matches!(one, Step::Config(known) if known.key == change.key));
        if decided {
            whole.warnings.push(format!("{} is already set above; {} is skipped", change.key, step.what()));
            return;
        }
    }
    whole.steps.push(step);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ConfigStep, DbStep};
    use crate::secret::Guarded;

    fn set(value: i64) -> Step {
        Step::Config(ConfigStep {
            key: "db.pool_size".into(),
            before: None,
            after: Some(Guarded::new("db.pool_size", value.into())),
            effective: Guarded::new("db.pool_size", 10.into()),
        })
    }

    fn plan(steps: Vec<Step>) -> ChangePlan {
        ChangePlan { steps, ..ChangePlan::default() }
    }

    #[test]
    fn replicas_restart_once_and_last() {
        let roll = |to| Step::Service(ServiceStep::Roll { from: (1, 1), to });
        let analyze = Step::Db(DbStep::Analyze { table: "t".into() });
        let whole = merge(
            "all",
            vec![
                plan(vec![set(20), roll((1, 1))]),
                plan(vec![analyze.clone()]),
                plan(vec![analyze, roll((3, 1))]),
            ],
        );
        assert_eq!(whole.steps.len(), 3);
        assert_eq!(whole.steps[2], Step::Service(ServiceStep::Roll { from: (1, 1), to: (3, 1) }));
    }

    #[test]
    fn of_two_values_for_a_key_the_first_counts_and_the_other_is_told() {
        let whole = merge("all", vec![plan(vec![set(20)]), plan(vec![set(30)])]);
        assert_eq!(whole.steps, [set(20)]);
        assert!(whole.warnings[0].contains("30"), "{:?}", whole.warnings);
    }
}
