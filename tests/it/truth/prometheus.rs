//! What nsys tells of a real Prometheus whose samples are prescribed: resets, gaps, NaN, targets that are
//! gone, strangers with the same names, several stacks and intervals in one server.

use super::recorded::{Oddity, Prometheus, Recorded, lines};
use crate::support::free_port;
use nsys::clients::prometheus as client;
use nsys::config::Loaded;
use nsys::diagnose::{Span, prometheus as diagnose};
use nsys::domain::catalogue;
use nsys::domain::promql::Promql;
use nsys::domain::run::Sample;
use nsys::loadtest::prometheus as loadtest;
use nsys::stack::Stack;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds that are recorded before the instant that is asked about, and after it.
const BEFORE_S: f64 = 2_400.0;
const AFTER_S: f64 = 900.0;

const fn recorded(stack: &'static str, interval_s: f64, rate: f64, oddity: Oddity) -> Recorded {
    Recorded { stack, interval_s, rate, oddity }
}

/// Stacks of one server. Every rate is another, so that a sum of two is none of them.
fn stacks(all: bool) -> Vec<Recorded> {
    let mut stacks = vec![
        recorded("plain-5", 5.0, 100.0, Oddity::Plain),
        recorded("plain-60", 60.0, 17.0, Oddity::Plain),
        recorded("restart-15", 15.0, 230.0, Oddity::Restart { before_end_s: AFTER_S + 50.0 }),
        recorded("gap-15", 15.0, 41.0, Oddity::Gap { from_s: AFTER_S + 700.0, to_s: AFTER_S + 400.0 }),
        recorded("nan-5", 5.0, 67.0, Oddity::Nan),
    ];
    if all {
        stacks.extend([
            recorded("plain-1", 1.0, 5_003.0, Oddity::Plain),
            recorded("plain-15", 15.0, 211.0, Oddity::Plain),
            recorded("restart-1", 1.0, 331.0, Oddity::Restart { before_end_s: AFTER_S + 31.0 }),
            recorded("restart-5", 5.0, 13.0, Oddity::Restart { before_end_s: AFTER_S + 77.0 }),
            recorded("restart-60", 60.0, 2.0, Oddity::Restart { before_end_s: AFTER_S + 130.0 }),
            recorded("gap-5", 5.0, 47.0, Oddity::Gap { from_s: AFTER_S + 700.0, to_s: AFTER_S + 400.0 }),
            recorded("gap-60", 60.0, 53.0, Oddity::Gap { from_s: AFTER_S + 1_000.0, to_s: AFTER_S + 400.0 }),
            recorded("nan-60", 60.0, 71.0, Oddity::Nan),
        ]);
    }
    stacks
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// The stack that runs elsewhere and is watched by this Prometheus, by this selector.
fn watched(dir: &Path, url: &str, selector: &str) -> Stack {
    let file = dir.join("nsys.toml");
    std::fs::write(&file, "").unwrap();
    let variables = [
        ("NSYS_STACK__RUNTIME", "external"),
        ("NSYS_EXTERNAL__API_URL", "http://127.0.0.1:1"),
        ("NSYS_EXTERNAL__PROMETHEUS_URL", url),
        ("NSYS_DB__URL", "postgres://127.0.0.1:1/none"),
        ("NSYS_KAFKA__BROKERS", "127.0.0.1:1"),
        ("NSYS_CACHE__URL", "redis://127.0.0.1:1"),
        ("NSYS_METRICS__SELECTOR", selector),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Stack::new(Loaded::load(Some(&file), Some(dir), variables.into_iter()).unwrap())
}

struct Row {
    scenario: String,
    number: String,
    told: Option<f64>,
    truth: Option<f64>,
}

impl Row {
    fn holds(&self) -> bool {
        match (self.told, self.truth) {
            (Some(told), Some(truth)) => (told - truth).abs() <= 1e-9 + 0.005 * truth.abs(),
            (told, truth) => told == truth,
        }
    }
}

fn shown(rows: &[&Row]) -> String {
    let value =
        |value: Option<f64>| value.map_or_else(|| "not measured".to_owned(), |one| format!("{one:.5}"));
    let line = |row: &&Row| {
        let mark = if row.holds() { "" } else { "WRONG" };
        let (told, truth) = (value(row.told), value(row.truth));
        format!("| {} | {} | {told} | {truth} | {mark} |\n", row.scenario, row.number)
    };
    let head = "| Stack, interval | Number | Told | True | |\n|---|---|---:|---:|---|\n";
    head.to_owned() + &rows.iter().map(line).collect::<String>()
}

/// Everything that is asked of one stack about the plain time before `end_s`.
async fn of_one(one: Recorded, stack: &Stack, end_s: f64) -> Vec<Row> {
    let scope = stack.scope().await;
    let base = stack.endpoints.prometheus_url();
    let mut rows = Vec::new();
    let mut row = |number: &str, told: Option<f64>, truth: Option<f64>| {
        let scenario = format!("{}, {} s", one.stack, one.interval_s);
        rows.push(Row { scenario, number: number.to_owned(), told, truth });
    };
    // As Prometheus itself is told of nothing but the samples.
    row("scrape interval", Some(scope.interval().as_secs_f64()), Some(one.interval_s));
    let truth = one.catalogue();
    for query in catalogue::all(&scope) {
        if let Some(truth) = truth.get(query.name) {
            row(query.name, client::value(&base, &query.promql, end_s).await.unwrap(), *truth);
        }
    }
    // A level of two minutes has too few scrapes of a minute to say anything.
    let truth = one.facts();
    for (seconds, span) in [(120, Span::Exactly), (300, Span::Exactly), (30, Span::AtLeast)] {
        let measurable = span == Span::AtLeast || seconds as f64 >= 4.0 * one.interval_s;
        let facts = diagnose::facts(stack, end_s, seconds, span).await;
        for (name, truth) in &truth {
            row(&format!("{name} of {seconds} s"), facts.value(name), truth.filter(|_| measurable));
        }
    }
    let window = loadtest::window(stack, end_s, 120).await;
    let measurable = one.interval_s <= 30.0;
    row("level: p95_ms", window.p95_ms.value(), measurable.then_some(24.25));
    row("level: delivery_p95_ms", window.delivery_p95_ms.value(), measurable.then_some(73.75));
    row("level: published_per_s", window.published_per_s.value(), measurable.then_some(0.5 * one.rate));
    row("level: hit_rate", window.hit_rate.value(), measurable.then_some(0.75));
    // By second, as often as there are scrapes.
    let mut samples: Vec<_> =
        (0..600).map(|n| Sample { at_s: end_s - 600.0 + f64::from(n), ..Sample::default() }).collect();
    assert_eq!(loadtest::fill_series(stack, &mut samples).await, None);
    let values: Vec<f64> = samples.iter().filter_map(|one| one.rate_rps).collect();
    let gap = if matches!(one.oddity, Oddity::Gap { .. }) { 0.4 } else { 0.95 };
    let due = 600.0 / one.interval_s.max(1.0);
    row("seconds: are told", Some(f64::from(values.len() as f64 >= gap * due - 1.0)), Some(1.0));
    row("seconds: none is made up", Some(f64::from(values.len() as f64 <= due + 1.0)), Some(1.0));
    let lowest = values.iter().copied().min_by(f64::total_cmp);
    let highest = values.iter().copied().max_by(f64::total_cmp);
    if !matches!(one.oddity, Oddity::Gap { .. }) {
        row("seconds: lowest rate", lowest, Some(one.rate));
        row("seconds: highest rate", highest, Some(one.rate));
    }
    let pool = samples.iter().filter_map(|one| one.pool_active).next_back();
    row("seconds: pool", pool, (one.oddity != Oddity::Nan).then_some(4.0));
    rows
}

/// While Prometheus did not look nothing is told: neither the value before nor a rate over too little.
async fn in_a_gap(one: Recorded, stack: &Stack, end_s: f64) -> Vec<Row> {
    let scope = stack.scope().await;
    let base = stack.endpoints.prometheus_url();
    let late_s = end_s - 405.0;
    let mut rows = Vec::new();
    let mut row = |number: &str, told: Option<f64>, truth: Option<f64>| {
        rows.push(Row {
            scenario: format!("{}, in its gap", one.stack),
            number: number.to_owned(),
            told,
            truth,
        });
    };
    for query in catalogue::all(&scope) {
        row(query.name, client::value(&base, &query.promql, late_s).await.unwrap(), None);
    }
    // A window that ends in it, one that begins in it, and one that holds it as a whole.
    for (name, end_s, seconds, is_told) in
        [("ends", late_s, 900, false), ("begins", end_s, 560, false), ("holds", end_s, 1_800, true)]
    {
        let facts = diagnose::facts(stack, end_s, seconds, Span::Exactly).await;
        row(
            &format!("request_rate, window {name}"),
            facts.value("request_rate"),
            is_told.then_some(one.rate),
        );
        let share = facts.value("scraped_share").unwrap_or(0.0);
        row(&format!("scrapes are missed, window {name}"), Some(f64::from(share < 0.9)), Some(1.0));
        let level = loadtest::window(stack, end_s, seconds).await;
        row(
            &format!("level is measured, window {name}"),
            Some(f64::from(level.p95_ms.is_measured())),
            Some(f64::from(is_told)),
        );
    }
    rows
}

#[test]
fn what_is_told_of_prometheus_is_what_was_counted() {
    let all = std::env::var("NSYS_TRUTH").is_ok();
    let dir = tempfile::tempdir().unwrap();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64().floor();
    let stacks = stacks(all);
    let label = |one: &Recorded| (*one, format!("job=\"notification-service\",stack=\"{}\",", one.stack));
    let mut written: Vec<_> = stacks.iter().map(label).collect();
    // Somebody else's service with the same names, and nothing that tells whose it is.
    let stranger = recorded("", 5.0, 7_919.0, Oddity::Plain);
    written.push((stranger, "job=\"orders\",".to_owned()));
    Prometheus::backfill(dir.path(), &lines(&written, now_s - BEFORE_S, now_s + AFTER_S));
    let prometheus = Prometheus::start(dir.path(), "[]");
    let runtime = runtime();
    let mut rows = Vec::new();
    for one in &stacks {
        let stack = watched(dir.path(), &prometheus.url, &format!("stack=\"{}\"", one.stack));
        rows.extend(runtime.block_on(of_one(*one, &stack, now_s)));
        if matches!(one.oddity, Oddity::Gap { .. }) {
            rows.extend(runtime.block_on(in_a_gap(*one, &stack, now_s)));
        }
    }
    if all {
        std::io::stderr().write_all(shown(&rows.iter().collect::<Vec<_>>()).as_bytes()).unwrap();
    }
    let wrong: Vec<_> = rows.iter().filter(|row| !row.holds()).collect();
    assert!(rows.len() > 400, "only {} numbers were compared", rows.len());
    assert!(wrong.is_empty(), "{} of {} numbers are wrong:\n{}", wrong.len(), rows.len(), shown(&wrong));

    // What is asked without a selector of one's own is what has a role; both here, and that is said.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_nsys"))
        .args(["metrics", "get", "throughput", "-o", "json"])
        .arg("--state-dir")
        .arg(dir.path())
        .current_dir(dir.path())
        .env("NSYS_STACK__RUNTIME", "external")
        .env("NSYS_EXTERNAL__API_URL", "http://127.0.0.1:1")
        .env("NSYS_EXTERNAL__PROMETHEUS_URL", &prometheus.url)
        .env("NSYS_DB__URL", "postgres://127.0.0.1:1/none")
        .env("NSYS_KAFKA__BROKERS", "127.0.0.1:1")
        .env("NSYS_CACHE__URL", "redis://127.0.0.1:1")
        .env("NSYS_METRICS__SELECTOR", "{stack='plain-5'}")
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|cause| panic!("{cause}: {}", String::from_utf8_lossy(&output.stderr)));
    let value = told[0]["points"][0][1].as_f64().unwrap();
    assert!((value - 104.0).abs() < 0.5, "{told}");
}

#[test]
fn a_run_of_more_points_than_prometheus_gives_at_once_is_told_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let end_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64().floor();
    let from_s = end_s - 12_500.0;
    // Few series of many samples.
    let mut text = [String::new(), String::new()];
    for second in 0..12_500 {
        let at_s = from_s + 0.2 + f64::from(second);
        text[0] += &format!(
            "http_requests_total{{stack=\"a\",route=\"/notifications\"}} {} {at_s:.3}\n",
            second * 3
        );
        text[1] += &format!("up{{stack=\"a\",role=\"app\"}} 1 {at_s:.3}\n");
    }
    Prometheus::backfill(dir.path(), &(text.concat() + "# EOF\n"));
    let prometheus = Prometheus::start(dir.path(), "[]");
    let stack = watched(dir.path(), &prometheus.url, "stack=\"a\"");
    let runtime = runtime();
    let whole = Promql::of_user("http_requests_total{stack=\"a\"}");
    let refused = runtime.block_on(async {
        let asked = format!(
            "{}/api/v1/query_range?query=up&start={from_s}&end={end_s}&step=1",
            stack.endpoints.prometheus_url()
        );
        nsys::clients::http::get(&asked, Duration::from_secs(10)).await.is_ok_and(|one| one.status == 400)
    });
    assert!(refused, "Prometheus gives so many points at once by now");
    let series =
        runtime.block_on(client::range(&prometheus.url, &whole, from_s + 1.0, end_s - 1.0, 1.0)).unwrap();
    assert_eq!(series.len(), 1);
    let points = &series[0].points;
    assert_eq!(points.len(), 12_499);
    assert!(points.windows(2).all(|pair| (pair[1].0 - pair[0].0 - 1.0).abs() < 1e-6), "each second once");
    let mut samples: Vec<_> =
        (10..12_490).map(|n| Sample { at_s: from_s + f64::from(n), ..Sample::default() }).collect();
    assert_eq!(runtime.block_on(loadtest::fill_series(&stack, &mut samples)), None);
    let told =
        samples.iter().filter(|one| one.rate_rps.is_some_and(|rate| (rate - 3.0).abs() < 0.01)).count();
    assert_eq!(told, samples.len());
}

