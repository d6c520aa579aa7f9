//! What the broker shows of a window: where messages were written, and whose partitions wait.

use super::TIMEOUT;
use crate::clients::kafka;
use crate::domain::facts::Facts;
use crate::domain::group::{Group, Member};
use crate::domain::lag::PartitionLag;
use crate::domain::profile::ProfileFlow;
use crate::measured::Measured;
use crate::stack::Stack;

/// A broker that answers so is there.
const NO_TOPIC: &str = "the topic is not there";
/// Nobody reads for a group that is not there.
const NO_GROUP: &str = "the consumer group does not exist";

/// The partitions at the start of a window.
pub(super) type Ends = Vec<PartitionLag>;

pub(super) async fn ends(stack: &Stack) -> Measured<Ends> {
    let Some(flow) = stack.profile().flows.first() else { return Measured::missing(NO_TOPIC) };
    let wanted = [flow.topic.clone()];
    let found = kafka::lag(&stack.endpoints.brokers(), &flow.group, &wanted, TIMEOUT).await;
    // A topic that is not there has no lag, not one of 0.
    Measured::from(found).filter(|all: &Ends| !all.is_empty(), NO_TOPIC)
}

pub(super) async fn facts(stack: &Stack, before: &Measured<Ends>, seconds: f64) -> Facts {
    let Some(flow) = stack.profile().flows.first() else { return Facts::default() };
    let brokers = stack.endpoints.brokers();
    let (now, group) = tokio::join!(ends(stack), kafka::group(&brokers, &flow.group, TIMEOUT));
    of(flow, before, &now, &group.into(), seconds)
}

fn of(
    flow: &ProfileFlow,
    before: &Measured<Ends>,
    now: &Measured<Ends>,
    group: &Measured<Group>,
    seconds: f64,
) -> Facts {
    let mut facts = Facts::default();
    let offsets = format!("offsets of the topic {} and of the group {}", flow.topic, flow.group);
    let offsets = offsets.as_str();
    unanswered(&mut facts, flow, [before, now]);
    let (now, group) = (now.as_ref(), group.as_ref());
    let written = before.as_ref().zip(now.clone()).map(|(before, now)| written(before, now));
    let per_s = written.as_ref().map(|all| all.iter().sum::<f64>() / seconds);
    // Nobody reads for a group that is not there: no messages are nothing to keep up with then.
    let missing = matches!((&group, &now), (Measured::Value(group), Measured::Value(now)) if !group.exists() && !committed(now));
    let group = group.filter(|_| !missing, NO_GROUP);
    let lag = now.clone().map(|now| now.iter().map(|one| one.lag as f64).sum::<f64>());
    let lag = lag.filter(|lag| *lag > 0.0 || !missing, NO_GROUP);
    facts.put("lag_end", lag.clone(), "Kafka", offsets);
    facts.put("written_per_s", per_s.clone(), "Kafka", offsets);
    facts.put(
        "behind_s",
        behind(lag, per_s.clone()),
        "Kafka",
        format!("{offsets}: messages that wait, over the rate of writing"),
    );
    let skew = written.and_then(|all| {
        let (most, sum) = (all.iter().copied().fold(0.0, f64::max), all.iter().sum::<f64>());
        if sum > 0.0 {
            Measured::Value(most * all.len() as f64 / sum)
        } else {
            Measured::not_applicable("nothing was written in this window")
        }
    });
    let query = format!("{offsets}: most written to one partition, over the mean");
    facts.put("publish_skew", skew, "Kafka", query);
    let members = group.clone().and_then(|group| match group.size() {
        Some(members) => Measured::Value(members as f64),
        None => Measured::missing(group.reason.clone().unwrap_or_default()),
    });
    let share = members.zip(now.clone()).map(|(members, now)| members / now.len().max(1) as f64);
    facts.put("workers_per_partition", share, "Kafka", "members of the group over partitions");
    worst_worker(&mut facts, now, group, per_s);
    facts
}

