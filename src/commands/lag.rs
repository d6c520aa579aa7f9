//! `nsys lag`.

use crate::cli::LagArgs;
use crate::clients::kafka::{self, Brokers};
use crate::domain::group::{Group, GroupType};
use crate::domain::lag::{Backlog, GroupOffsets};
use crate::error::{Error, Result};
use crate::render::{Out, Report, Tone, format, style::paint, table::Table};
use crate::stack::Stack;
use futures::future::try_join_all;
use nsys_contract::topics;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the first waiting record of a topic; then its age is not told.
const AGE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Lag {
    group: String,
    #[serde(rename = "type")]
    kind: GroupType,
    state: String,
    members: Option<usize>,
    /// Kept messages that wait, of the partitions where that is known.
    total_lag: i64,
    /// Messages that retention removed before they were committed.
    total_lost: i64,
    /// Partitions that nobody answered for.
    unknown_partitions: usize,
    /// Why type, members or offsets are not known.
    reason: Option<String>,
    topics: Vec<TopicLag>,
}

#[derive(Serialize)]
struct TopicLag {
    topic: String,
    partitions: Vec<LagLine>,
}

#[derive(Serialize)]
struct LagLine {
    partition: i32,
    committed: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    lost: Option<i64>,
    beyond_end: Option<i64>,
    lag_seconds: Option<f64>,
    owner: Option<String>,
    status: Standing,
    /// Why the partition is unknown.
    reason: Option<String>,
}

/// How a commit stands to its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    CaughtUp,
    Waiting,
    /// Retention removed messages before they were committed.
    Lost,
    /// The topic was made anew, or its log truncated.
    BeyondEnd,
    Uncommitted,
    Unknown,
}

impl Standing {
    fn of(one: &GroupOffsets, backlog: Option<&Backlog>) -> Self {
        match backlog {
            None => Self::Unknown,
            Some(backlog) if backlog.beyond > 0 => Self::BeyondEnd,
            Some(backlog) if backlog.lost > 0 => Self::Lost,
            Some(_) if one.committed == Ok(None) => Self::Uncommitted,
            Some(backlog) if backlog.waiting == Some(0) => Self::CaughtUp,
            Some(_) => Self::Waiting,
        }
    }
}

impl Report for Lag {
    fn text(&self) -> String {
        if self.topics.is_empty() {
            return match &self.reason {
                Some(why) => format!("the {}: lag not available: {why}", self.name()),
                None => format!("the {} has committed nothing and owns nothing", self.name()),
            };
        }
        let mut table = Table::new(["topic", "partition", "committed", "end", "lag", "behind", "owner"])
            .right(&[1, 2, 3, 4, 5]);
        let number = |value: Option<i64>| format::or_missing(value, |value| value.to_string());
        for topic in &self.topics {
            for one in &topic.partitions {
                table.row([
                    topic.topic.clone(),
                    one.partition.to_string(),
                    number(one.committed),
                    number(one.end),
                    number(one.lag),
                    format::or_missing(one.lag_seconds, |seconds| format!("{seconds:.1} s")),
                    one.owner.clone().unwrap_or_else(|| format::MISSING.into()),
                ]);
            }
        }
        let total = format!("total lag of the {}: {}", self.name(), self.total_lag);
        let mut lines = vec![table.text(), total];
        lines.extend(self.remarks());
        lines.join("\n")
    }
}

impl Lag {
    /// The group with its type and state: `consumer group orders (Stable)`.
    fn name(&self) -> String {
        format!("{} group {} ({})", self.kind, self.group, self.state)
    }

