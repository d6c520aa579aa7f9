//! The support matrix: what nsys asks of each part, asked of every version that can be had. Only with
//! `NSYS_MATRIX`, the directory that `scripts/test-matrix.sh` fills: `PART/VERSION/…`.

mod parts;

use crate::support::text;
use parts::{Part, command};
use std::path::{Path, PathBuf};
use std::process::Output;

/// One thing that was asked, and what went wrong with it.
struct Row {
    version: String,
    question: String,
    failure: Option<String>,
}

fn versions(cache: &Path, part: &str) -> Vec<(String, PathBuf)> {
    let dirs = std::fs::read_dir(cache.join(part)).into_iter().flatten().flatten();
    let mut found: Vec<_> = dirs
        .filter(|entry| entry.path().is_dir())
        .map(|entry| (format!("{part} {}", entry.file_name().to_string_lossy()), entry.path()))
        .collect();
    found.sort();
    found
}

fn judged(version: &str, question: &str, output: &Output) -> Row {
    let failure = (!output.status.success()).then(|| text(output).trim().to_owned());
    Row { version: version.to_owned(), question: question.to_owned(), failure }
}

/// Asks nsys each of these about a part.
fn ask(version: &str, part: &Part, questions: &[&str]) -> Vec<Row> {
    let asked = |question: &&str| {
        let args: Vec<_> = question.split(' ').collect();
        judged(version, question, &command(part, &args).output().expect("nsys starts"))
    };
    questions.iter().map(asked).collect()
}

/// Counters of the diagnosis and of a level, which no command shows by themselves.
fn counters(version: &str, url: &str) -> Vec<Row> {
    use nsys::clients::postgres::Postgres;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = runtime.block_on(async {
        let mut database = Postgres::connect(url, std::time::Duration::from_secs(5)).await?;
        database.counters().await?;
        database.activity().await?;
        database.statement_counts().await?;
        database.snapshot().await?;
        database.totals().await?;
        database.table_use(5).await?;
        database.counted_statements(5).await?;
        database.recovery().await?;
        database.explain_generic("SELECT * FROM notifications WHERE user_id = $1").await.map(drop)
    });
    let failure = asked.err().map(|error: nsys::error::Error| error.message);
    vec![Row { version: version.to_owned(), question: "counters of a level".to_owned(), failure }]
}

#[test]
fn every_version_that_can_be_had_answers_what_nsys_asks() {
    let Some(cache) = std::env::var_os("NSYS_MATRIX").map(PathBuf::from) else { return };
    let mut rows = Vec::new();
    for (version, dir) in versions(&cache, "postgres") {
        let part = Part::postgres(&dir);
        if version.contains(" 13.") || version.contains(" 14.") {
            let refused = command(&part, &["db", "migrate", "--yes"]).output().expect("nsys starts");
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            let holds = !refused.status.success() && said.contains("the schema needs 15 or later");
            rows.push(Row {
                version,
                question: "db migrate is refused by name".to_owned(),
                failure: (!holds).then_some(said),
            });
            continue;
        }
        rows.extend(ask(
            &version,
            &part,
            &[
                "db migrate --yes",
                "db status",
                "db seed --users 20 --notifications 2000 --yes",
                "db slow",
                "db size",
                "db indexes",
                "db pool",
                "db locks",
                "db snapshot one",
                "db slow --since one",
                "tune db --indexes --yes",
                "tune db --suggest --dry-run",
                "undo --yes",
            ],
        ));
        rows.extend(counters(&version, &part.url));
        if version.ends_with(" 15") || version.contains(" 15.") {
            rows.extend(parts::poolers(&part).into_iter().map(|(question, failure)| Row {
                version: "pgbouncer".to_owned(),
                question,
                failure,
            }));
        }
    }
    // What changes a topic asks first whose schema the database beside it has.
    let (_, newest) = versions(&cache, "postgres").pop().expect("a PostgreSQL");
    let beside = Part::postgres(&newest);
    rows.extend(ask("beside Kafka", &beside, &["db migrate --yes"]));
    for (version, dir) in versions(&cache, "kafka") {
        let part = Part::kafka(&dir, &beside.url);
        rows.extend(ask(&version, &part, &["up --migrate --only kafka,schema,topics --yes"]));
        let committed = part.commit_group("matrix", "notifications");
        rows.push(Row {
            version: version.clone(),
            question: "a group commits".to_owned(),
            failure: committed.err(),
        });
        rows.extend(ask(
            &version,
            &part,
            &[
                "kafka topics",
                "kafka describe notifications",
                "kafka groups",
                "lag --group matrix",
                "tune kafka --partitions 6 --yes",
            ],
        ));
    }
    for (version, dir) in versions(&cache, "redis").into_iter().chain(versions(&cache, "valkey")) {
        let part = Part::redis(&dir);
        rows.extend(ask(&version, &part, &["cache stats", "cache keys"]));
    }
    let line = |row: &Row| {
        let what = row.failure.as_deref().map_or("ok", |_| "FAILED");
        format!("| {} | {} | {what} |\n", row.version, row.question)
    };
    let table: String = rows.iter().map(line).collect();
    std::io::Write::write_all(&mut std::io::stderr(), table.as_bytes()).expect("somebody reads");
    let failed: Vec<_> = rows
        .iter()
        .filter_map(|row| Some(format!("{}, {}: {}", row.version, row.question, row.failure.as_ref()?)))
        .collect();
    assert!(!rows.is_empty(), "nothing lies in {}", cache.display());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
