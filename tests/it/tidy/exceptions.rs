//! Where a method is called that `clippy.toml` disallows: the one place of each, and threads of their own.

use super::{sources, sources_of};
use std::collections::BTreeMap;

/// How often a file says that it is such a place; tests and benches as a whole are exempt.
const PLACES: [(&str, usize); 18] = [
    ("service/src/channels/http.rs", 1),
    ("service/src/clock.rs", 1),
    ("service/src/http.rs", 1),
    ("service/src/queue/consumer.rs", 1),
    ("service/src/settings.rs", 1),
    ("src/cli.rs", 1),
    ("src/cli/tune.rs", 1),
    ("src/clients/http.rs", 1),
    ("src/clients/kafka/offsets.rs", 1),
    ("src/clients/process.rs", 1),
    ("src/clients/program.rs", 1),
    ("src/clock.rs", 1),
    ("src/generate/pace.rs", 1),
    ("src/loadtest/engine/cluster.rs", 1),
    ("src/permit.rs", 1),
    ("src/process_env.rs", 1),
    ("src/render.rs", 1),
    ("src/stack/safety.rs", 1),
];
/// The terminal of the dashboard's child, and a thread that waits for its end.
const TERMINAL: [(&str, usize); 2] = [("src/tui/screen/session.rs", 2), ("src/tui/screen/terminal.rs", 1)];

#[test]
fn a_disallowed_method_is_called_in_its_one_place() {
    let mut found = BTreeMap::new();
    for (file, text) in ["src", "service/src", "contract/src"].into_iter().flat_map(sources) {
        let said = text.matches("clippy::disallowed_").count();
        assert_eq!(
            text.matches("allow(clippy::disallowed_").count(),
            0,
            "{file}: expect() is taken away when it holds nothing any more, allow() is not"
        );
        if said > 0 {
            found.insert(file, said);
        }
    }
    let places = PLACES.into_iter().chain(TERMINAL).map(|(file, count)| (file.to_owned(), count));
    assert_eq!(found, places.collect());
}

#[test]
fn nothing_may_be_printed() {
    // What `clippy.toml` is for methods these are for macros.
    let manifest = &sources_of("Cargo.toml")[0].1;
    for lint in ["print_stdout", "print_stderr", "dbg_macro", "exit"] {
        assert!(manifest.contains(&format!("\n{lint} = \"warn\"\n")), "{lint} is not asked for");
    }
    for manifest in ["Cargo.toml", "service/Cargo.toml", "contract/Cargo.toml"] {
        assert!(sources_of(manifest)[0].1.contains("[lints]\nworkspace = true\n"), "{manifest}");
    }
}
