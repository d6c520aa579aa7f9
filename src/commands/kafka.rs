//! `nsys kafka`.

use crate::cli::KafkaCommand;
use crate::clients::kafka;
use crate::domain::group::Group;
use crate::error::{Error, Result};
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report, Tone, format, style::paint, table::Table};
use crate::stack::Stack;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Serialize, schemars::JsonSchema)]
struct Topics {
    topics: Vec<TopicRow>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct TopicRow {
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

#[derive(Serialize, schemars::JsonSchema)]
struct Groups {
    groups: Vec<Group>,
}

impl Report for Groups {
    fn text(&self) -> String {
        if self.groups.is_empty() {
            return "no group".into();
        }
        let mut table = Table::new(["group", "type", "state", "members", "partitions owned"]).right(&[3, 4]);
        for group in &self.groups {
            let size = group.size();
            table.row([
                group.name.clone(),
                group.kind.to_string(),
                group.state.clone(),
                format::or_missing(size, |size| size.to_string()),
                format::or_missing(size, |_| group.assigned().len().to_string()),
            ]);
        }
        let why = |group: &Group| Some(format!("\n{}: {}", group.name, group.reason.as_ref()?));
        let said: String = self.groups.iter().filter_map(why).collect();
        table.text() + &paint(Tone::Warn, &said)
    }
}

#[derive(Serialize, schemars::JsonSchema)]
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
        let number = |offset: Option<i64>| format::or_missing(offset, |offset| offset.to_string());
        for one in &self.partitions {
            table.row([
                one.partition.to_string(),
                one.leader.to_string(),
                format!("{:?}", one.replicas),
                format!("{:?}", one.in_sync),
                number(one.begin),
                number(one.end),
                number(one.begin.zip(one.end).map(|(begin, end)| end - begin)),
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
            let there = kafka::topics(&brokers, TIMEOUT).await.map_err(|error| error.hint("nsys health"))?;
            let mut topics: Vec<_> = there
                .into_iter()
                .map(|(name, partitions)| TopicRow { internal: name.starts_with("__"), name, partitions })
                .collect();
            topics.sort_by(|one, other| one.name.cmp(&other.name));
            out.report(&Topics { topics })
        }
        KafkaCommand::Groups => out.report(&Groups {
            groups: kafka::groups(&brokers, TIMEOUT).await.map_err(|error| error.hint("nsys health"))?,
        }),
        KafkaCommand::Describe { topic } => {
            let Some(partitions) = kafka::describe(&brokers, &topic, TIMEOUT)
                .await
                .map_err(|error| error.hint("nsys health"))?
            else {
                let known = kafka::topics(&brokers, TIMEOUT).await.unwrap_or_default();
                let known = known.iter().map(|(name, _)| name.as_str());
                return Err(Error::no_such("topic", &topic, known, "nsys kafka topics lists them"));
            };
            let settings = kafka::topic_settings(&brokers, &topic, TIMEOUT).await?;
            out.report(&Description { topic, settings, partitions })
        }
    }
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![
        AnswerSchema::of::<Topics>("kafka topics", 1),
        AnswerSchema::of::<Groups>("kafka groups", 1),
        AnswerSchema::of::<Description>("kafka describe", 1),
    ]
}
