//! What a profile says, and what is said of one that is wrong.

use super::*;

const SHOP: &str = r#"
name = "shop"
url = "http://127.0.0.1:8080/base/"
ready = "GET /healthz"

[auth]
kind = "header"
header = "X-Api-Key"
env = "SHOP_KEY"

[[request]]
name = "create"
weight = 7
method = "POST"
path = "/api/v1/orders"
body = '{"customer":"c{{rand 500}}","ref":"{{id}}"}'
success = [202]
acknowledged = 202

[[request]]
weight = 2.5
path = "/api/v1/orders?customer=c{{rand 500}}"
headers = { Accept = "{{env SHOP_ACCEPT}}" }
"#;

const LOAD: CompanionLoad = CompanionLoad {
    create: 0.6,
    get: 0.2,
    list: 0.15,
    correlation: 0.05,
    users: 1_000,
    notifications: 20_000,
};

fn shop() -> Profile {
    Profile::parse(SHOP, "shop.toml").unwrap()
}

#[test]
fn a_profile_says_what_is_asked_and_what_counts() {
    let shop = shop();
    assert_eq!((shop.name.as_str(), shop.ready.as_deref()), ("shop", Some("/healthz")));
    let [create, list] = &shop.requests[..] else { panic!("{shop:?}") };
    assert_eq!((create.weight, list.weight), (7.0, 2.5));
    assert!(create.success.contains(202) && !create.success.contains(200));
    assert!(create.acknowledged.contains(202) && list.acknowledged.is_empty());
    assert_eq!(
        (list.method.as_str(), list.name.as_str()),
        ("GET", "GET /api/v1/orders?customer=c{{rand 500}}")
    );
    assert!(list.success.contains(204), "every 2xx");
    assert_eq!(shop.settings["external.api_url"], "http://127.0.0.1:8080/base");
    assert_eq!(shop.settings["db.url"], "", "what it does not name is absent");
    assert!(!shop.is_companion() && shop.acknowledges());
}

#[test]
fn requests_are_resolved_for_the_generators() {
    let key = ("x-api-key".to_owned(), "k".to_owned());
    let variables = |name: &str| (name == "SHOP_ACCEPT").then(|| "text/csv".to_owned());
    let made = shop().offered("/base", Some(&key), &variables).unwrap();
    let text = |text: &str| TemplatePiece::Text(text.into());
    assert_eq!(made[0].path, [text("/base/api/v1/orders")]);
    assert!(made[0].tracked && !made[1].tracked);
    assert_eq!(
        made[0].headers,
        [
            ("content-type".to_owned(), vec![text("application/json")]),
            ("x-api-key".to_owned(), vec![text("k")])
        ]
    );
    assert_eq!(made[1].headers[0], ("accept".to_owned(), vec![text("text/csv")]));
    let unset = shop().offered("", None, &|_| None).unwrap_err();
    assert!(unset.contains("SHOP_ACCEPT"), "{unset}");
    let wire = serde_json::to_string(&made).unwrap();
    assert_eq!(serde_json::from_str::<Vec<OfferedRequest>>(&wire).unwrap(), made);
}

