//! Without a terminal: one line of text, or one JSON object, for each second.

use super::screen::{Feed, Options, Recorder, state_of};
use super::state::State;
use super::state::history::{ChartSeries, StackMetric};
use super::state::source_value::SourceValue;
use super::state::verdict::worst;
use crate::clock::now_s;
use crate::domain::lag::tracker::GroupView;
use crate::error::Result;
use crate::render::{Tone, format};
use crate::stack::Stack;
use serde_json::{Value, json};
use std::time::Duration;

/// Tells `each` a line of text and the same as JSON, once a second; for a recording as fast as it
/// can be read.
///
/// # Errors
/// When there is no such recording, it cannot be written, or `each` fails.
pub async fn lines(
    stack: &Stack,
    options: Options,
    mut each: impl FnMut(&str, &Value) -> Result<()>,
) -> Result<()> {
    let mut state = state_of(stack, &options);
    let mut recorder = Recorder::new(options.record.as_deref(), &state.stack)?;
    let mut print = |state: &State, at_s: f64| each(&text(state, at_s), &object(state, at_s));
    let mut from = match Feed::open(stack, &options)? {
        Feed::Live(from) => from,
        Feed::Replay(mut player) => {
            if let Some(odd) = player.odd() {
                tracing::warn!("{odd}");
            }
            while let Some(at_s) = player.second(&mut state) {
                print(&state, at_s)?;
            }
            return Ok(());
        }
    };
    // The first second is for the first answers.
    let mut ticks = tokio::time::interval_at(
        tokio::time::Instant::now() + Duration::from_secs(1),
        Duration::from_secs(1),
    );
    loop {
        tokio::select! {
            stamped = from.recv() => {
                let Some(stamped) = stamped else { return Ok(()) };
                recorder.keep(&stamped)?;
                state.update(stamped);
            }
            _ = ticks.tick() => print(&state, now_s())?,
        }
    }
}

fn text(state: &State, at_s: f64) -> String {
    let shown = |metric: StackMetric| {
        let value = state.data.history.at(&ChartSeries::Of(metric), at_s);
        format::or_missing(value, |value| super::state::charts::in_words(metric.unit(), value))
    };
    let clock = state.zone.show(at_s, "%H:%M:%S");
    format!(
        "{clock} req {} p95 {} errors {} lag {} conn {} hits {} | {}",
        shown(StackMetric::Rate),
        shown(StackMetric::P95),
        shown(StackMetric::Errors),
        shown(StackMetric::Lag),
        shown(StackMetric::Connections),
        shown(StackMetric::Hits),
        worst(state, at_s).text,
    )
}

/// Everything that is known about a moment. A source that does not answer is `null`, with its error
/// beside it: never an old value that looks like a new one.
fn object(state: &State, at_s: f64) -> Value {
    let data = &state.data;
    let said = worst(state, at_s);
    let level = match said.tone {
        Tone::Good => "ok",
        Tone::Warn => "look",
        Tone::Bad => "wrong",
        Tone::Dim | Tone::Strong | Tone::Command => "unknown",
    };
    let topics: Option<Vec<Value>> = fresh(&data.lag, at_s).map(|groups| {
        let topics = groups.iter().flat_map(|group| group.topics.iter().map(move |topic| (group, topic)));
        let topic = topics.map(|(group, topic)| {
            json!({"group": group.group, "topic": topic.topic, "lag": topic.lag, "status": topic.status,
                   "in_per_s": topic.in_per_s, "out_per_s": topic.out_per_s,
                   "behind_s": topic.behind.map(|behind| behind.seconds)})
        });
        topic.collect()
    });
    let db = fresh(&data.db, at_s).map(|db| {
        let connections: i64 = db.connections.iter().map(|one| one.connections).sum();
        json!({"connections": connections, "limit": db.limit, "lock_waits": db.locks.len()})
    });
    let cache = fresh(&data.cache, at_s)
        .map(|cache| json!({"memory_bytes": cache.stats.memory_bytes, "keys": cache.stats.keys}));
    json!({
        "at_s": at_s,
        "level": level,
        "worst": said.text,
        "hint": said.hint,
        "service": fresh(&data.service, at_s),
        "lag": data.own_group(at_s).filter(|_| data.lag.fresh(at_s)).and_then(GroupView::lag),
        "topics": topics,
        "db": db,
        "cache": cache,
        "parts": fresh(&data.parts, at_s),
        "load": fresh(&data.load, at_s),
        "errors": {
            "prometheus": error(&data.service), "kafka": error(&data.lag), "postgres": error(&data.db),
            "redis": error(&data.cache), "supervisor": error(&data.parts),
        },
    })
}

fn fresh<T>(known: &SourceValue<T>, at_s: f64) -> Option<&T> {
    known.at(at_s).filter(|_| known.fresh(at_s)).map(|(_, value)| value)
}

fn error<T>(known: &SourceValue<T>) -> Option<&str> {
    known.failure().map(|(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::update::{ServiceSample, Stamped, Update};

    #[test]
    fn what_is_old_is_null_and_its_error_stands_beside_it() {
        let mut state = State::default();
        let sample = ServiceSample { rate: Some(12.0), ..ServiceSample::default() };
        state.update(Stamped { at_s: 100.0, update: Update::Service(Ok(sample)) });
        let shown = object(&state, 101.0);
        assert_eq!(shown["service"]["rate"], 12.0);
        assert_eq!(shown["lag"], Value::Null);
        state.update(Stamped { at_s: 102.0, update: Update::Service(Err("nothing listens there".into())) });
        let shown = object(&state, 103.0);
        assert_eq!(
            (&shown["service"], &shown["errors"]["prometheus"]),
            (&Value::Null, &json!("nothing listens there"))
        );
        assert_eq!(shown["level"], "wrong");
        assert!(text(&state, 103.0).contains("lag –"));
    }
}
