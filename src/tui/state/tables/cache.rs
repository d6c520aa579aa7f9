//! Redis: the window, memory, keys by prefix.

use super::super::State;
use super::super::grid::{Cell, Column, Grid, GridRow};
use super::FactLine;
use crate::domain::cache::CacheStats;
use crate::render::{Tone, format};

/// Keys by prefix, most first.
pub(super) fn grid(state: &State, at_s: f64) -> Grid {
    let prefixes = state.data.cache.at(at_s).and_then(|(_, cache)| cache.prefixes.as_ref());
    let mut rows: Vec<GridRow> = Vec::new();
    let mut title = "keys by prefix".to_owned();
    if let Some(known) = prefixes {
        let age = format::duration(std::time::Duration::from_secs_f64((at_s - known.at_s).max(0.0)));
        let of = if known.sampled {
            format!("a sample of {} keys", format::count(known.seen))
        } else {
            "all".into()
        };
        title = format!("keys by prefix, {of}, counted {age} ago");
        let mut counts: Vec<_> = known.counts.iter().collect();
        counts.sort_by(|one, other| (other.1, one.0).cmp(&(one.1, other.0)));
        let row = |(prefix, count): (&String, &u64)| {
            let share = *count as f64 / known.seen.max(1) as f64;
            let bar = "▆".repeat((share * 30.0).ceil() as usize);
            let cells = vec![
                Cell::from(prefix.clone()),
                Cell::count(Some(*count)),
                Cell::number(Some(share), format::percent),
                Cell::toned(bar, Some(Tone::Command)),
            ];
            GridRow::new(prefix.clone(), cells)
        };
        rows = counts.into_iter().map(row).collect();
    }
    Grid {
        title,
        columns: vec![
            Column::word("prefix", 0),
            Column::number("keys", 0),
            Column::number("share", 1),
            Column { picture: true, ..Column::text("") },
        ],
        rows,
        empty: if prefixes.is_some() { "no key".into() } else { "not counted yet".into() },
    }
}

/// The counters of the window, and its length in seconds.
fn window(state: &State, at_s: f64) -> Option<(CacheStats, f64)> {
    let (end_s, end) = state.data.cache.at(at_s)?;
    let (begin_s, begin) = state.data.cache.first_since(at_s - state.time.window_s() as f64)?;
    (begin_s < end_s).then(|| (end.stats.since(&begin.stats), end_s - begin_s))
}

/// Hit rate, memory, losses, in lines.
pub(super) fn facts(state: &State, at_s: f64) -> Vec<FactLine> {
    let Some((_, cache)) = state.data.cache.at(at_s) else { return Vec::new() };
    let (stats, window) = (&cache.stats, window(state, at_s));
    let hit_rate = window.and_then(|(window, _)| window.hit_rate());
    let low = hit_rate.is_some_and(|rate| rate < state.bounds.hit_rate).then_some(Tone::Warn);
    let per_s = |of: fn(&CacheStats) -> u64| {
        let rate = window.as_ref().map(|(window, seconds)| of(window) as f64 / seconds);
        format::or_missing(rate, format::rate)
    };
    let evicted = window.is_some_and(|(window, _)| window.evicted > 0).then_some(Tone::Warn);
    let (memory, full) = match stats.max_memory_bytes {
        0 => (format!("{}, no limit", format::bytes(stats.memory_bytes)), None),
        limit => {
            let share = stats.memory_bytes as f64 / limit as f64;
            let text = format!(
                "{} of {} ({})",
                format::bytes(stats.memory_bytes),
                format::bytes(limit),
                format::percent(share)
            );
            (text, (share > 0.9).then_some(Tone::Warn))
        }
    };
    vec![
        vec![
            ("hit rate", Cell::toned(format::or_missing(hit_rate, format::percent), low)),
            ("since start", Cell::from(format::or_missing(stats.hit_rate(), format::percent))),
            ("hits", Cell::from(per_s(|one| one.hits))),
            ("misses", Cell::from(per_s(|one| one.misses))),
        ],
        vec![
            ("memory", Cell::toned(memory, full)),
            ("keys", Cell::from(format::count(stats.keys))),
            ("clients", Cell::from(stats.clients.to_string())),
        ],
        vec![
            ("evicted", Cell::toned(per_s(|one| one.evicted), evicted)),
            ("expired", Cell::from(per_s(|one| one.expired))),
            ("evicted since start", Cell::from(format::count(stats.evicted))),
            ("up", Cell::from(format::duration(std::time::Duration::from_secs(stats.uptime_s)))),
        ],
    ]
}
