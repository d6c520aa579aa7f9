//! Compares kept runs: refused where they cannot be, with what was changed between them.

use super::changes;
use crate::domain::compare::{self, Comparison, NoiseFloor};
use crate::domain::run::Run;
use crate::error::{Error, Result};
use crate::stack::Stack;

/// Compares two sets of runs.
///
/// # Errors
/// Refused when they cannot be compared.
pub fn compared(stack: &Stack, before: &[Run], after: &[Run], noise: &NoiseFloor) -> Result<Comparison> {
    let all: Vec<&Run> = before.iter().chain(after).collect();
    let (Some(first), Some(last)) = (all.first(), all.last()) else {
        return Err(Error::usage("two runs are needed"));
    };
    for other in &all[1..] {
        let obstacles = compare::obstacles(first, other);
        if !obstacles.is_empty() {
            return Err(Error::refused(format!(
                "{} and {} cannot be compared:\n  {}",
                first.id,
                other.id,
                obstacles.join("\n  ")
            ))
            .hint("run the same load test again: nsys loadtest show RUN tells what it was"));
        }
    }
    let changes = changes::between(stack, first, last)?;
    let of = |runs: &[Run]| -> Vec<Run> { runs.to_vec() };
    let (one, two) = (of(before), of(after));
    Ok(compare::compare_all(&one.iter().collect::<Vec<_>>(), &two.iter().collect::<Vec<_>>(), noise, changes))
}
