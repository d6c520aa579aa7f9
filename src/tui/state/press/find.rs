//! Searching: rows of a pane, lines of a log; the next one and the one before.

use super::super::super::key::Press;
use super::super::filter::Filter;
use super::super::{Overlay, Pane, ScreenEffect, State};
use crate::render::Tone;

impl State {
    /// What is searched for in the open pane.
    #[must_use]
    pub const fn search(&self) -> Option<&Filter> {
        self.searches[self.pane as usize].as_ref()
    }

    pub(super) fn press_in_search(&mut self, key: Press, now_s: f64) -> ScreenEffect {
        let Overlay::Search(line, wrong) = &mut self.overlay else { return ScreenEffect::None };
        match key {
            Press::Esc | Press::Ctrl('c') => self.overlay = Overlay::None,
            Press::Enter => match Filter::new(line.text()) {
                Ok(search) => {
                    self.overlay = Overlay::None;
                    self.searches[self.pane as usize] = search;
                    if self.search().is_some() {
                        self.find(true, true, now_s);
                    }
                }
                Err(why) => *wrong = Some(why),
            },
            key => {
                line.press(key);
                *wrong = None;
            }
        }
        ScreenEffect::None
    }

    /// Goes to the next place that fits, or the one before. In a log the next one is older: it is read from its
    /// end. `first` takes the present place too.
    pub(super) fn find(&mut self, next: bool, first: bool, now_s: f64) {
        let Some(search) = self.search().cloned() else {
            self.notify(now_s, Tone::Dim, "nothing is searched for; f does");
            return;
        };
        let grid = self.rows(now_s);
        let here = grid.place(self.chosen());
        let in_log = self.pane == Pane::Stack && !self.overlay.has_own_rows();
        let (fits, at) = if in_log {
            let part = here.map(|place| grid.rows[place].key.as_str()).unwrap_or_default();
            let lines = self.data.logs.of(part, self.filter()).rev();
            (lines.map(|line| search.lets(&line.text)).collect::<Vec<_>>(), self.log_back)
        } else {
            let fits = |row: &super::super::grid::GridRow| row.heading.is_none() && search.lets(&row.text());
            (grid.rows.iter().map(fits).collect(), here.unwrap_or(0))
        };
        let what = if in_log { "line" } else { "row" };
        let places: Vec<usize> = (0..fits.len()).filter(|place| fits[*place]).collect();
        let Some(found) = turn(&places, at, next, first) else {
            self.notify(now_s, Tone::Warn, format!("no {what} has {}", search.text));
            return;
        };
        let to = places[found];
        if in_log {
            self.log_back = to;
        } else {
            self.choose(grid.rows[to].key.clone());
        }
        self.notify(
            now_s,
            Tone::Dim,
            format!("{what} {} of {} with {}", found + 1, places.len(), search.text),
        );
    }
}

/// Which of the places comes next from here, or before; behind the last one the first comes again.
fn turn(places: &[usize], at: usize, next: bool, first: bool) -> Option<usize> {
    if places.is_empty() {
        return None;
    }
    Some(if next {
        places.iter().position(|place| *place > at || first && *place == at).unwrap_or(0)
    } else {
        places.iter().rposition(|place| *place < at).unwrap_or(places.len() - 1)
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::tables;
    use super::*;
    use crate::tui::update::{Mark, PartSample, Stamped, Update};

    #[test]
    fn the_next_one_comes_round_again() {
        assert_eq!(turn(&[2, 5], 0, true, true), Some(0));
        assert_eq!(turn(&[2, 5], 2, true, true), Some(0));
        assert_eq!(turn(&[2, 5], 2, true, false), Some(1));
        assert_eq!(turn(&[2, 5], 5, true, false), Some(0));
        assert_eq!(turn(&[2, 5], 2, false, false), Some(1));
        assert_eq!(turn(&[], 0, true, true), None);
    }

    #[test]
    fn a_log_is_searched_from_its_end_and_rows_from_where_one_is() {
        let mut state = State { pane: Pane::Stack, ..State::default() };
        let part =
            |name: &str| PartSample { name: name.into(), state: "running".into(), ..PartSample::default() };
        let parts = vec![part("app-1"), part("kafka"), part("app-2")];
        state.update(Stamped { at_s: 1.0, update: Update::Stack(Ok(parts)) });
        let lines = ["one boom", "two", "three boom", "four"].map(str::to_owned).to_vec();
        state.update(Stamped { at_s: 1.0, update: Update::Log { part: "app-1".into(), lines } });
        "fboom".chars().for_each(|one| {
            state.press(Press::Char(one), 1.0);
        });
        state.press(Press::Enter, 1.0);
        assert_eq!(state.log_back, 1);
        state.press(Press::Char('n'), 1.0);
        assert_eq!(state.log_back, 3);
        state.press(Press::Char('N'), 1.0);
        assert_eq!(state.log_back, 1);
        assert!(state.notice(1.0).is_some_and(|(_, text)| text == "line 1 of 2 with boom"));
        state.pane = Pane::Overview;
        state.press(Press::Char('n'), 1.0);
        assert!(state.notice(1.0).is_some_and(|(_, text)| text.contains("nothing is searched for")));
    }

    #[test]
    fn rows_that_lie_over_a_log_are_searched_instead_of_it() {
        let mut state = State { pane: Pane::Stack, ..State::default() };
        for (at_s, text) in [(1.0, "boom"), (2.0, "calm")] {
            let mark = Mark { at_s, text: text.into() };
            state.update(Stamped { at_s, update: Update::Mark(mark) });
        }
        "fboom".chars().for_each(|one| {
            state.press(Press::Char(one), 2.0);
        });
        state.press(Press::Enter, 2.0);
        state.toggle(Overlay::Events);
        state.press(Press::Char('n'), 2.0);
        assert!(state.notice(2.0).is_some_and(|(_, text)| text == "row 1 of 1 with boom"));
        let events = tables::events(&state);
        let chosen = events.place(state.chosen()).map(|place| events.rows[place].text());
        assert!(chosen.is_some_and(|text| text.contains("boom")));
        assert_eq!(state.log_back, 0);
    }
}