/// At how many of both ends of the window the broker told nothing.
fn unanswered(facts: &mut Facts, flow: &ProfileFlow, ends: [&Measured<Ends>; 2]) {
    let silent = ends.iter().filter_map(|one| one.reason()).filter(|why| *why != NO_TOPIC);
    let silent: Vec<_> = silent.collect();
    let query = format!("offsets of the topic {}, at the beginning and at the end of the window", flow.topic);
    facts.put("kafka_unanswered_share", silent.len() as f64 / ends.len() as f64, "Kafka", query);
    facts.explain("kafka_unanswered_share", silent.last().map(|why| why.to_string()));
}

/// Whether the group ever committed on any of them.
fn committed(now: &Ends) -> bool {
    now.iter().any(|one| one.committed.is_some())
}

fn behind(lag: Measured<f64>, per_s: Measured<f64>) -> Measured<f64> {
    // Nothing was written: then nothing is late, unless something waits all the same.
    lag.zip(per_s).map(|(lag, per_s)| lag / per_s.max(1.0))
}

fn written(before: &Ends, now: &Ends) -> Vec<f64> {
    let start = |one: &PartitionLag| {
        before.iter().find(|known| known.partition == one.partition).map_or(0, |known| known.end)
    };
    now.iter().map(|one| (one.end - start(one)).max(0) as f64).collect()
}

/// How much more waits for the worker that is furthest behind than for the others.
fn worst_worker(facts: &mut Facts, now: Measured<&Ends>, group: Measured<&Group>, per_s: Measured<f64>) {
    let (ratio, behind) = ("worker_lag_ratio", "worst_worker_behind_s");
    let query = "messages that wait, by the member that owns the partition";
    let (now, group) = match now.zip(group) {
        Measured::Value(both) => both,
        Measured::Missing(why) | Measured::NotApplicable(why) => {
            facts.miss(ratio, "Kafka", query, &why);
            facts.miss(behind, "Kafka", query, &why);
            return;
        }
    };
    if let Some(why) = &group.reason {
        facts.miss(ratio, "Kafka", query, why);
        facts.miss(behind, "Kafka", query, why);
        return;
    }
    let waits = by_member(now, group);
    if waits.len() < 2 {
        facts.skip(ratio, query, "fewer than two workers own partitions");
        facts.skip(behind, query, "fewer than two workers own partitions");
        return;
    }
    let worst = waits.iter().copied().max_by(|one, two| one.0.total_cmp(&two.0)).unwrap_or_default();
    let others = (waits.iter().map(|one| one.0).sum::<f64>() - worst.0) / (waits.len() - 1) as f64;
    facts.put(ratio, worst.0 / others.max(1.0), "Kafka", query);
    let share = worst.1 as f64 / now.len().max(1) as f64;
    let late = per_s.map(|rate| worst.0 / (rate * share).max(1.0));
    facts.put(behind, late, "Kafka", format!("{query}, over its share of the rate of writing"));
}

