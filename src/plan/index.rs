//! Plans index builds from what the catalogue holds. Pure.

use super::{DbStep, Plan, Step};
use crate::domain::database::TableSize;
use crate::domain::index::{Index, same_definition};
use nsys_contract::schema::IndexDefinition;

/// An index that shall be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its table.
    pub table: String,
    /// The statement that builds it without blocking writers.
    pub sql: String,
    /// Which reads it serves.
    pub serves: String,
}

impl From<&IndexDefinition> for Wanted {
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

/// The statement that builds an index without blocking writers.
#[must_use]
pub fn statement(name: &str, table: &str, columns: &str) -> String {
    format!("CREATE INDEX CONCURRENTLY \"{name}\" ON {table} ({columns})")
}

/// Builds what is missing and rebuilds what is invalid; tables that gain an index get new statistics.
///
/// # Errors
/// When an index of that name has another definition: both are shown, neither is touched.
pub fn plan_indexes(
    present: &[Index],
    wanted: &[Wanted],
    analyze: &[&str],
    tables: &[TableSize],
) -> Result<Plan, String> {
    let mut plan = Plan::new("indexes");
    for Wanted { name, table, sql, serves } in wanted {
        let there = present.iter().find(|index| index.name == *name);
        if let Some(there) = there {
            if !same_definition(&there.definition, sql) {
                return Err(format!(
                    "index {name} exists with another definition\n  there:  {}\n  wanted: {sql}",
                    there.definition
                ));
            }
            if there.valid {
                plan.notes.push(format!("{name} is there already"));
                continue;
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
    }
    if !plan.is_empty() {
        plan.steps.extend(analyze.iter().map(|table| Step::Db(DbStep::Analyze { table: (*table).into() })));
    }
    Ok(plan)
}

/// Drops indexes that no read used since the statistics began.
#[must_use]
pub fn plan_drop_unused(present: &[Index], since: &str) -> Plan {
    let mut plan = Plan::new("unused indexes");
    for index in present.iter().filter(|index| index.never_paid()) {
        plan.steps.push(Step::Db(DbStep::DropIndex {
            name: index.name.clone(),
            table: index.table.clone(),
            rebuild: index.definition.replacen("INDEX", "INDEX CONCURRENTLY", 1),
        }));
    }
    plan.notes.push(format!(
        "use is counted since {since}; a monthly report may need an index that no read used since"
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

    fn guide(range: std::ops::Range<usize>) -> Vec<Wanted> {
        TUNING_INDEXES[range].iter().map(Wanted::from).collect()
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
        let why = plan_indexes(&[there(true, &other)], &guide(0..3), &[], &[]).unwrap_err();
        assert!(why.contains("created_at") && why.contains("(status, scheduled_for)"), "{why}");
    }

    #[test]
    fn an_index_under_another_name_is_not_built_twice() {
        let mut twin = there(true, SCHEDULED);
        twin.name = "by_hand".into();
        let plan = plan_indexes(&[twin], &guide(1..2), &[], &[]).unwrap();
        assert!(plan.is_empty());
    }
}
