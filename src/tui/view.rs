//! Draws the state. Immutable: what is drawn changes nothing, and no client is named here.

use super::keys::BINDINGS;
use super::state::{Input, Pane, Point, Source, State};
use crate::render::format;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Block, Cell, Clear, Paragraph, Row, Sparkline, SparklineBar, Table, TableState, Wrap,
};

/// The least that the panes need.
const LEAST: (u16, u16) = (60, 16);

/// Blue and orange are told apart by everybody; symbols carry the meaning too.
struct Theme {
    colour: bool,
}

impl Theme {
    fn of(&self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn level(&self, level: u8) -> (Style, &'static str) {
        match level {
            0 => (self.of(Color::Blue), "ok"),
            1 => (self.of(Color::Yellow), "look"),
            _ => (self.of(Color::LightRed).add_modifier(Modifier::BOLD), "WRONG"),
        }
    }

    fn dim() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

/// Draws everything.
pub(super) fn draw(state: &State, now_s: f64, colour: bool, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("too small: {}x{}, needs {}x{}", area.width, area.height, LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let theme = Theme { colour };
    let [top, worst, body, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    tabs(state, frame, top);
    let (level, text) = state.worst(now_s);
    let (style, word) = theme.level(level);
    frame
        .render_widget(Line::from(vec![Span::styled(format!(" {word:<5} "), style), Span::raw(text)]), worst);
    match state.pane {
        Pane::Overview => overview(state, now_s, &theme, frame, body),
        Pane::Lag => lag(state, now_s, &theme, frame, body),
        Pane::Load => load(state, now_s, &theme, frame, body),
        Pane::Db => db(state, now_s, &theme, frame, body),
        Pane::Cache => cache(state, now_s, &theme, frame, body),
        Pane::Stack => stack(state, now_s, &theme, frame, body),
    }
    frame.render_widget(Line::from(footer(state)), bottom);
    if state.help {
        help(frame, area);
    }
}

fn tabs(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let mut spans = vec![Span::styled(format!(" {} ", state.stack), Style::new().bold())];
    for (number, pane) in Pane::ALL.into_iter().enumerate() {
        let style = if pane == state.pane { Style::new().reversed() } else { Style::new() };
        spans.push(Span::styled(format!(" {} {} ", number + 1, pane.name()), style));
    }
    if state.paused {
        spans.push(Span::styled(" PAUSED", Style::new().bold()));
    }
    if state.read_only {
        spans.push(Span::raw(" read-only"));
    }
    frame.render_widget(Line::from(spans), area);
}

fn footer(state: &State) -> String {
    match (&state.input, &state.message, &state.filter) {
        (Some(Input::Filter(text)), ..) => format!("/{text}_"),
        (Some(Input::Command(text)), ..) => format!(":{text}_"),
        (None, Some(message), _) => format!(" {message}"),
        (None, None, Some((text, ..))) => format!(" filter {text}  Esc clears it"),
        (None, None, None) => {
            format!(" ? keys  Space stop  / filter  : command  q quit   window {} s", state.window_s)
        }
    }
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<_> =
        BINDINGS.iter().map(|one| Line::from(format!(" {:<10} {}", one.keys, one.help))).collect();
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(area.height);
    let width = 48.min(area.width);
    let inside =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, inside);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), inside);
}

/// The head of a pane: its name, and how old its values are or why there are none.
fn block<'a, T>(name: &'a str, source: &Source<T>, now_s: f64, theme: &Theme) -> Block<'a> {
    let age = match source.at_s {
        None => "no value yet".to_owned(),
        Some(at) => format!("{:.0} s old", (now_s - at).max(0.0)),
    };
    let (text, style) = match &source.error {
        Some(error) => (format!(" {age}; {error} "), theme.of(Color::LightRed)),
        None if source.fresh(now_s) => (format!(" {age} "), Theme::dim()),
        None => (format!(" {age} "), theme.of(Color::Yellow)),
    };
    let block =
        Block::bordered().title(format!(" {name} ")).title_top(Line::styled(text, style).right_aligned());
    if source.fresh(now_s) { block } else { block.border_style(Theme::dim()) }
}

