//! Screens as snapshots: what is shown at the sizes people have, with colour and without.

use super::*;
use crate::tui::bench::second;
use crate::tui::key::Press;
use crate::tui::state::intent::ConfirmQuestion;
use crate::tui::state::palette::KnownCommand;
use crate::tui::state::session::{Session, SessionView, TextSpan};
use crate::tui::state::sort::SortOrder;
use crate::tui::state::timeline::Replay;
use crate::tui::state::{Overlay, Setup, ThemeName};
use crate::tui::update::{Mark, Stamped, Update};
use insta::assert_snapshot;

/// 2026-01-02 03:04:05 UTC.
const NOW_S: f64 = 1_767_323_045.0;

fn busy() -> State {
    let known = |(name, about): (&str, &str)| KnownCommand {
        name: name.into(),
        about: about.into(),
        flags: Vec::new(),
    };
    let commands = [
        ("cache flush", "Remove cached entries"),
        ("scale", "Set how many replicas run"),
        ("undo", "Undo a change"),
    ];
    let mut state =
        State::new(Setup { stack: "shop".into(), commands: commands.map(known).into(), ..Setup::default() });
    for back in (0..300).rev() {
        second(NOW_S - f64::from(back), 6).into_iter().for_each(|stamped| state.update(stamped));
    }
    let mark = Mark { at_s: NOW_S - 40.0, text: "c1 tune db --indexes".into() };
    state.update(Stamped { at_s: NOW_S, update: Update::Mark(mark) });
    state
}

fn buffer(state: &State, width: u16, height: u16) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw(state, NOW_S + 0.4, area, &mut buffer);
    buffer
}

fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let line = |row: u16| (0..area.width).map(|column| buffer[(column, row)].symbol()).collect::<String>();
    (0..area.height).map(|row| line(row).trim_end().to_owned() + "\n").collect()
}

fn screen(state: &State, width: u16, height: u16) -> String {
    text(&buffer(state, width, height))
}

/// The colours of a screen: for each line where a look begins and what it is.
fn styles(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in 0..buffer.area.height {
        let mut before = Style::reset();
        for column in 0..buffer.area.width {
            let cell = &buffer[(column, row)];
            let style = cell.style();
            if style != before && !(cell.symbol() == " " && cell.bg == ratatui::style::Color::Reset) {
                let colour = |colour: ratatui::style::Color| format!("{colour}").to_lowercase();
                text += &format!("{column}:{}/{}", colour(cell.fg), colour(cell.bg));
                if !cell.modifier.is_empty() {
                    text += &format!("/{:?}", cell.modifier).to_lowercase();
                }
                text += "  ";
                before = style;
            }
        }
        text = text.trim_end().to_owned() + "\n";
    }
    text
}

#[test]
fn every_pane_at_80_by_24() {
    let mut state = busy();
    for pane in Pane::ALL {
        state.pane = pane;
        assert_snapshot!(format!("80x24_{}", pane.name()), screen(&state, 80, 24));
    }
}

#[test]
fn every_pane_at_120_by_40() {
    let mut state = busy();
    for pane in Pane::ALL {
        state.pane = pane;
        assert_snapshot!(format!("120x40_{}", pane.name()), screen(&state, 120, 40));
    }
}

#[test]
fn the_overview_and_the_lag_use_the_room_of_200_by_50() {
    let mut state = busy();
    for pane in [Pane::Overview, Pane::Lag] {
        state.pane = pane;
        assert_snapshot!(format!("200x50_{}", pane.name()), screen(&state, 200, 50));
    }
}

#[test]
fn colours_are_those_of_the_theme() {
    let mut state = busy();
    for theme in [ThemeName::Dark, ThemeName::Safe, ThemeName::Plain] {
        state.theme = theme;
        assert_snapshot!(format!("looks_{}", theme.name()), styles(&buffer(&state, 80, 24)));
    }
}

#[test]
fn without_colour_nothing_has_a_colour() {
    let mut state = busy();
    state.no_colour = true;
    for pane in Pane::ALL {
        state.pane = pane;
        for cell in &buffer(&state, 120, 40).content {
            assert_eq!((cell.fg, cell.bg), (ratatui::style::Color::Reset, ratatui::style::Color::Reset));
        }
    }
}

#[test]
fn ascii_is_ascii_everywhere() {
    let mut state = busy();
    state.ascii = true;
    for pane in Pane::ALL {
        state.pane = pane;
        let shown = screen(&state, 120, 40);
        // The one question mark is the key of the help.
        assert!(shown.is_ascii() && shown.matches('?').count() == 1, "{shown}");
    }
    assert_snapshot!("ascii_overview", {
        state.pane = Pane::Overview;
        screen(&state, 80, 24)
    });
}

