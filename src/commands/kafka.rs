//! `nsys lag` and `nsys kafka`.

use crate::cli::{KafkaCommand, LagArgs};
use crate::clients::kafka;
use crate::domain::group::Group;
use crate::domain::lag::PartitionLag;
use crate::error::{Error, Result};
use crate::render::{Out, Report, format, table::Table};
use crate::stack::Stack;
use nsys_contract::topics;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Lag {
    group: String,
    state: String,
    total_lag: i64,
    topics: Vec<TopicLag>,
}

#[derive(Serialize)]
struct TopicLag {
    topic: String,
    partitions: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    partition: i32,
    committed: Option<i64>,
    end: i64,
    lag: i64,
    lag_seconds: Option<f64>,
    owner: Option<String>,
}

impl Report for Lag {
    fn text(&self) -> String {
        let head = format!("total lag of {} ({}): {}", self.group, self.state, self.total_lag);
        if self.topics.is_empty() {
            return format!("the group {} has committed nothing", self.group);
        }
        let mut table = Table::new(["topic", "partition", "committed", "end", "lag", "behind", "owner"])
            .right(&[1, 2, 3, 4, 5]);
        for topic in &self.topics {
            for one in &topic.partitions {
                table.row([
                    topic.topic.clone(),
                    one.partition.to_string(),
                    format::or_missing(one.committed, |offset| offset.to_string()),
                    one.end.to_string(),
                    one.lag.to_string(),
                    format::or_missing(one.lag_seconds, |seconds| format!("{seconds:.1} s")),
                    one.owner.clone().unwrap_or_else(|| format::MISSING.into()),
                ]);
            }
        }
        format!("{}\n{head}", table.text())
    }
}

pub(super) async fn lag(stack: &Stack, args: &LagArgs, out: Out) -> Result<()> {
    let brokers = stack.endpoints.brokers();
    let name = args.group.as_deref().unwrap_or(topics::WORKER_GROUP);
    let group = kafka::group(&brokers, name, PATIENCE).await.map_err(|error| error.hint("nsys health"))?;
    let known: Vec<String> = kafka::topics(&brokers, PATIENCE)
        .await?
        .into_iter()
        .map(|(topic, _)| topic)
        .filter(|topic| !topic.starts_with("__"))
        .collect();
    let partitions = kafka::lag(&brokers, name, &known, PATIENCE).await?;
    let waiting: Vec<_> = partitions
        .iter()
        .filter(|one| one.lag > 0)
        .filter_map(|one| Some((one.topic.clone(), one.partition, one.committed?)))
        .collect();
    // The oldest message that waits tells how far behind a partition is.
    let times = kafka::times_at(&brokers, waiting, Duration::from_secs(2)).await?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    out.report(&answer(name, &group, partitions, &times, now_ms))
}

/// Only topics that the group committed to or owns belong to it.
fn answer(
    name: &str,
    group: &Group,
    partitions: Vec<PartitionLag>,
    times: &BTreeMap<(String, i32), i64>,
    now_ms: i64,
) -> Lag {
    let mut by_topic: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for one in partitions {
        let lag_seconds = match one.lag {
            0 => Some(0.0),
            _ => {
                times.get(&(one.topic.clone(), one.partition)).map(|at| (now_ms - at).max(0) as f64 / 1_000.0)
            }
        };
        let owner = group.owner(&one.topic, one.partition);
        let line = Line {
            partition: one.partition,
            committed: one.committed,
            end: one.end,
            lag: one.lag,
            lag_seconds,
            owner: owner.map(|member| member.client.clone()),
        };
        by_topic.entry(one.topic).or_default().push(line);
    }
    by_topic
        .retain(|topic, lines| lines.iter().any(|line| line.committed.is_some()) || group.owned(topic) > 0);
    for lines in by_topic.values_mut() {
        lines.sort_by_key(|line| line.partition);
    }
    let total_lag = by_topic.values().flatten().map(|line| line.lag).sum();
    let topics = by_topic.into_iter().map(|(topic, partitions)| TopicLag { topic, partitions }).collect();
    Lag { group: name.to_owned(), state: group.state.clone(), total_lag, topics }
}

#[derive(Serialize)]
struct Topics {
    topics: Vec<Topic>,
}