/// Pages that exporters show; the path is the exporter.
fn exporters(pages: Arc<Mutex<BTreeMap<String, Option<f64>>>>, began: Instant) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut caller in listener.incoming().flatten() {
            let mut head = [0_u8; 4_096];
            let read = caller.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let path =
                head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
            let page = pages.lock().unwrap().get(&path).copied().flatten();
            let answer = page.map_or_else(
                || "HTTP/1.1 500 Away\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
                |rate| {
                    let counted = rate * began.elapsed().as_secs_f64();
                    let text = format!(
                        "http_requests_total{{route=\"/notifications\"}} {counted}\n\
                         http_request_errors_total{{route=\"/notifications\"}} 0\n\
                         db_connections_active {rate}\nkafka_consumer_lag{{topic=\"n\"}} {rate}\n"
                    );
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                        text.len()
                    )
                },
            );
            let _ = caller.write_all(answer.as_bytes());
        }
    });
    port
}

#[test]
fn a_target_that_is_gone_is_not_measured_and_its_neighbour_is() {
    let dir = tempfile::tempdir().unwrap();
    let pages = Arc::new(Mutex::new(BTreeMap::from(
        [("/here", 50.0), ("/there", 700.0), ("/stranger", 9_000.0)]
            .map(|(name, rate)| (name.to_owned(), Some(rate))),
    )));
    let port = exporters(Arc::clone(&pages), Instant::now());
    assert_ne!(port, free_port());
    let target = |name: &str, labels: &str| {
        format!(
            "{{job_name: {name}, scrape_interval: 1s, scrape_timeout: 1s, metrics_path: /{name}, \
             static_configs: [{{targets: ['127.0.0.1:{port}'], labels: {labels}}}]}}"
        )
    };
    let scrapes = format!(
        "[{}, {}, {}]",
        target("here", "{env: here, role: app}"),
        target("there", "{env: there, role: app}"),
        target("stranger", "{}")
    );
    let prometheus = Prometheus::start(dir.path(), &scrapes);
    let runtime = runtime();
    let told = |selector: &str, name: &str| {
        runtime.block_on(async {
            let stack = watched(dir.path(), &prometheus.url, selector);
            let scope = stack.scope().await;
            let query = catalogue::all(&scope).into_iter().find(|one| one.name == name).unwrap();
            client::instant(&prometheus.url, &query.promql, None, client::TIMEOUT)
                .await
                .unwrap()
                .first()?
                .value()
        })
    };
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(300));
        }
    };
    let near = |told: Option<f64>, truth: f64| told.is_some_and(|told| (told / truth - 1.0).abs() < 0.2);
    until("both stacks are told apart", &|| {
        near(told("env=\"here\"", "throughput"), 50.0) && near(told("env=\"there\"", "throughput"), 700.0)
    });
    // Without a selector what has a role is taken, and never what has none.
    assert!(near(told("", "throughput"), 750.0), "{:?}", told("", "throughput"));
    assert!(near(told("", "db-connections"), 750.0));
    pages.lock().unwrap().insert("/there".to_owned(), None);
    // Long before the five minutes in which Prometheus repeats what it knows.
    until("the target that is gone is told", &|| told("env=\"there\"", "db-connections").is_none());
    assert!(near(told("env=\"here\"", "db-connections"), 50.0));
    assert!(near(told("env=\"here\"", "throughput"), 50.0));
}
