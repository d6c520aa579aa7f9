//! The worst thing in words, with the command that helps, and how each source and part is.

use super::history::{ChartSeries, StackMetric};
use super::part::{self, PartHealth};
use super::source_value::{SourceHealth, SourceValue};
use super::sources::failures;
use super::{Pane, State};
use crate::domain::lag::track::LagStatus;
use crate::domain::lag::tracker::{Clear, GroupView, TopicView};
use crate::render::{Tone, format};
use crate::tui::update::PartSample;

/// Requests below which the 95th percentile is no alarm: it is one request of twenty.
const REQUESTS_P95: f64 = 20.0;
/// … and the 99th.
const REQUESTS_P99: f64 = 100.0;
/// A machine this busy has nothing left for another replica, per cent.
const FULL_PCT: f64 = 90.0;

/// What is to be said first.
#[derive(Clone, Debug, PartialEq)]
pub struct DashboardVerdict {
    /// Good, a look is needed, or wrong.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
    /// The command that helps.
    pub hint: Option<String>,
    /// The pane that shows more.
    pub pane: Pane,
}

/// How a part or a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dot {
    /// Its name.
    pub name: String,
    /// Good, a look is needed, wrong, or not known.
    pub tone: Tone,
}

fn verdict(tone: Tone, pane: Pane, text: impl Into<String>, hint: Option<&str>) -> DashboardVerdict {
    DashboardVerdict { tone, text: text.into(), hint: hint.map(str::to_owned), pane }
}

fn parts(state: &State, at_s: f64) -> &[PartSample] {
    state.data.parts.at(at_s).map(|(_, parts)| parts.as_slice()).unwrap_or_default()
}

/// Replicas of a role that run and answer, as far as is known.
fn replicas(state: &State, role: &str, at_s: f64) -> usize {
    let of_role = |part: &&PartSample| part.name.rsplit_once('-').is_some_and(|(its, _)| its == role);
    let runs = |part: &&PartSample| part::health(state, part, at_s) == PartHealth::Well;
    parts(state, at_s).iter().filter(of_role).filter(runs).count()
}

/// A replica that runs and does not answer: stopped, or stuck. A restart of it alone helps.
fn silent(state: &State, at_s: f64) -> Option<DashboardVerdict> {
    let asked = |part: &&PartSample| failures(state, at_s).iter().all(|(source, ..)| *source != part.name);
    let part = parts(state, at_s)
        .iter()
        .filter(asked)
        .find(|part| part::health(state, part, at_s) == PartHealth::Silent)?;
    let waits = match state.data.own_group(at_s).and_then(GroupView::lag) {
        Some(lag @ 1..) if part.name.starts_with("worker") => {
            format!("; {} messages wait", format::count(lag.unsigned_abs()))
        }
        _ => String::new(),
    };
    let text = format!("{} runs but does not answer{waits}", part.name);
    Some(verdict(Tone::Bad, Pane::Stack, text, Some(&format!("nsys restart {}", part.name))))
}

/// The worst thing there is to say about a moment.
#[must_use]
pub fn worst(state: &State, at_s: f64) -> DashboardVerdict {
    broken(state, at_s)
        .or_else(|| failing(state, at_s))
        .or_else(|| slow(state, at_s))
        .unwrap_or_else(|| fine(state, at_s))
}

/// A part that is down, or a source that does not answer.
fn broken(state: &State, at_s: f64) -> Option<DashboardVerdict> {
    if let Some(said) = silent(state, at_s) {
        return Some(said);
    }
    let is = |part: &&PartSample, wanted: PartHealth| part::health(state, part, at_s) == wanted;
    if let Some(part) =
        parts(state, at_s).iter().find(|part| is(part, PartHealth::Broken) || is(part, PartHealth::Changing))
    {
        let how = part.last_exit.as_ref().map(|how| format!("; it exited with {how}")).unwrap_or_default();
        let hint = format!("nsys logs {}", part.name);
        return Some(verdict(
            part::health(state, part, at_s).tone(),
            Pane::Stack,
            format!("{} is {}{how}", part.name, part.state),
            Some(&hint),
        ));
    }
    failures(state, at_s).into_iter().find_map(|(name, pane, health)| match health {
        SourceHealth::Failed(why) => {
            let why = why.strip_prefix(&format!("{name}: ")).unwrap_or(why);
            let hint = if why.contains("nsys up") { None } else { Some("nsys health") };
            Some(verdict(Tone::Bad, pane, format!("{name}: {why}"), hint))
        }
        SourceHealth::Stale => {
            Some(verdict(Tone::Warn, pane, format!("{name} has not answered for a while"), None))
        }
        SourceHealth::Unasked | SourceHealth::Fresh => None,
    })
}

