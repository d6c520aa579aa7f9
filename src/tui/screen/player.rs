//! Shows a recording: at its own pace or faster, from any moment.

use super::delta;
use super::no_recording;
use super::recorder::{RecordingHeader, SCHEMA, SCHEMA_1};
use crate::error::Result;
use crate::tui::state::State;
use crate::tui::state::timeline::Replay;
use crate::tui::update::Stamped;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Instant;

/// So much before the moment that is sought is told too: what the longest fine window shows.
const BEFORE_S: f64 = 3_600.0;

/// What a line is, without what it says.
#[derive(Deserialize)]
struct Outline {
    at_s: f64,
    update: Option<serde::de::IgnoredAny>,
    changed: Option<String>,
}

/// A line of a recording: something whole, or what has changed since.
#[derive(Deserialize)]
struct RecordingLine {
    at_s: f64,
    update: Option<Value>,
    changed: Option<String>,
    change: Option<Value>,
}

/// Lines that tell nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Odd {
    count: usize,
    first: usize,
    cut: bool,
}

/// A recording, and where it is.
pub(in crate::tui) struct Player {
    stack: String,
    file: File,
    /// Time, place and length of every line.
    lines: Vec<(f64, u64, usize)>,
    next: usize,
    odd: Odd,
    /// The last value of each kind, which changes are made to.
    known: HashMap<String, Value>,
    clock_s: f64,
    speed: f64,
    playing: bool,
    moved: Instant,
}

