//! Which series in Prometheus belong to the stack, and how often they are scraped.

use super::{Runtime, Stack};
use crate::clients::prometheus;
use crate::domain::promql::{ROLES, Scope, Selector, interval_of};
use std::time::Duration;

/// How far back is looked for the distance between scrapes, in seconds: intervals of up to two minutes
/// are found.
const LOOKBACK_S: u64 = 600;
/// What is taken for the distance between scrapes where neither the configuration nor the samples tell.
const ASSUMED_INTERVAL: Duration = Duration::from_secs(15);

impl Stack {
    /// Which series are the stack's: the configured ones, else those that carry the name that nsys gives
    /// its targets, else those of the namespace, else those that have a role.
    #[must_use]
    pub fn selector(&self) -> Selector {
        let config = &self.loaded.config;
        // It was read when the configuration was.
        if let Ok(Some(configured)) = config.metrics.selector() {
            return configured;
        }
        let all = Selector::default();
        match self.runtime {
            Runtime::Local | Runtime::Docker => all.is("stack", &config.stack.name),
            Runtime::Kubernetes => all.is("namespace", &config.kubernetes.namespace),
            Runtime::External => all.like("role", ROLES),
        }
    }

    /// What every query is made from. Where Prometheus is somebody else's it is asked once how often it
    /// scrapes; while it does not tell, a common interval is taken.
    pub async fn scope(&self) -> Scope {
        let known = self.scope.get_or_try_init(async || {
            // On the heap: everybody who asks Prometheus would carry it.
            let interval = Box::pin(self.interval()).await.ok_or(())?;
            Ok::<_, ()>(Scope::new(self.selector(), interval))
        });
        match known.await {
            Ok(scope) => scope.clone(),
            Err(()) => Scope::new(self.selector(), ASSUMED_INTERVAL),
        }
    }

    async fn interval(&self) -> Option<Duration> {
        let config = &self.loaded.config;
        if !config.metrics.scrape_interval.is_zero() {
            return Some(config.metrics.scrape_interval);
        }
        if !self.runtime.is_elsewhere() {
            return Some(config.stack.scrape_interval);
        }
        let up = Scope::new(self.selector(), ASSUMED_INTERVAL).metric("up").samples(LOOKBACK_S);
        let seen = prometheus::samples(&self.endpoints.prometheus_url(), &up).await.ok()?;
        interval_of(seen.iter().map(|one| one.points.as_slice()))
    }
}
