//! A service that nobody here wrote: described by a profile, loaded by both engines, and told of as it was.

mod service;

use crate::support::{Place, text};
use serde_json::Value;
use service::ForeignService;
use std::process::Output;

/// A profile of the service at this port.
fn profile(place: &Place, port: u16) -> String {
    let toml = format!(
        r#"name = "shop"
url = "http://127.0.0.1:{port}/base"
ready = "/healthz"

[auth]
kind = "header"
header = "x-api-key"
env = "SHOP_KEY"

[[request]]
name = "create"
weight = 3
method = "POST"
path = "/api/v1/orders"
headers = {{ x-shop = "{{{{env SHOP_NAME}}}}" }}
body = '{{"customer":"c{{{{rand 50}}}}","n":{{{{n}}}},"ref":"{{{{id}}}}","at":"{{{{now}}}}","trace":"{{{{uuid}}}}"}}'
success = [202]
acknowledged = [202]

[[request]]
name = "read"
path = "/api/v1/orders?customer=c{{{{popular 50}}}}"
"#
    );
    let path = place.dir.path().join("shop.toml");
    std::fs::write(&path, toml).expect("a profile");
    path.to_string_lossy().into_owned()
}

struct Shop {
    place: Place,
    service: ForeignService,
    profile: String,
}

impl Shop {
    fn new() -> Self {
        let (place, service) = (Place::new(), ForeignService::start());
        let profile = profile(&place, service.port);
        Self { place, service, profile }
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = self.place.command(&[args, &["--profile", &self.profile]].concat());
        command.env("SHOP_KEY", "k-1234").env("SHOP_NAME", "corner");
        // How fast it answers beside other tests is not what is looked at.
        for objective in ["P95_MS", "P99_MS"] {
            command.env(format!("NSYS_OBJECTIVES__{objective}"), "60000");
        }
        command.output().expect("nsys starts")
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["-o", "json"]].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|cause| panic!("{args:?}: {cause}: {}", text(&output)))
    }

    fn offer(&self, engine: &str, more: &[&str]) -> (Output, Value) {
        let args = ["loadtest", "incremental", "-q", "--yes", "--engine", engine];
        let output = self.run(&[&args, more].concat());
        (output, self.json(&["loadtest", "show"]))
    }
}

#[test]
fn a_stranger_s_service_is_loaded_and_told_of_as_it_was() {
    let shop = Shop::new();
    the_profile_is_shown_and_checked(&shop);
    for engine in ["k6", "native", "native"] {
        counts_are_those_of_the_service(&shop, engine);
    }
    reports_say_what_is_not_measured(&shop);
    what_only_the_companion_has_is_refused(&shop);
    an_answer_that_the_profile_does_not_call_a_success_is_an_error(&shop);
}

fn the_profile_is_shown_and_checked(shop: &Shop) {
    let shown = shop.json(&["profile", "show"]);
    assert_eq!((&shown["name"], &shown["requests"][0]["share"]), (&"shop".into(), &0.75.into()));
    assert!(!shown.to_string().contains("k-1234"), "{shown}");
    let output = shop.run(&["profile", "check"]);
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("not tried") && said.contains("POST may change something"), "{said}");
    assert!(said.contains("200, in ") && !said.contains("k-1234"), "{said}");
    assert_eq!(shop.service.orders().len(), 0, "looking creates nothing");
    let checked = shop.json(&["profile", "check", "--all", "--yes"]);
    let outcome = |name: &str| {
        let rows = checked["checks"].as_array().unwrap().iter();
        rows.clone().find(|one| one["what"] == name).unwrap_or_else(|| panic!("{checked}"))["outcome"].clone()
    };
    assert_eq!((outcome("request create"), outcome("request read")), ("ok".into(), "ok".into()));
    assert_eq!(shop.service.orders().len(), 1);
    shop.service.forget();
    let denied = shop.place.command(&["profile", "check", "--profile", &shop.profile]).output().unwrap();
    assert_eq!(denied.status.code(), Some(1), "{}", text(&denied));
    assert!(text(&denied).contains("the variable SHOP_KEY is not set"), "{}", text(&denied));
}

