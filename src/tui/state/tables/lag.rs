//! Lag: a heading for each topic of each group, its partitions beneath.

use super::super::State;
use super::super::grid::{Cell, Column, Grid, GridRow};
use crate::domain::group::GroupType;
use crate::domain::lag::track::{LagStatus, TimeBehind};
use crate::domain::lag::tracker::{Clear, GroupView, PartitionView, TopicView};
use crate::render::{Tone, format};
use nsys_contract::topics;

/// Cells of the longest skew bar.
const BAR: usize = 8;

/// Our own group; every group and topic that the filter lets through when there is one.
pub(super) fn grid(state: &State, at_s: f64) -> Grid {
    let groups = state.data.lag.at(at_s).map(|(_, groups)| groups.as_slice()).unwrap_or_default();
    let filtered = state.filter().is_some();
    let shown = |group: &&GroupView| filtered || group.group == topics::WORKER_GROUP;
    let mut rows = Vec::new();
    for group in groups.iter().filter(shown) {
        for topic in &group.topics {
            rows.extend(of_topic(state, group, topic));
        }
        rows.extend(without_topics(group).filter(|row| state.lets(&row.key)));
    }
    // Sorted, rows stand without the heading of their topic, so each has to name it.
    let sorted = state.sorted_by().is_some();
    let several = groups.iter().filter(shown).nth(1).is_some();
    let rank = |named: bool| if named { 0 } else { Column::UNSEEN };
    Grid {
        title: match groups.iter().filter(shown).map(|group| group.unknown).sum::<usize>() {
            0 => "partitions".into(),
            unknown => format!("partitions ({unknown} more unknown)"),
        },
        columns: vec![
            Column::word("group", rank(sorted && several)),
            Column::word("topic", rank(sorted)),
            Column::number("part", 0),
            Column::word("status", 0),
            Column::number("lag", 0),
            Column::bars("share", 4),
            Column::number("behind", 2).of("s"),
            Column::number("committed", 1),
            Column::number("end", 1),
            Column::name("owner"),
        ],
        rows,
        empty: match groups.is_empty() {
            true => "no consumer group yet".into(),
            false => format!("no partition matches the filter; groups known: {}", groups.len()),
        },
    }
}

/// What there is to say of a group that reads no topic, as far as is known.
fn without_topics(group: &GroupView) -> Option<GridRow> {
    let is_worth_it = group.topics.is_empty() && group.exists();
    let why = group.reason.as_deref().unwrap_or("it has read nothing yet");
    let cells = || {
        vec![
            Cell::toned(group.group.clone(), Some(Tone::Strong)),
            status(group.status()),
            Cell::from(format!("{} group, {}", group.kind, group.state)),
            Cell::toned(format!("lag not available: {why}"), Some(Tone::Dim)),
        ]
    };
    is_worth_it.then(|| GridRow {
        key: format!("{}/", group.group),
        cells: Vec::new(),
        heading: Some(cells()),
    })
}

fn of_topic(state: &State, group: &GroupView, topic: &TopicView) -> Vec<GridRow> {
    let most = topic.partitions.iter().map(|one| one.lag).max().unwrap_or(0);
    let partitions: Vec<_> = topic
        .partitions
        .iter()
        .map(|one| of_partition(group, topic, one, most))
        .filter(|row| state.lets(&row.text()))
        .collect();
    if partitions.is_empty() {
        return partitions;
    }
    let mut rows = vec![heading(group, topic)];
    rows.extend(partitions);
    rows
}