/// Requests that fail, messages that nobody works on.
fn failing(state: &State, at_s: f64) -> Option<DashboardVerdict> {
    let now = state.data.service.at(at_s).map(|(_, now)| now.clone()).unwrap_or_default();
    if let Some(errors) = now.errors.filter(|errors| *errors > 0.0) {
        let of = now.rate.filter(|rate| *rate > 0.0).map(|rate| format::percent(errors / rate));
        let of = of.map(|share| format!(" ({share})")).unwrap_or_default();
        let text = format!("{} of the requests fail{of}", format::rate(errors));
        return Some(verdict(Tone::Bad, Pane::Overview, text, Some("nsys logs app --grep ERROR")));
    }
    let group = state.data.own_group(at_s)?;
    if !group.exists() {
        let text = format!("the consumer group {} does not exist", group.group);
        return Some(verdict(Tone::Warn, Pane::Lag, text, Some("nsys kafka groups")));
    }
    let topic = group.topics.iter().max_by_key(|topic| topic.status)?;
    let waiting = format::count(topic.lag.unsigned_abs());
    let overtakes = group.topics.iter().find_map(|topic| Some((topic, overtaking(topic)?)));
    let also = |said: String| match &overtakes {
        Some((its, when)) if its.topic == topic.topic => format!("{said}; retention deletes them {when}"),
        _ => said,
    };
    match topic.status {
        LagStatus::Stopped => Some(verdict(
            Tone::Bad,
            Pane::Lag,
            also(format!("{waiting} messages of {} are pending and nobody consumes them", topic.topic)),
            // Workers that are there and left the group have a reason; one more would have it too.
            Some(match replicas(state, "worker", at_s) {
                0 => "nsys scale worker=1",
                _ => "nsys logs worker",
            }),
        )),
        LagStatus::Stalled => Some(verdict(
            Tone::Bad,
            Pane::Lag,
            also(format!("{waiting} messages of {} wait and the commit does not move", topic.topic)),
            Some("nsys logs worker"),
        )),
        LagStatus::Beyond => Some(verdict(
            Tone::Bad,
            Pane::Lag,
            format!("the commit of {} is beyond the end: topic recreated or truncated", topic.topic),
            Some("nsys lag"),
        )),
        _ => overtakes.map(|(topic, when)| {
            let text = format!("retention deletes messages of {} {when}, unread", topic.topic);
            verdict(Tone::Bad, Pane::Lag, text, Some(&more_workers(state, topic, at_s)))
        }),
    }
}

/// When retention deletes what waits, if it comes nearer and has used up enough to be told.
fn overtaking(topic: &TopicView) -> Option<String> {
    let near = topic.retention.filter(|near| near.used.is_warned_of())?;
    let left = format::duration(std::time::Duration::from_secs_f64(near.left_s?.min(1e9)));
    Some(format!("in {left} ({} of it used)", format::percent(near.used.share)))
}

/// What is beyond its objective, or on the way there.
fn slow(state: &State, at_s: f64) -> Option<DashboardVerdict> {
    let (data, bounds) = (&state.data, &state.bounds);
    if let Some(wait) = data.db.at(at_s).and_then(|(_, db)| db.locks.first()) {
        let text =
            format!("pid {} has waited {:.0} s for a lock of pid {}", wait.pid, wait.seconds, wait.blocker);
        return Some(verdict(Tone::Warn, Pane::Db, text, Some("nsys db locks")));
    }
    if let Some(said) = limited(state, at_s) {
        return Some(said);
    }
    if let Some(said) = data.own_group(at_s).and_then(|group| growing(state, group, at_s)) {
        return Some(said);
    }
    let now = data.service.at(at_s).map(|(_, now)| now.clone()).unwrap_or_default();
    let beyond = |name: &str, value: Option<f64>, bound: f64, least: f64| {
        // Of a handful of requests a percentile is the slowest one: no reason to wake anybody.
        if now.requests().is_none_or(|requests| requests < least) {
            return None;
        }
        let value = value.filter(|value| *value > bound)?;
        let text = format!("{name} is {}, the objective is {}", format::millis(value), format::millis(bound));
        Some(verdict(Tone::Warn, Pane::Overview, text, Some("nsys diagnose --live")))
    };
    beyond("p95", now.p95_ms, bounds.p95_ms, REQUESTS_P95)
        .or_else(|| beyond("p99", now.p99_ms, bounds.p99_ms, REQUESTS_P99))
}

/// A load test whose generator is the limit says nothing about the service.
fn limited(state: &State, at_s: f64) -> Option<DashboardVerdict> {
    let load = state.data.load.at(at_s).filter(|_| state.data.load.fresh(at_s))?.1.as_ref()?;
    let progress = load.progress.as_ref().filter(|progress| progress.runs())?;
    let why = progress.limited.as_ref()?;
    let text = format!("the load test measures the machine, not the service: {why}");
    Some(verdict(Tone::Warn, Pane::Load, text, None))
}

fn growing(state: &State, group: &GroupView, at_s: f64) -> Option<DashboardVerdict> {
    if group.unknown > 0 {
        let text = format!("lag of {} partitions is unknown: the broker did not answer", group.unknown);
        return Some(verdict(Tone::Warn, Pane::Lag, text, Some("nsys lag")));
    }
    let topic =
        group.topics.iter().find(|topic| matches!(topic.status, LagStatus::Growing | LagStatus::Rewind))?;
    if topic.status == LagStatus::Rewind {
        let text = format!("the commit of {} went back", topic.topic);
        return Some(verdict(Tone::Warn, Pane::Lag, text, Some("nsys lag")));
    }
    let rates = match (topic.in_per_s, topic.out_per_s) {
        (Some(inward), Some(out)) => format!(": {} in, {} out", format::rate(inward), format::rate(out)),
        _ => String::new(),
    };
    let waiting = format::count(topic.lag.unsigned_abs());
    let text = format!("lag of {} grows, {waiting} wait{rates}", topic.topic);
    Some(verdict(Tone::Warn, Pane::Lag, text, Some(&more_workers(state, topic, at_s))))
}

