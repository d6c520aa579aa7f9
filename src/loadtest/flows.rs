//! Lag of the stack's flows: each topic with the group that reads it, as the profile names them.

use crate::clients::kafka::LagProbe;
use crate::domain::lag::PartitionLag;
use crate::domain::profile::{FlowStart, ProfileFlow};
use crate::error::Result;
use crate::measured::Measured;
use crate::stack::Stack;
use std::collections::BTreeMap;
use std::time::Duration;

/// Brokers may take so long to tell the lag.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks for the lag of every flow again and again, over clients that are kept.
#[derive(Debug, Default)]
pub(super) struct FlowProbes(BTreeMap<String, LagProbe>);

impl FlowProbes {
    /// Lag of every partition; after a failure a client is made anew.
    pub(super) async fn lag(&mut self, stack: &Stack) -> Measured<Vec<PartitionLag>> {
        let mut all = Vec::new();
        for (group, flows) in by_group(stack) {
            let probe = match self.0.remove(group) {
                Some(probe) => probe,
                None => match LagProbe::new(&stack.endpoints.brokers(), group, &topics(&flows)).await {
                    Ok(probe) => probe,
                    Err(error) => return Measured::missing(error.message),
                },
            };
            let (probe, found) = probe.lag(TIMEOUT).await;
            if let Some(probe) = probe {
                self.0.insert(group.to_owned(), probe);
            }
            match of_flows(stack, group, &flows, found) {
                Measured::Value(lags) => all.extend(lags),
                gap => return gap,
            }
        }
        all.into()
    }
}

/// Lag of every partition of every flow, asked once.
pub async fn lag(stack: &Stack) -> Measured<Vec<PartitionLag>> {
    FlowProbes::default().lag(stack).await
}

fn by_group(stack: &Stack) -> BTreeMap<&str, Vec<&ProfileFlow>> {
    let mut groups: BTreeMap<&str, Vec<&ProfileFlow>> = BTreeMap::new();
    for flow in &stack.profile().flows {
        groups.entry(&flow.group).or_default().push(flow);
    }
    groups
}

fn topics(flows: &[&ProfileFlow]) -> Vec<String> {
    flows.iter().map(|flow| flow.topic.clone()).collect()
}

/// Topics that are not there have no lag, not one of 0; nor has a group that never committed, unless it is the
/// companion's, which begins at the first message.
fn of_flows(
    stack: &Stack,
    group: &str,
    flows: &[&ProfileFlow],
    found: Result<Vec<PartitionLag>>,
) -> Measured<Vec<PartitionLag>> {
    let is_companion = stack.profile().is_companion();
    Measured::from(found).and_then(|lags: Vec<PartitionLag>| {
        if is_companion {
            return if lags.is_empty() { Measured::missing("the topics are not there") } else { lags.into() };
        }
        judge(group, flows, lags)
    })
}

fn judge(group: &str, flows: &[&ProfileFlow], lags: Vec<PartitionLag>) -> Measured<Vec<PartitionLag>> {
    for flow in flows {
        let own: Vec<_> = lags.iter().filter(|one| one.topic == flow.topic).collect();
        if own.is_empty() {
            return Measured::missing(format!("the topic {} is not there", flow.topic));
        }
        let committed = own.iter().filter(|one| one.committed.is_some()).count();
        if committed == 0 {
            return Measured::missing(format!("the group {group} has committed nothing on {}", flow.topic));
        }
        if flow.begins == FlowStart::Latest && committed < own.len() {
            return Measured::missing(format!(
                "the group {group} begins at the latest message, and has not committed on every partition of {}",
                flow.topic
            ));
        }
    }
    lags.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_or_a_group_that_is_not_there_has_no_lag_and_not_one_of_0() {
        let flow = |begins| ProfileFlow { topic: "orders".into(), group: "workers".into(), begins };
        let at = |partition, committed| PartitionLag::new("orders", partition, committed, 0, 10);
        let found = |begins, lags| judge("workers", &[&flow(begins)], lags);
        let said =
            |found: Measured<Vec<PartitionLag>>| found.reason().map(ToString::to_string).unwrap_or_default();
        assert!(said(found(FlowStart::Earliest, Vec::new())).contains("the topic orders is not there"));
        assert!(said(found(FlowStart::Earliest, vec![at(0, None)])).contains("committed nothing on orders"));
        let half = || vec![at(0, Some(4)), at(1, None)];
        assert!(found(FlowStart::Earliest, half()).is_measured());
        assert!(said(found(FlowStart::Latest, half())).contains("begins at the latest"));
    }
}
