//! Which indexes a query plan asks for, read from the plan itself. Pure.
//!
//! The server has already parsed and normalised the statement, so its plan says what is compared and
//! sorted more reliably than the statement's text. Whether a candidate would be used is not decided
//! here: the planner is asked, with a hypothetical index.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// An index is suggested when it takes at least this share of a statement's cost away: what it costs
/// every write must be paid for.
const LEAST_SAVING: f64 = 0.5;
/// Names of PostgreSQL are cut at 63 bytes.
const LONGEST_NAME: usize = 63;

/// How SQL spells each table, by schema and name.
pub type TableNames = HashMap<(String, String), String>;

/// One scan of a plan: what it compares, and in which order its rows are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The table as SQL spells it.
    pub table: String,
    /// Whether it reads the whole table.
    pub whole: bool,
    /// Columns compared with `=`.
    pub equal: Vec<String>,
    /// Columns compared otherwise.
    pub range: Vec<String>,
    /// The order its rows are wanted in, as `created_at DESC`.
    pub sort: Vec<String>,
}

/// An index that may help.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Candidate {
    /// The table.
    pub table: String,
    /// Key columns with their direction, as in `CREATE INDEX`.
    pub columns: Vec<String>,
}

impl Candidate {
    /// A name that says what it is for.
    #[must_use]
    pub fn name(&self) -> String {
        let words = format!("idx_{}_{}", self.table, self.columns.join("_"));
        let words = words.replace('"', "").replace(" DESC", "_desc");
        let plain = |one: char| if one.is_ascii_alphanumeric() { one.to_ascii_lowercase() } else { '_' };
        let mut name: String = words.chars().map(plain).collect();
        // What does not fit, or differs by more than this name can tell, is told apart by a digest.
        let faithful = words.chars().all(|one| plain(one) == one || one == '.');
        if name.len() > LONGEST_NAME || !faithful {
            let digest = Sha256::digest(format!("{} ({})", self.table, self.columns.join(", ")));
            name.truncate(LONGEST_NAME - 7);
            name.push_str(&format!("_{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2]));
        }
        name
    }

    /// Whether every read that `other` serves is served by this one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.table == other.table && self.columns.starts_with(&other.columns)
    }
}

/// One statement that an index would make cheaper.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatementGain {
    /// The statement, constants replaced by `$1`, `$2`, …
    pub query: String,
    /// Executions that were counted.
    pub calls: i64,
    /// Their time, in ms.
    pub total_ms: f64,
    /// The planner's cost today.
    pub cost_before: f64,
    /// Its cost with the index; absent when it could not be tried.
    pub cost_after: Option<f64>,
}

impl StatementGain {
    /// The time that would not have been spent, in ms, if time goes with cost.
    #[must_use]
    pub fn saved_ms(&self) -> f64 {
        let after = self.cost_after.unwrap_or(self.cost_before);
        self.total_ms * (1.0 - after / self.cost_before.max(f64::MIN_POSITIVE)).max(0.0)
    }

    /// Whether the planner sees enough in it.
    #[must_use]
    pub fn pays(&self) -> bool {
        self.cost_after.is_some_and(|after| after <= self.cost_before * (1.0 - LEAST_SAVING))
    }
}

/// An index that the evidence asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    /// The index.
    pub index: Candidate,
    /// Its estimated size in bytes, when it could be tried.
    pub bytes: Option<i64>,
    /// What it would make cheaper.
    pub gains: Vec<StatementGain>,
}

impl Suggestion {
    /// The time of all its statements that would not have been spent, in ms.
    #[must_use]
    pub fn saved_ms(&self) -> f64 {
        self.gains.iter().map(StatementGain::saved_ms).sum()
    }
}

