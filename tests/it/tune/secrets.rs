//! No secret of the configuration in anything that nsys says or writes, outside the directory that is for them.

use super::*;
use nsys::config::DEFAULTS;
use nsys::secret::SECRETS;
use std::path::Path;

/// Part of every secret here and of nothing else.
const MARK: &str = "m4rk3r";
/// As [`MARK`], for a value that is a number.
const NUMBER: &str = "4815162342";

/// Every key that is a secret, and every one that holds an address, which may have a password in it.
fn keys() -> Vec<String> {
    let table: toml::Table = DEFAULTS.parse().unwrap();
    let mut keys: Vec<String> = SECRETS.iter().map(|key| (*key).to_owned()).collect();
    for (section, values) in &table {
        for key in values.as_table().unwrap().keys().filter(|key| key.ends_with("url")) {
            keys.push(format!("{section}.{key}"));
        }
    }
    keys.sort();
    keys.dedup();
    keys
}

fn marked(key: &str) -> String {
    let secret = format!("{MARK}-{}", key.replace(['.', '_'], "-"));
    let scheme = match key {
        "db.url" | "db.read_url" => "postgres",
        "cache.url" => "redis",
        "channels.smtp_url" => "smtp",
        // Base64 of 36 bytes each.
        "endpoints.encryption_keys" => return format!("one:{MARK}{}", "A".repeat(42)),
        "channels.webhook_secret" => return format!("whsec_{MARK}{}", "A".repeat(42)),
        _ if key.ends_with("url") => "http",
        _ => return secret,
    };
    let path = if scheme == "redis" { "0" } else { "x" };
    format!("{scheme}://u:{secret}@127.0.0.1:9/{path}")
}

/// nsys with a secret in every key but those that this change is about.
fn marked_command(place: &Place, args: &[&str]) -> Command {
    let mut command = place.command(args);
    // The stack's own Prometheus and no collector are what the tests look at.
    for key in keys().iter().filter(|key| *key != "db.read_url" && *key != "telemetry.otlp_url") {
        command.env(format!("NSYS_{}", key.to_uppercase().replace('.', "__")), marked(key));
    }
    command
}

/// Runs a command and looks at what it says.
fn says_nothing(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = text(&output);
    assert!(!said.contains(MARK) && !said.contains(NUMBER), "{command:?} said: {said}");
    (output.status.code(), said)
}

/// Files under a directory in which a secret stands, but where it belongs and in the parts' own data.
fn leaks(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "secrets" && name != "data" {
                leaks(&path, found);
            }
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        if let Some(line) = text.lines().find(|line| line.contains(MARK) || line.contains(NUMBER)) {
            found.push(format!("{}: {line}", path.display()));
        }
    }
}