fn counts_are_those_of_the_service(shop: &Shop, engine: &str) {
    shop.service.forget();
    let (output, run) = shop.offer(engine, &["--rates", "80/s:6s", "--generators", "2"]);
    let level = &run["levels"][0];
    let (orders, reads) = (shop.service.orders(), shop.service.reads());
    let told = text(&output);
    assert_eq!(run["profile"]["name"], "shop", "{engine}: {told}");
    let found = &level["reconciliation"];
    assert_eq!(found["succeeded"].as_u64(), Some((orders.len() + reads) as u64), "{engine}: {found}\n{told}");
    assert_eq!(found["acknowledged"].as_u64(), Some(orders.len() as u64), "{engine}: {found}");
    assert!(found["stored"].is_null() && level["kafka"]["lag_max"].is_null(), "{engine}: never 0");
    assert!(orders.len() > 250 && reads > 60, "{engine}: {} and {reads}", orders.len());
    // Every hole is filled, and nothing comes twice.
    let distinct = |of: fn(&service::Order) -> &Value| {
        let all: std::collections::BTreeSet<_> = orders.iter().map(|one| of(one).to_string()).collect();
        all.len()
    };
    assert_eq!(distinct(|one| &one.body["ref"]), orders.len(), "{engine}");
    assert_eq!(distinct(|one| &one.body["n"]), orders.len(), "{engine}");
    assert_eq!(distinct(|one| &one.body["trace"]), orders.len(), "{engine}");
    for one in &orders {
        let id = run["id"].as_str().unwrap();
        assert!(one.body["ref"].as_str().unwrap().starts_with(id), "{engine}: {}", one.body);
        assert!(
            one.body["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(),
            "{engine}: {}",
            one.body
        );
        assert_eq!(
            (one.shop.as_str(), one.content_type.as_str()),
            ("corner", "application/json"),
            "{engine}"
        );
    }
    // What it cannot know is neither good nor bad. A busy machine may leave the generator no processor.
    let verdict = level["verdict"].as_str().unwrap();
    assert!(
        ["passed", "generator-limited"].contains(&verdict),
        "{engine}: {verdict}: {}\n{told}",
        level["checks"]
    );
    let check = |metric: &str| {
        let checks = level["checks"].as_array().unwrap().iter();
        checks
            .clone()
            .find(|one| one["metric"] == metric)
            .unwrap_or_else(|| panic!("{}", level["checks"]))
            .clone()
    };
    for metric in ["lag_end", "acknowledged_not_stored", "service_cpu_pct", "db_connections"] {
        let check = check(metric);
        assert_eq!(
            (&check["status"], &check["value"]),
            (&"skipped".into(), &Value::Null),
            "{engine}: {check}"
        );
        assert!(check["reason"].as_str().unwrap().contains("the profile shop names no"), "{check}");
    }
    assert_eq!(check("error_rate")["status"], "pass", "{engine}");
}

fn reports_say_what_is_not_measured(shop: &Shop) {
    let gap = "not measured: lag: the profile shop names no topic with its consumer group";
    let said = text(&shop.run(&["report"]));
    assert!(said.contains(gap) && said.contains("Acknowledged: "), "{said}");
    assert!(said.contains("whether all of them were stored is not measured"), "{said}");
    for form in ["md", "html", "junit", "csv"] {
        let said = text(&shop.run(&["report", "--print", form]));
        let gap = if form == "csv" { ",skipped," } else { "the profile shop names no" };
        assert!(said.contains(gap), "{form}: {said}");
        assert!(!said.contains("stored: 0"), "{form}: {said}");
    }
    let output = shop.run(&["report", "--verify"]);
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&shop.run(&["diagnose"]));
    assert!(said.contains("rules were not measured, because the profile shop names nothing"), "{said}");
    let output = shop.run(&["compare", "latest~1", "latest"]);
    let said = text(&output);
    assert!(output.status.success() && said.contains("p95"), "{said}");
}

fn what_only_the_companion_has_is_refused(shop: &Shop) {
    for args in [
        &["up"][..],
        &["db", "seed"],
        &["db", "reset", "--yes"],
        &["dlq", "list"],
        &["watch"],
        &["tune", "kafka", "--partitions", "12"],
        &["send", "--user-id", "a"],
        &["metrics", "get", "error-rate"],
    ] {
        let output = shop.run(args);
        assert_eq!(output.status.code(), Some(4), "{args:?}: {}", text(&output));
        assert!(text(&output).contains("the profile shop has no"), "{args:?}: {}", text(&output));
    }
    let health = shop.json(&["health"]);
    assert_eq!(health["parts"].as_array().map(Vec::len), Some(1), "{health}");
}

fn an_answer_that_the_profile_does_not_call_a_success_is_an_error(shop: &Shop) {
    shop.service.refuse(true);
    for engine in ["native", "k6"] {
        shop.service.forget();
        let (output, run) = shop.offer(engine, &["--rates", "30/s:4s"]);
        let level = &run["levels"][0];
        let (refused, told) = (shop.service.refused() as u64, text(&output));
        // 200 is no success of a creation.
        assert_eq!(
            level["errors"]["status 200"].as_u64(),
            Some(refused),
            "{engine}: {}\n{told}",
            level["errors"]
        );
        assert!(refused > 30 && !output.status.success() && level["verdict"] != "passed", "{engine}: {told}");
    }
    shop.service.refuse(false);
}