fn heading(group: &GroupView, topic: &TopicView) -> GridRow {
    let rate = |rate: Option<f64>| format::or_missing(rate, |rate| format::rate(rate.max(0.0)));
    let dim = |text: String| Cell::toned(text, Some(Tone::Dim));
    let clear = match topic.clear() {
        None => String::new(),
        Some(Clear::Now) if topic.status == LagStatus::Beyond => "commit beyond the end".into(),
        Some(Clear::Now) => "nothing waits".into(),
        Some(Clear::In(seconds)) if seconds < 1.0 => "clear in less than 1 s".into(),
        Some(Clear::In(seconds)) => {
            format!("clear in {}", format::duration(std::time::Duration::from_secs_f64(seconds.min(1e7))))
        }
        // What is ok is not called otherwise in the same line.
        Some(Clear::Never) if topic.status == LagStatus::Ok => String::new(),
        Some(Clear::Never) => "not clearing".into(),
    };
    // Names come first and are cut in their middle; what else does not fit is left out from the end.
    let mut cells = vec![Cell::toned(topic.topic.clone(), Some(Tone::Strong))];
    if group.group != topics::WORKER_GROUP {
        cells.push(Cell::toned(group.group.clone(), Some(Tone::Strong)));
    }
    if group.kind != GroupType::Classic {
        cells.push(dim(format!("{} group", group.kind)));
    }
    cells.push(status(topic.status));
    cells.push(Cell::from(format!("{} wait {}", format::count(topic.lag.unsigned_abs()), trend(topic))));
    if topic.lost > 0 {
        let lost = format!("{} lost to retention", format::count(topic.lost.unsigned_abs()));
        cells.push(Cell::toned(lost, Some(Tone::Warn)));
    }
    if let Some(near) = topic.retention.filter(|near| near.used.is_warned_of()) {
        let tone = if near.left_s.is_some() { Tone::Bad } else { Tone::Warn };
        let used = format!("{} of its retention used", format::percent(near.used.share));
        cells.push(Cell::toned(used, Some(tone)));
    }
    if topic.lag > 0 {
        cells.push(dim(format!("{} behind", behind(topic.behind))));
    }
    cells.push(dim(clear));
    cells.push(dim(format!("{} in, {} out (30 s)", rate(topic.in_per_s), rate(topic.out_per_s))));
    GridRow { key: format!("{}/{}", group.group, topic.topic), cells: Vec::new(), heading: Some(cells) }
}

/// Whether more waits, less, or about the same.
fn trend(topic: &TopicView) -> &'static str {
    match (topic.in_per_s, topic.out_per_s) {
        (Some(inward), Some(out)) if inward - out > 0.02 * inward.max(1.0) => "↑",
        (Some(inward), Some(out)) if out - inward > 0.02 * inward.max(1.0) => "↓",
        (Some(_), Some(_)) => "→",
        _ => format::MISSING,
    }
}

fn of_partition(group: &GroupView, topic: &TopicView, one: &PartitionView, most: i64) -> GridRow {
    let offset = |offset: Option<i64>| {
        Cell::number(offset.map(|offset| offset as f64), |_| {
            format::or_missing(offset, |offset| offset.to_string())
        })
    };
    let filled = if most > 0 { usize::try_from(one.lag * BAR as i64 / most).unwrap_or(0) } else { 0 };
    let bar = "▆".repeat(filled.max(usize::from(one.lag > 0)));
    let owner = one.owner.clone().unwrap_or_else(|| format::MISSING.into());
    GridRow::new(
        format!("{}/{}/{}", group.group, topic.topic, one.partition),
        vec![
            Cell::from(group.group.clone()),
            Cell::from(topic.topic.clone()),
            Cell::number(Some(one.partition.into()), |number| number.to_string()),
            status(one.status),
            Cell::count(Some(one.lag.unsigned_abs())),
            Cell::toned(format!("{bar:<BAR$}"), Some(Tone::Warn)),
            Cell::number(one.behind.map(|behind| behind.seconds), |_| behind(one.behind)),
            offset(one.committed),
            offset(Some(one.end)),
            Cell::toned(owner, one.owner.is_none().then_some(Tone::Dim)),
        ],
    )
}

fn behind(behind: Option<TimeBehind>) -> String {
    let Some(behind) = behind else { return format::MISSING.into() };
    let more = if behind.at_least { "≥" } else { "" };
    match behind.seconds {
        seconds if seconds < 60.0 => format!("{more}{seconds:.1} s"),
        seconds => {
            format!("{more}{}", format::duration(std::time::Duration::from_secs_f64(seconds.min(1e9))))
        }
    }
}

fn status(status: LagStatus) -> Cell {
    let tone = match status {
        LagStatus::Ok => Tone::Good,
        LagStatus::Unknown => Tone::Dim,
        LagStatus::Growing | LagStatus::Rewind => Tone::Warn,
        LagStatus::Beyond | LagStatus::Stalled | LagStatus::Stopped => Tone::Bad,
    };
    Cell::toned(status.as_str(), Some(tone))
}
