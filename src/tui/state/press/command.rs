//! Keys while a command is typed, asked about, or runs; and what a command that is entered leads to.

use super::super::detail;
use super::super::intent::{CommandIntent, intent};
use super::super::palette::{KeyOutcome, words};
use super::super::session::Session;
use super::super::{ENTERED, Overlay, Pane, ScreenEffect, State};
use crate::render::Tone;
use crate::tui::key::Press;

/// Lines that one page of a detail is.
const PAGE: usize = 10;
/// Lines that a detail is scrolled at most.
const LONGEST: usize = 10_000;

/// Why nothing runs while a recording is shown.
pub(super) const REPLAYED: &str =
    "this is a recording: a command would act on the stack as it is now; open nsys watch for that";

impl State {
    pub(super) fn press_in_palette(&mut self, key: Press, now_s: f64) -> ScreenEffect {
        let Overlay::Palette(palette) = &mut self.overlay else { return ScreenEffect::None };
        match palette.press(key, &self.commands) {
            KeyOutcome::Open => ScreenEffect::None,
            KeyOutcome::Left => {
                self.overlay = Overlay::None;
                ScreenEffect::None
            }
            KeyOutcome::Run(text) => self.run(&text, now_s),
        }
    }

    /// Leads to what was entered: a pane, a question, or a command that runs.
    fn run(&mut self, text: &str, now_s: f64) -> ScreenEffect {
        let text = text.strip_prefix("nsys ").unwrap_or(text);
        let words = match words(text) {
            Ok(words) => words,
            Err(why) => {
                self.notify(now_s, Tone::Bad, why);
                return ScreenEffect::None;
            }
        };
        self.overlay = Overlay::None;
        if !words.is_empty() {
            self.entered.retain(|one| one != text);
            self.entered.push(text.to_owned());
            let most = self.entered.len().saturating_sub(ENTERED);
            self.entered.drain(..most);
        }
        match words.first().map(String::as_str) {
            None => ScreenEffect::None,
            Some("q" | "quit" | "exit") => ScreenEffect::Quit,
            // The dashboard within the dashboard is only another pane.
            Some("watch") => {
                let pane = words.get(1).and_then(|name| Pane::ALL.into_iter().find(|one| one.name() == name));
                self.open(pane.unwrap_or(self.pane));
                if pane.is_none() {
                    let names = Pane::ALL.map(Pane::name).join(", ");
                    self.notify(now_s, Tone::Dim, format!("this is nsys watch; its panes are {names}"));
                }
                ScreenEffect::None
            }
            Some(_) if self.time.replay.is_some() => {
                self.notify(now_s, Tone::Warn, REPLAYED);
                ScreenEffect::None
            }
            Some(_) => self.start(text, words),
        }
    }

    /// Runs a command, or asks first when it would change something at once.
    fn start(&mut self, text: &str, words: Vec<String>) -> ScreenEffect {
        let mut session = Session { command: text.to_owned(), ..Session::default() };
        // With `--read-only` the command itself refuses.
        let effect = match intent(self.judge, &words) {
            CommandIntent::Changes(question) if !self.read_only => {
                let preview = question.preview.clone();
                session.question = Some(question);
                preview.map_or(ScreenEffect::None, ScreenEffect::Run)
            }
            CommandIntent::Runs | CommandIntent::Changes(_) => ScreenEffect::Run(words),
        };
        self.overlay = Overlay::Session(session);
        effect
    }

    pub(super) fn press_in_session(&mut self, key: Press) -> ScreenEffect {
        let Overlay::Session(session) = &mut self.overlay else { return ScreenEffect::None };
        if session.question.is_some() {
            return self.press_in_question(key);
        }
        if session.ended.is_some() {
            if matches!(key, Press::Esc | Press::Enter | Press::Char('q' | ' ') | Press::Ctrl('c')) {
                self.overlay = Overlay::None;
            }
            return ScreenEffect::None;
        }
        match key {
            // The way out of a command that does not end.
            Press::Ctrl('\\' | '4') => ScreenEffect::EndSession,
            key => ScreenEffect::Type(bytes(key)),
        }
    }

    /// Only `y` confirms: Enter is pressed out of habit.
    fn press_in_question(&mut self, key: Press) -> ScreenEffect {
        let Overlay::Session(session) = &mut self.overlay else { return ScreenEffect::None };
        match key {
            Press::Char('y') if session.can_be_confirmed() => {
                let words = session.question.take().map(|question| question.words).unwrap_or_default();
                *session = Session { command: std::mem::take(&mut session.command), ..Session::default() };
                ScreenEffect::Run(words)
            }
            Press::Esc | Press::Char('n' | 'q') | Press::Ctrl('c') => {
                self.overlay = Overlay::None;
                ScreenEffect::EndSession
            }
            _ => ScreenEffect::None,
        }
    }