/// Messages that wait and partitions, for each member that owns any.
fn by_member(now: &Ends, group: &Group) -> Vec<(f64, usize)> {
    let of = |member: &Member| {
        let own =
            |one: &&PartitionLag| group.owner(&one.topic, one.partition).is_some_and(|it| it.id == member.id);
        let own: Vec<_> = now.iter().filter(own).collect();
        (own.iter().map(|one| one.lag as f64).sum::<f64>(), own.len())
    };
    group.members.iter().map(of).filter(|one| one.1 > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::profile::FlowStart;
    use nsys_contract::topics;

    /// Of the flow of the companion.
    fn of(before: &Measured<Ends>, now: &Measured<Ends>, group: &Measured<Group>, seconds: f64) -> Facts {
        let (topic, group_name) = (topics::NOTIFICATIONS.to_owned(), topics::WORKER_GROUP.to_owned());
        let flow = ProfileFlow { topic, group: group_name, begins: FlowStart::Earliest };
        super::of(&flow, before, now, group, seconds)
    }

    fn partitions(ends_and_lags: &[(i64, i64)]) -> Ends {
        let one = |(index, (end, lag)): (usize, &(i64, i64))| {
            PartitionLag::new(topics::NOTIFICATIONS, index as i32, Some(end - lag), 0, *end)
        };
        ends_and_lags.iter().enumerate().map(one).collect()
    }

    fn group(owned: &[&[i32]]) -> Group {
        let member = |(index, owned): (usize, &&[i32])| Member {
            id: format!("m{index}"),
            client: "rdkafka".into(),
            host: "/127.0.0.1".into(),
            owns: vec![(topics::NOTIFICATIONS.to_owned(), owned.to_vec())],
        };
        Group {
            name: "g".into(),
            state: "Stable".into(),
            members: owned.iter().enumerate().map(member).collect(),
            ..Group::default()
        }
    }

    fn value(facts: &Facts, name: &str) -> f64 {
        facts.value(name).unwrap_or_else(|| panic!("{name}: {facts:?}"))
    }

    #[test]
    fn a_worker_that_lags_alone_is_told_from_all_that_lag() {
        let before = partitions(&[(0, 0), (0, 0), (0, 0)]);
        let owners = group(&[&[0], &[1], &[2]]);
        let alone = of(
            &before.clone().into(),
            &partitions(&[(600, 500), (600, 5), (600, 4)]).into(),
            &owners.clone().into(),
            10.0,
        );
        assert!(value(&alone, "worker_lag_ratio") > 50.0);
        assert!((value(&alone, "worst_worker_behind_s") - 500.0 / 60.0).abs() < 0.1);
        let all = of(
            &before.clone().into(),
            &partitions(&[(600, 500), (600, 480), (600, 520)]).into(),
            &owners.into(),
            10.0,
        );
        assert!(value(&all, "worker_lag_ratio") < 2.0);
        assert!((value(&all, "behind_s") - 1_500.0 / 180.0).abs() < 0.1);
    }

    #[test]
    fn skew_is_seen_in_what_is_written_not_in_what_waits() {
        let before = partitions(&[(100, 0), (100, 0), (100, 0)]);
        let now = partitions(&[(1_000, 0), (110, 0), (110, 0)]);
        let facts = of(&before.clone().into(), &now.into(), &group(&[&[0, 1, 2]]).into(), 10.0);
        assert!(value(&facts, "publish_skew") > 2.5);
        assert!(facts.measured("worker_lag_ratio").is_not_applicable());
    }

    #[test]
    fn a_group_that_is_not_there_has_no_lag_and_no_idle_workers() {
        let empty: Ends = vec![PartitionLag::new(topics::NOTIFICATIONS, 0, None, 0, 0)];
        let missing = Group::missing("g");
        let facts = of(&empty.clone().into(), &empty.clone().into(), &missing.clone().into(), 10.0);
        for name in ["lag_end", "behind_s", "workers_per_partition", "worker_lag_ratio"] {
            let fact = facts.get(name).unwrap();
            assert!(fact.value.reason().is_some() && !fact.value.is_not_applicable(), "{name}: {fact:?}");
        }
        // What waits for it does wait.
        let full = vec![PartitionLag::new(topics::NOTIFICATIONS, 0, None, 0, 7)];
        assert_eq!(of(&empty.into(), &full.into(), &missing.into(), 10.0).value("lag_end"), Some(7.0));
    }

    #[test]
    fn a_broker_that_does_not_answer_leaves_everything_unmeasured() {
        let gone = || Measured::missing("the broker did not answer");
        let facts = of(&gone(), &gone(), &Measured::missing("nor the group"), 10.0);
        assert_eq!(facts.measured("behind_s"), Measured::missing("the broker did not answer"));
        assert_eq!(facts.value("kafka_unanswered_share"), Some(1.0));
        for (name, fact) in facts.iter().filter(|(name, _)| *name != "kafka_unanswered_share") {
            assert!(matches!(fact.value, Measured::Missing(_)), "{name}: {fact:?}");
        }
    }
}