/// One suggestion for each index, most time saved first. What a longer one of them serves too is not
/// suggested by itself.
#[must_use]
pub fn merge(found: Vec<(Candidate, Option<i64>, StatementGain)>) -> Vec<Suggestion> {
    let mut all: Vec<Suggestion> = Vec::new();
    for (index, bytes, gain) in found {
        match all.iter_mut().find(|one| one.index == index) {
            Some(known) => known.gains.push(gain),
            None => all.push(Suggestion { index, bytes, gains: vec![gain] }),
        }
    }
    all.sort_by_key(|one| std::cmp::Reverse(one.index.columns.len()));
    let mut kept: Vec<Suggestion> = Vec::new();
    for one in all {
        match kept.iter_mut().find(|longer| longer.index.covers(&one.index)) {
            Some(longer) => longer.gains.extend(one.gains),
            None => kept.push(one),
        }
    }
    kept.sort_by(|one, other| other.saved_ms().total_cmp(&one.saved_ms()));
    kept
}

/// The scans of a plan, as `EXPLAIN (VERBOSE, FORMAT JSON)` writes it, that compare or sort something
/// of one of these tables.
#[must_use]
pub fn scans(plan: &Value, tables: &TableNames) -> Vec<Scan> {
    let mut found = Vec::new();
    walk(plan, &[], tables, &mut found);
    found
}

fn walk(node: &Value, sort: &[String], tables: &TableNames, found: &mut Vec<Scan>) {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let own: Vec<String> = node["Sort Key"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|key| sort_column(key.as_str()?))
        .collect();
    // An order is wanted of a scan only when nothing in between loses or makes it.
    let handed_on = match kind {
        "Sort" | "Incremental Sort" if !own.is_empty() => own.as_slice(),
        "Limit" | "Gather" | "Gather Merge" | "Result" | "LockRows" => sort,
        _ => &[],
    };
    let name = |table: &str| (node["Schema"].as_str().unwrap_or("public").to_owned(), table.to_owned());
    let table = node["Relation Name"].as_str().and_then(|table| tables.get(&name(table)));
    if let Some(table) = table {
        let mut scan = Scan { table: table.clone(), whole: kind == "Seq Scan", ..Scan::default() };
        scan.sort = sort.to_vec();
        for condition in ["Filter", "Index Cond", "Recheck Cond"] {
            for part in conjuncts(node[condition].as_str().unwrap_or_default()) {
                compare(part, &mut scan);
            }
        }
        if !(scan.equal.is_empty() && scan.range.is_empty() && scan.sort.is_empty()) {
            found.push(scan);
        }
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        walk(child, handed_on, tables, found);
    }
}

/// Candidates for a scan, most promising first. Columns with more distinct values come first;
/// `distinct` tells them, and what it does not know counts as few.
#[must_use]
pub fn candidates(scan: &Scan, distinct: &HashMap<String, f64>) -> Vec<Candidate> {
    let mut equal = scan.equal.clone();
    let values = |column: &String| distinct.get(column).copied().unwrap_or(0.0);
    equal.sort_by(|one, other| values(other).total_cmp(&values(one)));
    let mut lists: Vec<Vec<String>> = Vec::new();
    if !scan.sort.is_empty() {
        lists.push(equal.iter().chain(&scan.sort).cloned().collect());
        // A page wants one column of the order more often than all of them.
        lists.push(equal.iter().chain(&scan.sort[..1]).cloned().collect());
    }
    if let Some(range) = scan.range.first() {
        lists.push(equal.iter().chain([range]).cloned().collect());
    }
    lists.push(equal.clone());
    lists.extend(equal.first().map(|first| vec![first.clone()]));
    let mut found: Vec<Candidate> = Vec::new();
    for mut columns in lists {
        let mut seen = Vec::new();
        columns.retain(|column| {
            let bare = column.split(' ').next().unwrap_or_default().to_owned();
            let new = !seen.contains(&bare);
            seen.push(bare);
            new
        });
        let candidate = Candidate { table: scan.table.clone(), columns };
        if !candidate.columns.is_empty() && !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    found
}

/// The parts of a condition that must all hold.
fn conjuncts(condition: &str) -> Vec<&str> {
    let text = peel(condition.trim());
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (place, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ' ' if depth == 0 && text[place..].starts_with(" OR ") => return Vec::new(),
            ' ' if depth == 0 && text[place..].starts_with(" AND ") => {
                parts.push(&text[start..place]);
                start = place + " AND ".len();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    if parts.len() == 1 { parts } else { parts.into_iter().flat_map(conjuncts).collect() }
}

/// Without the brackets that stand around the whole.
fn peel(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return text };
    let mut depth = 0_i32;
    for character in inner.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return text;
        }
    }
    peel(inner)
}

