//! The structure of the service, held by reading its sources: see "Inside the service" in
//! docs/ARCHITECTURE.md.

use super::imports::{imports_of, in_rings, top};
use super::sources;
use std::collections::BTreeSet;
use std::path::Path;

const ROOT: &str = "service/src";

/// The modules of `service/src/`, each of which names only those before it: the map of docs/ARCHITECTURE.md.
const LADDER: [&str; 14] = [
    "clock",
    "settings",
    "secret",
    "tls",
    "domain",
    "telemetry",
    "queue",
    "db",
    "cache",
    "channels",
    "parts",
    "worker",
    "auth",
    "http",
];

#[test]
fn every_module_of_the_service_names_only_those_before_it() {
    let rank = |module: &str| LADDER.iter().position(|one| *one == module);
    let imports = imports_of(ROOT);
    let modules: BTreeSet<&str> = imports.keys().map(|path| top(path)).collect();
    assert_eq!(
        modules,
        BTreeSet::from(LADDER),
        "the modules of service/src/ and the ladder are not the same"
    );
    for (from, named) in &imports {
        for to in named.iter().filter(|to| top(to) != top(from)) {
            assert!(rank(top(to)) < rank(top(from)), "{from} names {to}, which stands after it: {LADDER:?}");
        }
    }
}

#[test]
fn the_documents_show_the_ladder_of_the_service() {
    let read =
        |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let page = read("docs/ARCHITECTURE.md");
    let map =
        page.split("## Inside the service\n").nth(1).and_then(|text| text.split("\n## ").next()).unwrap();
    let entries = map.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let shown: Vec<_> = entries.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(shown, LADDER, "docs/ARCHITECTURE.md");
    let library = read("service/src/lib.rs");
    let entry = |line: &str| {
        let name =
            line.strip_prefix("//! - ")?.trim_start_matches('[').strip_prefix('`')?.split('`').next()?;
        Some(name.to_owned())
    };
    assert_eq!(library.lines().filter_map(entry).collect::<Vec<_>>(), LADDER, "service/src/lib.rs");
}

#[test]
fn the_worker_does_not_name_the_api() {
    let worker: Vec<_> = imports_of(ROOT).into_iter().filter(|(path, _)| top(path) == "worker").collect();
    assert!(worker.len() > 5, "only {} files of the worker were found", worker.len());
    for (from, named) in worker {
        assert!(!named.iter().any(|to| ["http", "auth"].contains(&top(to))), "{from} names the API");
    }
}

#[test]
fn the_state_of_the_api_is_named_by_the_api_alone() {
    let names_it = |text: &str| {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let words = code.flat_map(|line| line.split(|one: char| !one.is_alphanumeric() && one != '_'));
        words.into_iter().any(|word| word == "App")
    };
    let files: Vec<_> = sources(ROOT).into_iter().filter(|(_, text)| names_it(text)).collect();
    assert!(files.len() > 10, "only {} files name the state of the API", files.len());
    for (name, _) in files {
        let allowed = name == "service/src/lib.rs" || name.starts_with("service/src/http");
        assert!(allowed, "{name} names App; what the worker shares with the API is in Parts");
    }
}

#[test]
fn no_two_files_of_the_service_import_each_other_in_a_ring() {
    let left = in_rings(imports_of(ROOT));
    assert!(left.is_empty(), "these import each other in a ring, or name one that does: {left:#?}");
}
