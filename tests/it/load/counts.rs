//! What a level counts: the same as all its generators together, the service, and the database.

use super::{offer, results};
use crate::support::{Place, text};
use crate::tune::sql;
use nsys::clients::postgres::Postgres;
use serde_json::Value;

pub(super) fn of_several_generators_add_up_to_those_of_the_service_and_the_database(place: &Place) {
    for engine in ["k6", "native"] {
        let (output, run) =
            offer(place, &["--engine", engine, "--rates", "60/s:8s", "--generators", "2", "--reconcile"]);
        let level = &run["levels"][0];
        let found = &level["reconciliation"];
        let count = |name: &str| found[name].as_u64().unwrap_or_else(|| panic!("no {name}: {found}"));
        assert!(count("succeeded") > 300, "{engine}: {found}\n{}", text(&output));
        assert_eq!(count("succeeded"), count("served"), "{engine}: {found}");
        assert_eq!(count("acknowledged"), count("stored"), "{engine}: {found}");
        assert_eq!((count("acknowledged_stored"), count("unacknowledged")), (count("stored"), 0), "{engine}");
        let id = run["id"].as_str().unwrap();
        let rows = format!("SELECT count(*) FROM notifications WHERE correlation_id LIKE '{id}-L1%'");
        assert_eq!(sql(place, &rows), count("acknowledged").to_string(), "{engine}");
        let distinct = rows.replace("count(*)", "count(DISTINCT correlation_id)");
        assert_eq!(
            sql(place, &distinct),
            count("acknowledged").to_string(),
            "{engine}: two made one request"
        );
        let check = level["checks"].as_array().unwrap().iter().find(|one| one["metric"] == "successes_apart");
        assert_eq!(check.unwrap()["status"], "pass", "{engine}: {level}");

        let parts =
            ["", "-2"].map(|part| summary(place, id, &format!("level-1-{engine}-summary{part}.json")));
        match engine {
            "k6" => k6_adds_up(level, &parts),
            _ => {
                native_adds_up(level, &parts);
                a_loss_is_told_by_ids(place, &format!("{id}-L1."), &parts);
            }
        }
    }
}

/// Two acknowledged rows go, and two that were never acknowledged are there: counts alone are equal.
fn a_loss_is_told_by_ids(place: &Place, prefix: &str, parts: &[Value; 2]) {
    let creations = parts.iter().flat_map(|part| part["creations"].as_object().unwrap());
    let sent: Vec<_> = creations.map(|(ids, one)| (ids.clone(), one["sent"].as_u64().unwrap())).collect();
    let all: u64 = sent.iter().map(|one| one.1).sum();
    let ids = sql(
        place,
        &format!("SELECT correlation_id FROM notifications WHERE correlation_id LIKE '{prefix}%'"),
    );
    let ids: Vec<_> = ids.lines().map(str::to_owned).collect();
    assert_eq!(ids.len() as u64, all);
    let (unacknowledged, gone) = (&ids[..2], &ids[2..4]);
    sql(place, &format!("DELETE FROM notifications WHERE correlation_id IN ('{}')", gone.join("', '")));
    let url = format!(
        "postgres://nsys:{}@127.0.0.1:{}/notifications",
        place.secret("postgres"),
        5_432 + place.offset
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (stored, mut lost) = runtime.block_on(async {
        let mut database = Postgres::connect(&url, std::time::Duration::from_secs(5)).await.unwrap();
        let stored = database.count_stored(prefix, unacknowledged, 600.0).await.unwrap();
        (stored, database.list_lost(&sent, unacknowledged, 20).await.unwrap())
    });
    let acknowledged = all - 2;
    assert_eq!(
        (stored.all, stored.acknowledged),
        (acknowledged, acknowledged - 2),
        "counted, nothing is missing"
    );
    lost.sort();
    let mut gone = gone.to_vec();
    gone.sort();
    assert_eq!(lost, gone);
}

fn summary(place: &Place, run: &str, file: &str) -> Value {
    let path = results(place).join(run).join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The requests of both are those of the level, and each percentile lies between those of the two.
fn k6_adds_up(level: &Value, parts: &[Value; 2]) {
    let value = |part: &Value, metric: &str, key: &str| {
        part["metrics"][metric]["values"][key].as_f64().unwrap_or_else(|| panic!("no {metric} {key}"))
    };
    let requests = parts.iter().map(|part| value(part, "started{measured:yes}", "count"));
    assert!(requests.clone().all(|count| count > 100.0), "one of them did nothing");
    assert_eq!(requests.sum::<f64>() as u64, level["requests"].as_u64().unwrap());
    for (name, key) in [("p50", "med"), ("p95", "p(95)"), ("p99", "p(99)"), ("max", "max")] {
        let each = parts.iter().map(|part| value(part, "request_time{measured:yes}", key));
        let (low, high) = each.fold((f64::MAX, 0.0_f64), |both, one| (both.0.min(one), both.1.max(one)));
        let told = level["latency_ms"][name].as_f64().unwrap();
        assert!(told >= low * 0.999 && told <= high * 1.001, "{name}: {told} is not in {low}..{high}");
    }
}

fn native_adds_up(level: &Value, parts: &[Value; 2]) {
    let mut all = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 120_000_000, 3).unwrap();
    let mut requests = 0;
    for part in parts {
        let window = &part["windows"]["steady"];
        assert!(window["requests"].as_u64().unwrap() > 100, "one of them did nothing: {window}");
        requests += window["requests"].as_u64().unwrap();
        all.add(nsys::generate::decode(window["due"].as_str().unwrap()).unwrap()).unwrap();
    }
    assert_eq!((requests, all.len()), (level["requests"].as_u64().unwrap(), requests));
    for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        let (told, bound) =
            (level["latency_ms"][name].as_f64().unwrap(), all.value_at_quantile(share) as f64 / 1e3);
        // Rounded when it was written; the bucket of several generators is told by its upper bound.
        assert!((told - bound).abs() <= bound * 0.002 + 0.001, "{name}: {told} is not {bound}");
    }
}
