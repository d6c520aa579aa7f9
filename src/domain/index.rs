//! Indexes of PostgreSQL: what they are, whether two are the same, which one is superfluous.

use serde::{Deserialize, Serialize};

/// One index as the catalogue has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its table.
    pub table: String,
    /// `CREATE INDEX …`, as the server writes it.
    pub definition: String,
    /// Whether reads can use it. An interrupted build leaves an index that is not valid.
    pub valid: bool,
    /// Whether it holds a rule (unique, primary key), beyond serving reads.
    pub constraint: bool,
    /// Size in bytes.
    pub bytes: i64,
    /// Times it was used since the statistics began.
    pub scans: i64,
}

/// What is said about an index in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Finding {
    /// An interrupted build left it.
    Invalid,
    /// Another index is the same.
    Duplicate {
        /// Its name.
        of: String,
    },
    /// Another index begins with the same columns under the same condition.
    CoveredBy {
        /// Its name.
        other: String,
    },
    /// No read used it since the statistics began.
    Unused,
}

impl Index {
    /// Whether this index can go for nobody having used it: valid, no rule, never read.
    #[must_use]
    pub const fn never_paid(&self) -> bool {
        self.valid && !self.constraint && self.scans == 0
    }
}

/// Whether two statements define the same index, whatever its name, spelling and casts.
#[must_use]
pub fn same_definition(one: &str, other: &str) -> bool {
    Shape::read(one) == Shape::read(other)
}

/// What is to be said about each index, in their order.
#[must_use]
pub fn findings(indexes: &[Index]) -> Vec<Vec<Finding>> {
    let shapes: Vec<_> = indexes.iter().map(|index| Shape::read(&index.definition)).collect();
    let about = |position: usize| {
        let (index, shape) = (&indexes[position], &shapes[position]);
        let mut found = Vec::new();
        if !index.valid {
            found.push(Finding::Invalid);
        }
        if !index.constraint {
            let others = || (0..indexes.len()).filter(|other| *other != position);
            // Of two equal ones the later is superfluous, unless the other holds a rule.
            let twin = others()
                .find(|other| shapes[*other] == *shape && (*other < position || indexes[*other].constraint));
            let wider = others().find(|other| shapes[*other].covers(shape));
            if let Some(twin) = twin {
                found.push(Finding::Duplicate { of: indexes[twin].name.clone() });
            } else if let Some(wider) = wider {
                found.push(Finding::CoveredBy { other: indexes[wider].name.clone() });
            }
        }
        if index.never_paid() {
            found.push(Finding::Unused);
        }
        found
    };
    (0..indexes.len()).map(about).collect()
}

/// The parts of a definition that decide what an index can serve.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shape {
    table: String,
    method: String,
    columns: Vec<String>,
    predicate: String,
}

impl Shape {
    fn read(definition: &str) -> Self {
        let text = definition.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let (head, rest) = text.split_once('(').unwrap_or((&text, ""));
        let (columns, tail) = closing(rest);
        let table = head.split(" on ").nth(1).unwrap_or(head);
        let (table, method) = table.split_once(" using ").unwrap_or((table, "btree"));
        let plain = |text: &str| text.replace("::text", "").replace(['(', ')', '"'], "").trim().to_owned();
        Self {
            table: plain(table.trim().trim_start_matches("only ").trim_start_matches("public.")),
            method: method.trim().to_owned(),
            columns: top_level(columns).into_iter().map(plain).collect(),
            predicate: tail.split_once(" where ").map_or_else(String::new, |(_, condition)| plain(condition)),
        }
    }

    /// Whether every read that `other` serves is served by this one too.
    fn covers(&self, other: &Self) -> bool {
        self.table == other.table
            && self.method == other.method
            && self.predicate == other.predicate
            && self.columns.len() > other.columns.len()
            && self.columns.starts_with(&other.columns)
    }
}

/// Splits after the bracket that closes the one already open.
fn closing(text: &str) -> (&str, &str) {
    let mut depth = 1;
    for (place, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&text[..place], &text[place + 1..]);
        }
    }
    (text, "")
}

/// Splits at commas that are not inside brackets.
fn top_level(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (place, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, definition: &str) -> Index {
        Index {
            name: name.into(),
            table: "t".into(),
            definition: definition.into(),
            valid: true,
            scans: 5,
            ..Index::default()
        }
    }

    #[test]
    fn the_servers_spelling_is_the_same_index() {
        let ours =
            "CREATE INDEX CONCURRENTLY a ON notifications (status, scheduled_for) WHERE status = 'SCHEDULED'";
        let theirs = "CREATE INDEX b ON public.notifications USING btree (status, scheduled_for) WHERE (status = 'SCHEDULED'::text)";
        assert!(same_definition(ours, theirs));
        assert!(!same_definition(ours, &theirs.replace("scheduled_for", "created_at")));
        assert!(!same_definition(ours, &theirs.replace(" WHERE (status = 'SCHEDULED'::text)", "")));
        assert!(!same_definition(ours, &theirs.replace("btree", "hash")));
    }

    #[test]
    fn of_two_equal_indexes_the_later_is_superfluous() {
        let definition = "CREATE INDEX x ON t USING btree (a, lower(b))";
        let found = findings(&[index("one", definition), index("two", definition)]);
        assert_eq!(found, [vec![], vec![Finding::Duplicate { of: "one".into() }]]);
    }

    #[test]
    fn a_prefix_is_covered_only_under_the_same_condition() {
        let narrow = index("narrow", "CREATE INDEX n ON t USING btree (a)");
        let wide = index("wide", "CREATE INDEX w ON t USING btree (a, b)");
        let partial = index("partial", "CREATE INDEX p ON t USING btree (a, b) WHERE (a > 1)");
        assert_eq!(findings(&[narrow.clone(), wide])[0], [Finding::CoveredBy { other: "wide".into() }]);
        assert!(findings(&[narrow, partial])[0].is_empty());
    }

    #[test]
    fn a_rule_is_never_superfluous() {
        let unique = Index {
            constraint: true,
            scans: 0,
            ..index("key", "CREATE UNIQUE INDEX key ON t USING btree (a)")
        };
        let wide = index("wide", "CREATE INDEX w ON t USING btree (a, b)");
        assert!(findings(&[unique, wide])[0].is_empty());
    }
}