    pub(super) fn press_in_detail(&mut self, key: Press, now_s: f64) -> ScreenEffect {
        let Overlay::Detail(top) = &mut self.overlay else { return ScreenEffect::None };
        match key {
            Press::Esc | Press::Enter => self.overlay = Overlay::None,
            Press::PageDown | Press::Ctrl('d') => *top = (*top + PAGE).min(LONGEST),
            Press::PageUp | Press::Ctrl('u') => *top = top.saturating_sub(PAGE),
            Press::Char(digit @ '1'..='9') => {
                let place = digit as usize - '1' as usize;
                let detail = detail::of_chosen(self, self.time.at(now_s));
                let command = detail.and_then(|detail| detail.commands.into_iter().nth(place));
                return command.map_or(ScreenEffect::None, |command| self.run(&command, now_s));
            }
            key => return self.press_bound(key, now_s),
        }
        ScreenEffect::None
    }
}

/// The bytes that a terminal sends for a key.
fn bytes(key: Press) -> Vec<u8> {
    let fixed: &[u8] = match key {
        Press::Char(character) => return character.to_string().into_bytes(),
        Press::Ctrl(letter @ 'a'..='z') => return vec![letter as u8 - b'a' + 1],
        Press::Ctrl(_) => b"",
        Press::Enter => b"\r",
        Press::Esc => b"\x1b",
        Press::Tab => b"\t",
        Press::BackTab => b"\x1b[Z",
        Press::Backspace => b"\x7f",
        Press::Delete => b"\x1b[3~",
        Press::Up => b"\x1b[A",
        Press::Down => b"\x1b[B",
        Press::Right => b"\x1b[C",
        Press::Left => b"\x1b[D",
        Press::Home => b"\x1b[H",
        Press::End => b"\x1b[F",
        Press::PageUp => b"\x1b[5~",
        Press::PageDown => b"\x1b[6~",
    };
    fixed.to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::super::Setup;
    use super::super::super::intent::ConfirmQuestion;
    use super::super::super::palette::KnownCommand;
    use super::super::super::timeline::Replay;
    use super::*;

    /// `down` changes at once and can be shown; `verify` cannot; all else asks itself or only reads.
    fn judge(words: &[String]) -> CommandIntent {
        let question = |preview: Option<Vec<String>>| {
            let does = "stops every part".to_owned();
            CommandIntent::Changes(ConfirmQuestion { words: words.to_vec(), does, preview })
        };
        match words[0].as_str() {
            "down" => question(Some(vec!["down".into(), "--dry-run".into()])),
            "verify" => question(None),
            _ => CommandIntent::Runs,
        }
    }

    fn state() -> State {
        let known = |name: &str| KnownCommand { name: name.into(), about: String::new(), flags: Vec::new() };
        let commands = vec![known("ps"), known("undo"), known("down")];
        State::new(Setup { commands, judge: Some(judge), ..Setup::default() })
    }

    fn entered(state: &mut State, text: &str) -> ScreenEffect {
        for one in text.chars() {
            state.press(Press::Char(one), 0.0);
        }
        state.press(Press::Enter, 0.0)
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    /// The preview ended, well or not.
    fn previewed(state: &mut State, well: bool) {
        let Overlay::Session(session) = &mut state.overlay else { panic!("{:?}", state.overlay) };
        session.ended = Some((well, String::new()));
    }

    #[test]
    fn a_command_runs_only_when_it_is_entered() {
        let mut state = state();
        for one in ":undo c1".chars() {
            state.press(Press::Char(one), 0.0);
        }
        state.press(Press::Esc, 0.0);
        assert_eq!(
            entered(&mut state, ":nsys undo 'c 1'"),
            ScreenEffect::Run(vec!["undo".into(), "c 1".into()])
        );
        assert!(matches!(&state.overlay, Overlay::Session(session) if session.command == "undo 'c 1'"));
    }

    #[test]
    fn a_change_is_shown_first_and_made_only_after_y() {
        let mut state = state();
        assert_eq!(entered(&mut state, ":down"), ScreenEffect::Run(words("down --dry-run")));
        // Not before it was seen, and not by a key that is pressed out of habit.
        assert_eq!(state.press(Press::Char('y'), 0.0), ScreenEffect::None);
        previewed(&mut state, true);
        assert_eq!(state.press(Press::Enter, 0.0), ScreenEffect::None);
        assert_eq!(state.press(Press::Char(' '), 0.0), ScreenEffect::None);
        assert_eq!(state.press(Press::Char('y'), 0.0), ScreenEffect::Run(words("down")));
        // From here on keys belong to the command.
        assert_eq!(state.press(Press::Char('y'), 0.0), ScreenEffect::Type(b"y".into()));
    }

    #[test]
    fn a_change_that_cannot_be_shown_is_told_and_asked_for() {
        let mut state = state();
        assert_eq!(entered(&mut state, ":verify --against latest"), ScreenEffect::None);
        assert_eq!(state.press(Press::Char('y'), 0.0), ScreenEffect::Run(words("verify --against latest")));
    }

    #[test]
    fn a_change_that_was_not_confirmed_or_cannot_be_made_does_not_run() {
        let mut state = state();
        entered(&mut state, ":down");
        assert_eq!(state.press(Press::Esc, 0.0), ScreenEffect::EndSession);
        assert!(matches!(state.overlay, Overlay::None));
        entered(&mut state, ":down");
        previewed(&mut state, false);
        assert_eq!(state.press(Press::Char('y'), 0.0), ScreenEffect::None);
    }

    #[test]
    fn what_nobody_can_judge_is_asked_for() {
        let mut state = State::new(Setup::default());
        assert_eq!(entered(&mut state, ":ps"), ScreenEffect::None);
        assert!(matches!(&state.overlay, Overlay::Session(session) if session.question.is_some()));
    }

    #[test]
    fn read_only_leaves_the_refusal_to_the_command() {
        let mut state = State { read_only: true, ..state() };
        assert_eq!(entered(&mut state, ":down"), ScreenEffect::Run(words("down")));
    }

    #[test]
    fn nothing_runs_from_a_recording() {
        let mut state = state();
        state.time.replay = Some(Replay { from_s: 0.0, to_s: 500.0, speed: 1.0, playing: true });
        assert_eq!(entered(&mut state, ":undo"), ScreenEffect::None);
        assert!(matches!(state.overlay, Overlay::None));
        assert!(state.notice(0.0).is_some_and(|(_, text)| text.contains("recording")));
        // Panes and the way out are no commands.
        entered(&mut state, ":watch db");
        assert_eq!(state.pane, Pane::Db);
        assert_eq!(entered(&mut state, ":q"), ScreenEffect::Quit);
    }

    #[test]
    fn enter_on_a_row_opens_its_detail_and_runs_nothing() {
        let mut state = state();
        for at in 0..5 {
            crate::tui::bench::second(f64::from(at), 2).into_iter().for_each(|one| state.update(one));
        }
        for pane in [Pane::Lag, Pane::Db, Pane::Cache, Pane::Stack, Pane::Load] {
            state.open(pane);
            for _ in 0..3 {
                assert_eq!(state.press(Press::Enter, 4.0), ScreenEffect::None, "{pane:?}");
                assert!(!matches!(state.overlay, Overlay::Palette(_) | Overlay::Session(_)), "{pane:?}");
            }
        }
        // A command about the row is chosen by its digit, and asks like every other.
        state.open(Pane::Stack);
        state.press(Press::Enter, 4.0);
        assert_eq!(state.press(Press::Char('1'), 4.0), ScreenEffect::Run(words("logs postgres")));
    }

    #[test]
    fn keys_go_to_the_command_that_runs_and_close_it_when_it_ended() {
        let mut state = state();
        state.overlay = Overlay::Session(Session::default());
        assert_eq!(state.press(Press::Char('q'), 0.0), ScreenEffect::Type(b"q".into()));
        assert_eq!(state.press(Press::Ctrl('c'), 0.0), ScreenEffect::Type(vec![3]));
        assert_eq!(state.press(Press::Ctrl('\\'), 0.0), ScreenEffect::EndSession);
        state.overlay =
            Overlay::Session(Session { ended: Some((true, "done".into())), ..Default::default() });
        assert_eq!(state.press(Press::Char('q'), 0.0), ScreenEffect::None);
        assert!(matches!(state.overlay, Overlay::None));
    }

    #[test]
    fn watch_in_the_palette_opens_a_pane() {
        let mut state = state();
        assert_eq!(entered(&mut state, ":watch db"), ScreenEffect::None);
        assert_eq!(state.pane, Pane::Db);
        assert_eq!(entered(&mut state, ":q"), ScreenEffect::Quit);
    }
}
