//! `nsys lag`.

use crate::cli::LagArgs;
use crate::clients::kafka::{self, Brokers, FirstRecord};
use crate::domain::group::{Group, GroupType};
use crate::domain::lag::retention::RetentionUse;
use crate::domain::lag::{Backlog, GroupOffsets};
use crate::domain::profile::FlowStart;
use crate::error::{Error, Result};
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report, Tone, format, style::paint, table::Table};
use crate::stack::Stack;
use futures::future::try_join_all;
use nsys_contract::topics::TopicRetention;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the first waiting record of a topic; then its age is not told.
const AGE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Serialize, schemars::JsonSchema)]
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

#[derive(Serialize, schemars::JsonSchema)]
struct TopicLag {
    topic: String,
    /// Then its lag is in offsets, not all of which hold a message; absent when the broker does not say.
    is_compacted: Option<bool>,
    partitions: Vec<LagLine>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct LagLine {
    partition: i32,
    committed: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    lost: Option<i64>,
    beyond_end: Option<i64>,
    lag_seconds: Option<f64>,
    /// How far retention is from deleting what waits; absent where nothing waits, or is kept for ever.
    retention: Option<RetentionUse>,
    owner: Option<String>,
    status: Standing,
    /// Why the partition is unknown.
    reason: Option<String>,
}

/// How a commit stands to its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
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
                    "{name}: the commit is {beyond} beyond the end of the log: the topic was recreated or truncated"
                );
                said.push(paint(Tone::Bad, &text));
            }
            if let Some(used) = one.retention.filter(RetentionUse::is_warned_of) {
                let left = format::duration(Duration::from_secs_f64(used.left_s));
                let share = format::percent(used.share);
                let text = format!(
                    "{name}: what waits has used {share} of its retention; it may be deleted in {left}, unread"
                );
                said.push(paint(Tone::Bad, &text));
            }
            if let Some(lost) = one.lost.filter(|lost| *lost > 0) {
                said.push(paint(
                    Tone::Warn,
                    &format!("{name}: {lost} uncommitted messages were deleted by retention"),
                ));
            }
        }
        for topic in self.topics.iter().filter(|topic| topic.is_compacted == Some(true)) {
            let text = format!("{} is compacted: its lag is in offsets, fewer messages wait", topic.topic);
            said.push(paint(Tone::Dim, &text));
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
            said.push(format!(
                "{} in total were deleted by retention and are no longer pending",
                self.total_lost
            ));
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
    let flows = &stack.profile().flows;
    let known = flows.first().map(|flow| flow.group.as_str());
    let name = args.group.as_deref().or(known).ok_or_else(|| {
        let profile = &stack.profile().name;
        Error::usage(format!("which consumer group is not said: the profile {profile} names none"))
            .hint("nsys lag --group NAME; nsys kafka groups lists them")
    })?;
    let begins_at_first = flows.iter().any(|flow| flow.group == name && flow.begins == FlowStart::Earliest);
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
    let times = waiting_since(&brokers, &offsets, begins_at_first).await?;
    let now_ms = crate::clock::now().as_millisecond();
    let read: BTreeSet<_> = offsets.iter().map(|one| one.topic.as_str()).collect();
    let read: Vec<_> = read.into_iter().collect();
    // What the broker does not let one see is not told; the lag is.
    let retentions = kafka::retentions(&brokers, &read, TIMEOUT).await.unwrap_or_default();
    out.report(&answer((name, begins_at_first), &group, offsets.clone(), &times, &retentions, now_ms))
}

type Retentions = BTreeMap<String, TopicRetention>;
type LagTimes = BTreeMap<(String, i32), FirstRecord>;

/// The first message that waits on each partition, if there is one.
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
        let times = kafka::first_records(brokers, topic, starts, AGE_TIMEOUT).await?;
        Ok::<_, Error>(times.into_iter().map(|(partition, at)| ((topic.to_owned(), partition), at)))
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