impl Player {
    /// Opens a recording.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|cause| no_recording(path, &cause.to_string()))?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let (mut line, mut place, mut lines) = (Vec::new(), 0_u64, Vec::new());
        let (mut header, mut odd, mut number) = (None, Odd::default(), 0);
        loop {
            line.clear();
            number += 1;
            let length = reader
                .read_until(b'\n', &mut line)
                .map_err(|cause| no_recording(path, &cause.to_string()))?;
            if length == 0 {
                break;
            }
            if header.is_none() {
                let first: Option<RecordingHeader> = serde_json::from_slice(&line).ok();
                let known = first.filter(|first| [SCHEMA, SCHEMA_1].contains(&first.schema.as_str()));
                header = Some(known.ok_or_else(|| no_recording(path, "not a recording of nsys watch"))?);
            } else if let Ok(outline) = serde_json::from_slice::<Outline>(&line)
                && (outline.update.is_some() || outline.changed.is_some())
            {
                lines.push((outline.at_s, place, length));
            } else if line.ends_with(b"\n") {
                odd.first = if odd.count == 0 { number } else { odd.first };
                odd.count += 1;
            } else {
                odd.cut = true;
            }
            place += length as u64;
        }
        let header = header.ok_or_else(|| no_recording(path, "an empty file"))?;
        if lines.is_empty() {
            return Err(no_recording(path, "nothing was recorded"));
        }
        // Sources answer side by side, so lines may be a little out of order.
        lines.sort_by(|one, other| one.0.total_cmp(&other.0));
        let clock_s = lines[0].0;
        Ok(Self {
            stack: header.stack,
            file: reader.into_inner(),
            lines,
            next: 0,
            odd,
            known: HashMap::new(),
            clock_s,
            speed: 1.0,
            playing: true,
            moved: Instant::now(),
        })
    }

    /// Name of the stack that was recorded.
    pub(super) fn stack(&self) -> &str {
        &self.stack
    }

    /// What could not be read of it, in words.
    pub(in crate::tui) fn odd(&self) -> Option<String> {
        let Odd { count, first, cut } = self.odd;
        let lines = match count {
            0 => None,
            1 => Some(format!("line {first} of the recording is unreadable and skipped")),
            _ => Some(format!(
                "{count} lines of the recording are unreadable and skipped, the first is {first}"
            )),
        };
        let cut = cut.then(|| "its last line is truncated".to_owned());
        let said: Vec<_> = lines.into_iter().chain(cut).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// What the screen tells about it.
    pub(super) fn shown(&self) -> Replay {
        let ends = (self.lines[0].0, self.lines[self.lines.len() - 1].0);
        Replay { from_s: ends.0, to_s: ends.1, speed: self.speed, playing: self.playing }
    }

    /// The moment it is at.
    pub(super) const fn now_s(&self) -> f64 {
        self.clock_s
    }

    /// Whether it goes on by itself.
    pub(super) const fn plays(&self) -> bool {
        self.playing
    }

    pub(super) fn set_speed(&mut self, speed: f64) {
        self.speed = speed;
    }

    pub(super) fn set_playing(&mut self, playing: bool, state: &mut State) {
        // From its end it begins anew.
        if playing && self.next >= self.lines.len() {
            self.clock_s = self.lines[0].0;
            self.next = 0;
            self.known.clear();
            // Charts hold an hour back from their newest value: what comes before that would not be shown.
            state.forget();
        }
        self.playing = playing;
        self.moved = Instant::now();
    }

    /// Goes on by the time that has passed.
    pub(super) fn advance(&mut self, state: &mut State) {
        let passed = self.moved.elapsed().as_secs_f64();
        self.moved = Instant::now();
        if self.playing {
            self.advance_to(self.clock_s + passed * self.speed, state);
        }
    }

    fn advance_to(&mut self, to_s: f64, state: &mut State) {
        let end_s = self.lines[self.lines.len() - 1].0;
        self.clock_s = to_s.min(end_s);
        self.send_until(self.clock_s, state);
        if to_s >= end_s {
            self.playing = false;
        }
    }

    /// Goes to a moment: the hour before it is told anew.
    pub(super) fn seek(&mut self, to_s: f64, state: &mut State) {
        let (from_s, end_s) = (self.lines[0].0, self.lines[self.lines.len() - 1].0);
        self.clock_s = to_s.clamp(from_s, end_s);
        state.forget();
        self.known.clear();
        self.next = self.lines.partition_point(|(at_s, ..)| *at_s < self.clock_s - BEFORE_S);
        self.send_until(self.clock_s, state);
        self.moved = Instant::now();
    }

    /// Goes on by one second of the recording; none at its end.
    pub(in crate::tui) fn second(&mut self, state: &mut State) -> Option<f64> {
        if self.next >= self.lines.len() {
            return None;
        }
        self.advance_to(self.clock_s + 1.0, state);
        Some(self.clock_s)
    }

    fn send_until(&mut self, to_s: f64, state: &mut State) {
        while let Some((at_s, place, length)) = self.lines.get(self.next).copied() {
            if at_s > to_s {
                return;
            }
            self.next += 1;
            // A line that cannot be read any more tells nothing.
            if let Some(stamped) = self.read(place, length) {
                state.update(stamped);
            }
        }
    }

    fn read(&mut self, place: u64, length: usize) -> Option<Stamped> {
        let mut bytes = vec![0; length];
        self.file.seek(SeekFrom::Start(place)).ok()?;
        self.file.read_exact(&mut bytes).ok()?;
        let line: RecordingLine = serde_json::from_slice(&bytes).ok()?;
        let update = match (line.update, line.changed, line.change) {
            (Some(whole), ..) => {
                if let Some((kind, value)) = whole.as_object().and_then(|fields| fields.iter().next()) {
                    self.known.insert(kind.clone(), value.clone());
                }
                whole
            }
            (None, Some(kind), Some(change)) => {
                // Entered in the middle, a kind is not known before it is told whole.
                let known = self.known.get_mut(&kind)?;
                if !delta::apply(known, &change) {
                    self.known.remove(&kind);
                    return None;
                }
                json!({kind.as_str(): &*known})
            }
            _ => return None,
        };
        Some(Stamped { at_s: line.at_s, update: serde_json::from_value(update).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Recorder;
    use super::*;
    use crate::tui::state::history::{ChartSeries, StackMetric};
    use crate::tui::update::{ServiceSample, Update};

    fn recording(seconds: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording");
        let mut recorder = Recorder::new(Some(&path), "shop").unwrap();
        for second in 0..seconds {
            let sample = ServiceSample { rate: Some(f64::from(second)), ..ServiceSample::default() };
            let stamped = Stamped { at_s: 1_000.0 + f64::from(second), update: Update::Service(Ok(sample)) };
            recorder.keep(&stamped).unwrap();
        }
        drop(recorder);
        (dir, path)
    }

    fn rate(state: &State, at_s: f64) -> Option<f64> {
        state.data.history.at(&ChartSeries::Of(StackMetric::Rate), at_s)
    }

    #[test]
    fn a_recording_tells_what_was_recorded_from_any_moment() {
        let (_dir, path) = recording(100);
        let mut player = Player::open(&path).unwrap();
        let mut state = State::default();
        assert_eq!((player.stack(), player.now_s()), ("shop", 1_000.0));
        player.advance_to(1_050.0, &mut state);
        assert_eq!((rate(&state, 1_050.0), rate(&state, 1_060.0)), (Some(50.0), None));
        player.seek(1_020.0, &mut state);
        assert_eq!((rate(&state, 1_020.0), rate(&state, 1_030.0)), (Some(20.0), None));
        player.seek(9e9, &mut state);
        assert_eq!(player.now_s(), 1_099.0);
        player.advance_to(1_200.0, &mut state);
        assert!(!player.plays());
    }

    #[test]
    fn every_second_is_told_once() {
        let (_dir, path) = recording(10);
        let mut player = Player::open(&path).unwrap();
        let mut state = State::default();
        let seconds: Vec<_> = std::iter::from_fn(|| player.second(&mut state)).collect();
        assert_eq!((seconds.len(), seconds.last()), (9, Some(&1_009.0)));
    }

    #[test]
    fn a_cut_recording_is_shown_and_another_file_is_refused() {
        let (dir, path) = recording(10);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(Player::open(&path).unwrap().odd(), None);
        std::fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
        let player = Player::open(&path).unwrap();
        assert_eq!(
            (player.shown().to_s, player.odd().as_deref()),
            (1_008.0, Some("its last line is truncated"))
        );
        // Garbage within does not end it, and is told.
        let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.insert(4, b"\xff\xfe no line\n".to_vec());
        std::fs::write(&path, lines.concat()).unwrap();
        let player = Player::open(&path).unwrap();
        assert_eq!(player.shown().to_s, 1_009.0);
        assert!(player.odd().is_some_and(|odd| odd.starts_with("line 5 of the recording")));
        let other = dir.path().join("other");
        for text in [&b""[..], b"hello\n", b"{\"at_s\": 1}\n", &[0xff; 3_000]] {
            std::fs::write(&other, text).unwrap();
            assert!(Player::open(&other).is_err());
        }
    }

    #[test]
    fn what_is_shown_from_changes_is_what_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording");
        let mut recorder = Recorder::new(Some(&path), "shop").unwrap();
        let mut recorded = State::default();
        for at in 1_000..1_150 {
            for stamped in crate::tui::bench::second(f64::from(at), 7) {
                recorder.keep(&stamped).unwrap();
                recorded.update(stamped);
            }
        }
        drop(recorder);
        let mut player = Player::open(&path).unwrap();
        let mut shown = State::default();
        player.seek(1_149.0, &mut shown);
        let calls = |state: &State| -> Vec<(i64, i64)> {
            state.data.db.last().unwrap().statements.iter().map(|one| (one.id, one.calls)).collect()
        };
        assert_eq!(calls(&shown), calls(&recorded));
        let offsets = |state: &State| -> Vec<(i32, i64, Option<String>)> {
            let group = state.data.own_group(1_149.0).unwrap();
            group.topics[0].partitions.iter().map(|one| (one.partition, one.end, one.owner.clone())).collect()
        };
        assert_eq!(offsets(&shown), offsets(&recorded));
        let parts = |state: &State| -> Vec<(String, Option<u64>)> {
            state.data.parts.last().unwrap().iter().map(|one| (one.name.clone(), one.memory_bytes)).collect()
        };
        assert_eq!(parts(&shown), parts(&recorded));
    }

    #[test]
    fn no_recording_is_no_recording() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Player::open(&dir.path().join("none")).is_err());
    }
}