/// What helps against lag that grows. Replicas can be taken away again, partitions cannot; beyond one
/// replica for each partition, and on a machine that is full, more of them do not help.
fn more_workers(state: &State, topic: &TopicView, at_s: f64) -> String {
    let workers = replicas(state, "worker", at_s);
    let full =
        state.data.history.at(&ChartSeries::Of(StackMetric::Machine), at_s).is_some_and(|pct| pct > FULL_PCT);
    if workers > 0 && workers < topic.partitions.len() && !full {
        return format!("nsys scale worker={}", workers + 1);
    }
    "nsys diagnose --live".to_owned()
}

fn fine(state: &State, at_s: f64) -> DashboardVerdict {
    let data = &state.data;
    let Some((_, now)) = data.service.at(at_s) else {
        return verdict(Tone::Dim, Pane::Overview, "waiting for the first values", None);
    };
    // A replica of ours that was asked nothing yet answers its scrape, without a series of requests.
    let is_ours = now.answers.values().any(|answers| *answers);
    let rate = match now.rate {
        Some(rate) if rate >= 0.05 => {
            Some(format!("{}, p95 {}", format::rate(rate), format::or_missing(now.p95_ms, format::millis)))
        }
        None if !is_ours => None,
        _ => Some("idle".to_owned()),
    };
    let waiting = data.own_group(at_s).and_then(|group| Some((group, group.lag()?)));
    let lag = waiting.map(|(group, lag)| match lag {
        0 => "nothing waits".to_owned(),
        lag => {
            let clear = group.topics.iter().filter_map(|topic| match topic.clear() {
                Some(Clear::In(seconds)) => Some(seconds),
                _ => None,
            });
            let clear = clear.reduce(f64::max).filter(|seconds| *seconds >= 1.0);
            let clear = clear.map(|seconds| format!(", clear in {seconds:.0} s")).unwrap_or_default();
            format!("{} wait{clear}", format::count(lag.unsigned_abs()))
        }
    });
    // What is not counted may fail, or wait, without end: that is no good news.
    let unknown = [
        ("requests", rate.is_none()),
        ("errors", now.rate.is_some() && now.errors.is_none()),
        ("lag", lag.is_none()),
    ];
    let unknown: Vec<_> = unknown.into_iter().filter(|(_, is)| *is).map(|(what, _)| what).collect();
    let mut said: Vec<_> = rate.into_iter().chain(lag).collect();
    if unknown.is_empty() {
        return verdict(Tone::Good, Pane::Overview, format!("keeping up: {}", said.join("; ")), None);
    }
    said.push(format!("not measured: {}", unknown.join(", ")));
    verdict(Tone::Dim, Pane::Overview, said.join("; "), None)
}

/// How every part is, and the sources that no part stands for.
#[must_use]
pub fn dots(state: &State, at_s: f64) -> Vec<Dot> {
    let dot =
        |part: &PartSample| Dot { tone: part::health(state, part, at_s).tone(), name: part.name.clone() };
    let mut dots: Vec<_> = parts(state, at_s).iter().map(dot).collect();
    if dots.is_empty() {
        let of = |(name, _, health): (&str, Pane, SourceHealth<'_>)| Dot {
            name: name.to_owned(),
            tone: match health {
                SourceHealth::Fresh => Tone::Good,
                SourceHealth::Stale => Tone::Warn,
                SourceHealth::Failed(_) => Tone::Bad,
                SourceHealth::Unasked => Tone::Dim,
            },
        };
        dots = failures(state, at_s).into_iter().map(of).collect();
    }
    dots
}

/// How old the value of a source is, in words, and what is wrong with it.
#[must_use]
pub fn age<T>(known: &SourceValue<T>, at_s: f64) -> (Tone, String) {
    let old = known.at(at_s).map(|(time, _)| (at_s - time).max(0.0));
    let old = old.map(|old| {
        if old < 10.0 {
            format!("{old:.1} s")
        } else {
            format::duration(std::time::Duration::from_secs(old as u64))
        }
    });
    match (known.health(at_s), old) {
        (SourceHealth::Failed(why), Some(old)) => (Tone::Bad, format!("{why}; last value {old} old")),
        (SourceHealth::Failed(why), None) => (Tone::Bad, why.to_owned()),
        (SourceHealth::Stale, Some(old)) => (Tone::Warn, format!("{old} old")),
        (_, Some(old)) => (Tone::Dim, format!("{old} old")),
        (_, None) => (Tone::Dim, "no value yet".to_owned()),
    }
}

#[cfg(test)]
mod tests;