fn answer(
    (name, begins_at_first): (&str, bool),
    group: &Group,
    offsets: Vec<GroupOffsets>,
    times: &LagTimes,
    retentions: &Retentions,
    now_ms: i64,
) -> Lag {
    let mut by_topic: BTreeMap<String, Vec<LagLine>> = BTreeMap::new();
    for one in offsets {
        let since = times.get(&(one.topic.clone(), one.partition));
        let backlog = match since {
            Some(FirstRecord::Nothing) => one
                .backlog(begins_at_first)
                .map(|known| Backlog { waiting: known.waiting.map(|_| 0), ..known }),
            _ => one.backlog(begins_at_first),
        };
        let lag = backlog.as_ref().ok().and_then(|known| known.waiting);
        let status = Standing::of(&one, backlog.as_ref().ok());
        let lag_seconds = match (lag, since) {
            (Some(0), _) if status != Standing::BeyondEnd => Some(0.0),
            (_, Some(FirstRecord::At(at))) => Some((now_ms - at).max(0) as f64 / 1_000.0),
            _ => None,
        };
        let kept = retentions.get(&one.topic);
        let waits_s = lag_seconds.filter(|age| *age > 0.0);
        let line = LagLine {
            retention: kept
                .and_then(|kept| kept.time)
                .zip(waits_s)
                .map(|(kept, age)| RetentionUse::of(age, kept)),
            partition: one.partition,
            committed: one.committed.clone().ok().flatten(),
            end: one.end.clone().ok(),
            lag,
            lost: backlog.as_ref().ok().map(|known| known.lost),
            beyond_end: backlog.as_ref().ok().map(|known| known.beyond),
            lag_seconds,
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
    let told = |(topic, partitions): (String, Vec<LagLine>)| TopicLag {
        is_compacted: retentions.get(&topic).map(|kept| kept.is_compacted),
        topic,
        partitions,
    };
    let topics = by_topic.into_iter().map(told).collect();
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

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<Lag>("lag", 1)]
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
        let lag =
            answer(("g", false), &Group::default(), found.clone(), &LagTimes::new(), &Retentions::new(), 0);
        assert_eq!(lag.total_lag, 4);
        assert_eq!(lag.topics[0].partitions[1].lag, None);
        let workers =
            answer(("workers", true), &Group::default(), found, &LagTimes::new(), &Retentions::new(), 0);
        assert_eq!(workers.total_lag, 104, "workers begin at the first message");
    }

    #[test]
    fn seconds_behind_are_known_or_null_never_zero_by_absence() {
        let found = vec![offsets(0, Some(5), 0, 9), offsets(1, Some(9), 0, 9), offsets(2, Some(1), 0, 9)];
        let times = LagTimes::from([(("a".to_owned(), 0), FirstRecord::At(1_000))]);
        let lag = answer(("g", false), &Group::default(), found, &times, &Retentions::new(), 3_500);
        let seconds: Vec<_> = lag.topics[0].partitions.iter().map(|line| line.lag_seconds).collect();
        assert_eq!(seconds, [Some(2.5), Some(0.0), None]);
    }

    #[test]
    fn lost_beyond_and_unknown_are_told_and_never_caught_up() {
        let mut dark = offsets(2, Some(5), 0, 9);
        dark.end = Err("no leader".into());
        let found = vec![offsets(0, Some(10), 95, 100), offsets(1, Some(81), 0, 12), dark];
        let lag = answer(("g", false), &Group::default(), found, &LagTimes::new(), &Retentions::new(), 0);
        assert_eq!((lag.total_lag, lag.total_lost, lag.unknown_partitions), (5, 85, 1));
        let lines = &lag.topics[0].partitions;
        let standing: Vec<_> = lines.iter().map(|line| line.status).collect();
        assert_eq!(standing, [Standing::Lost, Standing::BeyondEnd, Standing::Unknown]);
        assert_eq!((lines[1].beyond_end, lines[1].lag, lines[1].lag_seconds), (Some(69), None, None));
        assert_eq!((lines[2].lag, lines[2].lost), (None, None));
        let said = lag.text();
        for wanted in
            ["deleted by retention", "69 beyond the end", "a-2 is unknown: no leader", "1 partitions are"]
        {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }

    #[test]
    fn markers_do_not_wait_and_retention_is_warned_of_before_it_deletes() {
        let found = vec![offsets(0, Some(5), 0, 9), offsets(1, Some(5), 0, 9), offsets(2, Some(3), 5, 9)];
        let key = |partition| ("a".to_owned(), partition);
        let times = LagTimes::from([
            (key(0), FirstRecord::Nothing),
            (key(1), FirstRecord::At(0)),
            (key(2), FirstRecord::Nothing),
        ]);
        let kept = TopicRetention { time: Some(Duration::from_secs(100)), ..TopicRetention::default() };
        let retentions = Retentions::from([("a".to_owned(), kept)]);
        let lag = answer(("g", false), &Group::default(), found, &times, &retentions, 60_000);
        let lines = &lag.topics[0].partitions;
        let told: Vec<_> = lines.iter().map(|line| (line.lag, line.lost, line.status)).collect();
        let wanted = [
            (Some(0), Some(0), Standing::CaughtUp),
            (Some(4), Some(0), Standing::Waiting),
            (Some(0), Some(2), Standing::Lost),
        ];
        assert_eq!(told, wanted);
        assert_eq!((lag.total_lag, lines[0].lag_seconds, lines[0].retention), (4, Some(0.0), None));
        assert!(lag.text().contains("a-1: what waits has used 60"), "{}", lag.text());
    }
}
