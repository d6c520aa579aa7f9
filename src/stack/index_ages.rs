//! Since when each index is known to be there. PostgreSQL does not keep when an index was made, so nsys
//! notes when it first saw one; the counter of an index that is an hour old says nothing.

use super::Stack;
use crate::domain::index::Index;
use crate::error::{Context, Result};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Beside the stack's other notes.
const FILE: &str = "index-ages.json";

/// Notes indexes that are new and forgets those that are gone. How long each is known, by definition.
///
/// # Errors
/// When the notes cannot be written.
pub fn note(stack: &Stack, present: &[Index]) -> Result<HashMap<String, Duration>> {
    let path = stack.layout.path(FILE);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    // Damaged notes only make every index young again.
    let noted: BTreeMap<String, Timestamp> = serde_json::from_str(&text).unwrap_or_default();
    let now = crate::clock::now();
    let first = first_seen(&noted, present, now);
    if first != noted {
        let text = serde_json::to_string_pretty(&first).context("cannot write the notes on indexes")?;
        std::fs::create_dir_all(stack.layout.path("")).context("cannot make the state directory")?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let age = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();
    Ok(first.into_iter().map(|(definition, at)| (definition, age(at))).collect())
}

fn first_seen(
    noted: &BTreeMap<String, Timestamp>,
    present: &[Index],
    now: Timestamp,
) -> BTreeMap<String, Timestamp> {
    let at = |index: &Index| noted.get(&index.definition).copied().unwrap_or(now);
    present.iter().map(|index| (index.definition.clone(), at(index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_was_made_anew_is_young_again() {
        let (then, now) = (Timestamp::UNIX_EPOCH, crate::clock::now());
        let index = Index { definition: "CREATE INDEX a ON t (b)".into(), ..Index::default() };
        let first = first_seen(&BTreeMap::new(), std::slice::from_ref(&index), then);
        assert_eq!(first_seen(&first, std::slice::from_ref(&index), now), first);
        let gone = first_seen(&first, &[], now);
        assert_eq!(first_seen(&gone, &[index], now).into_values().collect::<Vec<_>>(), [now]);
    }
}
