//! Plans more partitions for a topic, or says why not. Pure.

use super::config::{KnownKey, plan_settings};
use super::{ChangePlan, KafkaStep, Step};
use crate::domain::partitioner::moved_share;
use std::collections::BTreeMap;

/// What is known of a topic when partitions are to be added.
#[derive(Clone, Debug)]
pub struct TopicState<'a> {
    /// Its name.
    pub name: &'a str,
    /// Partitions it has.
    pub partitions: u32,
    /// Messages that wait for the group.
    pub lag: i64,
    /// Members of the group; absent when they are not known.
    pub members: Option<usize>,
    /// Keys of recent messages.
    pub recent_keys: &'a [Vec<u8>],
    /// Where the workers begin on a partition that they never committed to: `auto.offset.reset`.
    pub workers_begin_at: &'a str,
    /// Other groups that read the topic.
    pub other_groups: &'a [String],
}

/// Raises `kafka.partitions` and the topic to `to` in total.
///
/// # Errors
/// When fewer are asked for; when workers would not begin a new partition at its first message; when
/// messages wait and `force` is not given: a key's older messages would then be overtaken by newer
/// ones on another partition.
pub fn plan_partitions(
    topic: &TopicState<'_>,
    to: u32,
    force: bool,
    known: &BTreeMap<String, KnownKey>,
) -> Result<ChangePlan, String> {
    let (name, from) = (topic.name, topic.partitions);
    if to < from {
        return Err(format!("{name} has {from} partitions; Kafka cannot take partitions away"));
    }
    let mut plan = plan_settings("partitions", known, &[("kafka.partitions", i64::from(to).into())], None)?;
    plan.notes.clear();
    if to == from {
        plan.notes.push(format!("{name} has {from} partitions already"));
        return Ok(plan);
    }
    if topic.workers_begin_at != "earliest" {
        return Err(format!(
            "workers begin a new partition at its {} message and would miss what was produced to it before they \
             discover it",
            topic.workers_begin_at
        ));
    }
    if topic.lag > 0 && !force {
        return Err(format!(
            "{} messages wait on {name}: newer messages of a user could overtake them on another partition",
            topic.lag
        ));
    }
    if topic.lag > 0 {
        plan.warnings.push(format!("{} messages wait; the order of one user's is not kept", topic.lag));
    }
    plan.steps.insert(0, Step::Kafka(KafkaStep::Partitions { topic: name.into(), from, to }));
    plan.notes.push(match moved_share(topic.recent_keys, from, to) {
        Some(share) => format!(
            "{:.0} % of the {} users among the recent messages move to another partition",
            share * 100.0,
            topic.recent_keys.len()
        ),
        None => "there are no recent messages to say which users move".into(),
    });
    plan.notes
        .push("workers begin new partitions at their first message (auto.offset.reset = earliest)".into());
    if !topic.other_groups.is_empty() {
        plan.warnings.push(format!(
            "{name} is read by {} too: with auto.offset.reset = latest they miss what is produced to a new \
             partition before they discover it",
            topic.other_groups.join(", ")
        ));
    }
    match topic.members {
        Some(members) if members < to as usize => plan.warnings.push(format!(
            "{members} workers for {to} partitions: each takes several; more run with: nsys scale worker=N"
        )),
        Some(_) => {}
        None => plan.warnings.push("how many workers there are is not known".into()),
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeMap<String, KnownKey> {
        let three = KnownKey {
            tuned: None,
            effective: crate::secret::Guarded::new("stack.worker", 3.into()),
            overridden_by: None,
        };
        BTreeMap::from([("kafka.partitions".to_owned(), three)])
    }

    fn topic(lag: i64) -> TopicState<'static> {
        TopicState {
            name: "notifications",
            partitions: 3,
            lag,
            members: Some(1),
            recent_keys: &[],
            workers_begin_at: "earliest",
            other_groups: &[],
        }
    }

    #[test]
    fn workers_that_would_miss_messages_refuse_even_when_forced() {
        let latest = TopicState { workers_begin_at: "latest", ..topic(0) };
        assert!(plan_partitions(&latest, 10, true, &known()).unwrap_err().contains("miss"));
        let shared = TopicState { other_groups: &["audit".to_owned()], ..topic(0) };
        let plan = plan_partitions(&shared, 10, false, &known()).unwrap();
        assert!(plan.warnings.iter().any(|text| text.contains("audit")));
    }

    #[test]
    fn fewer_are_refused() {
        assert!(plan_partitions(&topic(0), 2, true, &known()).unwrap_err().contains("cannot take"));
    }

    #[test]
    fn the_same_number_needs_nothing() {
        assert!(plan_partitions(&topic(9), 3, false, &known()).unwrap().is_empty());
    }

    #[test]
    fn waiting_messages_refuse_unless_forced() {
        assert!(plan_partitions(&topic(9), 10, false, &known()).unwrap_err().contains("overtake"));
        let plan = plan_partitions(&topic(9), 10, true, &known()).unwrap();
        assert!(plan.warnings.iter().any(|text| text.contains("order")));
    }

    #[test]
    fn workers_that_cannot_be_counted_are_not_none() {
        let unknown = TopicState { members: None, ..topic(0) };
        let warnings = plan_partitions(&unknown, 10, false, &known()).unwrap().warnings;
        assert!(warnings.iter().any(|text| text.contains("not known")), "{warnings:?}");
        assert!(!warnings.iter().any(|text| text.contains("0 workers")), "{warnings:?}");
    }

    #[test]
    fn partitions_come_before_the_setting_that_names_them() {
        let plan = plan_partitions(&topic(0), 10, false, &known()).unwrap();
        assert!(matches!(plan.steps[..], [Step::Kafka(_), Step::Config(_)]));
        assert!(plan.irreversible().is_some());
    }
}