/// Notes what one comparison says about a column of the table.
fn compare(part: &str, scan: &mut Scan) {
    for (operator, is_equal) in
        [(" = ", true), (" >= ", false), (" <= ", false), (" > ", false), (" < ", false)]
    {
        let Some((left, right)) = part.split_once(operator) else { continue };
        let columns: Vec<_> = match left.trim().strip_prefix("ROW(").and_then(|row| row.strip_suffix(')')) {
            Some(row) => row.split(", ").filter_map(column).collect(),
            None => column(left).into_iter().collect(),
        };
        // A comparison of two columns is a join, not a search.
        let searched = column(right).is_none();
        if searched {
            let kept = if is_equal { &mut scan.equal } else { &mut scan.range };
            kept.extend(columns.into_iter().filter(|one| !kept.contains(one)).collect::<Vec<_>>());
        }
        return;
    }
}

/// The column that a side of a comparison is, if it is nothing else: without qualifier and cast, in
/// quotes where the server writes it so.
fn column(text: &str) -> Option<String> {
    let text = peel(text.trim());
    let text = text.split_once("::").map_or(text, |(before, _)| peel(before));
    let (first, rest) = identifier(text)?;
    let (bare, rest) = match rest.strip_prefix('.') {
        Some(qualified) => identifier(qualified)?,
        None => (first, rest),
    };
    rest.is_empty().then(|| bare.to_owned())
}

/// The identifier that text begins with, quotes included, and what follows it.
fn identifier(text: &str) -> Option<(&str, &str)> {
    let end = if let Some(quoted) = text.strip_prefix('"') {
        quoted.find('"').filter(|length| *length > 0).map(|length| length + 2)?
    } else {
        let fits = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_';
        text.find(|one| !fits(one)).unwrap_or(text.len())
    };
    let starts = text.starts_with(|one: char| one.is_ascii_lowercase() || one == '_' || one == '"');
    starts.then(|| text.split_at(end))
}

