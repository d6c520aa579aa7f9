//! Plans index builds from what the catalogue holds. Pure.

use super::{ChangePlan, DbStep, Step};
use crate::domain::database::TableSize;
use crate::domain::index::{Index, same_definition};
use nsys_contract::schema::IndexDefinition;
use std::collections::HashMap;
use std::time::Duration;

/// An index that shall be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedIndex {
    /// Its name as SQL spells it, see [`spelled`].
    pub name: String,
    /// Its table as SQL spells it.
    pub table: String,
    /// The statement that builds it without blocking writers.
    pub sql: String,
    /// Which reads it serves.
    pub serves: String,
}

impl From<&IndexDefinition> for WantedIndex {
    fn from(one: &IndexDefinition) -> Self {
        let predicate = one.predicate.map(|text| format!(" WHERE {text}")).unwrap_or_default();
        Self {
            name: one.name.to_owned(),
            table: one.table.to_owned(),
            sql: statement(one.name, one.table, one.columns) + &predicate,
            serves: one.serves.to_owned(),
        }
    }
}

/// The statement that builds an index without blocking writers; `table` is spelled as SQL spells it.
#[must_use]
pub fn statement(name: &str, table: &str, columns: &str) -> String {
    format!("CREATE INDEX CONCURRENTLY \"{name}\" ON {table} ({columns})")
}

/// How SQL spells an index of a table: it lies in its table's schema.
#[must_use]
pub fn spelled(name: &str, table: &str) -> String {
    // The dot of a quoted name is no separator.
    let mut quoted = false;
    let dot = table.char_indices().find(|(_, one)| {
        quoted ^= *one == '"';
        *one == '.' && !quoted
    });
    dot.map_or_else(|| name.to_owned(), |(at, _)| format!("{}.{name}", &table[..at]))
}

/// Why a wanted index cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexConflict {
    /// An index of that name has another definition.
    OtherDefinition {
        /// Its name.
        name: String,
        /// The definition that is there.
        there: String,
        /// The definition that is wanted.
        wanted: String,
    },
    /// A session is building it right now.
    BeingBuilt {
        /// Its name.
        name: String,
        /// The session's backend.
        pid: i32,
    },
}

impl std::fmt::Display for IndexConflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OtherDefinition { name, there, wanted } => write!(
                f,
                "index {name} exists with another definition\n  there:  {there}\n  wanted: {wanted}"
            ),
            Self::BeingBuilt { name, pid } => write!(f, "{name} is being built by pid {pid}"),
        }
    }
}

impl IndexConflict {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::OtherDefinition { .. } => "drop or rename that index, or leave it out with --only NAME",
            Self::BeingBuilt { .. } => "wait until that build has ended; nsys db indexes shows it",
        }
    }
}

/// Builds what is missing and rebuilds what is invalid; tables that gain an index get new statistics.
///
/// # Errors
/// When an index of that name has another definition, or is being built: nothing is touched.
pub fn plan_indexes(
    present: &[Index],
    wanted: &[WantedIndex],
    analyze: &[&str],
    tables: &[TableSize],
) -> Result<ChangePlan, IndexConflict> {
    let mut plan = ChangePlan::new("indexes");
    for WantedIndex { name, table, sql, serves } in wanted {
        let there = present.iter().find(|index| index.name == *name);
        if let Some(there) = there {
            if !same_definition(&there.definition, sql) {
                return Err(IndexConflict::OtherDefinition {
                    name: name.clone(),
                    there: there.definition.clone(),
                    wanted: sql.clone(),
                });
            }
            if there.valid {
                plan.notes.push(format!("{name} is there already"));
                continue;
            }
            if let Some(pid) = there.built_by {
                return Err(IndexConflict::BeingBuilt { name: name.clone(), pid });
            }
            plan.steps.push(Step::Db(DbStep::DropInvalid { name: name.clone() }));
        }
        let twin = present
            .iter()
            .find(|index| index.name != *name && index.valid && same_definition(&index.definition, sql));
        if let Some(twin) = twin {
            plan.notes.push(format!("{} already does what {name} would do", twin.name));
            continue;
        }
        let size = tables.iter().find(|one| one.table == *table);
        plan.steps.push(Step::Db(DbStep::BuildIndex {
            name: name.clone(),
            table: table.clone(),
            sql: sql.clone(),
            table_bytes: size.map(|one| one.total_bytes - one.index_bytes),
        }));
        plan.notes.push(format!("{name} serves {serves}"));
        if let Some(parent) = size.and_then(|one| one.partition_of.as_ref()) {
            plan.warnings.push(format!(
                "{table} is a partition of {parent}: the other partitions, and those made later, get no index"
            ));
        }
    }
    if !plan.is_empty() {
        plan.steps.extend(analyze.iter().map(|table| Step::Db(DbStep::Analyze { table: (*table).into() })));
    }
    Ok(plan)
}

