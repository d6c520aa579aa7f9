//! The structure, held by reading the sources: see the table of invariants in docs/ARCHITECTURE.md.

mod exceptions;
mod imports;
mod service;
mod words;

use imports::{are_related, imports, in_rings, top};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a module does not name although it stands after it: a report is a function of its run and of what was
/// kept beside it, and the output knows no subject.
const APART: [(&str, [&str; 2]); 2] = [("report", ["stack", "clients"]), ("render", ["domain", "clients"])];

/// The modules of `src/`, each of which names only those before it: the map of docs/ARCHITECTURE.md.
const LADDER: [&str; 24] = [
    "clock",
    "secret",
    "error",
    "process_env",
    "measured",
    "domain",
    "permit",
    "plan",
    "config",
    "clients",
    "render",
    "stack",
    "journal",
    "apply",
    "diagnose",
    "generate",
    "loadtest",
    "report",
    "publish",
    "tui",
    "cli",
    "change",
    "tune",
    "commands",
];

fn sources(dir: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() { walk(&path, into) } else { into.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join(dir), &mut files);
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).unwrap_or_default())
    };
    files.iter().filter(|path| path.extension().is_some_and(|end| end == "rs")).map(read).collect()
}

fn sources_of(file: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    vec![(file.to_owned(), std::fs::read_to_string(path).unwrap())]
}

fn only_in(dir: &str, word: &str, allowed: &[&str]) {
    let mut seen = false;
    for (name, text) in sources(dir) {
        if text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word)) {
            assert!(
                allowed.iter().any(|file| name.starts_with(file)),
                "{name} names {word}; only {allowed:?} may"
            );
            seen = true;
        }
    }
    assert!(seen, "nothing in {dir} names {word}: this rule holds nothing any more");
}

#[test]
fn each_driver_is_named_in_one_file() {
    only_in("src", "rdkafka::", &["src/clients/kafka"]);
    only_in("src", "sqlx::", &["src/clients/postgres"]);
    only_in("src", "redis::Client", &["src/clients/redis.rs"]);
    only_in("src", "reqwest::", &["src/clients/http.rs"]);
    only_in("src", "prometheus_http_query", &["src/clients/prometheus.rs"]);
    only_in("src", "hyper::", &["src/generate"]);
    only_in("src", "bollard::", &["src/clients/docker.rs"]);
    only_in("src", "kube::", &["src/clients/kubernetes.rs"]);
    only_in("service/src", "rdkafka::", &["service/src/queue"]);
    only_in("src", "kuva::", &["src/report/charts.rs"]);
    only_in("service/src", "redis::", &["service/src/cache"]);
    only_in("service/src", "sqlx::", &["service/src/db"]);
    only_in("service/src", "lettre::", &["service/src/channels/email.rs"]);
    only_in("service/src", "reqwest::", &["service/src/channels/http.rs"]);
}

/// An image of another version has other flags and migrations than the files beside it expect.
#[test]
fn images_are_tagged_with_the_version() {
    let own = env!("CARGO_PKG_VERSION");
    let files = [
        ("config.toml", 4),
        ("compose/compose.yaml", 2),
        ("compose/Dockerfile", 2),
        ("compose/k8s/base/app.yaml", 1),
        ("compose/k8s/base/worker.yaml", 1),
        ("compose/k8s/base/prepare.yaml", 1),
    ];
    for (file, tags) in files {
        let text = &sources_of(file)[0].1;
        let tagged = |name: &str| text.matches(&format!("{name}:{own}")).count();
        assert_eq!(tagged("notification-service") + tagged("nsys"), tags, "{file}: images of {own}");
    }
}

/// A second provider would build for minutes, and with two of them rustls would choose none.
#[test]
fn ring_does_all_cryptography() {
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let there = |name: &str| lock.contains(&format!("name = \"{name}\"\n"));
    assert!(there("ring"));
    for other in ["aws-lc-sys", "aws-lc-rs", "boring-sys", "graviola"] {
        assert!(!there(other), "{other} is in Cargo.lock");
    }
}