fn sort_column(key: &str) -> Option<String> {
    let (name, direction) = match key.strip_suffix(" DESC") {
        Some(name) => (name, " DESC"),
        None => (key, ""),
    };
    column(name).map(|name| name + direction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scans(plan: &Value) -> Vec<Scan> {
        let name = |schema: &str, table: &str| (schema.to_owned(), table.to_owned());
        let tables = HashMap::from([
            (name("public", "t"), "t".to_owned()),
            (name("public", "notifications"), "notifications".to_owned()),
            (name("shop", "UserEvents"), "shop.\"UserEvents\"".to_owned()),
        ]);
        super::scans(plan, &tables)
    }

    fn list_of_a_user() -> Value {
        json!({"Node Type": "Limit", "Plans": [{"Node Type": "Gather Merge", "Plans": [{
            "Node Type": "Sort", "Sort Key": ["created_at DESC", "id DESC"], "Plans": [{
                "Node Type": "Seq Scan", "Relation Name": "notifications",
                "Filter": "((user_id = $1) AND (status = $2))"}]}]}]})
    }

    #[test]
    fn a_page_of_one_user_is_searched_by_its_filter_and_read_in_its_order() {
        let found = scans(&list_of_a_user());
        assert_eq!(found.len(), 1);
        assert!(found[0].whole);
        assert_eq!(found[0].equal, ["user_id", "status"]);
        assert_eq!(found[0].sort, ["created_at DESC", "id DESC"]);
        let distinct = HashMap::from([("status".to_owned(), 4.0), ("user_id".to_owned(), 1_000.0)]);
        let columns: Vec<_> =
            candidates(&found[0], &distinct).into_iter().map(|one| one.columns.join(", ")).collect();
        assert_eq!(
            columns,
            [
                "user_id, status, created_at DESC, id DESC",
                "user_id, status, created_at DESC",
                "user_id, status",
                "user_id"
            ]
        );
    }

    #[test]
    fn conditions_are_read_as_the_server_writes_them() {
        let plan = json!({"Node Type": "Seq Scan", "Relation Name": "t", "Filter":
            "((n.a = ANY ($1)) AND ((b)::text = 'x'::text) AND (ROW(c, d) < ROW($2, $3)) AND (e IS NOT NULL) \
             AND (lower(f) = $4) AND (g <= now()) AND ((h = $5) OR (i = $6)))"});
        let found = scans(&plan);
        assert_eq!(found[0].equal, ["a", "b"]);
        assert_eq!(found[0].range, ["c", "d", "g"]);
    }

    #[test]
    fn names_that_need_quotes_keep_them() {
        let plan = json!({"Node Type": "Seq Scan", "Schema": "shop", "Relation Name": "UserEvents", "Filter":
            "((\"UserEvents\".\"userId\" = $1) AND ((kind)::text = 'x'::text))", "Alias": "UserEvents"});
        let found = scans(&plan);
        assert_eq!(
            (found[0].table.as_str(), found[0].equal.join(" ")),
            ("shop.\"UserEvents\"", "\"userId\" kind".into())
        );
        let name =
            |column: &str| Candidate { table: found[0].table.clone(), columns: vec![column.into()] }.name();
        assert!(name("\"userId\"").starts_with("idx_shop_userevents_userid_"));
        assert_ne!(name("\"userId\""), name("userid"));
        let foreign = json!({"Node Type": "Seq Scan", "Schema": "pg_catalog", "Relation Name": "pg_class", "Filter": "(relname = $1)"});
        assert!(scans(&foreign).is_empty());
    }

    #[test]
    fn a_join_is_not_a_search() {
        let plan = json!({"Node Type": "Nested Loop", "Plans": [
            {"Node Type": "Seq Scan", "Relation Name": "t", "Filter": "(t.id = u.id)"}]});
        assert!(scans(&plan).is_empty());
    }

    #[test]
    fn an_order_above_a_join_is_not_the_scans() {
        let plan = json!({"Node Type": "Sort", "Sort Key": ["t.a"], "Plans": [{"Node Type": "Hash Join", "Plans": [
            {"Node Type": "Seq Scan", "Relation Name": "t", "Filter": "(b = $1)"}]}]});
        assert!(scans(&plan)[0].sort.is_empty());
    }

    #[test]
    fn the_index_that_saves_most_comes_first_and_serves_what_is_shorter() {
        let index = |columns: &[&str]| Candidate {
            table: "t".into(),
            columns: columns.iter().map(|one| (*one).to_owned()).collect(),
        };
        let gain = |query: &str, total_ms: f64| StatementGain {
            query: query.into(),
            calls: 1,
            total_ms,
            cost_before: 100.0,
            cost_after: Some(1.0),
        };
        assert!(gain("q", 1.0).pays());
        assert!(!StatementGain { cost_after: Some(60.0), ..gain("q", 1.0) }.pays());
        let found = merge(vec![
            (index(&["a"]), None, gain("one", 10.0)),
            (index(&["z"]), None, gain("two", 500.0)),
            (index(&["a", "b"]), None, gain("three", 20.0)),
        ]);
        assert_eq!(found.len(), 2);
        assert_eq!((&found[0].index, found[1].gains.len()), (&index(&["z"]), 2));
    }

    #[test]
    fn a_longer_index_serves_what_its_beginning_serves() {
        let of = |columns: &[&str]| Candidate {
            table: "t".into(),
            columns: columns.iter().map(|one| (*one).to_owned()).collect(),
        };
        assert!(of(&["a", "b DESC"]).covers(&of(&["a"])));
        assert!(!of(&["b", "a"]).covers(&of(&["a"])));
        assert_eq!(of(&["a", "b DESC"]).name(), "idx_t_a_b_desc");
    }
}
