//! What a key does to the state, and what it asks the program to do.

mod command;
mod find;
mod sort;

use super::super::key::Press;
use super::super::keys;
use super::filter::Filter;
use super::grid::Grid;
use super::line::InputLine;
use super::palette::Palette;
use super::{Action, Format, Overlay, Pane, ScreenEffect, State, ThemeName, detail, tables};
use crate::render::Tone;

/// Rows of one page.
const PAGE: i32 = 10;

impl State {
    /// Takes a key.
    pub fn press(&mut self, key: Press, now_s: f64) -> ScreenEffect {
        match &self.overlay {
            Overlay::Session(_) => self.press_in_session(key),
            Overlay::Palette(_) => self.press_in_palette(key, now_s),
            Overlay::Filter(..) => self.press_in_filter(key),
            Overlay::Search(..) => self.press_in_search(key, now_s),
            Overlay::Sort(_) => self.press_in_sort(key, now_s),
            Overlay::Mark(_) => self.press_in_mark(key),
            Overlay::Export => self.press_in_export(key),
            Overlay::Detail(_) => self.press_in_detail(key, now_s),
            Overlay::Legend | Overlay::Help | Overlay::Calls | Overlay::Events | Overlay::None => {
                self.press_bound(key, now_s)
            }
        }
    }

    fn press_bound(&mut self, key: Press, now_s: f64) -> ScreenEffect {
        if key == Press::Esc {
            match self.overlay {
                Overlay::None => self.filters[self.pane as usize] = None,
                _ => self.overlay = Overlay::None,
            }
            return ScreenEffect::None;
        }
        keys::action(key).map_or(ScreenEffect::None, |action| self.act(action, now_s))
    }

    /// Does what a key means.
    pub fn act(&mut self, action: Action, now_s: f64) -> ScreenEffect {
        match action {
            Action::Quit => return ScreenEffect::Quit,
            Action::Open(pane) => self.open(pane),
            Action::Next => self.turn(1),
            Action::Previous => self.turn(Pane::ALL.len() - 1),
            Action::Rows(steps) => self.step(steps, now_s),
            Action::Page(pages) => self.page(pages, now_s),
            Action::Sort => self.open_sort(now_s),
            Action::Reverse => self.reverse(now_s),
            Action::Search => {
                let text = self.search().map(|search| search.text.as_str()).unwrap_or_default();
                self.overlay = Overlay::Search(InputLine::from(text), None);
            }
            Action::Find(next) => self.find(next, false, now_s),
            Action::Zoom => self.time.zoom(),
            Action::Widen => self.time.widen(),
            Action::Hold | Action::Shift(_) | Action::Present => return self.move_in_time(action, now_s),
            Action::Slower | Action::Faster => return self.change_speed(action == Action::Faster),
            Action::Filter => {
                let text = self.filter().map(|filter| filter.text.as_str()).unwrap_or_default();
                self.overlay = Overlay::Filter(InputLine::from(text), None);
            }
            Action::Palette => self.overlay = Overlay::Palette(Palette::after(&self.entered)),
            Action::Detail => self.open_detail(now_s),
            Action::Copy => return self.copy(now_s),
            Action::CopyCommand => return self.copy_command(now_s),
            Action::Events => self.toggle(Overlay::Events),
            Action::Mark => self.overlay = Overlay::Mark(InputLine::default()),
            Action::Export => self.toggle(Overlay::Export),
            Action::Calls => self.toggle(Overlay::Calls),
            Action::Help => {
                self.overlay = match self.overlay {
                    Overlay::Legend => Overlay::Help,
                    Overlay::Help => Overlay::None,
                    _ => Overlay::Legend,
                };
            }
            Action::Theme => self.next_theme(now_s),
        }
        ScreenEffect::None
    }

    /// Shows the chosen row in full; where calls are shown they are whole already.
    fn open_detail(&mut self, now_s: f64) {
        if self.overlay.has_own_rows() {
            return;
        }
        match detail::of_chosen(self, self.time.at(now_s)) {
            Some(_) => self.overlay = Overlay::Detail(0),
            None => self.notify(now_s, Tone::Dim, "there is no row to show"),
        }
    }

