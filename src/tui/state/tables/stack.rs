//! The parts: state, use of the machine, restarts.

use super::super::State;
use super::super::grid::{Cell, Column, Grid, GridRow};
use crate::render::{Tone, format};
use crate::tui::update::PartSample;

/// Every part. Disk and network are rates over the window's last looks.
pub(super) fn grid(state: &State, at_s: f64) -> Grid {
    let now = state.data.parts.at(at_s);
    let before = state.data.parts.first_since(at_s - 10.0);
    let parts = now.map(|(_, parts)| parts.as_slice()).unwrap_or_default();
    let counts_network = parts.iter().any(|part| part.network_bytes.is_some());
    let row = |part: &PartSample| {
        let earlier = before.and_then(|(_, parts)| parts.iter().find(|one| one.name == part.name));
        let seconds = now.zip(before).map_or(0.0, |((now, _), (before, _))| now - before);
        let per_s = |of: fn(&PartSample) -> Option<u64>| {
            let grown = of(part)?.checked_sub(of(earlier?)?)? as f64;
            (seconds > 0.0).then(|| grown / seconds)
        };
        let rate = |of: fn(&PartSample) -> Option<u64>| {
            Cell::number(per_s(of), |rate| format!("{}/s", format::bytes(rate as u64)))
        };
        let health = super::super::part::health(state, part, at_s);
        let up = part.started_s.map(|start| std::time::Duration::from_secs_f64((at_s - start).max(0.0)));
        GridRow::new(
            part.name.clone(),
            vec![
                Cell::toned(part.name.clone(), Some(Tone::Strong)),
                Cell::toned(health.word(&part.state), Some(health.tone())),
                Cell::number(part.cpu_pct, |pct| format!("{pct:.1} %")),
                Cell::number(part.memory_bytes.map(|bytes| bytes as f64), |bytes| {
                    format::bytes(bytes as u64)
                }),
                rate(|one| one.disk_read_bytes),
                rate(|one| one.disk_write_bytes),
                rate(|one| one.network_bytes),
                Cell::count(Some(part.restarts.into())).tone((part.restarts > 0).then_some(Tone::Warn)),
                Cell::number(up.map(|up| up.as_secs_f64()), |_| format::or_missing(up, format::duration)),
                Cell::toned(part.last_exit.clone().unwrap_or_default(), Some(Tone::Dim)),
            ],
        )
    };
    Grid {
        title: "parts".into(),
        columns: vec![
            Column::word("part", 0),
            Column::word("state", 0),
            Column::number("cpu", 0).of("pct"),
            Column::number("memory", 0).of("bytes"),
            Column::number("read", 3).of("bytes_per_s"),
            Column::number("written", 2).of("bytes_per_s"),
            // Where nobody counts it, its room is for what can be told.
            Column::number("network", if counts_network { 4 } else { Column::UNSEEN }).of("bytes_per_s"),
            Column::number("restarts", 1),
            Column::number("up", 2).of("s"),
            Column::text("last ended with"),
        ],
        rows: parts.iter().map(row).collect(),
        empty: "nothing runs; start it with  : up".into(),
    }
}
