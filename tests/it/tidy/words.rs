//! The words that are not used as names: the right-hand column of the glossary in docs/STYLE.md.

use super::imports::compiled;
use super::sources;
use std::collections::BTreeMap;
use std::path::Path;

/// Names of one word are renamed for good; what merely contains one (`tableau`) is another word.
fn words_of(name: &str) -> Vec<String> {
    // A constant is one word in capitals; `look_up` is a verb of its own.
    let name = if name.chars().any(char::is_lowercase) { name.to_owned() } else { name.to_lowercase() };
    let name = name.replace("look_up", "lookup");
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() && !words.last().is_some_and(String::is_empty) {
            words.push(String::new());
        }
        if letter != '_' {
            words.last_mut().unwrap().extend(letter.to_lowercase());
        }
    }
    words
}

/// The names that a source defines: types, functions, constants, fields and modules. Tests are sentences.
fn defined(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub").map_or(line, |rest| {
            let rest = rest.trim_start();
            if rest.starts_with('(') {
                rest.split_once(')').map_or(rest, |(_, rest)| rest.trim_start())
            } else {
                rest
            }
        });
        let line = line.strip_prefix("async ").unwrap_or(line);
        let line = line.strip_prefix("const fn").map_or(line, |rest| rest.trim_start());
        let keywords = ["fn ", "struct ", "enum ", "trait ", "type ", "const ", "static ", "mod "];
        let rest = keywords.iter().find_map(|keyword| line.strip_prefix(keyword));
        let field = || line.split_once(": ").map(|(name, _)| name).filter(|_| line.ends_with(','));
        let name = rest.or_else(field)?;
        let name = name.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next()?;
        (!name.is_empty()).then_some(name)
    })
}

/// The glossary's third column, word by word.
fn avoided() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/STYLE.md");
    let page = std::fs::read_to_string(page).unwrap();
    let glossary = page.split("## Glossary").nth(1).expect("docs/STYLE.md has a glossary");
    let rows = glossary.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn the_glossarys_avoided_words_name_nothing() {
    let avoided = avoided();
    assert!(avoided.len() >= 20, "only {} words are avoided", avoided.len());
    let mut seen = 0;
    for (file, text) in ["src", "service/src", "contract/src"].into_iter().flat_map(sources) {
        if file.ends_with("tests.rs") {
            continue;
        }
        let stem = Path::new(&file).file_stem().unwrap().to_string_lossy().into_owned();
        for name in defined(&text).chain([stem.as_str()]) {
            let word = words_of(name).into_iter().find(|word| avoided.contains(word));
            assert!(word.is_none(), "{file}: {name} holds a word that docs/STYLE.md avoids: {word:?}");
            seen += 1;
        }
    }
    assert!(seen > 3_000, "only {seen} names were read");
}

/// The types that a file defines: those of functions and macros too, and aliases at its top level.
fn types(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter_map(|line| {
        let visible = line.trim_start();
        let visible = visible.strip_prefix("pub").map_or(visible, |rest| {
            let within = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
            within.map_or(rest, |(_, rest)| rest).trim_start()
        });
        let alias = || visible.strip_prefix("type ").filter(|_| !line.starts_with(' '));
        let defined = ["struct ", "enum ", "trait ", "union "];
        let rest = defined.iter().find_map(|keyword| visible.strip_prefix(keyword)).or_else(alias)?;
        rest.split(|letter: char| !letter.is_alphanumeric()).next().filter(|name| !name.is_empty())
    })
}

#[test]
fn a_type_name_stands_for_one_type() {
    for (root, fewest) in [("src", 500), ("service/src", 200), ("contract/src", 60)] {
        let mut seen = BTreeMap::<String, String>::new();
        let mut twice = Vec::new();
        for (path, code) in compiled(root) {
            for name in types(&code) {
                if let Some(other) = seen.insert(name.to_owned(), path.clone()) {
                    twice.push(format!("{name} in {other} and in {path}"));
                }
            }
        }
        assert!(seen.len() > fewest, "only {} types of {root} were read", seen.len());
        assert!(twice.is_empty(), "{root}: two words tell two types apart: {twice:#?}");
    }
}