    fn open(&mut self, pane: Pane) {
        self.pane = pane;
        self.overlay = Overlay::None;
        self.log_back = 0;
    }

    fn turn(&mut self, steps: usize) {
        self.open(Pane::ALL[(self.pane as usize + steps) % Pane::ALL.len()]);
    }

    fn toggle(&mut self, overlay: Overlay) {
        let open = std::mem::discriminant(&self.overlay) == std::mem::discriminant(&overlay);
        self.overlay = if open { Overlay::None } else { overlay };
    }

    /// The rows that the keys go through.
    fn rows(&self, now_s: f64) -> Grid {
        match self.overlay {
            Overlay::Calls => tables::calls(self),
            Overlay::Events => tables::events(self),
            _ => tables::of_pane(self, self.time.at(now_s)),
        }
    }

    fn step(&mut self, steps: i32, now_s: f64) {
        let to = self.rows(now_s).step(self.chosen(), isize::try_from(steps).unwrap_or(0));
        if let Some(key) = to {
            self.choose(key);
        }
    }

    fn page(&mut self, pages: i32, now_s: f64) {
        if self.pane == Pane::Stack && !self.overlay.has_own_rows() {
            self.scroll_log(-pages * PAGE, now_s);
        } else {
            self.step(pages * PAGE, now_s);
        }
    }

    /// Scrolls the log back by so many lines, to its first one at most.
    pub fn scroll_log(&mut self, back: i32, now_s: f64) {
        let grid = tables::of_pane(self, self.time.at(now_s));
        let part = grid.place(self.chosen()).map(|place| grid.rows[place].key.as_str()).unwrap_or_default();
        let lines = self.data.logs.of(part, self.filter()).count();
        let to = self.log_back.saturating_add_signed(isize::try_from(back).unwrap_or(0));
        self.log_back = to.min(lines.saturating_sub(1));
        if lines == 0 {
            self.notify(now_s, Tone::Dim, "there is no line to go back to");
        }
    }

    fn move_in_time(&mut self, action: Action, now_s: f64) -> ScreenEffect {
        let step = self.time.step_s();
        if let Some(replay) = self.time.replay {
            return match action {
                Action::Shift(steps) => ScreenEffect::Seek(now_s + f64::from(steps) * step * 3.0),
                Action::Present => ScreenEffect::Seek(replay.to_s),
                _ => ScreenEffect::Play(!replay.playing),
            };
        }
        match action {
            Action::Shift(steps) => self.time.shift(f64::from(steps) * step, now_s),
            Action::Present => self.time.held_s = None,
            _ => self.time.toggle(now_s),
        }
        if action == Action::Present {
            self.log_back = 0;
        }
        ScreenEffect::None
    }

    fn change_speed(&self, faster: bool) -> ScreenEffect {
        self.time.replay.map_or(ScreenEffect::None, |replay| ScreenEffect::Speed(replay.next_speed(faster)))
    }

    fn next_theme(&mut self, now_s: f64) {
        if self.no_colour {
            self.notify(now_s, Tone::Warn, "colour is off: NO_COLOR or --no-color is set");
            return;
        }
        self.theme = ThemeName::ALL[(self.theme as usize + 1) % ThemeName::ALL.len()];
        self.notify(now_s, Tone::Dim, format!("theme {}; keep it with watch.theme", self.theme.name()));
    }

    fn copy(&mut self, now_s: f64) -> ScreenEffect {
        let grid = self.rows(now_s);
        let Some(row) = grid.place(self.chosen()).map(|place| &grid.rows[place]) else {
            self.notify(now_s, Tone::Warn, "there is no row to copy");
            return ScreenEffect::None;
        };
        // A call or a statement is copied whole, so that it can be pasted and run.
        let text = match (&self.overlay, self.pane) {
            (Overlay::Calls, _) => row.key.clone(),
            (_, Pane::Db) => row.cells.last().map(|cell| cell.text.clone()).unwrap_or_default(),
            _ => row.cells.iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>().join("\t"),
        };
        self.send_to_clipboard(text, now_s)
    }