#[test]
fn what_lies_over_a_pane() {
    let mut state = busy();
    state.overlay = Overlay::Help;
    assert_snapshot!("help", screen(&state, 80, 24));
    state.overlay = Overlay::Legend;
    state.pane = Pane::Lag;
    assert_snapshot!("legend", screen(&state, 80, 24));
    assert_snapshot!("legend_60x15", screen(&state, 60, 15));
    state.overlay = Overlay::Sort(3);
    assert_snapshot!("sort", screen(&state, 80, 24));
    state.pane = Pane::Overview;
    state.overlay = Overlay::Events;
    assert_snapshot!("events", screen(&state, 80, 24));
    state.overlay = Overlay::Calls;
    assert_snapshot!("calls", screen(&state, 80, 24));
    state.overlay = Overlay::Export;
    assert_snapshot!("export", screen(&state, 80, 24));
    state.overlay = Overlay::None;
    for key in [Press::Char(':'), Press::Char('c'), Press::Char('a'), Press::Down] {
        state.press(key, NOW_S);
    }
    assert_snapshot!("palette", screen(&state, 80, 24));
    let run = |text: &str| TextSpan { text: text.into(), ..TextSpan::default() };
    state.overlay = Overlay::Session(Session {
        command: "scale app=2".into(),
        shown: SessionView {
            lines: vec![vec![run("plan: one step")], vec![run("type y to go on: ")]],
            cursor: Some((1, 17)),
        },
        ended: Some((true, "done".into())),
        question: None,
    });
    assert_snapshot!("session", screen(&state, 80, 24));
    if let Overlay::Session(session) = &mut state.overlay {
        session.question = Some(ConfirmQuestion {
            words: vec!["scale".into(), "app=2".into()],
            does: "starts or stops replicas until 2 app run".into(),
            preview: Some(vec!["scale".into(), "app=2".into(), "--dry-run".into()]),
        });
    }
    assert_snapshot!("question", screen(&state, 80, 24));
    state.pane = Pane::Db;
    state.overlay = Overlay::Detail(0);
    assert_snapshot!("detail", screen(&state, 80, 24));
}

#[test]
fn held_replayed_and_recorded_are_said() {
    let mut state = busy();
    state.time.held_s = Some(NOW_S - 65.0);
    assert!(screen(&state, 80, 24).contains("⏸ 1m 5s ago"));
    state.time.held_s = None;
    state.time.replay = Some(Replay { from_s: NOW_S - 60.0, to_s: NOW_S + 60.0, speed: 4.0, playing: true });
    assert!(screen(&state, 80, 24).contains("▶ ×4 50 %"), "{}", screen(&state, 80, 24));
    (state.time.replay, state.recording, state.read_only) = (None, true, true);
    let shown = screen(&state, 80, 24);
    assert!(
        shown.contains("● rec") && shown.contains("read-only") && shown.contains("1 overview"),
        "{shown}"
    );
}

#[test]
fn a_dead_source_keeps_its_last_value_and_says_since_when() {
    let mut state = busy();
    for back in 0..8 {
        let at_s = NOW_S + f64::from(back);
        for stamped in second(at_s, 6) {
            if !matches!(stamped.update, Update::Lag(_)) {
                state.update(stamped);
            }
        }
        state.update(Stamped { at_s, update: Update::Lag(Err("kafka: nothing listens there".into())) });
    }
    let mut buffer = Buffer::empty(Rect::new(0, 0, 120, 40));
    draw(&state, NOW_S + 7.0, buffer.area, &mut buffer);
    let shown = text(&buffer);
    assert!(shown.contains("✖ kafka: nothing listens there"), "{shown}");
    assert!(shown.contains("1,279"), "the last lag is gone: {shown}");
    assert!(shown.contains("nothing listens there; last value 7.0 s old"), "{shown}");
    state.pane = Pane::Lag;
    draw(&state, NOW_S + 7.0, buffer.area, &mut buffer);
    assert!(text(&buffer).contains("last value 7.0 s old"), "{}", text(&buffer));
}

#[test]
fn no_number_is_cut_at_80_by_24() {
    let mut state = busy();
    for (pane, wanted) in [
        (Pane::Overview, &["1,", "of 1,250/s", "1,279", "0.0/s"][..]),
        (Pane::Lag, &["1,234", "424158530805", "worker-1", "6 "][..]),
        (Pane::Db, &["20 of 200", "74.1 %", "6.4 ms"][..]),
        (Pane::Cache, &["82.0 %", "41.0 MiB of 256.0 MiB", "18,200"][..]),
        (Pane::Stack, &["1.1 GiB", "worker-1", "64.0 KiB/s"][..]),
    ] {
        state.pane = pane;
        let shown = screen(&state, 80, 24);
        for one in wanted {
            assert!(shown.contains(one), "{one} is not in\n{shown}");
        }
    }
}

