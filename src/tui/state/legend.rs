//! What the symbols of a pane mean, and what keys do there: the help of the pane.

use super::Pane;

/// A symbol or a key, and what it means.
pub type Meaning = (&'static str, &'static str);

/// Symbols that mean the same everywhere.
const EVERYWHERE: [Meaning; 4] = [
    ("● ✖ ○", "answers, does not, unknown"),
    ("✔ ▲ ✖", "well, warning, bad"),
    ("–", "could not be had; never 0"),
    ("grey", "old: the source is silent"),
];

/// Symbols of charts.
const CHARTS: [Meaning; 3] =
    [("┈", "the objective"), ("┆ ▲c1", "change, restart, load, mark"), ("·", "nothing was measured")];

/// What symbols of the pane mean, those of the pane first.
#[must_use]
pub fn symbols(pane: Pane) -> Vec<Meaning> {
    let own: &[Meaning] = match pane {
        Pane::Overview | Pane::Cache => &[],
        Pane::Lag => &[
            ("↑ → ↓", "more waits, as much, less"),
            ("≥ 5 s", "at least so long"),
            ("▆▆", "share of the fullest one"),
        ],
        Pane::Load => &[("of N/s", "planned, behind the served")],
        Pane::Db => &[("of N", "the limit of connections")],
        Pane::Stack => &[("▲ ▼", "sorted by it, S reverses")],
    };
    let charts = if pane == Pane::Stack { &[][..] } else { &CHARTS };
    [own, &EVERYWHERE, charts].concat()
}

/// What keys do in the pane.
#[must_use]
pub fn keys(pane: Pane) -> Vec<Meaning> {
    let (enter, find, copy): (_, _, _) = match pane {
        Pane::Overview => ("the value in full", "find a value, n N on", "copy the values"),
        Pane::Lag => ("the partition in full", "find a row, n N on", "copy the partition"),
        Pane::Load => ("report and diagnosis", "find a level, n N on", "copy the level"),
        Pane::Db => ("the statement in full", "find a statement, n N", "copy the SQL"),
        Pane::Cache => ("the prefix in full", "find a prefix, n N on", "copy the prefix"),
        Pane::Stack => ("the part in full", "find in the log, n N on", "copy the part"),
    };
    let filter = match pane {
        Pane::Stack => "show only such log lines",
        Pane::Lag => "other groups and topics",
        _ => "show only such rows",
    };
    let mut keys = vec![("Enter", enter), ("/", filter), ("f n N", find), ("s S", "sort; turn it round")];
    if pane == Pane::Stack {
        keys.push(("PgUp", "back in the log, PgDn on"));
    }
    keys.extend([
        ("y", copy),
        ("Y", "copy the command for it"),
        ("v", "events: what happened"),
        ("wheel", "rows; over a log, lines"),
        ("click", "pane, row, part, time"),
    ]);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_help_of_a_pane_says_fits_the_smallest_screen() {
        for pane in Pane::ALL {
            for list in [symbols(pane), keys(pane)] {
                assert!(list.len() <= 10, "{}: {}", pane.name(), list.len());
                for (sign, meaning) in list {
                    assert!(sign.chars().count() <= 7 && meaning.chars().count() <= 28, "{sign} {meaning}");
                }
            }
        }
    }
}