    /// The terminal does not say whether it took it.
    fn send_to_clipboard(&mut self, text: String, now_s: f64) -> ScreenEffect {
        let count = text.chars().count();
        self.notify(
            now_s,
            Tone::Good,
            format!("{count} characters sent to the terminal's clipboard (OSC 52)"),
        );
        ScreenEffect::Copy(text)
    }

    /// The first command about the chosen row, as it is typed in a shell.
    fn copy_command(&mut self, now_s: f64) -> ScreenEffect {
        let command = match self.overlay {
            // Calls are commands already.
            Overlay::Calls => return self.copy(now_s),
            _ => detail::of_chosen(self, self.time.at(now_s))
                .and_then(|found| found.commands.into_iter().next()),
        };
        match command {
            Some(command) => self.send_to_clipboard(format!("nsys {command}"), now_s),
            None => {
                self.notify(now_s, Tone::Warn, "there is no command about this");
                ScreenEffect::None
            }
        }
    }

    fn press_in_filter(&mut self, key: Press) -> ScreenEffect {
        let Overlay::Filter(line, wrong) = &mut self.overlay else { return ScreenEffect::None };
        match key {
            Press::Esc | Press::Ctrl('c') => {
                self.filters[self.pane as usize] = None;
                self.overlay = Overlay::None;
            }
            Press::Enter => self.overlay = Overlay::None,
            key if line.press(key) => match Filter::new(line.text()) {
                // What is shown follows what is typed, as long as it can be read.
                Ok(filter) => (self.filters[self.pane as usize], *wrong) = (filter, None),
                Err(why) => *wrong = Some(why),
            },
            _ => {}
        }
        ScreenEffect::None
    }

    fn press_in_mark(&mut self, key: Press) -> ScreenEffect {
        let Overlay::Mark(line) = &mut self.overlay else { return ScreenEffect::None };
        match key {
            Press::Esc | Press::Ctrl('c') => self.overlay = Overlay::None,
            Press::Enter => {
                let text = match line.text().trim() {
                    "" => "mark".to_owned(),
                    text => text.to_owned(),
                };
                self.overlay = Overlay::None;
                return ScreenEffect::Mark(text);
            }
            key => {
                line.press(key);
            }
        }
        ScreenEffect::None
    }

