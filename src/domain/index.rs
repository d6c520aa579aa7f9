//! Indexes of PostgreSQL: what they are, whether two are the same, which one is superfluous.

mod shape;

use serde::{Deserialize, Serialize};
use shape::Shape;

/// One index as the catalogue has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Index {
    /// Its name as SQL spells it: quoted where it must be, with its schema unless that is `public`.
    pub name: String,
    /// Its table, spelled so too.
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
    /// The backend that is building it right now.
    #[serde(default)]
    pub built_by: Option<i32>,
}

/// What is said about an index in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum IndexFinding {
    /// An interrupted build left it.
    Invalid,
    /// A session is building it.
    Building {
        /// Its backend.
        pid: i32,
    },
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
pub fn findings(indexes: &[Index]) -> Vec<Vec<IndexFinding>> {
    let shapes: Vec<_> = indexes.iter().map(|index| Shape::read(&index.definition)).collect();
    let about = |position: usize| {
        let (index, shape) = (&indexes[position], &shapes[position]);
        let mut found = Vec::new();
        match index.built_by {
            Some(pid) => found.push(IndexFinding::Building { pid }),
            None if !index.valid => found.push(IndexFinding::Invalid),
            None => {}
        }
        if !index.constraint {
            let others = || (0..indexes.len()).filter(|other| *other != position);
            // Of two equal ones the later is superfluous, unless the other holds a rule.
            let twin = others().find(|other| {
                shapes[*other].serving == shape.serving && (*other < position || indexes[*other].constraint)
            });
            let wider = others().find(|other| shapes[*other].serving.covers(&shape.serving));
            if let Some(twin) = twin {
                found.push(IndexFinding::Duplicate { of: indexes[twin].name.clone() });
            } else if let Some(wider) = wider {
                found.push(IndexFinding::CoveredBy { other: indexes[wider].name.clone() });
            }
        }
        if index.never_paid() {
            found.push(IndexFinding::Unused);
        }
        found
    };
    (0..indexes.len()).map(about).collect()
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
        assert_eq!(found, [vec![], vec![IndexFinding::Duplicate { of: "one".into() }]]);
    }

    #[test]
    fn a_prefix_is_covered_only_under_the_same_condition() {
        let narrow = index("narrow", "CREATE INDEX n ON t USING btree (a)");
        let wide = index("wide", "CREATE INDEX w ON t USING btree (a, b)");
        let partial = index("partial", "CREATE INDEX p ON t USING btree (a, b) WHERE (a > 1)");
        assert_eq!(findings(&[narrow.clone(), wide])[0], [IndexFinding::CoveredBy { other: "wide".into() }]);
        assert!(findings(&[narrow, partial])[0].is_empty());
    }

    #[test]
    fn included_columns_are_no_keys() {
        let plain = index("plain", "CREATE INDEX plain ON public.d USING btree (a)");
        let covering = index("covering", "CREATE INDEX covering ON public.d USING btree (a) INCLUDE (b)");
        let found = findings(&[plain, covering]);
        assert_eq!(found, [vec![IndexFinding::CoveredBy { other: "covering".into() }], vec![]]);
    }

    #[test]
    fn conditions_that_only_look_alike_are_two() {
        let on = |condition: &str| format!("CREATE INDEX x ON d USING btree (b) WHERE {condition}");
        assert!(!same_definition(&on("(s = 'Active'::text)"), &on("(s = 'active'::text)")));
        let either = on("(((a = 1) OR (a = 2)) AND (b > 0))");
        assert!(!same_definition(&either, &on("((a = 1) OR ((a = 2) AND (b > 0)))")));
        assert!(same_definition(&either, &on("(a = 1 OR a = 2) AND b > 0")));
        assert!(same_definition(&on("((s)::text = 'x'::text)"), &on("s = 'x'")));
        assert!(!same_definition(&on("(lower(s) = 'x'::text)"), &on("s = 'x'")));
    }

    #[test]
    fn quoted_names_keep_their_case() {
        let quoted = "CREATE INDEX x ON \"UserEvents\" (\"userId\")";
        let server = "CREATE INDEX x ON public.\"UserEvents\" USING btree (\"userId\")";
        assert!(same_definition(quoted, server));
        assert!(!same_definition(quoted, "CREATE INDEX x ON userevents (userid)"));
        assert!(same_definition(
            "CREATE INDEX x ON t (\"a\" ASC)",
            "CREATE INDEX x ON public.t USING btree (a)"
        ));
    }

    #[test]
    fn what_admits_other_rows_is_another_index() {
        let plain = "CREATE INDEX x ON t (a)";
        assert!(!same_definition(plain, "CREATE UNIQUE INDEX x ON t (a)"));
        assert!(!same_definition(
            "CREATE UNIQUE INDEX x ON t (a)",
            "CREATE UNIQUE INDEX x ON t USING btree (a) NULLS NOT DISTINCT"
        ));
    }

    #[test]
    fn an_index_that_is_being_built_is_no_leftover() {
        let building =
            Index { valid: false, built_by: Some(7), ..index("b", "CREATE INDEX b ON t USING btree (a)") };
        assert_eq!(findings(&[building])[0], [IndexFinding::Building { pid: 7 }]);
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