#[test]
fn a_mistake_names_its_line_and_what_was_meant() {
    let base = "name = \"shop\"\nurl = \"http://x\"\n";
    for (more, message, hint) in [
        ("redy = \"/\"\n", "shop.toml:3: there is no key redy here", "did you mean ready?"),
        (
            "[[request]]\npath = \"/\"\nwieght = 2\n",
            "shop.toml:5: there is no key wieght",
            "did you mean weight?",
        ),
        ("[[request]]\npath = \"x\"\n", "shop.toml:4: path = \"x\": a path that begins with /", ""),
        (
            "[[request]]\npath = \"/{{ranm 3}}\"\n",
            "shop.toml:4: path: {{ranm 3}} is not known; did you mean rand?",
            "",
        ),
        ("[[request]]\npath = \"/\"\nsuccess = [\"2x\"]\n", "shop.toml:5: 2x is no status", ""),
        ("[[request]]\npath = \"/\"\nacknowledged = 404\n", "shop.toml:5: acknowledged 404 is not among", ""),
        ("[[request]]\npath = \"/\"\nmethod = \"FETCH\"\n", "shop.toml:5: method = \"FETCH\"", ""),
        ("[[request]]\npath = \"/\"\nweight = -1\n", "shop.toml:5: weight: a number from 0", ""),
        ("[[request]]\nweight = 1\n", "path is missing", ""),
        (
            "[auth]\nkind = \"baerer\"\nenv = \"A\"\n",
            "shop.toml:4: auth.kind = \"baerer\"",
            "did you mean bearer?",
        ),
        ("[auth]\nkind = \"bearer\"\n", "shop.toml:4: auth needs the place of the secret", ""),
        ("[auth]\nenv = \"A\"\n", "auth.kind is missing", ""),
        (
            "[[flow]]\ntopic = \"a\"\ngroup = \"g\"\nbegins = \"first\"\n",
            "shop.toml:6: begins = \"first\"",
            "",
        ),
        ("[[flow]]\ntopic = \"a\"\n", "group is missing", ""),
        ("[ledger]\nstored = \"SELECT a FROM b WHERE c = $1\"\n", "needs a request with {{id}}", ""),
        ("ready = 3\n", "shop.toml:3: a string is expected", ""),
        ("[postgres]\nurl = \"postgres://u:hunter2@h/d\"\nx = 1\n", "there is no key x here", ""),
    ] {
        let error = Profile::parse(&format!("{base}{more}"), "shop.toml").unwrap_err();
        assert!(error.message.contains(message), "{more}: {}", error.message);
        assert!(error.hint.unwrap_or_default().contains(hint), "{more}");
        assert!(!error.message.contains("hunter2"));
    }
    for (text, message) in [
        ("url = \"http://x\"\n", "name is missing"),
        ("name = \"a b\"\nurl = \"http://x\"\n", "1 to 32 letters"),
        ("name = \"companion\"\nurl = \"http://x\"\n", "not companion"),
        ("name = \"a\"\nurl = \"x\"\n", "begins with http://"),
        ("name = ", "shop.toml:1: "),
    ] {
        let error = Profile::parse(text, "shop.toml").unwrap_err();
        assert!(error.message.contains(message), "{text}: {}", error.message);
    }
}

#[test]
fn flows_and_a_ledger_are_read_and_a_ledger_only_reads() {
    let more = "[[flow]]\ntopic = \"orders\"\ngroup = \"workers\"\nbegins = \"latest\"\n[ledger]\nstored = ";
    let with = |sql: &str| Profile::parse(&format!("{SHOP}{more}\"{sql}\"\n"), "shop.toml");
    let read = with("SELECT ref FROM orders WHERE starts_with(ref, $1)").unwrap();
    assert_eq!((read.flows[0].group.as_str(), read.flows[0].begins), ("workers", FlowStart::Latest));
    assert!(read.ledger.is_some_and(|ledger| ledger.finished.is_none()));
    for sql in ["DELETE FROM orders WHERE ref = $1", "SELECT 1", "SELECT $1; DROP TABLE a"] {
        let error = with(sql).unwrap_err();
        assert!(error.message.contains("one SELECT of ids is expected"), "{sql}: {}", error.message);
    }
}

#[test]
fn a_section_of_the_configuration_is_a_profile_too() {
    let text = SHOP.replace("\n[auth]", "\n[profile.auth]").replace("[[request]]", "[[profile.request]]");
    let text = format!("[stack]\nname = \"x\"\n[profile]{text}");
    let read = Profile::parse_section(&text, "config.toml").unwrap().unwrap();
    assert_eq!(read.requests, shop().requests);
    assert_eq!(Profile::parse_section("[stack]\nname = \"x\"\n", "config.toml").unwrap(), None);
}

#[test]
fn the_companion_is_a_profile_like_any_other() {
    let companion = Profile::companion(&LOAD);
    for one in &companion.requests {
        assert!(!one.path.source().is_empty() && one.path.pieces().len() <= 3, "{one:?}");
    }
    let create = &companion.requests[0];
    let body = create.body.as_ref().unwrap();
    assert!(body.has_id() && create.acknowledged.contains(201) && !create.acknowledged.contains(200));
    // What it asks is what the service takes.
    let written: String = body
        .pieces()
        .iter()
        .map(|one| match one {
            TemplatePiece::Text(text) => text.clone(),
            TemplatePiece::Pick(words) => words[0].clone(),
            _ => "7".into(),
        })
        .collect();
    let value: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!((&value["userId"], &value["correlationId"]), (&"seed-user-7".into(), &"7".into()));
    let made = companion.offered("", None, &|_| None).unwrap();
    assert!(made[0].tracked && made[1..].iter().all(|one| !one.tracked));
    let quiet =
        Profile::companion(&CompanionLoad { create: 1.0, get: 0.0, list: 0.0, correlation: 0.0, ..LOAD });
    assert_eq!(quiet.offered("", None, &|_| None).unwrap().len(), 1, "what has no weight is not made");
}