    /// What the numbers alone do not say.
    fn remarks(&self) -> Vec<String> {
        let mut said = Vec::new();
        let all = || {
            self.topics
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(|one| (topic.topic.as_str(), one)))
        };
        for (topic, one) in all() {
            let name = format!("{topic}-{}", one.partition);
            if let Some(reason) = &one.reason {
                said.push(paint(Tone::Warn, &format!("{name} is unknown: {reason}")));
            }
            if let Some(beyond) = one.beyond_end.filter(|beyond| *beyond > 0) {
                let text = format!(
                    "{name}: the commit is {beyond} beyond the end of the log: the topic was made anew, or truncated"
                );
                said.push(paint(Tone::Bad, &text));
            }
            if let Some(lost) = one.lost.filter(|lost| *lost > 0) {
                said.push(paint(
                    Tone::Warn,
                    &format!("{name}: {lost} messages behind the commit are lost to retention"),
                ));
            }
        }
        if let Some(why) = &self.reason {
            said.push(paint(Tone::Warn, &format!("who owns what is not known: {why}")));
        }
        if self.kind == GroupType::Share {
            let text = "of a share group, committed is the first record that is not acknowledged; members share the \
                        records of a partition";
            said.push(paint(Tone::Dim, text));
        }
        if self.total_lost > 0 {
            said.push(format!("{} in all are lost to retention; they do not wait any more", self.total_lost));
        }
        if self.unknown_partitions > 0 {
            said.push(format!("{} partitions are unknown and not in the total", self.unknown_partitions));
        }
        let unreported =
            all().filter(|(_, one)| one.lag.is_none() && one.status != Standing::Unknown).count();
        if unreported > 0 {
            let text = format!(
                "{unreported} partitions without a commit in their log are not in it: whether their messages wait depends \
                 on where the group's consumers begin (auto.offset.reset)"
            );
            said.push(paint(Tone::Dim, &text));
        }
        said
    }
}

pub(super) async fn lag(stack: &Stack, args: &LagArgs, out: Out) -> Result<()> {
    let brokers = stack.endpoints.brokers();
    let name = args.group.as_deref().unwrap_or(topics::WORKER_GROUP);
    let (group, offsets) =
        kafka::group_offsets(&brokers, name, TIMEOUT).await.map_err(|error| error.hint("nsys health"))?;
    if offsets.is_empty() && !group.exists() {
        let lists = match &args.group {
            Some(_) => "nsys kafka groups lists them",
            None => "nsys kafka groups lists them; nsys lag --group NAME shows another one",
        };
        // That the list cannot be had is no reason to say less.
        let known = kafka::groups(&brokers, TIMEOUT).await.unwrap_or_default();
        let known = known.iter().map(|one| one.name.as_str());
        return Err(Error::no_such("consumer group", name, known, lists));
    }
    let times = waiting_since(&brokers, &offsets, name == topics::WORKER_GROUP).await?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    out.report(&answer(name, &group, offsets, &times, now_ms))
}

type LagTimes = BTreeMap<(String, i32), i64>;