fn overview(state: &State, now_s: f64, theme: &Theme, frame: &mut Frame<'_>, area: Rect) {
    let shown = |value: Option<f64>, show: fn(f64) -> String| format::or_missing(value, show);
    let last = state.history.back().copied().unwrap_or_default();
    let now = if state.service.fresh(now_s) { last.service } else { super::Sample::default() };
    let count = |value: Option<i64>| value.map(|value| value as f64);
    type Series = fn(&Point) -> Option<f64>;
    let rows: [(&str, String, Series, Color); 11] = [
        ("requests", shown(now.rate, format::rate), |one| one.service.rate, Color::Blue),
        ("p50", shown(now.p50_ms, format::millis), |one| one.service.p50_ms, Color::Cyan),
        ("p95", shown(now.p95_ms, format::millis), |one| one.service.p95_ms, Color::Cyan),
        ("p99", shown(now.p99_ms, format::millis), |one| one.service.p99_ms, Color::Cyan),
        ("errors", shown(now.errors, format::rate), |one| one.service.errors, Color::LightRed),
        ("published", shown(now.published, format::rate), |one| one.service.published, Color::Blue),
        ("consumed", shown(now.consumed, format::rate), |one| one.service.consumed, Color::Blue),
        (
            "lag",
            shown(count(last.lag), |lag| format::count(lag as u64)),
            |one| one.lag.map(|lag| lag as f64),
            Color::Yellow,
        ),
        ("query p95", shown(now.query_p95_ms, format::millis), |one| one.service.query_p95_ms, Color::Cyan),
        ("cache hits", shown(now.hit_rate, format::percent), |one| one.service.hit_rate, Color::Blue),
        (
            "service CPU",
            shown(last.service_cpu_pct, |pct| format!("{pct:.0} %")),
            |one| one.service_cpu_pct,
            Color::Yellow,
        ),
    ];
    let block = block("the last seconds", &state.service, now_s, theme);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    // On a tall terminal each row gets a curve of several lines.
    let height = (inside.height / u16::try_from(rows.len()).unwrap_or(1)).clamp(1, 4);
    for (number, (name, value, series, colour)) in rows.into_iter().enumerate() {
        let top = u16::try_from(number).unwrap_or(0) * height;
        if top + height > inside.height {
            break;
        }
        let line = Rect { y: inside.y + top, height, ..inside };
        let [label, now, curve] =
            Layout::horizontal([Constraint::Length(13), Constraint::Length(12), Constraint::Min(0)])
                .areas(line);
        let style = if state.service.fresh(now_s) { Style::new() } else { Theme::dim() };
        frame.render_widget(Span::styled(format!(" {name}"), style), label);
        frame.render_widget(Line::styled(format!("{value} "), style.bold()).right_aligned(), now);
        frame.render_widget(curve_of(state, series, curve.width, theme.of(colour)), curve);
    }
}

/// The window squeezed or cut to the width: one bar for each column, the mean of its seconds. A
/// second without a value is a gap.
fn curve_of(
    state: &State,
    series: fn(&Point) -> Option<f64>,
    width: u16,
    style: Style,
) -> Sparkline<'static> {
    let values: Vec<_> = state.points().map(series).collect();
    let each = state.window_s.div_ceil(usize::from(width.max(1))).max(1);
    let bars: Vec<Option<f64>> = values
        .chunks(each)
        .map(|seconds| {
            let there: Vec<_> = seconds.iter().flatten().copied().collect();
            (!there.is_empty()).then(|| there.iter().sum::<f64>() / there.len() as f64)
        })
        .collect();
    let most = bars.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |value: Option<f64>| {
        // A value above nothing is seen, however small beside the largest.
        SparklineBar::from(value.map(|value| {
            if value <= 0.0 || most <= 0.0 { 0 } else { ((value / most) * 1_000.0).ceil().max(40.0) as u64 }
        }))
    };
    Sparkline::default().data(bars.into_iter().map(bar)).max(1_000).style(style).absent_value_symbol("·")
}

fn table(
    state: &State,
    frame: &mut Frame<'_>,
    area: Rect,
    block: Block<'_>,
    header: &[&str],
    widths: &[Constraint],
    rows: Vec<Vec<String>>,
) -> Option<usize> {
    let rows: Vec<_> =
        rows.into_iter().enumerate().filter(|(_, cells)| state.shows(&cells.join(" "))).collect();
    let chosen = state.row.min(rows.len().saturating_sub(1));
    let place = rows.get(chosen).map(|(place, _)| *place);
    let lines = rows.into_iter().map(|(_, cells)| Row::new(cells.into_iter().map(Cell::from)));
    let header = Row::new(header.iter().map(|name| name.to_uppercase())).style(Theme::dim());
    let table = Table::new(lines, widths.to_vec())
        .header(header)
        .block(block)
        .column_spacing(1)
        .row_highlight_style(Style::new().reversed());
    let mut selection = TableState::default().with_selected(place.map(|_| chosen));
    frame.render_stateful_widget(table, area, &mut selection);
    place
}

