//! What cannot be known of a stack because its profile names nothing that tells it: said as such, so that no rule
//! takes it for a part that did not answer, and none for one within its bounds.

use crate::domain::diagnosis::rules;
use crate::domain::facts::Facts;
use crate::domain::profile::ProfilePart;
use crate::measured::Measured;
use crate::stack::Stack;

/// The facts that `ask` finds; none where the profile does not name the part.
pub(super) async fn or_nothing(stack: &Stack, part: ProfilePart, ask: impl Future<Output = Facts>) -> Facts {
    if stack.unnamed(part).is_some() { Facts::default() } else { Box::pin(ask).await }
}

/// Which part tells what comes from a source.
fn part_of(source: &str) -> Option<ProfilePart> {
    Some(match source {
        "Prometheus" => ProfilePart::Metrics,
        "PostgreSQL" => ProfilePart::Postgres,
        "Redis" => ProfilePart::Redis,
        "Kafka" => ProfilePart::Flows,
        "/proc" | "/proc/stat" | "control group" | "log files" | "supervisor" => ProfilePart::Processes,
        _ => return None,
    })
}

/// Says of each number that is missing because of the profile that it is, and of those that nobody asked for.
pub(super) fn explain(stack: &Stack, facts: &mut Facts) {
    let profile = stack.profile();
    if profile.is_companion() {
        return;
    }
    let missing: Vec<_> = facts
        .iter()
        .filter(|(_, fact)| !fact.value.is_measured())
        .filter_map(|(name, fact)| Some((name.clone(), fact.clone(), stack.unnamed(part_of(&fact.source)?)?)))
        .collect();
    for (name, fact, why) in missing {
        facts.put(name, Measured::NotApplicable(why), &fact.source, fact.query);
    }
    // It is the companion's setting.
    let others = ["ttl_windows", "undelivered", "undelivered_s", "rows_per_sequential_scan"];
    let why = format!("the profile {} names nothing that tells it", profile.name);
    for name in others {
        facts.put(name, Measured::not_applicable(why.clone()), "nsys", "");
    }
    let inputs = rules()
        .flat_map(|rule| std::iter::once(rule.input).chain(rule.guards.iter().map(|guard| guard.input)));
    for name in inputs {
        if facts.get(name).is_none() {
            facts.put(name, Measured::not_applicable(why.clone()), "nsys", "");
        }
    }
}
