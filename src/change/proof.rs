//! Whether reads got cheaper: their plan, and their time where they can be run, before and after.

use crate::clients::postgres::Execution;
use crate::error::Result;
use crate::plan::ReadQuery;
use crate::render::{format, table::Table};
use crate::stack::Stack;
use serde::Serialize;

/// One read before and after.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Proof {
    read: String,
    before: Execution,
    after: Execution,
}

/// How each read runs now, in their order; absent for one that cannot be planned.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn explain_all(stack: &Stack, reads: &[ReadQuery]) -> Result<Vec<Option<Execution>>> {
    let mut found = Vec::new();
    if reads.is_empty() {
        return Ok(found);
    }
    let mut database = stack.postgres().await?;
    for read in reads {
        found.push(if read.generic {
            database.explain_generic(&read.sql).await?
        } else {
            Some(database.explain(&read.sql).await?)
        });
    }
    Ok(found)
}

/// Puts both looks together; a read that one of them lacks proves nothing and is left out.
pub(super) fn pair(
    reads: &[ReadQuery],
    before: Vec<Option<Execution>>,
    after: Vec<Option<Execution>>,
) -> Vec<Proof> {
    let pairs = reads.iter().zip(before.into_iter().zip(after));
    pairs
        .filter_map(|(read, (before, after))| {
            Some(Proof { read: read.name.clone(), before: before?, after: after? })
        })
        .collect()
}

pub(super) fn table(proofs: &[Proof]) -> Table {
    let mut table = Table::new(["read", "before", "after", "plan before", "plan after"]).right(&[1, 2]);
    for one in proofs {
        table.row([
            one.read.clone(),
            effort(&one.before),
            effort(&one.after),
            one.before.nodes.clone(),
            one.after.nodes.clone(),
        ]);
    }
    table
}

fn effort(of: &Execution) -> String {
    of.ms.map_or_else(|| format!("cost {:.0}", of.cost), format::millis)
}
