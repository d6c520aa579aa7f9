//! Configuration changes: tuned, refused when somebody else was there, taken back to the first state.

use super::*;
use crate::support::Terminal;

pub(super) fn is_tuned_and_taken_back(place: &Place) {
    let overlay = place.state().join("tuned.toml");
    let before = place.json(&["config", "show"]);
    place.ok(&["tune", "db", "--pool-size", "20", "--yes"]);
    let shown = place.json(&["config", "show", "db.pool_size"]);
    assert_eq!(shown["settings"][0]["value"], 20);
    assert!(shown["settings"][0]["origin"].as_str().unwrap().starts_with("tuned"), "{shown}");
    assert!(place.ok(&["tune", "db", "--pool-size", "20", "--yes"]).contains("nothing to do"));

    // Changed by hand since: undo shows both and touches nothing.
    let text_before = std::fs::read_to_string(&overlay).unwrap();
    std::fs::write(&overlay, text_before.replace("20", "30")).unwrap();
    let said = refused(place, &["undo", "--yes"], 4);
    assert!(said.contains("db.pool_size = 20") && said.contains("db.pool_size = 30"), "{said}");
    std::fs::write(&overlay, text_before).unwrap();

    place.ok(&["undo", "--yes"]);
    assert!(!overlay.exists(), "undo left an overlay");
    assert_eq!(place.json(&["config", "show"]), before);

    let output = place
        .command(&["tune", "kafka", "--linger", "5ms", "--yes"])
        .env("NSYS_KAFKA__LINGER", "1ms")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    let protected = place
        .command(&["tune", "kafka", "--linger", "5ms", "--yes"])
        .env("NSYS_STACK__PROTECTED", "true")
        .output()
        .unwrap();
    assert!(text(&protected).contains(&format!("--confirm {}", place.name)), "{}", text(&protected));
}

/// Between plan and answer somebody else changes the same thing.
pub(super) fn what_changed_at_the_prompt_is_refused(place: &Place) {
    let overlay = place.state().join("tuned.toml");
    let mut typed = Terminal::new(place, &["tune", "db", "--pool-size", "25"]);
    typed.wait_for("type y to go on");
    std::fs::write(&overlay, "[db]\npool_size = 40\n").unwrap();
    typed.answer("y");
    let (code, said) = typed.end();
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("nothing") && said.contains("db.pool_size = 40"), "{said}");
    std::fs::remove_file(&overlay).unwrap();

    let mut typed = Terminal::new(place, &["tune", "db", "--indexes", "--only", INDEX]);
    typed.wait_for("type y to go on");
    sql(place, &format!("CREATE INDEX {INDEX} ON notifications (causation_id)"));
    typed.answer("y");
    let (code, said) = typed.end();
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("causation_id"), "{said}");
    sql(place, &format!("DROP INDEX {INDEX}"));

    // Anything but the answer changes nothing.
    let mut typed = Terminal::new(place, &["tune", "db", "--indexes", "--only", INDEX]);
    typed.wait_for("type y to go on");
    typed.answer("maybe");
    let (code, said) = typed.end();
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
}

/// Schema and effective configuration, byte for byte.
fn state(place: &Place) -> (String, String) {
    let secret = place.secret("postgres");
    let dump = Command::new("pg_dump")
        .args(["--schema-only", "--no-owner", "-h", "127.0.0.1", "-U", "nsys", "-d", "notifications", "-p"])
        .arg((5_432 + place.offset).to_string())
        .env("PGPASSWORD", secret)
        .output()
        .unwrap();
    assert!(dump.status.success(), "{}", text(&dump));
    // A key of the dump itself, new each time, on servers that have it.
    let dump: String = String::from_utf8_lossy(&dump.stdout)
        .lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = place.run(&["config", "show", "-o", "json"]);
    (dump, String::from_utf8_lossy(&config.stdout).into_owned())
}

pub(super) fn everything_reversible_goes_back_to_the_first_state(place: &Place) {
    let rows = || sql(place, "SELECT count(*) FROM notifications");
    let (first, rows_first) = (state(place), rows());
    let mark = place.json(&["history"])["changes"].as_array().unwrap().len();
    place.ok(&["tune", "db", "--indexes", "--pool-size", "12", "--pool-timeout", "7s", "--yes"]);
    place.ok(&["tune", "kafka", "--compression", "lz4", "--linger", "1ms", "--yes"]);
    place.ok(&["tune", "cache", "--ttl", "user=9m,notification=4m", "--yes"]);
    place.ok(&["db", "seed", "--notifications", "3000", "--yes"]);
    place.ok(&["tune", "service", "--instances", "2", "--yes"]);
    assert_ne!(state(place), first);
    let done = place.json(&["history"]);
    let ids: Vec<String> = done["changes"].as_array().unwrap()[mark..]
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 5);
    for id in ids.iter().rev() {
        place.ok(&["undo", id, "--yes"]);
    }
    let last = state(place);
    assert_eq!(last.0, first.0, "the schema is another one");
    assert_eq!(last.1, first.1, "the configuration is another one");
    assert_eq!(rows(), rows_first);
    assert_eq!(
        place.json(&["ps"])["parts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| { one["name"].as_str().unwrap().starts_with("app-") })
            .count(),
        1
    );
}