fn right(text: impl Into<String>, width: usize) -> String {
    format!("{:>width$}", text.into())
}

fn lag(state: &State, now_s: f64, theme: &Theme, frame: &mut Frame<'_>, area: Rect) {
    let partitions = state.lag.value.as_deref().unwrap_or_default();
    let most = partitions.iter().map(|one| one.lag.lag).max().unwrap_or(0).max(1);
    let rows = partitions.iter().map(|one| {
        let bar = usize::try_from(one.lag.lag * 6 / most).unwrap_or(0);
        vec![
            one.lag.topic.clone(),
            right(one.lag.partition.to_string(), 4),
            right(format::or_missing(one.lag.committed, |offset| offset.to_string()), 11),
            right(one.lag.end.to_string(), 11),
            right(one.lag.lag.to_string(), 9),
            "#".repeat(bar),
            one.owner.clone().unwrap_or_else(|| format::MISSING.into()),
        ]
    });
    let [head, body] = Layout::vertical([Constraint::Length(4), Constraint::Min(0)]).areas(area);
    let last = state.history.back().copied().unwrap_or_default();
    let (published, consumed) = (last.service.published, last.service.consumed);
    let clear = match (state.total_lag(), published, consumed) {
        (Some(0), ..) => "nothing waits".to_owned(),
        (Some(lag), Some(published), Some(consumed)) if consumed > published => {
            format!("clear in {:.0} s", lag as f64 / (consumed - published))
        }
        (Some(_), Some(_), Some(_)) => "not clearing".to_owned(),
        _ => format::MISSING.to_owned(),
    };
    let text = format!(
        " total {}   in {}   out {}   {clear}",
        format::or_missing(state.total_lag(), |lag| lag.to_string()),
        format::or_missing(published, format::rate),
        format::or_missing(consumed, format::rate),
    );
    let frame_of_head = block("lag", &state.lag, now_s, theme);
    let inside = frame_of_head.inner(head);
    frame.render_widget(frame_of_head, head);
    let [line, curve] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(inside);
    frame.render_widget(Line::from(text), line);
    frame.render_widget(
        curve_of(state, |one| one.lag.map(|lag| lag as f64), curve.width, theme.of(Color::Yellow)),
        curve,
    );
    let widths = [
        Constraint::Length(20),
        Constraint::Length(4),
        Constraint::Length(11),
        Constraint::Length(11),
        Constraint::Length(9),
        Constraint::Length(6),
        Constraint::Min(8),
    ];
    let header = ["topic", "part", "  committed", "        end", "      lag", "skew", "owner"];
    table(state, frame, body, Block::bordered().title(" partitions "), &header, &widths, rows.collect());
}

fn load(state: &State, now_s: f64, theme: &Theme, frame: &mut Frame<'_>, area: Rect) {
    let frame_of_pane = block("load test", &state.load, now_s, theme);
    let Some(load) = state.load.value.as_ref().and_then(Option::as_ref) else {
        let text = "\n no load test runs here; start one with: nsys loadtest incremental --quick";
        frame.render_widget(Paragraph::new(text).block(frame_of_pane), area);
        return;
    };
    let [head, body] = Layout::vertical([Constraint::Length(7), Constraint::Min(0)]).areas(area);
    let now = state.service.value.unwrap_or_default();
    let planned = match (load.target, load.vus) {
        (Some(rate), _) => format!("{rate}/s"),
        (None, Some(vus)) => format!("{vus} virtual users"),
        (None, None) => format::MISSING.to_owned(),
    };
    let lines = vec![
        Line::from(format!(" {}", load.run)),
        Line::from(format!(
            " level {}: planned {planned}, served {}",
            load.done.len() + 1,
            format::or_missing(now.rate, format::rate)
        )),
        Line::from(format!(
            " p50 {}   p95 {}   p99 {}   errors {}",
            format::or_missing(now.p50_ms, format::millis),
            format::or_missing(now.p95_ms, format::millis),
            format::or_missing(now.p99_ms, format::millis),
            format::or_missing(now.errors, format::rate)
        )),
        Line::from(format!(
            " lag {}   generator CPU {}",
            format::or_missing(state.total_lag(), |lag| lag.to_string()),
            format::or_missing(load.generator_cpu_pct, |pct| format!("{pct:.0} %"))
        )),
    ];
    frame.render_widget(Paragraph::new(lines).block(frame_of_pane), head);
    let rows = load.done.iter().enumerate().map(|(index, (target, achieved, p95, verdict))| {
        vec![
            (index + 1).to_string(),
            right(format::or_missing(*target, |rate| format!("{rate}/s")), 10),
            right(format::rate(*achieved), 10),
            right(format::or_missing(*p95, format::millis), 9),
            verdict.clone(),
        ]
    });
    let widths = [
        Constraint::Length(5),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(9),
        Constraint::Fill(1),
    ];
    let header = ["level", "    target", "  achieved", "      p95", "verdict"];
    table(state, frame, body, Block::bordered().title(" done "), &header, &widths, rows.collect());
}

