//! A provider that waits and fails as configured: real load without a real receiver.

use super::DeliveryOutcome;
use nsys_contract::config::Channels as Settings;
use nsys_contract::status::Status;
use rand::RngExt;
use std::time::Duration;

/// See `channels.simulated_*`.
pub(crate) struct Simulated {
    latency: Duration,
    jitter: f64,
    failure_rate: f64,
}

impl Simulated {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            latency: settings.simulated_latency,
            jitter: settings.simulated_jitter,
            failure_rate: settings.simulated_failure_rate,
        }
    }

    fn outcome(&self) -> DeliveryOutcome {
        if self.failure_rate > 0.0 && rand::rng().random::<f64>() < self.failure_rate {
            let error = "the simulated provider failed, as configured".to_owned();
            DeliveryOutcome::Retry { error, after: None, down: self.is_down() }
        } else {
            DeliveryOutcome::Done(Status::Sent)
        }
    }

    /// Whether it fails always, as a provider does that is away. One that fails now and then stands for
    /// single notifications that fail; its breaker stays closed, so that the share is what was asked for.
    pub(super) fn is_down(&self) -> bool {
        self.failure_rate >= 1.0
    }

    /// The outcome, when it takes no time and no breaker stands before it.
    pub(super) fn at_once(&self) -> Option<DeliveryOutcome> {
        (self.latency.is_zero() && !self.is_down()).then(|| self.outcome())
    }

    pub(super) async fn deliver(&self) -> DeliveryOutcome {
        if !self.latency.is_zero() {
            let spread = rand::rng().random::<f64>() * 2.0 - 1.0;
            tokio::time::sleep(self.latency.mul_f64((1.0 + spread * self.jitter).max(0.0))).await;
        }
        self.outcome()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fails_as_often_as_configured() {
        let settings = Settings { simulated_failure_rate: 0.25, ..Settings::default() };
        let simulated = Simulated::new(&settings);
        let failed = (0..10_000)
            .filter(|_| matches!(simulated.at_once(), Some(DeliveryOutcome::Retry { .. })))
            .count();
        // Eight standard deviations around 2,500.
        assert!((2_150..2_850).contains(&failed), "{failed}");
    }

    #[tokio::test]
    async fn one_that_always_fails_is_down_and_stands_behind_its_breaker() {
        let settings = Settings { simulated_failure_rate: 1.0, ..Settings::default() };
        let simulated = Simulated::new(&settings);
        assert_eq!(simulated.at_once(), None);
        assert!(matches!(simulated.deliver().await, DeliveryOutcome::Retry { down: true, .. }));
    }

    #[test]
    fn with_latency_it_is_never_at_once() {
        let settings = Settings { simulated_latency: Duration::from_millis(1), ..Settings::default() };
        assert_eq!(Simulated::new(&settings).at_once(), None);
    }
}