/// A client that is built before the provider is there would end the program.
#[test]
fn https_clients_are_built_where_the_provider_is_chosen() {
    for file in ["src/clients/http.rs", "service/src/channels/http.rs"] {
        let text = &sources_of(file)[0].1;
        let (made, chosen) = ("reqwest::Client::builder()", "tls::install();");
        assert_eq!(text.matches(made).count(), 1, "{file}: one place builds clients");
        let before = text.split(made).next().unwrap().trim_end();
        assert!(before.ends_with(chosen), "{file}: {chosen} comes right before {made}");
    }
    // It builds a client of its own.
    let exporter = &sources_of("service/src/telemetry/trace.rs")[0].1;
    let at = |word: &str| exporter.find(word).unwrap();
    assert!(at("tls::install();") < at("SpanExporter::builder()"));
}

#[test]
fn promql_is_made_in_one_place_that_names_no_series_without_its_selector() {
    // What the user wrote is asked as it stands; everything else comes from a scope.
    only_in("src", "Promql::of_user(", &["src/commands/metrics", "src/loadtest/level/offer.rs"]);
    for word in ["histogram_quantile(", "rate({", "label_replace(", "_over_time(", "[{window}"] {
        for (name, text) in sources("src") {
            let own = name.starts_with("src/domain/promql") || name == "src/domain/questions.rs";
            let found = text.lines().find(|line| !line.trim_start().starts_with("//") && line.contains(word));
            assert!(own || found.is_none(), "{name} writes PromQL; src/domain/promql.rs makes it: {found:?}");
        }
    }
}

/// A measured value has no default that stands in for it, and no way around that.
#[test]
fn nothing_stands_in_for_what_was_not_measured() {
    for (name, text) in sources("src") {
        let code: String = text.split_whitespace().collect::<Vec<_>>().join(" ").replace(" .", ".");
        for shape in ["value().unwrap_or", "into_value().unwrap_or", "value().map_or(0"] {
            assert!(!code.contains(shape), "{name}: {shape}: missing is never 0");
        }
    }
    let (_, measured) = sources_of("src/measured.rs").remove(0);
    for way in ["fn unwrap", "fn expect", "T: Default"] {
        assert!(!measured.contains(way), "src/measured.rs has {way}");
    }
    let results = sources_of("src/domain/run/level.rs").remove(0).1;
    let level = results.split("/// One level.").nth(1).unwrap();
    // There need not be a bound of its memory.
    let fields = level.lines().filter(|line| line.ends_with(": Option<f64>,"));
    let fields: Vec<_> = fields.map(str::trim).collect();
    assert_eq!(fields, ["pub memory_limit_mb: Option<f64>,"], "what a level measures is Measured");
}

#[test]
fn only_apply_changes_a_part() {
    for word in [
        "create_partitions(",
        ".unlink(",
        ".run_within(",
        "overlay::set(",
        ".reset_schema(",
        ".unseed_range(",
        ".create_account(",
        ".update_account(",
    ] {
        only_in("src", word, &["src/apply", "src/clients", "src/config/overlay.rs"]);
    }
}

/// What a statement or a call that changes something holds.
const CHANGING: [&str; 21] = [
    "INSERT INTO",
    "UPDATE ",
    "DELETE FROM",
    "DROP SCHEMA",
    "CREATE DATABASE",
    "LOCK TABLE",
    "pg_cancel_backend",
    ".run_direct(",
    "UNLINK",
    "PUBLISH",
    ".create_topics(",
    ".create_partitions(",
    "Method::Post",
    "Method::Patch",
    "Method::Delete",
    "http::post",
    ".patch_scale(",
    "api.restart(",
    "api.delete(",
    "stop_container(",
    "AssertSqlSafe(sql.to_owned()",
];
/// Methods that hold such a word and change nothing: a sign-in, counts, a list of what others do, what
/// happens in a transaction that is rolled back, and the HTTP calls that no other module sees.
const READ_ONLY_METHODS: [&str; 7] =
    ["sign_in", "send_body", "count_redrive", "count_purge", "call", "builds", "execute"];

