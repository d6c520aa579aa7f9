//! Which time is shown: the present, a moment that is held, or a recording; and how wide a window.

use super::ring::LONGEST_S;

/// The windows, in seconds.
const WINDOWS: [i64; 10] = [30, 60, 120, 300, 600, 1_800, 3_600, 10_800, 43_200, LONGEST_S];

/// Speeds of a recording.
const SPEEDS: [f64; 9] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// A recording that is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replay {
    /// Its first moment, in seconds since the epoch.
    pub from_s: f64,
    /// Its last.
    pub to_s: f64,
    /// How many times faster than it was.
    pub speed: f64,
    /// Whether it goes on.
    pub playing: bool,
}

impl Replay {
    /// The next speed, faster or slower.
    #[must_use]
    pub fn next_speed(&self, faster: bool) -> f64 {
        let here = SPEEDS.iter().position(|speed| *speed >= self.speed).unwrap_or(SPEEDS.len() - 1);
        let next = if faster { here + 1 } else { here.saturating_sub(1) };
        SPEEDS[next.min(SPEEDS.len() - 1)]
    }
}

/// The time that is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeline {
    window: usize,
    /// The moment that is held; absent: the present.
    pub held_s: Option<f64>,
    /// The recording, when one is shown.
    pub replay: Option<Replay>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { window: 2, held_s: None, replay: None }
    }
}

impl Timeline {
    /// Seconds that the charts show.
    #[must_use]
    pub const fn window_s(&self) -> i64 {
        WINDOWS[self.window]
    }

    /// A shorter window.
    pub const fn zoom(&mut self) {
        self.window = self.window.saturating_sub(1);
    }

    /// A longer window.
    pub const fn widen(&mut self) {
        if self.window + 1 < WINDOWS.len() {
            self.window += 1;
        }
    }

    /// The moment that is shown.
    #[must_use]
    pub fn at(&self, now_s: f64) -> f64 {
        self.held_s.unwrap_or(now_s)
    }

    /// How far one step back or forth goes.
    #[must_use]
    pub fn step_s(&self) -> f64 {
        (self.window_s() as f64 / 30.0).max(1.0)
    }

    /// Holds the moment so many seconds from the one that is shown; the present is not held.
    pub fn shift(&mut self, by_s: f64, now_s: f64) {
        let to = (self.at(now_s) + by_s).max(now_s - LONGEST_S as f64);
        self.held_s = (to < now_s).then_some(to);
    }

    /// Holds the moment that is shown, or lets go.
    pub fn toggle(&mut self, now_s: f64) {
        self.held_s = if self.held_s.is_some() { None } else { Some(now_s) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_held_and_let_go() {
        let mut line = Timeline::default();
        line.toggle(100.0);
        assert_eq!(line.at(105.0), 100.0);
        line.shift(-10.0, 105.0);
        assert_eq!(line.at(106.0), 90.0);
        // Forward into the present is the present.
        line.shift(50.0, 106.0);
        assert_eq!((line.held_s, line.at(107.0)), (None, 107.0));
    }

    #[test]
    fn windows_and_speeds_have_ends() {
        let mut line = Timeline::default();
        (0..20).for_each(|_| line.widen());
        assert_eq!(line.window_s(), LONGEST_S);
        (0..20).for_each(|_| line.zoom());
        assert_eq!(line.window_s(), 30);
        let replay = Replay { from_s: 0.0, to_s: 1.0, speed: 64.0, playing: true };
        assert_eq!((replay.next_speed(true), replay.next_speed(false)), (64.0, 32.0));
    }
}