pub(super) fn are_in_no_output(place: &Place) {
    let url = format!("postgres://nsys:{MARK}-read@127.0.0.1:{}/notifications", 5_432 + place.offset);
    let run = |args: &[&str]| says_nothing(marked_command(place, args));
    let ok = |args: &[&str]| {
        let (code, said) = run(args);
        assert!(matches!(code, Some(0 | 10 | 11)), "{args:?}: {said}");
        said
    };
    let smoke = ["loadtest", "smoke", "-q", "--rates", "20/s:3s", "--stabilise", "5s"];
    ok(&["up"]);
    ok(&smoke);
    let replica = ["tune", "db", "--read-replica", &url];
    for form in [&["--dry-run"][..], &["--dry-run", "-o", "json"], &["--yes", "-o", "json"], &["--yes"]] {
        ok(&[&replica[..], form].concat());
    }
    ok(&smoke);
    let shown = place.json(&["history"]);
    let change = shown["changes"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    let looks: [&[&str]; 19] = [
        &["config", "show"],
        &["config", "check"],
        &["config", "path"],
        &["tune", "export"],
        &["history"],
        &["history", &change],
        &["undo", &change, "--dry-run"],
        &["tune", "plan", "--dry-run"],
        &["ps"],
        &["health"],
        &["doctor"],
        &["stats"],
        &["logs", "-n", "500"],
        &["loadtest", "list", "--all"],
        &["loadtest", "show"],
        &["diagnose"],
        &["next"],
        &["report"],
        &["compare", "latest~1"],
    ];
    for look in looks {
        run(look);
        run(&[look, &["-o", "json"]].concat());
        run(&[look, &["-vv"]].concat());
    }
    for form in ["md", "html", "csv", "junit"] {
        ok(&["report", "-o", form]);
    }
    let report = ok(&["report", "-o", "md"]);
    assert!(report.contains("--read-replica postgres://nsys:***@"), "the change is not told: {report}");
    run(&["report", "--verify"]);
    let compared = ok(&["compare", "latest~1", "--markdown"]);
    assert!(compared.contains("nsys tune db --read-replica postgres://nsys:***@"), "{compared}");
    mistakes(place);
    elsewhere_and_dead(place);

    // It was there all the while, and undo knows what it was.
    let reveal =
        |key: &str| text(&marked_command(place, &["config", "show", "--reveal", key]).output().unwrap());
    assert!(reveal("db.read_url").contains(&url));
    for key in keys().iter().filter(|key| *key != "db.read_url" && *key != "telemetry.otlp_url") {
        assert!(reveal(key).contains(MARK), "{key} holds no secret here");
    }
    ok(&["undo", &change, "--yes", "-o", "json"]);
    assert!(!reveal("db.read_url").contains(MARK));
    let again = text(&place.run(&["config", "show", "--reveal", "db.read_url"]));
    assert!(!again.contains("***"), "undo wrote a mask: {again}");
    // The generators were told a token.
    assert!(!place.state().join("run/level-plan.json").exists());
    let mut found = Vec::new();
    leaks(place.dir.path(), &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
    place.ok(&["up"]);
}

/// What is wrong is said without what stands there.
fn mistakes(place: &Place) {
    let typed = format!("u:{MARK}@host/db");
    for args in [
        vec!["tune", "db", "--read-replica", &typed, "--yes"],
        vec!["tune", "db", "--read-replica", &typed, "--no-such-flag"],
    ] {
        let (code, said) = says_nothing(place.command(&args));
        assert_eq!(code, Some(2), "{said}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    for key in SECRETS {
        let (section, name) = key.split_once('.').unwrap();
        for wrong in [
            NUMBER.to_owned(),
            format!("[\"{MARK}\"]"),
            format!("\"{MARK}"),
            format!("{NUMBER}{NUMBER}{NUMBER}"),
            format!("{{ {MARK} = 1 }}"),
            MARK.to_owned(),
        ] {
            std::fs::write(&file, format!("[{section}]\n{name} = {wrong}\n")).unwrap();
            let (code, said) =
                says_nothing(place.command(&["config", "check", "--config", file.to_str().unwrap()]));
            assert!(code == Some(2) && said.contains("config.toml:2"), "{key} = {wrong}: {said}");
        }
    }
}

/// Addresses at which nobody answers, and tokens that nobody takes.
fn elsewhere_and_dead(place: &Place) {
    for args in [&["health", "-vv"][..], &["ps"], &["lag"], &["db", "size"], &["cache", "stats"], &["doctor"]]
    {
        let mut command = marked_command(place, args);
        command.env("NSYS_STACK__RUNTIME", "external").env("NSYS_KAFKA__BROKERS", "127.0.0.1:9");
        says_nothing(command);
    }
    for args in [&["health"][..], &["ps"], &["token"], &["lag"], &["user", "list"]] {
        let mut command = elsewhere(place, args);
        command.env("NSYS_EXTERNAL__API_TOKEN", MARK).env("NSYS_EXTERNAL__PROMETHEUS_TOKEN", MARK);
        says_nothing(command);
    }
}
