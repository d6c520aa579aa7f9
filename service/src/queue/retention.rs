//! What the log keeps of the service's topics, asked of its broker.

use super::client_config;
use nsys_contract::config::Kafka;
use nsys_contract::topics::{self, TopicRetention};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigEntry, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use std::time::Duration;

/// Longest wait for the broker.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks for the configuration of topics.
pub(crate) struct TopicSettings {
    admin: AdminClient<DefaultClientContext>,
}

impl TopicSettings {
    /// Makes the client; it connects when it is first asked.
    pub(crate) fn open(kafka: &Kafka) -> anyhow::Result<Self> {
        Ok(Self { admin: client_config(kafka).create()? })
    }

    /// What is kept of each of the service's topics.
    ///
    /// # Errors
    /// The topic, and why its configuration cannot be read.
    pub(crate) async fn read(&self) -> Result<Vec<(String, TopicRetention)>, String> {
        let asked: Vec<_> = topics::ALL.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let answers =
            self.admin.describe_configs(&asked, &options).await.map_err(|cause| cause.to_string())?;
        let mut found = Vec::with_capacity(answers.len());
        for (topic, answer) in topics::ALL.iter().zip(answers) {
            let resource = answer.map_err(|code| format!("{topic}: {code}"))?;
            let OwnedResourceSpecifier::Topic(name) = resource.specifier else { continue };
            let entry = |one: &ConfigEntry| Some((one.name.clone(), one.value.clone()?));
            let entries: Vec<_> = resource.entries.iter().filter_map(entry).collect();
            let entries = entries.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            found.push((name, TopicRetention::read(entries)));
        }
        Ok(found)
    }
}
