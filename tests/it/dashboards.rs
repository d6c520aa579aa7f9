//! The Grafana dashboards: whole, and every query in them evaluated by a real Prometheus.

use crate::support::Place;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

fn dashboards() -> Vec<(String, Value)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose/grafana/dashboards");
    let mut found: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|file| file.path()).collect();
    found.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        (name.clone(), serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{name}: {cause}")))
    };
    found.iter().map(read).collect()
}

fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().unwrap()
}

#[test]
fn dashboards_are_whole() {
    let provisioned = include_str!("../../compose/grafana/provisioning/datasources/nsys.yaml");
    let mut uids = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        assert!(uids.insert(dashboard["uid"].as_str().unwrap().to_owned()), "{name}: the uid is not its own");
        assert!(dashboard["schemaVersion"].as_u64() >= Some(36), "{name}");
        let mut ids = BTreeSet::new();
        let mut covered = BTreeSet::new();
        for panel in panels(&dashboard) {
            let title = &panel["title"];
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}, {title}: the id is not its own");
            let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(place("x") + place("w") <= 24, "{name}, {title}: wider than the page");
            for column in place("x")..place("x") + place("w") {
                for row in place("y")..place("y") + place("h") {
                    assert!(covered.insert((column, row)), "{name}, {title}: lies on another panel");
                }
            }
            if panel["type"] == "row" {
                continue;
            }
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{name}, {title}: asks nothing");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{name}, {title}: has no unit");
            for asked in panel["targets"].as_array().unwrap() {
                let source = asked["datasource"]["uid"].as_str().unwrap();
                assert!(
                    provisioned.contains(&format!("uid: {source}\n")),
                    "{name}, {title}: no source {source}"
                );
            }
        }
    }
    assert_eq!(uids.len(), 3);
}

#[test]
fn nothing_stands_in_for_a_series_that_is_not_there_and_no_panel_adds_up_strangers() {
    let mut seen = 0;
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            for asked in panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default() {
                let promql = asked["expr"].as_str().unwrap();
                let title = &panel["title"];
                assert!(!promql.contains("vector("), "{name}, {title}: {promql}");
                // Each selector begins with the stack, and each window belongs to a selector.
                let (braces, ours) =
                    (promql.matches('{').count(), promql.matches("{stack=\"$stack\"").count());
                assert!(braces > 0 && braces == ours, "{name}, {title}: {promql}");
                let windows = promql.matches('[').count();
                assert_eq!(
                    windows,
                    promql.matches("}[$__rate_interval]").count(),
                    "{name}, {title}: {promql}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen}");
    let sources = include_str!("../../compose/grafana/provisioning/datasources/nsys.yaml");
    for (name, text) in [
        ("alerts", include_str!("../../compose/prometheus/alerts.rules.yml")),
        ("recording", include_str!("../../compose/prometheus/recording.rules.yml")),
        ("sources", sources),
    ] {
        assert!(!text.contains("vector("), "{name}");
    }
}

/// Evaluates the query of every panel on a stack that was just under load. `balanced`: the stack has
/// a balancer, so its panels have series too.
pub(crate) fn every_panel_has_series(place: &Place, balanced: bool) {
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard).iter().filter(|panel| panel["type"] != "row") {
            for asked in panel["targets"].as_array().unwrap() {
                let promql = asked["expr"].as_str().unwrap();
                if promql.contains("haproxy_") && !balanced {
                    continue;
                }
                // What Grafana fills in for a range and a scrape interval like these.
                let promql = promql.replace("$__rate_interval", "1m").replace("$stack", &place.name);
                let series = place.json(&["metrics", "query", &promql]);
                let points = series.as_array().map_or(0, Vec::len);
                assert!(points > 0, "{name}, {}: {promql} has no series", panel["title"]);
            }
        }
    }
}
