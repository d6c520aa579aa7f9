//! Which file of a crate names which, read from the sources; comments and what only tests compile left out.

use super::sources;
use std::collections::{BTreeMap, BTreeSet};

/// Each file of `src/` by its module path, `clients::kafka` for `src/clients/kafka.rs`, with the files that it
/// names.
pub(super) fn imports() -> BTreeMap<String, BTreeSet<String>> {
    imports_of("src")
}

/// The same for the sources of another crate.
pub(super) fn imports_of(root: &str) -> BTreeMap<String, BTreeSet<String>> {
    let files = compiled(root);
    let named = |path: &str, code: &str| {
        paths(code).into_iter().filter_map(|named| resolve(&files, path, &named)).collect()
    };
    files.iter().map(|(path, code)| (path.clone(), named(path, code))).collect()
}

/// The code of each file of a crate that its library is compiled from, by its module path; what only tests
/// compile is left out.
pub(super) fn compiled(root: &str) -> BTreeMap<String, String> {
    let below = format!("{root}/");
    let module = |name: &str| name.trim_start_matches(&below).trim_end_matches(".rs").replace('/', "::");
    let all: BTreeMap<String, String> =
        sources(root).iter().map(|(name, text)| (module(name), without_tests(text))).collect();
    let is_compiled = |path: &str| match path.rsplit_once("::") {
        Some((parent, own)) => all[parent].contains(&format!("mod {own};")),
        None => path != "lib" && path != "main",
    };
    let paths: BTreeSet<String> = all.keys().filter(|path| is_compiled(path)).cloned().collect();
    all.into_iter().filter(|(path, _)| paths.contains(path)).collect()
}

/// The first component of a module path.
pub(super) fn top(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

/// Whether one lies below the other.
pub(super) fn are_related(one: &str, other: &str) -> bool {
    let below = |child: &str, parent: &str| child.starts_with(&format!("{parent}::"));
    below(one, other) || below(other, one)
}

/// The files that import each other in a ring, and those that name one of them; a parent and its children are
/// one.
pub(super) fn in_rings(mut left: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    for (from, named) in &mut left {
        named.retain(|to| !are_related(from, to));
    }
    // A file that names none of those that are left is in no ring with them.
    loop {
        let free: Vec<String> =
            left.iter().filter(|(_, named)| named.is_empty()).map(|(path, _)| path.clone()).collect();
        if free.is_empty() {
            return left;
        }
        left.retain(|path, _| !free.contains(path));
        for named in left.values_mut() {
            named.retain(|to| !free.contains(to));
        }
    }
}

/// The code without comments, and without items under `#[cfg(test)]`.
fn without_tests(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if !line.trim_start().starts_with("#[cfg(test)]") {
            code += line;
            code.push('\n');
            continue;
        }
        // One item: up to its semicolon, or to the brace that closes it.
        let (mut depth, mut opened) = (0_i32, false);
        for line in lines.by_ref() {
            depth += line.matches('{').count() as i32 - line.matches('}').count() as i32;
            opened |= line.contains('{');
            if if opened { depth <= 0 } else { line.trim_end().ends_with(';') } {
                break;
            }
        }
    }
    code
}

/// Every path in the code that begins with `crate`, `super` or `self`, its braces multiplied out.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for head in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(head) {
            let before = code[..at].chars().next_back();
            // The middle of `super::super::x` belongs to the path that begins before it.
            if before.is_none_or(|one| !one.is_alphanumeric() && !['_', ':', '$'].contains(&one)) {
                tree(&code[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Reads one tree of names; answers what follows it.
fn tree<'a>(code: &'a str, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let mut code = code.trim_start();
    if let Some(inside) = code.strip_prefix('{') {
        code = inside.trim_start();
        while !code.is_empty() && !code.starts_with('}') {
            let rest = tree(code, &mut path.clone(), found);
            // ` as name` may follow.
            code =
                rest.trim_start_matches(|one| one != ',' && one != '}').trim_start_matches(',').trim_start();
        }
        return code.strip_prefix('}').unwrap_or(code);
    }
    let end = code.find(|one: char| !one.is_alphanumeric() && one != '_').unwrap_or(code.len());
    if end > 0 && (path.is_empty() || &code[..end] != "self") {
        path.push(code[..end].to_owned());
    }
    match code[end..].strip_prefix("::") {
        Some(rest) if end > 0 => tree(rest, path, found),
        _ => {
            found.push(path.clone());
            &code[end..]
        }
    }
}

/// The file that a path from within another one means.
fn resolve(files: &BTreeMap<String, String>, from: &str, path: &[String]) -> Option<String> {
    let supers = path.iter().take_while(|one| *one == "super").count();
    let own: Vec<&str> = from.split("::").collect();
    let mut absolute: Vec<&str> = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" => own,
        _ => own[..own.len().saturating_sub(supers)].to_vec(),
    };
    absolute.extend(path.iter().skip(supers.max(1)).map(String::as_str));
    while !absolute.is_empty() && !files.contains_key(&absolute.join("::")) {
        absolute.pop();
    }
    let found = absolute.join("::");
    (!found.is_empty() && found != from).then_some(found)
}

#[test]
fn imports_are_read_whatever_their_form() {
    let code = "use crate::{a::{self, B}, c::d as e};\nfn f() { super::super::g::h(); }\n";
    let read: Vec<String> = paths(code).iter().map(|path| path.join("::")).collect();
    assert_eq!(read, ["crate::a", "crate::a::B", "crate::c::d", "super::super::g::h"]);
    let tests = "use a;\n#[cfg(test)]\nmod tests {\n    use crate::x;\n}\n// crate::y\nfn z() {}\n";
    assert_eq!(without_tests(tests), "use a;\nfn z() {}\n");
}
