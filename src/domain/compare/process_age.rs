//! Whether the memory of processes can be compared: it grows with their age whatever was changed.

use crate::domain::run::LevelResult;

/// Ages may differ by this share …
const SHARE: f64 = 0.1;
/// … or by so many seconds, whichever is more.
const SECONDS: f64 = 30.0;

/// Why the memory of these levels cannot be compared; none where all processes were of one age.
pub(super) fn obstacle(levels: &[&LevelResult]) -> Option<String> {
    let ages: Option<Vec<f64>> = levels
        .iter()
        .flat_map(|one| [one.service.youngest_s.value(), one.service.oldest_s.value()])
        .collect();
    let Some(ages) = ages.filter(|ages| !ages.is_empty()) else {
        return Some("the age of the processes is not known, and memory grows with it".into());
    };
    let least = ages.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ages.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if least < 0.0 {
        return Some("a process was started during the level, and memory grows with age".into());
    }
    let apart = most - least > (least * SHARE).max(SECONDS);
    apart.then(|| {
        format!("the processes were {} to {} old, and memory grows with age", span(least), span(most))
    })
}

fn span(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}