#[test]
fn every_pane_draws_at_every_size_known_or_not() {
    for mut state in [busy(), State::default()] {
        for pane in Pane::ALL {
            state.pane = pane;
            for overlay in [
                Overlay::None,
                Overlay::Help,
                Overlay::Legend,
                Overlay::Events,
                Overlay::Sort(9),
                Overlay::Calls,
                Overlay::Detail(3),
                Overlay::Palette(Default::default()),
            ] {
                state.overlay = overlay;
                for (width, height) in
                    [(1, 1), (20, 5), (60, 15), (60, 16), (61, 17), (80, 24), (300, 16), (60, 120)]
                {
                    screen(&state, width, height);
                }
            }
        }
    }
    assert_snapshot!(screen(&busy(), 20, 5), @"
    too small: 20x5, nee
    ds 60x15
    ");
}

#[test]
fn text_is_wrapped_at_blanks_and_nothing_is_lost() {
    assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
    assert_eq!(wrapped("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
    assert_eq!(wrapped("a\n\nb", 4), ["a", "", "b"]);
    assert_eq!(wrapped("äöü漢字", 4), ["äöü", "漢字"]);
}

#[test]
fn text_is_cut_by_columns_and_never_within_a_character() {
    assert_eq!(cut("short", 5), "short");
    assert_eq!(cut("longer text", 6), "longe…");
    assert_eq!(cut("äöü漢字", 5), "äöü…");
    assert_eq!(cut_middle("notifications-retry", 9), "noti…etry");
    assert_eq!(cut_middle("漢字漢字", 6), "漢…字");
}

/// Two groups, one of them a stranger's, with names as long as they get.
fn long_names() -> State {
    use crate::domain::lag::PartitionLag;
    use crate::domain::lag::tracker::{GroupSample, OwnedLag};
    let group = |group: &str, topic: &str, count: i32| GroupSample {
        group: group.into(),
        state: "Stable".into(),
        members: 1,
        partitions: (0..count)
            .map(|partition| OwnedLag {
                lag: PartitionLag::new(topic, partition, Some(10), 0, 52 + i64::from(partition)),
                owner: Some("rdkafka-ca0b0e37".into()),
                oldest_s: None,
            })
            .collect(),
        ..GroupSample::default()
    };
    let mut state = State::new(Setup { pane: Pane::Lag, ..Setup::default() });
    for back in (0..40).rev() {
        let long = format!("orders-{}-retry", "x".repeat(200));
        let groups = vec![
            group(nsys_contract::topics::WORKER_GROUP, "notifications", 3),
            group("analytics-of-another-team", &long, 200),
        ];
        state.update(Stamped { at_s: NOW_S - f64::from(back), update: Update::Lag(Ok(groups)) });
    }
    state.press(Press::Char('/'), NOW_S);
    state.press(Press::Char('.'), NOW_S);
    state.press(Press::Enter, NOW_S);
    state
}

#[test]
fn topic_and_group_are_seen_in_every_order_and_width() {
    let mut state = long_names();
    // In their own order a heading names them, wherever the list is.
    for (width, height) in [(60, 15), (80, 24), (120, 40), (200, 50)] {
        for key in ['g', 'G'] {
            state.press(Press::Char(key), NOW_S);
            let shown = screen(&state, width, height);
            let topic = if key == 'g' { "notifications" } else { "-retry" };
            assert!(shown.contains(topic), "{width}x{height} {key}\n{shown}");
            assert!(shown.contains(" of 203"), "{width}x{height} {key}\n{shown}");
            if key == 'G' {
                assert!(shown.contains("analy") && shown.contains("-team"), "{width}x{height}\n{shown}");
                assert!(shown.contains("wait"), "{width}x{height}\n{shown}");
            }
        }
    }
    // Sorted by any column each row names them itself.
    for column in 0..tables_columns(&state) {
        state.sort_by(Some(SortOrder { column, reversed: false }), NOW_S);
        state.press(Press::Char('g'), NOW_S);
        for (width, height) in [(60, 15), (80, 24), (120, 40)] {
            let shown = screen(&state, width, height);
            assert!(shown.contains("TOPIC") && shown.contains("GROUP"), "{shown}");
            let row = shown.lines().skip_while(|line| !line.contains("TOPIC")).nth(1).unwrap_or_default();
            assert!(row.contains("notif") || row.contains("order"), "{width}x{height}: {row}\n{shown}");
        }
    }
}

fn tables_columns(state: &State) -> usize {
    crate::tui::state::tables::of_pane(state, NOW_S).columns.len()
}