/// Each function of a file: its name, its head and its body.
fn functions(text: &str) -> Vec<(&str, &str, &str)> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut starts: Vec<_> = text.match_indices("fn ").map(|(at, _)| at).collect();
    starts.retain(|at| text[..*at].ends_with([' ', '\n']));
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let read = |(start, end): (usize, usize)| {
        let whole = &text[start + 3..end];
        let (head, body) = whole.split_once("{\n").unwrap_or((whole, ""));
        (whole.split(['(', '<']).next().unwrap_or_default(), head, body)
    };
    starts.iter().copied().zip(ends).map(read).collect()
}

#[test]
fn no_client_changes_anything_without_a_permit() {
    let mut held = 0;
    for (name, text) in sources("src/clients") {
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for (function, head, body) in functions(&code.join("\n")) {
            let word = CHANGING.iter().find(|word| body.contains(**word));
            let Some(word) = word.filter(|_| !READ_ONLY_METHODS.contains(&function)) else { continue };
            assert!(head.contains("&ChangePermit"), "{name}: {function} holds {word} and asks for no permit");
            held += 1;
        }
    }
    assert!(held > 20, "only {held} changing methods were found");
    // The calls below the service's API are seen by the clients alone.
    let http =
        sources("src/clients").into_iter().find(|(name, _)| name.ends_with("clients/http.rs")).unwrap().1;
    assert!(!http.contains("pub async fn post") && !http.contains("pub async fn call"));
}

#[test]
fn one_place_gives_permits() {
    only_in("src", "_checked: ()", &["src/permit.rs"]);
    for (name, text) in sources("src") {
        let makes =
            text.contains("impl Default for ChangePermit") || text.contains("impl Clone for ChangePermit");
        assert!(!makes, "{name} makes permits");
        assert!(!text.contains("engine::start("), "{name} offers load without a permit");
    }
    let permit =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/permit.rs")).unwrap();
    assert!(
        permit.contains("#[derive(Debug)]\npub struct ChangePermit {"),
        "a permit can be copied or made up"
    );
}

#[test]
fn the_domain_does_no_io() {
    for (name, text) in [sources("src/domain"), sources("src/plan"), sources_of("src/permit.rs")].concat() {
        for word in [
            "tokio",
            "std::fs",
            "std::net",
            "std::process",
            "crate::clients",
            "crate::stack",
            "crate::render",
        ] {
            assert!(!text.contains(word), "{name} names {word}");
        }
    }
}

#[test]
fn the_dashboards_state_knows_no_terminal_and_its_view_no_client() {
    only_in("src", "ratatui", &["src/tui/view", "src/tui/screen", "src/tui/bench.rs"]);
    only_in("src", "crossterm", &["src/tui/screen"]);
    only_in("src", "portable_pty", &["src/tui/screen/session.rs", "src/tui/screen/terminal.rs"]);
    for (name, text) in sources("src/tui") {
        let client = text.contains("crate::clients") || text.contains("crate::stack");
        assert!(
            !client
                || ["source", "screen", "lines.rs"]
                    .iter()
                    .any(|one| name.starts_with(&format!("src/tui/{one}"))),
            "{name} names a client"
        );
    }
}

#[test]
fn every_module_names_only_those_before_it() {
    let rank = |module: &str| LADDER.iter().position(|one| *one == module);
    let imports = imports();
    let modules: BTreeSet<&str> = imports.keys().map(|path| top(path)).collect();
    assert_eq!(modules, BTreeSet::from(LADDER), "the modules of src/ and the ladder are not the same");
    for (from, named) in &imports {
        for to in named.iter().filter(|to| top(to) != top(from)) {
            assert!(rank(top(to)) < rank(top(from)), "{from} names {to}, which stands after it: {LADDER:?}");
            let apart = APART.iter().any(|(one, others)| *one == top(from) && others.contains(&top(to)));
            assert!(!apart, "{from} names {to}");
        }
    }
}

