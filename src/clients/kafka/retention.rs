//! What the log keeps of topics, and how that is corrected.

use super::admin::admin;
use super::{Brokers, reason};
use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use nsys_contract::topics::{self, TopicRetention};
use rdkafka::admin::{
    AdminOptions, AlterConfig, ConfigEntry, ConfigResource, ConfigSource, OwnedResourceSpecifier,
    ResourceSpecifier,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// The effective configuration of a topic.
async fn entries(brokers: &Brokers, topic: &str, timeout: Duration) -> Result<Vec<ConfigEntry>> {
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let answers = admin(brokers)?
        .describe_configs(&[ResourceSpecifier::Topic(topic)], &options)
        .await
        .map_err(|cause| Error::unreachable(format!("kafka: {}", reason(&cause))))?;
    let answer = answers.into_iter().next();
    let answer = answer.ok_or_else(|| Error::unreachable("kafka: the broker describes no topic"))?;
    let described =
        answer.map_err(|code| Error::failed(format!("kafka: cannot describe {topic}: {code}")))?;
    Ok(described.entries)
}

/// What the log keeps of a topic.
///
/// # Errors
/// When the broker does not answer, or does not say.
pub async fn retention(brokers: &Brokers, topic: &str, timeout: Duration) -> Result<TopicRetention> {
    let entries = entries(brokers, topic, timeout).await?;
    let known = entries.iter().filter_map(|one| Some((one.name.as_str(), one.value.as_deref()?)));
    Ok(TopicRetention::read(known))
}

/// What the log keeps of each of these topics, in one request; a topic that the broker does not describe is absent.
///
/// # Errors
/// When the broker does not answer.
pub async fn retentions(
    brokers: &Brokers,
    topics: &[&str],
    timeout: Duration,
) -> Result<BTreeMap<String, TopicRetention>> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let asked: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let answers = admin(brokers)?
        .describe_configs(&asked, &options)
        .await
        .map_err(|cause| Error::unreachable(format!("kafka: {}", reason(&cause))))?;
    let read = |one: ConfigResource| {
        let OwnedResourceSpecifier::Topic(topic) = one.specifier else { return None };
        let known = one.entries.iter().filter_map(|one| Some((one.name.as_str(), one.value.as_deref()?)));
        Some((topic, TopicRetention::read(known)))
    };
    Ok(answers.into_iter().filter_map(|one| read(one.ok()?)).collect())
}

/// Lets a topic be kept by time alone, for `time` where it says nothing of that itself. Everything else that it
/// says stays.
///
/// # Errors
/// When the broker does not answer, or refuses.
pub async fn keep_by_time(
    _permit: &ChangePermit,
    brokers: &Brokers,
    topic: &str,
    time: Duration,
    timeout: Duration,
) -> Result<()> {
    let before = entries(brokers, topic, timeout).await?;
    // The request replaces all that the topic says itself.
    let own: Vec<_> = before
        .into_iter()
        .filter(|one| one.source == ConfigSource::DynamicTopic)
        .filter_map(|one| Some((one.name, one.value?)))
        .collect();
    let wanted = topics::settings(time);
    let says = |name: &str| own.iter().any(|(known, _)| known == name);
    let mut change = AlterConfig::new(ResourceSpecifier::Topic(topic));
    let kept = |name: &str| name == topics::RETENTION_MS || wanted.iter().all(|(set, _)| *set != name);
    for (name, value) in own.iter().filter(|(name, _)| kept(name)) {
        change = change.set(name, value);
    }
    for (name, value) in wanted.iter().filter(|(name, _)| *name != topics::RETENTION_MS || !says(name)) {
        change = change.set(name, value);
    }
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let answers = admin(brokers)?
        .alter_configs([&change], &options)
        .await
        .map_err(|cause| Error::unreachable(format!("kafka: {}", reason(&cause))))?;
    match answers.into_iter().find_map(std::result::Result::err) {
        Some((_, code)) => Err(Error::failed(format!("kafka: cannot configure {topic}: {code}"))),
        None => Ok(()),
    }
}
