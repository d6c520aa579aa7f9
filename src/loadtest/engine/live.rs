//! What generators tell while they run, second by second: k6 through the events of its dashboard.

use super::News;
use crate::clients::http::{EventStream, ServerEvent};
use crate::domain::stream::Tick;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// News that wait to be read; more are not kept waiting for.
const WAITING: usize = 64;
/// A dashboard that does not answer by then never will; k6 makes its virtual users first.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Listens to the dashboards on these ports of this machine. Ends with them, or when nobody reads.
pub(super) fn listen(ports: Vec<u16>) -> Receiver<News> {
    let (to, from) = channel(WAITING);
    for (generator, port) in ports.into_iter().enumerate() {
        tokio::spawn(follow(generator, format!("http://127.0.0.1:{port}/events"), to.clone()));
    }
    from
}

async fn follow(generator: usize, url: String, to: Sender<News>) {
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    let mut events = loop {
        match EventStream::listen(&url, Duration::from_secs(5)).await {
            Ok(events) => break events,
            Err(_) if to.is_closed() || tokio::time::Instant::now() > deadline => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let mut decoder = Decoder::default();
    loop {
        let next = tokio::select! {
            next = events.next() => next,
            () = to.closed() => return,
        };
        // At its end k6 waits until every listener has gone.
        let Ok(Some(event)) = next else { return };
        if event.name == "stop" {
            return;
        }
        if let Some(tick) = decoder.take(&event)
            && to.send(News::Second(generator, tick)).await.is_err()
        {
            return;
        }
    }
}

/// Turns the dashboard's events into seconds: rows of numbers in the order of the metric names known so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoder {
    names: BTreeSet<String>,
}

impl Decoder {
    fn take(&mut self, event: &ServerEvent) -> Option<Tick> {
        let data: Value = serde_json::from_str(&event.data).ok()?;
        match event.name.as_str() {
            "metric" => {
                self.names.extend(data.as_object()?.keys().cloned());
                None
            }
            // Seconds without a request come from before the load: k6 makes its virtual users first.
            "snapshot" => self.second(&data),
            _ => None,
        }
    }

    fn second(&self, rows: &Value) -> Option<Tick> {
        let row = |metric: &str| {
            let index = self.names.iter().position(|name| name == metric)?;
            rows.get(index)?.as_array()
        };
        let field = |metric: &str, index: usize| row(metric)?.get(index)?.as_f64();
        let rate = field("http_reqs", 1).unwrap_or(0.0);
        // The script counts a failure a moment after k6 has counted its request, maybe in the next second: by
        // those alone every second of a service that only fails would seem to have had a success.
        let counted = field("failures", 1).unwrap_or(0.0);
        let errors = field("http_req_failed", 0).map_or(counted, |share| counted.max(rate * share));
        // avg, max, med, min, p(90), p(95), p(99)
        let time = |index| field("http_req_duration", index).filter(|_| rate > 0.0);
        Some(Tick {
            at_s: field("time", 0)? / 1_000.0,
            rate,
            errors,
            dropped: field("dropped_iterations", 1).unwrap_or(0.0),
            p50_ms: time(2),
            p95_ms: time(5),
            p99_ms: time(6),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> ServerEvent {
        ServerEvent { name: name.into(), data: data.into() }
    }

    #[test]
    fn rows_follow_the_sorted_names_known_so_far() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.take(&event("metric", r#"{"time": {}}"#)), None);
        assert_eq!(decoder.take(&event("start", "[[1795567666393]]")), None);
        decoder.take(&event("metric", r#"{"http_reqs": {}, "http_req_duration": {}, "failures": {}}"#));
        let row = "[[3,3],[5,90,4,1,20,30,80],[50,50],[1795567667395]]";
        let Some(tick) = decoder.take(&event("snapshot", row)) else { panic!("no second") };
        assert_eq!((tick.rate, tick.errors, tick.dropped), (50.0, 3.0, 0.0));
        assert_eq!((tick.p50_ms, tick.p95_ms, tick.p99_ms), (Some(4.0), Some(30.0), Some(80.0)));
        // A counter without a change in this second is an empty row.
        decoder.take(&event("metric", r#"{"dropped_iterations": {}}"#));
        let row = "[[7,7],[],[0,0,0,0,0,0,0],[],[1795567668395]]";
        let Some(tick) = decoder.take(&event("snapshot", row)) else { panic!("no second") };
        assert_eq!((tick.dropped, tick.rate, tick.p95_ms), (7.0, 0.0, None));
    }

    #[test]
    fn a_second_of_failures_alone_has_no_success_whenever_the_script_counts_them() {
        let mut decoder = Decoder::default();
        let names = r#"{"time": {}, "http_reqs": {}, "http_req_failed": {}, "failures": {}}"#;
        decoder.take(&event("metric", names));
        let errors = |row: &str| {
            let mut decoder = decoder.clone();
            decoder.take(&event("snapshot", row)).map(|tick| (tick.rate, tick.errors))
        };
        assert_eq!(errors("[[80,80],[1],[90,90],[1000]]"), Some((90.0, 90.0)));
        assert_eq!(errors("[[3,3],[0],[90,90],[1000]]"), Some((90.0, 3.0)), "a body was cut short");
    }

    #[test]
    fn a_garbled_event_is_no_news() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.take(&event("snapshot", "[[")), None);
        assert_eq!(decoder.take(&event("metric", "[]")), None);
    }
}