fn db(state: &State, now_s: f64, theme: &Theme, frame: &mut Frame<'_>, area: Rect) {
    let known = state.db.value.as_ref();
    let [head, body] = Layout::vertical([Constraint::Length(5), Constraint::Min(0)]).areas(area);
    let limit = known.map(|db| db.limit);
    let by_state = |wanted: &str| {
        known.map(|db| {
            db.connections.iter().filter(|one| one.state == wanted).map(|one| one.connections).sum::<i64>()
        })
    };
    let number = |value: Option<i64>| format::or_missing(value, |value| value.to_string());
    let lock = known.and_then(|db| db.locks.first()).map_or_else(
        || " nobody waits for a lock".to_owned(),
        |one| format!(" pid {} waits {:.0} s for pid {}: {}", one.pid, one.seconds, one.blocker, one.query),
    );
    let lines = vec![
        Line::from(format!(
            " connections {} of {}   active {}   idle {}   idle in transaction {}",
            number(state.connections()),
            number(limit),
            number(by_state("active")),
            number(by_state("idle")),
            number(by_state("idle in transaction")),
        )),
        Line::from(format!(
            " query p95 {}",
            format::or_missing(state.service.value.and_then(|one| one.query_p95_ms), format::millis)
        )),
        Line::from(lock),
    ];
    frame.render_widget(Paragraph::new(lines).block(block("database", &state.db, now_s, theme)), head);
    let rows = known.map_or_else(Vec::new, |db| {
        let row = |one: &crate::domain::run::Statement| {
            vec![
                right(one.calls.to_string(), 9),
                right(format::millis(one.mean_ms), 9),
                right(format::millis(one.total_ms), 9),
                one.query.clone(),
            ]
        };
        db.top.iter().map(row).collect()
    });
    let widths = [Constraint::Length(9), Constraint::Length(9), Constraint::Length(9), Constraint::Fill(1)];
    let header = ["    calls", "     mean", "    total", "statement"];
    table(state, frame, body, Block::bordered().title(" statements by time "), &header, &widths, rows);
}

fn cache(state: &State, now_s: f64, theme: &Theme, frame: &mut Frame<'_>, area: Rect) {
    let frame_of_pane = block("cache", &state.cache, now_s, theme);
    let inside = frame_of_pane.inner(area);
    frame.render_widget(frame_of_pane, area);
    let Some(stats) = state.cache.value else { return };
    let window = state.cache_window.unwrap_or_default();
    let limit = match stats.max_memory_bytes {
        0 => "no limit".to_owned(),
        bytes => format!("at most {}", format::bytes(bytes)),
    };
    let lines = vec![
        Line::from(format!(
            " hit rate       {}   since start {}",
            format::or_missing(window.hit_rate(), format::percent),
            format::or_missing(stats.hit_rate(), format::percent)
        )),
        Line::from(format!(" hits, misses   {} and {} in the last second", window.hits, window.misses)),
        Line::from(format!(" keys           {}", format::count(stats.keys))),
        Line::from(format!(" memory         {}, {limit}", format::bytes(stats.memory_bytes))),
        Line::from(format!(
            " evicted        {} now, {} since start",
            window.evicted,
            format::count(stats.evicted)
        )),
        Line::from(format!(" clients        {}", stats.clients)),
        Line::from(""),
        Line::styled(" hit rate as the service counts it", Theme::dim()),
    ];
    let [text, curve] = Layout::vertical([Constraint::Length(8), Constraint::Max(8)]).areas(inside);
    frame.render_widget(Paragraph::new(lines), text);
    frame.render_widget(
        curve_of(state, |one| one.service.hit_rate, curve.width, theme.of(Color::Blue)),
        curve,
    );
}