#[derive(Serialize)]
struct Topic {
    name: String,
    partitions: usize,
    internal: bool,
}

impl Report for Topics {
    fn text(&self) -> String {
        let mut table = Table::new(["topic", "partitions"]).right(&[1]);
        for topic in self.topics.iter().filter(|topic| !topic.internal) {
            table.row([topic.name.clone(), topic.partitions.to_string()]);
        }
        table.text()
    }
}

#[derive(Serialize)]
struct Groups {
    groups: Vec<Group>,
}

impl Report for Groups {
    fn text(&self) -> String {
        if self.groups.is_empty() {
            return "no group".into();
        }
        let mut table = Table::new(["group", "state", "members", "partitions owned"]).right(&[2, 3]);
        for group in &self.groups {
            let owned: usize = group
                .members
                .iter()
                .flat_map(|member| &member.owns)
                .map(|(_, partitions)| partitions.len())
                .sum();
            table.row([
                group.name.clone(),
                group.state.clone(),
                group.members.len().to_string(),
                owned.to_string(),
            ]);
        }
        table.text()
    }
}

#[derive(Serialize)]
struct Description {
    topic: String,
    settings: BTreeMap<String, String>,
    partitions: Vec<kafka::Partition>,
}

impl Report for Description {
    fn text(&self) -> String {
        let mut table =
            Table::new(["partition", "leader", "replicas", "in sync", "begin", "end", "messages"])
                .right(&[0, 1, 4, 5, 6]);
        for one in &self.partitions {
            table.row([
                one.partition.to_string(),
                one.leader.to_string(),
                format!("{:?}", one.replicas),
                format!("{:?}", one.in_sync),
                one.begin.to_string(),
                one.end.to_string(),
                (one.end - one.begin).to_string(),
            ]);
        }
        let settings: String =
            self.settings.iter().map(|(name, value)| format!("\n{name} = {value}")).collect();
        table.text() + &settings
    }
}

pub(super) async fn kafka(stack: &Stack, command: KafkaCommand, out: Out) -> Result<()> {
    let brokers = stack.endpoints.brokers();
    match command {
        KafkaCommand::Topics => {
            let there = kafka::topics(&brokers, PATIENCE).await.map_err(|error| error.hint("nsys health"))?;
            let mut topics: Vec<_> = there
                .into_iter()
                .map(|(name, partitions)| Topic { internal: name.starts_with("__"), name, partitions })
                .collect();
            topics.sort_by(|one, other| one.name.cmp(&other.name));
            out.report(&Topics { topics })
        }
        KafkaCommand::Groups => out.report(&Groups { groups: kafka::groups(&brokers, PATIENCE).await? }),
        KafkaCommand::Describe { topic } => {
            let partitions = kafka::describe(&brokers, &topic, PATIENCE).await?.ok_or_else(|| {
                Error::usage(format!("there is no topic {topic}")).hint("nsys kafka topics lists them")
            })?;
            let settings = kafka::topic_settings(&brokers, &topic, PATIENCE).await?;
            out.report(&Description { topic, settings, partitions })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: &str, number: i32, committed: Option<i64>, end: i64) -> PartitionLag {
        PartitionLag::new(topic, number, committed, 0, end)
    }

    #[test]
    fn a_topic_the_group_never_touched_is_not_its_lag() {
        let partitions = vec![partition("a", 0, Some(5), 9), partition("b", 0, None, 100)];
        let lag = answer("g", &Group::default(), partitions, &BTreeMap::new(), 0);
        assert_eq!((lag.total_lag, lag.topics.len()), (4, 1));
    }

    #[test]
    fn seconds_behind_are_known_or_null_never_zero_by_absence() {
        let partitions =
            vec![partition("a", 0, Some(5), 9), partition("a", 1, Some(9), 9), partition("a", 2, Some(1), 9)];
        let times = BTreeMap::from([(("a".to_owned(), 0), 1_000)]);
        let lag = answer("g", &Group::default(), partitions, &times, 3_500);
        let seconds: Vec<_> = lag.topics[0].partitions.iter().map(|line| line.lag_seconds).collect();
        assert_eq!(seconds, [Some(2.5), Some(0.0), None]);
    }
}
