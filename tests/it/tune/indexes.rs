//! Index builds: proved, taken back, and the days when they go wrong.

use super::*;

pub(super) fn are_built_and_taken_back(place: &Place) {
    let first = schema(place);
    place.ok(&["tune", "db", "--indexes", "--dry-run"]);
    assert_eq!(schema(place), first, "a dry run changed the schema");
    let said = refused(place, &["tune", "db", "--indexes"], 4);
    assert!(said.contains("--yes"), "{said}");
    let said = place.ok(&["tune", "db", "--indexes", "--yes"]);
    assert!(said.contains("Seq Scan") && said.contains(&format!("Index Scan ({INDEX})")), "no proof: {said}");
    assert!(place.ok(&["tune", "db", "--indexes", "--yes"]).contains("nothing to do"));
    place.ok(&["undo", "--yes"]);
    assert_eq!(schema(place), first, "undo left another schema");
    let history = place.json(&["history"]);
    assert_eq!(history["changes"][0]["outcome"], "undone");
    assert_eq!(history["changes"][1]["undoes"], "c1");
    assert!(refused(place, &["undo", "c1", "--yes"], 4).contains("already"));
    assert!(refused(place, &["undo", "c99", "--yes"], 2).contains("c99"));
}

pub(super) fn bad_days_of_a_build(place: &Place) {
    let build = ["tune", "db", "--indexes", "--only", INDEX, "--yes"];

    // Somebody holds the table: named, and nothing is made.
    let first = schema(place);
    let holder = hold(place, "LOCK TABLE notifications IN SHARE MODE");
    let said = refused(place, &build, 4);
    assert!(said.contains("(holder) holds ShareLock"), "{said}");
    release(place, holder);
    assert_eq!(schema(place), first);

    // An old transaction keeps the build waiting until its budget is spent; the leftover is rebuilt.
    let holder = hold(
        place,
        "INSERT INTO notifications SELECT gen_random_uuid(), 'x', channel, type, priority, status, payload FROM notifications WHERE false",
    );
    let output = place.command(&build).env("NSYS_TUNE__BUILD_TIMEOUT", "2s").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("waits for pid"), "{}", text(&output));
    release(place, holder);
    place.ok(&build);
    place.ok(&["undo", "--yes"]);

    // nsys is killed in the middle of a build: the next one says so and finishes it.
    let holder = hold(
        place,
        "UPDATE notifications SET updated_at = updated_at WHERE id = (SELECT id FROM notifications LIMIT 1)",
    );
    let mut child = place.command(&build).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let waits = "SELECT count(*) FROM pg_stat_progress_create_index";
    wait(|| sql(place, waits) == "1", "the build did not begin");
    let other = ["tune", "db", "--indexes", "--only", "idx_notifications_scheduled", "--yes"];
    let second = refused(place, &other, 4);
    assert!(second.contains("another nsys"), "{second}");
    // It is no leftover: whoever looks is told who builds it, and nothing plans to drop it.
    let listed = place.ok(&["db", "indexes"]);
    assert!(listed.contains("being built by pid") && !listed.contains("INVALID"), "{listed}");
    let said = refused(place, &["tune", "db", "--indexes", "--dry-run"], 4);
    assert!(said.contains("being built by pid"), "{said}");
    kill_9(i32::try_from(child.id()).unwrap());
    child.wait().unwrap();
    release(place, holder);
    wait(|| sql(place, waits) == "0", "the build goes on without its nsys");
    sql(place, &format!("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('{INDEX}')"));
    let listed = place.ok(&["db", "indexes"]);
    if sql(place, &format!("SELECT to_regclass('{INDEX}') IS NOT NULL")) == "t" {
        assert!(listed.contains("INVALID"), "{listed}");
    }
    let said = place.ok(&build);
    assert!(said.contains("done in"), "{said}");
    let valid = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = '{INDEX}'::regclass");
    assert_eq!(sql(place, &valid), "t");
    let history = place.json(&["history"]);
    let outcomes: Vec<_> = history["changes"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert!(outcomes.iter().any(|outcome| *outcome == "interrupted"), "{outcomes:?}");

    // An index that was replaced since is not dropped; one of that name with another shape is not touched.
    sql(place, &format!("DROP INDEX {INDEX}; CREATE INDEX {INDEX} ON notifications (causation_id)"));
    assert!(refused(place, &["undo", "--yes"], 4).contains("causation_id"));
    assert!(refused(place, &build, 4).contains("another definition"));
    sql(place, &format!("DROP INDEX {INDEX}"));
}

pub(super) fn without_the_table_the_right_the_disk_or_the_server(place: &Place) {
    let build = ["tune", "db", "--indexes", "--only", INDEX, "--yes"];
    let first = schema(place);

    // The table is missing.
    sql(place, "ALTER TABLE notifications RENAME TO away");
    assert!(refused(place, &build, 1).contains("there is no table notifications"));
    sql(place, "ALTER TABLE away RENAME TO notifications");

    // The role may not.
    sql(place, "CREATE ROLE weak LOGIN PASSWORD 'weak'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO weak");
    let url = format!("postgres://weak:weak@127.0.0.1:{}/notifications", 5_432 + place.offset);
    let output = elsewhere(place, &build).env("NSYS_DB__URL", url).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains("this role may not change notifications"), "{}", text(&output));
    sql(place, "DROP OWNED BY weak; DROP ROLE weak");
    assert_eq!(schema(place), first);

    disk_full(place, &build);
    assert_eq!(schema(place), first, "a failed build left something");

    // PostgreSQL is killed in the middle; it comes back, and the same command finishes.
    let holder = hold(
        place,
        "UPDATE notifications SET updated_at = updated_at WHERE id = (SELECT id FROM notifications LIMIT 1)",
    );
    let child = place.command(&build).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait(
        || sql(place, "SELECT count(*) FROM pg_stat_progress_create_index") == "1",
        "the build did not begin",
    );
    let server = place.pid("postgres");
    kill_9(server);
    let output = child.wait_with_output().unwrap();
    let mut holder = holder;
    holder.wait().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("run the same command again"), "{}", text(&output));
    wait(|| place.run(&["db", "status"]).status.success(), "the server did not come back");
    assert!(place.ok(&build).contains("done in"));
    assert_ne!(place.pid("postgres"), server);
    place.ok(&["undo", "--yes"]);
}

/// A build into a file system that holds less than half of the index.
fn disk_full(place: &Place, build: &[&str]) {
    let Some(disk) = Disk::mount(place.dir.path().join("small"), "64k") else { return };
    let space = disk.for_tables();
    sql(place, &format!("CREATE TABLESPACE small LOCATION '{}'", space.display()));
    sql(place, "ALTER ROLE nsys SET default_tablespace = 'small'");
    let said = refused(place, build, 1);
    sql(place, "ALTER ROLE nsys RESET default_tablespace");
    assert!(said.contains("the disk is full"), "{said}");
    sql(place, "DROP TABLESPACE small");
}