fn stack(state: &State, now_s: f64, theme: &Theme, frame: &mut Frame<'_>, area: Rect) {
    let parts = state.parts.value.as_deref().unwrap_or_default();
    let rows = parts.iter().map(|part| {
        vec![
            part.name.clone(),
            part.state.clone(),
            right(format::or_missing(part.cpu_pct, |pct| format!("{pct:.1} %")), 8),
            right(format::or_missing(part.memory_bytes, format::bytes), 10),
            right(part.restarts.to_string(), 8),
        ]
    });
    let height =
        u16::try_from(parts.len()).unwrap_or(u16::MAX).saturating_add(3).clamp(4, area.height / 2 + 2);
    let [head, body] = Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(area);
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(10),
        Constraint::Length(8),
        Constraint::Length(10),
        Constraint::Length(8),
    ];
    let header = ["part", "state", "     cpu", "    memory", "restarts"];
    let frame_of_parts = block("parts", &state.parts, now_s, theme);
    let chosen = table(state, frame, head, frame_of_parts, &header, &widths, rows.collect());
    let Some(part) = chosen.and_then(|place| parts.get(place)) else { return };
    let room = usize::from(body.height.saturating_sub(2));
    let lines: Vec<_> = part
        .log
        .iter()
        .skip(part.log.len().saturating_sub(room))
        .map(|line| Line::from(line.as_str()))
        .collect();
    let frame_of_log = Block::bordered().title(format!(" log of {} (j, k choose) ", part.name));
    frame.render_widget(Paragraph::new(lines).block(frame_of_log), body);
}

#[cfg(test)]
mod tests {
    use super::super::update::{OwnedLag, Part, Sample, Stamped, Update};
    use super::*;
    use crate::domain::lag::PartitionLag;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn busy() -> State {
        let mut state = State::new("nsys", Pane::Overview, false);
        for second in 0..200 {
            let at_s = f64::from(second);
            let lag = PartitionLag::new("notifications", 1, Some(1_000_000), 0, 1_234_567);
            let part = Part {
                name: "app-1".into(),
                state: "running".into(),
                cpu_pct: Some(55.5),
                memory_bytes: Some(60 << 20),
                restarts: 0,
                log: vec!["a line".into(); 40],
            };
            let sample = Sample {
                rate: Some(1_234.0 + at_s),
                p95_ms: (second % 50 != 0).then_some(12.3),
                errors: Some(0.0),
                ..Sample::default()
            };
            for update in [
                Update::Lag(Ok(vec![OwnedLag { lag, owner: Some("worker-1".into()) }])),
                Update::Stack(Ok(vec![part])),
                Update::Service(Ok(sample)),
            ] {
                state.update(Stamped { at_s, update });
            }
        }
        state
    }

    fn screen(state: &State, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(state, 199.0, false, frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |row: u16| (0..width).map(|column| buffer[(column, row)].symbol()).collect::<String>();
        (0..height).map(|row| line(row).trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn no_number_is_cut_at_80_by_24() {
        let mut state = busy();
        let shown = screen(&state, 80, 24);
        for wanted in ["1,433/s", "12.3 ms", "0.0/s", "234,567", "56 %", "–", "it is keeping up"] {
            assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
        }
        state.pane = Pane::Lag;
        let shown = screen(&state, 80, 24);
        for wanted in ["1000000", "1234567", "234567", "worker-1"] {
            assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
        }
        state.pane = Pane::Stack;
        assert!(screen(&state, 80, 24).contains("a line"));
    }

    #[test]
    fn every_pane_draws_at_every_size_known_or_not() {
        for mut state in [busy(), State::new("nsys", Pane::Overview, true)] {
            for pane in Pane::ALL {
                state.pane = pane;
                state.help = pane == Pane::Cache;
                for (width, height) in [(1, 1), (20, 5), (60, 16), (80, 24), (120, 40), (200, 50)] {
                    screen(&state, width, height);
                }
            }
        }
        assert!(screen(&busy(), 40, 5).contains("too small"));
    }

    #[test]
    fn a_dead_source_shows_its_age_and_why() {
        let mut state = busy();
        state.pane = Pane::Lag;
        state.update(Stamped { at_s: 199.0, update: Update::Lag(Err("nothing listens there".into())) });
        let shown = screen(&state, 120, 40);
        assert!(shown.contains("0 s old; nothing listens there") && shown.contains("234567"), "{shown}");
    }
}
