//! What is set now, as far as remedies go by it.

use crate::domain::run::Run;
use nsys_contract::config::Compression;
use nsys_contract::{topics, ttl};
use std::time::Duration;

/// What a remedy starts from. What is not known makes no change, only advice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentSettings {
    /// Connections that each process may open.
    pub pool_size: Option<u32>,
    /// Replicas of the api.
    pub instances: Option<u32>,
    /// Replicas of the worker.
    pub workers: Option<u32>,
    /// Async threads of each process; 0 means one per core.
    pub threads: Option<u32>,
    /// Processors of the machine.
    pub cores: Option<u32>,
    /// Partitions of the notifications topic.
    pub partitions: Option<u32>,
    /// How the producer's batches are compressed.
    pub compression: Option<Compression>,
    /// How long the producer waits to fill a batch.
    pub linger: Option<Duration>,
    /// How long a cached notification lives.
    pub notification_ttl: Option<Duration>,
}

impl CurrentSettings {
    /// What was set when a run was made. Runs of older versions do not tell.
    #[must_use]
    pub fn of_run(run: &Run) -> Self {
        let around = &run.environment;
        let text = |key: &str| around.settings.get(key).map(|text| text.trim_matches('"'));
        let number = |key: &str| text(key).and_then(|text| text.replace('_', "").parse().ok());
        let count = |count: usize| u32::try_from(count).ok();
        let partitions = run.levels.last().map(|level| {
            level.kafka.partitions.iter().filter(|one| one.topic == topics::NOTIFICATIONS).count()
        });
        Self {
            pool_size: number("db.pool_size"),
            instances: count(around.app),
            workers: count(around.worker),
            threads: number("service.threads"),
            cores: count(around.cpus).filter(|cores| *cores > 0),
            partitions: partitions.filter(|all| *all > 0).and_then(count).or(number("kafka.partitions")),
            compression: text("kafka.compression").and_then(Compression::named),
            linger: text("kafka.linger").and_then(duration),
            notification_ttl: text("cache.ttl_notification").and_then(duration),
        }
    }
}

/// A time with its unit, or a class of times.
fn duration(text: &str) -> Option<Duration> {
    let class = ttl::CLASSES.iter().find(|(name, _)| *name == text).map(|(_, time)| *time);
    class.or_else(|| text.parse::<jiff::SignedDuration>().ok()?.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;

    #[test]
    fn a_run_tells_what_was_set_and_an_older_one_does_not() {
        let mut run = test_run(&[20.0]);
        run.environment.settings = [
            ("db.pool_size", "40"),
            ("service.threads", "0"),
            ("kafka.partitions", "6"),
            ("kafka.compression", "\"lz4\""),
            ("kafka.linger", "\"5ms\""),
            ("cache.ttl_notification", "\"LONG\""),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let set = CurrentSettings::of_run(&run);
        assert_eq!((set.pool_size, set.threads, set.partitions), (Some(40), Some(0), Some(6)));
        assert_eq!(set.compression, Some(Compression::Lz4));
        assert_eq!(set.linger, Some(Duration::from_millis(5)));
        assert_eq!(set.notification_ttl, Some(Duration::from_secs(3_600)));
        run.environment.settings.clear();
        assert_eq!(CurrentSettings::of_run(&run).pool_size, None);
    }
}