    fn press_in_export(&mut self, key: Press) -> ScreenEffect {
        self.overlay = Overlay::None;
        let wanted = Format::ALL.into_iter().find(|(letter, ..)| key == Press::Char(*letter));
        wanted.map_or(ScreenEffect::None, |(_, format, _)| ScreenEffect::Save(format))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Setup;
    use super::*;
    use crate::tui::state::palette::KnownCommand;
    use crate::tui::state::timeline::Replay;

    fn state() -> State {
        let known = |name: &str| KnownCommand { name: name.into(), about: String::new(), flags: Vec::new() };
        State::new(Setup { commands: vec![known("ps"), known("undo")], ..Setup::default() })
    }

    fn typed(state: &mut State, text: &str) -> ScreenEffect {
        text.chars().map(|one| state.press(Press::Char(one), 0.0)).last().unwrap_or(ScreenEffect::None)
    }

    #[test]
    fn panes_go_round_and_have_their_numbers() {
        let mut state = state();
        state.press(Press::BackTab, 0.0);
        assert_eq!(state.pane, Pane::Stack);
        state.press(Press::Tab, 0.0);
        assert_eq!(state.pane, Pane::Overview);
        state.press(Press::Char('4'), 0.0);
        assert_eq!(state.pane, Pane::Db);
    }

    #[test]
    fn letters_are_text_while_something_is_typed() {
        let mut state = state();
        typed(&mut state, "/q1");
        assert_eq!(state.filter().map(|filter| filter.text.as_str()), Some("q1"));
        assert_eq!(state.pane, Pane::Overview);
        state.press(Press::Enter, 0.0);
        assert!(!state.lets("another"));
        // A filter belongs to its pane.
        state.press(Press::Char('2'), 0.0);
        assert!(state.lets("another"));
        state.press(Press::Char('1'), 0.0);
        assert!(!state.lets("another"));
        state.press(Press::Esc, 0.0);
        assert!(state.lets("another"));
    }

    #[test]
    fn a_filter_that_cannot_be_read_keeps_the_one_before() {
        let mut state = state();
        typed(&mut state, "/ab(");
        assert!(matches!(&state.overlay, Overlay::Filter(_, Some(_))));
        assert_eq!(state.filter().map(|filter| filter.text.as_str()), Some("ab"));
    }

    #[test]
    fn time_keys_hold_the_present_and_seek_a_recording() {
        let mut state = state();
        state.press(Press::Left, 1_000.0);
        assert_eq!(state.time.held_s, Some(996.0));
        state.press(Press::End, 1_000.0);
        assert_eq!(state.time.held_s, None);
        state.time.replay = Some(Replay { from_s: 0.0, to_s: 500.0, speed: 1.0, playing: true });
        assert_eq!(state.press(Press::Left, 100.0), ScreenEffect::Seek(88.0));
        assert_eq!(state.press(Press::Char(' '), 100.0), ScreenEffect::Play(false));
        assert_eq!(state.press(Press::Char('>'), 100.0), ScreenEffect::Speed(2.0));
    }

    #[test]
    fn an_export_asks_for_its_form() {
        let mut state = state();
        typed(&mut state, "e");
        assert_eq!(typed(&mut state, "m"), ScreenEffect::Save(Format::Markdown));
        typed(&mut state, "e");
        assert_eq!(state.press(Press::Esc, 0.0), ScreenEffect::None);
        assert!(matches!(state.overlay, Overlay::None));
    }

    #[test]
    fn a_mark_has_a_text() {
        let mut state = state();
        typed(&mut state, "mcache flushed");
        assert_eq!(state.press(Press::Enter, 0.0), ScreenEffect::Mark("cache flushed".into()));
    }

    #[test]
    fn the_help_of_the_pane_comes_first_then_all_keys() {
        let mut state = state();
        typed(&mut state, "?");
        assert!(matches!(state.overlay, Overlay::Legend));
        typed(&mut state, "?");
        assert!(matches!(state.overlay, Overlay::Help));
        typed(&mut state, "?");
        assert!(matches!(state.overlay, Overlay::None));
    }

    #[test]
    fn a_row_is_copied_as_the_command_about_it() {
        let mut state = state();
        for at in 0..3 {
            crate::tui::bench::second(f64::from(at), 2).into_iter().for_each(|one| state.update(one));
        }
        typed(&mut state, "6");
        assert_eq!(typed(&mut state, "Y"), ScreenEffect::Copy("nsys logs postgres".into()));
        typed(&mut state, "2");
        assert_eq!(
            typed(&mut state, "Y"),
            ScreenEffect::Copy("nsys lag --group notification-workers".into())
        );
    }

    #[test]
    fn a_log_is_not_scrolled_past_its_first_line() {
        let mut state = state();
        let part = crate::tui::update::PartSample {
            name: "app-1".into(),
            state: "running".into(),
            ..Default::default()
        };
        let update = crate::tui::update::Update::Stack(Ok(vec![part]));
        state.update(crate::tui::update::Stamped { at_s: 0.0, update });
        state.open(Pane::Stack);
        state.press(Press::PageUp, 0.0);
        assert_eq!(state.log_back, 0);
        assert!(state.notice(0.0).is_some_and(|(_, text)| text.contains("no line")));
        let lines = ["a", "b", "c"].map(str::to_owned).to_vec();
        let update = crate::tui::update::Update::Log { part: "app-1".into(), lines };
        state.update(crate::tui::update::Stamped { at_s: 0.0, update });
        state.press(Press::PageUp, 0.0);
        assert_eq!(state.log_back, 2);
    }

    #[test]
    fn no_colour_stays_no_colour() {
        let mut state = State::new(Setup { no_colour: true, ..Setup::default() });
        state.press(Press::Char('t'), 0.0);
        assert_eq!(state.effective_theme(), ThemeName::Plain);
        assert!(state.notice(1.0).is_some() && state.notice(60.0).is_none());
    }
}