#[test]
fn the_documents_show_the_ladder() {
    let read =
        |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let page = read("docs/ARCHITECTURE.md");
    let map = page.split("## Inside nsys").nth(1).and_then(|text| text.split("\n## ").next()).unwrap();
    let entries = map.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let shown: Vec<_> = entries.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(shown, LADDER, "docs/ARCHITECTURE.md");
    let library = read("src/lib.rs");
    let layout = library.lines().filter_map(|line| line.strip_prefix("//! - [`")?.split('`').next());
    assert_eq!(layout.collect::<Vec<_>>(), LADDER, "src/lib.rs");
}

#[test]
fn the_documents_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/ARCHITECTURE.md")).unwrap();
    let quoted = page.split('`').skip(1).step_by(2);
    let roots = ["src/", "service/src/", "tests/", "contract/"];
    let files: Vec<_> = quoted.filter(|one| roots.iter().any(|root| one.starts_with(root))).collect();
    assert!(files.len() > 25, "only {} files are named", files.len());
    for file in files {
        assert!(root.join(file).exists(), "docs/ARCHITECTURE.md names {file}, which is not there");
    }
}

#[test]
fn no_file_is_too_long_to_have_one_job() {
    const MOST_LINES: usize = 500;
    let dirs = ["src", "service/src", "contract/src", "tests", "benches"];
    let files: Vec<_> = dirs.into_iter().flat_map(sources).collect();
    assert!(files.len() > 400, "only {} files were read", files.len());
    let long: Vec<_> = files.iter().filter(|(_, text)| text.lines().count() > MOST_LINES).collect();
    let names: Vec<_> = long.iter().map(|(name, _)| name).collect();
    assert!(names.is_empty(), "longer than {MOST_LINES} lines: {names:?}");
}

#[test]
fn no_command_imports_another_one() {
    for (from, named) in imports().iter().filter(|(path, _)| top(path) == "commands") {
        let others: Vec<_> =
            named.iter().filter(|to| top(to) == "commands" && !are_related(from, to)).collect();
        assert!(others.is_empty(), "{from} names {others:?}; what they share belongs below commands/");
    }
}

#[test]
fn no_two_files_import_each_other_in_a_ring() {
    let left = in_rings(imports());
    assert!(left.is_empty(), "these import each other in a ring, or name one that does: {left:#?}");
}

#[test]
fn nsys_does_not_depend_on_the_service() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let package = manifest.split("[package]").nth(1).unwrap();
    assert!(!package.contains("notification-service"));
}

/// Where `module::test` of a document lies: `chaos` and the like in the integration tests, else in the
/// service.
fn holds(sources: &[(String, String)], module: &str, test: Option<&str>) -> bool {
    let path = module.replace("::", "/");
    let (its, own) = (format!("tests/it/{path}"), format!("service/src/{path}"));
    let of = |name: &str, base: &str| name == format!("{base}.rs") || name.starts_with(&format!("{base}/"));
    sources.iter().any(|(name, text)| {
        (of(name, &its) || of(name, &own))
            && match test {
                Some(test) => text.contains(&format!("fn {test}(")),
                None => text.contains("#[test]") || text.contains("#[tokio::test"),
            }
    })
}

#[test]
fn every_promise_names_tests_that_exist() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/GUARANTEES.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && !line.contains("---")).collect();
    assert!(rows.len() > 15, "only {} promises", rows.len());
    let sources = [sources("tests/it"), sources("service/src")].concat();
    for row in rows.iter().skip(1) {
        let held = row.trim_end_matches('|').rsplit('|').next().unwrap().trim();
        let names: Vec<&str> = held.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing holds: {row}");
        for name in names {
            // A test is `module::test`; a module alone stands for all of its tests.
            let exists = holds(&sources, name, None)
                || name.rsplit_once("::").is_some_and(|(module, test)| holds(&sources, module, Some(test)));
            assert!(exists, "{name} holds a promise and does not exist: {row}");
        }
    }
}

#[test]
fn processes_are_never_ended_by_name() {
    let words = ["pk", "kill", "all"];
    let by_name = [format!("{}{}", words[0], words[1]), format!("{}{}", words[1], words[2])];
    for dir in ["src", "service/src", "tests"] {
        for (name, text) in sources(dir) {
            assert!(!by_name.iter().any(|word| text.contains(word)), "{name} ends processes by name");
        }
    }
}