/// What is known about the use of indexes.
#[derive(Clone, Debug)]
pub struct UsageEvidence<'a> {
    /// Since when use is counted, as people read it.
    pub since: &'a str,
    /// How long use has been counted.
    pub counted_for: Duration,
    /// How long each definition has been known to be there.
    pub known_for: &'a HashMap<String, Duration>,
    /// How long an index must have been unused before it may go.
    pub unused_for: Duration,
    /// Names that belong to the schema.
    pub own: &'a [String],
    /// The indexes as a replica counts their use; absent where no replica serves reads.
    pub replica: Option<&'a [Index]>,
}

impl UsageEvidence<'_> {
    /// Why an index that the primary never used stays all the same.
    fn keeps(&self, index: &Index) -> Option<String> {
        if self.own.contains(&index.name) {
            return Some("the schema itself wants it".to_owned());
        }
        let of_replica = |all: &[Index]| all.iter().find(|one| one.name == index.name).map(|one| one.scans);
        match self.replica.map(of_replica) {
            Some(None) => return Some("the replica does not have it yet".to_owned()),
            Some(Some(scans)) if scans > 0 => return Some(format!("the replica used it {scans} times")),
            Some(Some(_)) | None => {}
        }
        let known = self.known_for.get(&index.definition).copied().unwrap_or_default().min(self.counted_for);
        (known < self.unused_for).then(|| {
            format!(
                "its use is known for {} of {} h",
                known.as_secs() / 3_600,
                self.unused_for.as_secs() / 3_600
            )
        })
    }
}

