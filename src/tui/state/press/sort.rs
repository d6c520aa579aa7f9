//! Keys while the order of rows is chosen.

use super::super::super::key::Press;
use super::super::grid::Column;
use super::super::sort::{SortOrder, choices};
use super::super::{Overlay, ScreenEffect, State, tables};
use crate::render::Tone;

impl State {
    /// Opens the list of columns at the one that rows are sorted by.
    pub(super) fn open_sort(&mut self, now_s: f64) {
        let places = choices(&self.columns(now_s));
        let now = self.sorted_by().and_then(|order| places.iter().position(|place| *place == order.column));
        self.overlay = Overlay::Sort(now.map_or(0, |place| place + 1));
    }

    fn columns(&self, now_s: f64) -> Vec<Column> {
        tables::of_pane(self, self.time.at(now_s)).columns
    }

    pub(super) fn press_in_sort(&mut self, key: Press, now_s: f64) -> ScreenEffect {
        let columns = self.columns(now_s);
        let places = choices(&columns);
        let Overlay::Sort(chosen) = &mut self.overlay else { return ScreenEffect::None };
        let all = places.len() + 1;
        match key {
            Press::Down | Press::Char('j' | 's') | Press::Tab => *chosen = (*chosen + 1) % all,
            Press::Up | Press::Char('k') | Press::BackTab => *chosen = (*chosen + all - 1) % all,
            Press::Enter => {
                let column = chosen.checked_sub(1).and_then(|place| places.get(place)).copied();
                self.overlay = Overlay::None;
                // The same column again is the other way round.
                let order = column.map(|column| SortOrder {
                    column,
                    reversed: self.sorted_by().is_some_and(|now| now.column == column && !now.reversed),
                });
                self.sort_by(order, now_s);
            }
            Press::Char('S' | 'r') | Press::Left | Press::Right => self.reverse(now_s),
            _ => self.overlay = Overlay::None,
        }
        ScreenEffect::None
    }

    /// The same order the other way round.
    pub(super) fn reverse(&mut self, now_s: f64) {
        match self.sorted_by() {
            Some(order) => self.sort_by(Some(SortOrder { reversed: !order.reversed, ..order }), now_s),
            None => self.notify(now_s, Tone::Dim, "rows are in their own order; s sorts them"),
        }
    }

    /// Sorts the rows of the pane; the chosen row stays the chosen one.
    pub fn sort_by(&mut self, order: Option<SortOrder>, now_s: f64) {
        let grid = tables::of_pane(self, self.time.at(now_s));
        if let Some(place) = grid.place(self.chosen()) {
            self.choose(grid.rows[place].key.clone());
        }
        self.sort[self.pane as usize] = order;
        let by = order.and_then(|order| Some((grid.columns.get(order.column)?, order)));
        let text = by.map_or_else(
            || "rows are in their own order".to_owned(),
            |(column, order)| format!("sorted by {} {}", column.name, order.symbol(column)),
        );
        self.notify(now_s, Tone::Dim, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Pane;
    use super::*;
    use crate::tui::bench::second;

    #[test]
    fn an_order_is_chosen_from_a_list_turned_round_and_left() {
        let mut state = State { pane: Pane::Stack, ..State::default() };
        for at in 0..3 {
            second(f64::from(at), 2).into_iter().for_each(|stamped| state.update(stamped));
        }
        let first = tables::of_pane(&state, 2.0).rows[0].key.clone();
        for key in [Press::Char('s'), Press::Down, Press::Down, Press::Down, Press::Enter] {
            state.press(key, 2.0);
        }
        let order = state.sorted_by().unwrap();
        assert_eq!((tables::of_pane(&state, 2.0).columns[order.column].name, order.reversed), ("cpu", false));
        assert_eq!(state.chosen(), Some(first.as_str()), "the chosen row stays");
        state.press(Press::Char('S'), 2.0);
        assert!(state.sorted_by().unwrap().reversed);
        // The list opens at the present order; Enter there turns it round again.
        state.press(Press::Char('s'), 2.0);
        assert!(matches!(state.overlay, Overlay::Sort(3)));
        state.press(Press::Enter, 2.0);
        assert!(!state.sorted_by().unwrap().reversed);
        for key in [Press::Char('s'), Press::Up, Press::Up, Press::Up, Press::Enter] {
            state.press(key, 2.0);
        }
        assert_eq!(state.sorted_by(), None);
    }
}