/// When the first message that waits on each partition was written, in ms since the epoch.
async fn waiting_since(
    brokers: &Brokers,
    offsets: &[GroupOffsets],
    begins_at_first: bool,
) -> Result<LagTimes> {
    let mut starts: BTreeMap<&str, Vec<(i32, i64)>> = BTreeMap::new();
    for one in offsets {
        if let Some(first) = one.first_waiting(begins_at_first) {
            starts.entry(&one.topic).or_default().push((one.partition, first));
        }
    }
    let reads = starts.into_iter().map(|(topic, starts)| async move {
        let times = kafka::first_times(brokers, topic, starts, AGE_TIMEOUT).await?;
        Ok::<_, Error>(times.into_iter().map(|(partition, at)| ((topic.to_owned(), partition), at)))
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

fn answer(name: &str, group: &Group, offsets: Vec<GroupOffsets>, times: &LagTimes, now_ms: i64) -> Lag {
    let begins_at_first = name == topics::WORKER_GROUP;
    let mut by_topic: BTreeMap<String, Vec<LagLine>> = BTreeMap::new();
    for one in offsets {
        let backlog = one.backlog(begins_at_first);
        let lag = backlog.as_ref().ok().and_then(|known| known.waiting);
        let since = times.get(&(one.topic.clone(), one.partition));
        let status = Standing::of(&one, backlog.as_ref().ok());
        let line = LagLine {
            partition: one.partition,
            committed: one.committed.clone().ok().flatten(),
            end: one.end.clone().ok(),
            lag,
            lost: backlog.as_ref().ok().map(|known| known.lost),
            beyond_end: backlog.as_ref().ok().map(|known| known.beyond),
            lag_seconds: match lag {
                Some(0) if status != Standing::BeyondEnd => Some(0.0),
                _ => since.map(|at| (now_ms - at).max(0) as f64 / 1_000.0),
            },
            owner: owners(group, &one.topic, one.partition),
            status,
            reason: backlog.err(),
        };
        by_topic.entry(one.topic).or_default().push(line);
    }
    let total = |of: fn(&LagLine) -> Option<i64>| by_topic.values().flatten().filter_map(of).sum();
    let (total_lag, total_lost) = (total(|line| line.lag), total(|line| line.lost));
    let unknown_partitions =
        by_topic.values().flatten().filter(|line| line.status == Standing::Unknown).count();
    let topics = by_topic.into_iter().map(|(topic, partitions)| TopicLag { topic, partitions }).collect();
    Lag {
        group: name.to_owned(),
        kind: group.kind,
        state: group.state.clone(),
        members: group.size(),
        total_lag,
        total_lost,
        unknown_partitions,
        reason: group.reason.clone(),
        topics,
    }
}

/// Who owns a partition, or shares it.
fn owners(group: &Group, topic: &str, partition: i32) -> Option<String> {
    let names: Vec<_> = group.owners(topic, partition).map(|member| member.client.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(partition: i32, committed: Option<i64>, begin: i64, end: i64) -> GroupOffsets {
        GroupOffsets {
            topic: "a".into(),
            partition,
            committed: Ok(committed),
            begin: Ok(begin),
            end: Ok(end),
            unacknowledged: None,
        }
    }

    #[test]
    fn only_what_is_known_to_wait_is_added_up() {
        let found = vec![offsets(0, Some(5), 0, 9), offsets(1, None, 0, 100)];
        let lag = answer("g", &Group::default(), found.clone(), &LagTimes::new(), 0);
        assert_eq!(lag.total_lag, 4);
        assert_eq!(lag.topics[0].partitions[1].lag, None);
        let workers = answer(topics::WORKER_GROUP, &Group::default(), found, &LagTimes::new(), 0);
        assert_eq!(workers.total_lag, 104, "workers begin at the first message");
    }

    #[test]
    fn seconds_behind_are_known_or_null_never_zero_by_absence() {
        let found = vec![offsets(0, Some(5), 0, 9), offsets(1, Some(9), 0, 9), offsets(2, Some(1), 0, 9)];
        let times = LagTimes::from([(("a".to_owned(), 0), 1_000)]);
        let lag = answer("g", &Group::default(), found, &times, 3_500);
        let seconds: Vec<_> = lag.topics[0].partitions.iter().map(|line| line.lag_seconds).collect();
        assert_eq!(seconds, [Some(2.5), Some(0.0), None]);
    }

    #[test]
    fn lost_beyond_and_unknown_are_told_and_never_caught_up() {
        let mut dark = offsets(2, Some(5), 0, 9);
        dark.end = Err("no leader".into());
        let found = vec![offsets(0, Some(10), 95, 100), offsets(1, Some(81), 0, 12), dark];
        let lag = answer("g", &Group::default(), found, &LagTimes::new(), 0);
        assert_eq!((lag.total_lag, lag.total_lost, lag.unknown_partitions), (5, 85, 1));
        let lines = &lag.topics[0].partitions;
        let standing: Vec<_> = lines.iter().map(|line| line.status).collect();
        assert_eq!(standing, [Standing::Lost, Standing::BeyondEnd, Standing::Unknown]);
        assert_eq!((lines[1].beyond_end, lines[1].lag, lines[1].lag_seconds), (Some(69), None, None));
        assert_eq!((lines[2].lag, lines[2].lost), (None, None));
        let said = lag.text();
        for wanted in
            ["lost to retention", "69 beyond the end", "a-2 is unknown: no leader", "1 partitions are"]
        {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }
}