/// Drops indexes that nobody used for long enough: not the primary, not a replica that serves reads.
#[must_use]
pub fn plan_drop_unused(present: &[Index], evidence: &UsageEvidence<'_>) -> ChangePlan {
    let mut plan = ChangePlan::new("unused indexes");
    for index in present.iter().filter(|index| index.never_paid()) {
        if let Some(why) = evidence.keeps(index) {
            plan.notes.push(format!("{} stays: {why}", index.name));
            continue;
        }
        plan.steps.push(Step::Db(DbStep::DropIndex {
            name: index.name.clone(),
            table: index.table.clone(),
            rebuild: index.definition.replacen("INDEX", "INDEX CONCURRENTLY", 1),
        }));
    }
    plan.notes.push(format!(
        "use is counted since {}; a monthly report may need an index that no read used since",
        evidence.since
    ));
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsys_contract::schema::{ANALYZE_TABLES, TUNING_INDEXES};

    fn there(valid: bool, definition: &str) -> Index {
        Index {
            name: TUNING_INDEXES[1].name.into(),
            table: "notifications".into(),
            definition: definition.into(),
            valid,
            ..Index::default()
        }
    }

    fn guide(range: std::ops::Range<usize>) -> Vec<WantedIndex> {
        TUNING_INDEXES[range].iter().map(WantedIndex::from).collect()
    }

    const SCHEDULED: &str = "CREATE INDEX idx_notifications_scheduled ON public.notifications USING btree (status, scheduled_for) WHERE (status = 'SCHEDULED'::text)";

    #[test]
    fn everything_missing_is_built_and_analyzed() {
        let plan = plan_indexes(&[], &guide(0..3), &ANALYZE_TABLES, &[]).unwrap();
        let builds =
            plan.steps.iter().filter(|step| matches!(step, Step::Db(DbStep::BuildIndex { .. }))).count();
        assert_eq!((builds, plan.steps.len()), (3, 6));
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let plan = plan_indexes(&[there(true, SCHEDULED)], &guide(1..2), &ANALYZE_TABLES, &[]).unwrap();
        assert!(plan.is_empty());
    }

    #[test]
    fn an_invalid_leftover_is_dropped_before_it_is_built_again() {
        let plan = plan_indexes(&[there(false, SCHEDULED)], &guide(1..2), &[], &[]).unwrap();
        assert!(matches!(
            plan.steps[..],
            [Step::Db(DbStep::DropInvalid { .. }), Step::Db(DbStep::BuildIndex { .. })]
        ));
    }

    #[test]
    fn another_definition_of_that_name_is_refused_with_both_shown() {
        let other = SCHEDULED.replace("scheduled_for", "created_at");
        let why = plan_indexes(&[there(true, &other)], &guide(0..3), &[], &[]).unwrap_err().to_string();
        assert!(why.contains("created_at") && why.contains("(status, scheduled_for)"), "{why}");
    }

    #[test]
    fn an_index_under_another_name_is_not_built_twice() {
        let mut twin = there(true, SCHEDULED);
        twin.name = "by_hand".into();
        let plan = plan_indexes(&[twin], &guide(1..2), &[], &[]).unwrap();
        assert!(plan.is_empty());
    }

    #[test]
    fn a_build_of_somebody_else_is_waited_for_and_not_dropped() {
        let building = Index { built_by: Some(42), ..there(false, SCHEDULED) };
        let why = plan_indexes(&[building], &guide(1..2), &[], &[]).unwrap_err();
        assert_eq!(why, IndexConflict::BeingBuilt { name: TUNING_INDEXES[1].name.into(), pid: 42 });
    }

    #[test]
    fn an_index_lies_in_its_tables_schema() {
        assert_eq!(spelled("i", "notifications"), "i");
        assert_eq!(spelled("i", "\"odd.name\""), "i");
        assert_eq!(spelled("i", "\"a.b\".\"T\""), "\"a.b\".i");
    }

    #[test]
    fn only_what_nobody_used_for_long_enough_is_dropped() {
        let named = |name: &str| Index { name: name.into(), definition: name.into(), ..there(true, "") };
        let present = ["old", "fresh", "own", "replicas"].map(named);
        let day = Duration::from_secs(86_400);
        let known: HashMap<_, _> = present
            .iter()
            .map(|one| (one.definition.clone(), if one.name == "fresh" { day / 24 } else { day * 9 }))
            .collect();
        let replica =
            present.clone().map(|one| Index { scans: i64::from(one.name == "replicas") * 300, ..one });
        let evidence = UsageEvidence {
            since: "then",
            counted_for: day * 8,
            known_for: &known,
            unused_for: day * 7,
            own: &["own".to_owned()],
            replica: Some(&replica),
        };
        let dropped = |evidence: &UsageEvidence<'_>| -> Vec<String> {
            plan_drop_unused(&present, evidence).steps.iter().map(Step::what).collect()
        };
        assert_eq!(dropped(&evidence), ["drop index old"]);
        assert!(dropped(&UsageEvidence { counted_for: day, ..evidence.clone() }).is_empty());
        assert!(dropped(&UsageEvidence { replica: Some(&[]), ..evidence.clone() }).is_empty());
        assert_eq!(
            dropped(&UsageEvidence { replica: None, ..evidence }),
            ["drop index old", "drop index replicas"]
        );
    }
}
