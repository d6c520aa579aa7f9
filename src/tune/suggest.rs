//! Which indexes the executed statements ask for: candidates from their plans, tried as hypothetical
//! indexes where the server can.

use super::conflict;
use super::snapshots::kept;
use crate::clients::postgres::{PlannedQuery, Postgres};
use crate::domain::advice::{self, Candidate, StatementGain, Suggestion};
use crate::domain::index::same_definition;
use crate::domain::snapshot;
use crate::error::Result;
use crate::plan::index::{WantedIndex, plan_indexes, spelled, statement};
use crate::plan::{ChangePlan, ReadQuery};
use crate::render::format;
use crate::stack::Stack;
use nsys_contract::schema::TUNING_INDEXES;
use std::collections::HashMap;

/// Statements that are looked at: those that took the most time.
const STATEMENTS: usize = 40;
/// A table with fewer rows is read whole as fast as through an index.
const LEAST_ROWS: i64 = 1_000;

/// Plans the indexes that the executed statements ask for.
///
/// # Errors
/// When the database cannot be asked, or an index of that name has another definition.
pub(super) async fn plan(stack: &Stack, since: Option<&str>) -> Result<ChangePlan> {
    let mut database = stack.postgres().await?;
    let (mut counted, counted_since) = (database.statements().await?, database.statements_since().await?);
    if let Some(name) = since {
        counted = snapshot::executed(&kept(stack, name)?, &counted_since, counted);
    }
    let statements = snapshot::slowest(counted, 0.0, STATEMENTS);
    let tables = database.table_sizes().await?;
    let names = database.table_names().await?;
    let rows = tables.iter().map(|one| (one.table.clone(), one.live_rows)).collect();

    database.begin_supposing().await?;
    let searched = search(&mut database, &statements, &rows, &names).await;
    database.end_supposing().await?;
    let (found, tried) = searched?;
    let suggestions = advice::merge(found);

    let wanted: Vec<_> = suggestions.iter().map(wanted).collect();
    let mut analyze: Vec<_> = suggestions.iter().map(|one| one.index.table.as_str()).collect();
    analyze.sort_unstable();
    analyze.dedup();
    let mut plan = plan_indexes(&database.indexes().await?, &wanted, &analyze, &tables).map_err(conflict)?;
    plan.title = "suggested indexes".into();
    let gains = suggestions.iter().flat_map(|one| &one.gains);
    plan.reads.extend(gains.map(|gain| ReadQuery {
        name: short(&gain.query),
        sql: gain.query.clone(),
        generic: true,
    }));
    plan.notes.push(format!(
        "{} statements examined, those that took the most time since {counted_since}",
        statements.len()
    ));
    if !tried {
        plan.warnings.push(
            "hypopg is not installed on the server, so the planner could not be asked; \
             with it: apt-get install postgresql-15-hypopg, or the package of your version"
                .into(),
        );
    }
    Ok(plan)
}

type SuggestedIndexes = Vec<(Candidate, Option<i64>, StatementGain)>;

async fn search(
    database: &mut Postgres,
    statements: &[snapshot::CountedStatement],
    rows: &HashMap<String, i64>,
    names: &advice::TableNames,
) -> Result<(SuggestedIndexes, bool)> {
    let can_try = database.can_suppose().await?;
    let mut distinct: HashMap<String, HashMap<String, f64>> = HashMap::new();
    let mut found = Vec::new();
    for one in statements {
        let Some(planned) = database.generic_plan(&one.query).await? else { continue };
        for scan in advice::scans(&planned.plan, names) {
            if rows.get(&scan.table).copied().unwrap_or(0) < LEAST_ROWS {
                continue;
            }
            if !distinct.contains_key(&scan.table) {
                distinct.insert(scan.table.clone(), database.distinct_values(&scan.table).await?);
            }
            let candidates = advice::candidates(&scan, &distinct[&scan.table]);
            let gain = StatementGain {
                query: one.query.clone(),
                calls: one.calls,
                total_ms: one.total_ms,
                cost_before: planned.cost,
                cost_after: None,
            };
            if can_try {
                found.extend(best(database, candidates, gain).await?);
            } else if scan.whole {
                found.extend(candidates.into_iter().next().map(|candidate| (candidate, None, gain)));
            }
        }
    }
    Ok((found, can_try))
}

/// The shortest candidate among those with which the planner does best, when it pays.
async fn best(
    database: &mut Postgres,
    candidates: Vec<Candidate>,
    gain: StatementGain,
) -> Result<Option<(Candidate, Option<i64>, StatementGain)>> {
    /// Costs closer than this are the same.
    const SAME: f64 = 1.02;
    let mut best: Option<(Candidate, Option<i64>, StatementGain)> = None;
    for candidate in candidates {
        let bytes = database.suppose(&candidate).await?;
        let Some(PlannedQuery { cost, .. }) = database.generic_plan(&gain.query).await? else { continue };
        let better = match best.as_ref().and_then(|(known, _, gain)| Some((known, gain.cost_after?))) {
            None => true,
            Some((known, least)) if candidate.columns.len() < known.columns.len() => cost <= least * SAME,
            Some((_, least)) => cost * SAME < least,
        };
        if better {
            best = Some((candidate, Some(bytes), StatementGain { cost_after: Some(cost), ..gain.clone() }));
        }
    }
    database.suppose_nothing().await?;
    Ok(best.filter(|(_, _, gain)| gain.pays()))
}

/// The guide's names are kept for the guide's indexes.
fn wanted(suggestion: &Suggestion) -> WantedIndex {
    let index = &suggestion.index;
    let columns = index.columns.join(", ");
    let own = statement(&index.name(), &index.table, &columns);
    let known = TUNING_INDEXES.iter().map(WantedIndex::from).find(|one| same_definition(&one.sql, &own));
    let calls: i64 = suggestion.gains.iter().map(|gain| gain.calls).sum();
    let spent: f64 = suggestion.gains.iter().map(|gain| gain.total_ms).sum();
    let costs: Vec<_> = suggestion
        .gains
        .iter()
        .filter_map(|gain| Some(format!("{:.0} -> {:.0}", gain.cost_before, gain.cost_after?)))
        .collect();
    let mut serves = format!("{calls} executions that took {} in all", format::millis(spent));
    if !costs.is_empty() {
        serves.push_str(&format!("; planner's cost {}", costs.join(", ")));
    }
    if let Some(bytes) = suggestion.bytes {
        serves.push_str(&format!("; about {}", format::signed_bytes(bytes)));
    }
    match known {
        Some(known) => WantedIndex { serves, ..known },
        None => WantedIndex {
            name: spelled(&index.name(), &index.table),
            table: index.table.clone(),
            sql: own,
            serves,
        },
    }
}

fn short(query: &str) -> String {
    let text = query.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
