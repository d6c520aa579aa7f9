//! The dashboard in a real terminal: a recording, the real stack, and every way to leave it.

use crate::support::{Place, kill_9};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Generous: machines that run tests are busy.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A program in a terminal, and what the terminal shows.
struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    from: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Terminal {
    fn open(place: &Place, args: &[&str], (rows, cols): (u16, u16)) -> Self {
        let pair = native_pty_system().openpty(size(rows, cols)).unwrap();
        let like = place.command(args);
        let mut command = CommandBuilder::new(like.get_program());
        command.args(like.get_args());
        command.cwd(place.dir.path());
        for (name, value) in like.get_envs() {
            command.env(name, value.unwrap());
        }
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.env_remove("NO_COLOR");
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (to, from) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 8_192];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if to.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let writer = pair.master.take_writer().unwrap();
        let screen = parser(rows, cols);
        Self { child, master: Some(pair.master), writer: Some(writer), from, screen }
    }

    fn shown(&self) -> String {
        self.screen.screen().contents()
    }

    fn press(&mut self, keys: &str) {
        self.writer.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn resize(&mut self, rows: u16, cols: u16) {
        self.master.as_ref().unwrap().resize(size(rows, cols)).unwrap();
        self.screen = parser(rows, cols);
    }

    /// Reads until the screen is as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !wanted(&self.shown()) {
            match self.from.recv_timeout(Duration::from_millis(200)) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("it ended before {what}: {}", self.shown()),
            }
            assert!(Instant::now() < deadline, "{what} was never shown:\n{}", self.shown());
        }
    }

    fn until_shown(&mut self, text: &str) {
        self.until(text, |shown| shown.contains(text));
    }

    /// Waits for its end; the terminal must be as before.
    fn ends(&mut self, well: bool) {
        let deadline = Instant::now() + TIMEOUT;
        let status = loop {
            if let Ok(bytes) = self.from.recv_timeout(Duration::from_millis(100)) {
                self.screen.process(&bytes);
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it never ends:\n{}", self.shown());
        };
        while let Ok(bytes) = self.from.recv_timeout(Duration::from_millis(100)) {
            self.screen.process(&bytes);
        }
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen(), "the screen is not given back");
        assert!(!screen.hide_cursor(), "the cursor is not given back");
        assert_eq!(
            screen.mouse_protocol_mode(),
            vt100::MouseProtocolMode::None,
            "the mouse is not given back"
        );
        assert_eq!(status.success(), well, "{status:?}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

fn parser(rows: u16, cols: u16) -> vt100::Parser {
    vt100::Parser::new(NonZero::new(rows).unwrap(), NonZero::new(cols).unwrap(), 0)
}

/// A recording of a quiet minute with something that waits.
fn recording(place: &Place) -> String {
    let mut lines = vec![json!({"schema": "nsys.watch/1", "stack": "shop"}).to_string()];
    for second in 0..60 {
        let at_s = 1_767_323_000.0 + f64::from(second);
        let mut tell = |update: Value| lines.push(json!({"at_s": at_s, "update": update}).to_string());
        let lag = json!({"topic": "notifications", "partition": 0, "committed": 100, "end": 4_421 + second, "lag": 4_321 + second});
        tell(json!({"lag": {"Ok": [{"group": "notification-workers", "state": "Stable", "members": 1,
                                    "partitions": [{"lag": lag, "owner": "worker-1"}]}]}}));
        tell(json!({"service": {"Ok": {"rate": 50.0}}}));
        tell(json!({"db": {"Err": "postgres: nothing listens there"}}));
        tell(json!({"log": {"part": "app-1", "lines": [format!("a line {second}")]}}));
    }
    let path = place.dir.path().join("recording.jsonl");
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_recording_is_steered_and_the_terminal_is_given_back() {
    let place = Place::new();
    let file = recording(&place);
    let mut terminal = Terminal::open(&place, &["watch", "lag", "--replay", &file], (24, 80));
    terminal.until_shown("4,321");
    terminal.until_shown("nothing listens there");
    terminal.until_shown("shop");
    // To its end, where it stops, and back.
    terminal.press("\x1b[F");
    terminal.until_shown("4,380");
    terminal.press("\x1b[D");
    terminal.until("an earlier moment", |shown| !shown.contains("4,380"));
    terminal.press(">");
    terminal.until_shown("×2");
    terminal.press("?");
    terminal.until_shown("share of the fullest one");
    terminal.press("?");
    terminal.until_shown("shorter window");
    terminal.press("\x1b");
    terminal.press("/worker-9");
    terminal.until_shown("no partition matches");
    terminal.press("\x1b");
    // What comes with an Esc in one piece would be a key pressed with Alt.
    terminal.until("all partitions again", |shown| !shown.contains("no partition matches"));
    for (rows, cols) in [(5, 20), (50, 200), (1, 1), (16, 60), (24, 80), (40, 120), (3, 300)] {
        terminal.resize(rows, cols);
    }
    terminal.resize(5, 20);
    terminal.until_shown("too small");
    terminal.resize(24, 80);
    terminal.until_shown("OWNER");
    terminal.press("e");
    terminal.until_shown("Markdown table");
    terminal.press("m");
    terminal.until_shown("saved to");
    let saved = std::fs::read_dir(place.dir.path()).unwrap().flatten();
    let saved: Vec<_> = saved.filter(|file| file.path().extension().is_some_and(|end| end == "md")).collect();
    assert!(std::fs::read_to_string(saved[0].path()).unwrap().contains("| notification-workers |"));
    // A command would act on today's stack, not on the one that is shown.
    terminal.press(":down\r");
    terminal.until_shown("this is a recording");
    terminal.press("q");
    terminal.ends(true);
}

#[test]
fn every_way_out_gives_the_terminal_back() {
    let place = Place::new();
    let file = recording(&place);
    let open = || {
        let mut terminal = Terminal::open(&place, &["watch", "--replay", &file], (24, 80));
        terminal.until_shown("overview");
        terminal
    };
    let mut by_ctrl_c = open();
    by_ctrl_c.press("\x03");
    by_ctrl_c.ends(true);
    use rustix::process::Signal;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let mut by_signal = open();
        let pid = i32::try_from(by_signal.child.process_id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
        by_signal.ends(true);
    }
    // The terminal itself goes away: the program must not stay behind.
    let mut lost = open();
    lost.writer = None;
    lost.master = None;
    // The thread that reads holds it too, and ends with the next frame that nobody wants.
    lost.from = channel().1;
    let deadline = Instant::now() + TIMEOUT;
    while lost.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it outlives its terminal");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn without_a_terminal_there_is_a_line_for_each_second() {
    let place = Place::new();
    let file = recording(&place);
    let lines = place.run(&["watch", "--replay", &file]);
    assert!(lines.status.success());
    let shown = String::from_utf8(lines.stdout).unwrap();
    assert_eq!(shown.lines().count(), 59);
    assert!(shown.lines().last().unwrap().contains("lag 4,380"), "{shown}");
    let objects = place.run(&["watch", "--replay", &file, "-o", "json"]);
    let last: Value =
        serde_json::from_slice(objects.stdout.split(|byte| *byte == b'\n').nth_back(1).unwrap()).unwrap();
    assert_eq!((&last["lag"], &last["service"]["rate"]), (&json!(4_380), &json!(50.0)));
    assert_eq!(last["errors"]["postgres"], "postgres: nothing listens there");
    let none = place.run(&["watch", "--replay", "no-such-file"]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn the_dashboard_follows_the_real_stack_through_its_deaths_and_changes() {
    let place = Place::new();
    place.ok(&["up"]);
    let recording = place.dir.path().join("live.jsonl");
    let record = recording.to_str().unwrap();
    let mut terminal = Terminal::open(&place, &["watch", "--record", record], (30, 110));
    terminal.until_shown("keeping up");
    terminal.until_shown("● rec");
    // Redis dies: its part alone changes, and it comes back by itself.
    kill_9(place.pid("redis"));
    terminal.press("5");
    terminal.until("redis is missed", |shown| shown.contains("✖") || shown.contains("redis is"));
    terminal.press("2");
    terminal.until_shown("notifications");
    terminal.press("5");
    terminal.until("redis is back", |shown| !shown.contains("✖") && shown.contains("hit rate"));
    // A change through the palette: the plan of the command line, its question, its journal.
    terminal.press("6");
    terminal.until_shown("worker-1");
    terminal.press(":");
    terminal.until_shown("command of nsys");
    terminal.press("tune cache --ttl user=7m\r");
    terminal.until_shown("type y to go on");
    terminal.press("y\r");
    terminal.until_shown("done; Esc closes");
    terminal.press("\x1b");
    let history = place.json(&["history"]);
    assert!(history.to_string().contains("tune cache"), "{history}");
    terminal.press("1");
    terminal.until("the change is marked", |shown| shown.contains("▲c1"));
    // What would go ahead at once is shown and asked for first, and no habit confirms it.
    terminal.press(":undo --yes\r");
    terminal.until_shown("y confirms");
    terminal.press("y");
    terminal.until_shown("done; Esc closes");
    terminal.press("\x1b");
    assert!(place.json(&["history"]).to_string().contains("undone"));
    let before = place.pid("postgres");
    for command in [":down\r", ":restart postgres\r", ":up --scale app=2\r"] {
        terminal.press(command);
        terminal.until_shown("Nothing is changed");
        terminal.until_shown("y confirms");
        terminal.press("\r\r ");
        terminal.press("\x1b");
        terminal.until("the question is gone", |shown| !shown.contains("Nothing is changed"));
    }
    assert_eq!(place.pid("postgres"), before);
    assert!(!place.json(&["ps"]).to_string().contains("app-2"));
    // Enter on a row shows it and prefills nothing.
    terminal.press("6");
    terminal.until_shown("worker-1");
    terminal.press("\r");
    terminal.until_shown("commands about it");
    terminal.press("\r");
    terminal.until("the detail is closed", |shown| !shown.contains("commands about it"));
    terminal.press(":scale worker=2\r");
    terminal.until_shown("y confirms");
    terminal.press("y");
    terminal.until_shown("done; Esc closes");
    terminal.press("\x1b");
    terminal.until("the pane again", |shown| !shown.contains("Esc closes") && shown.contains("worker-2"));
    terminal.press("q");
    terminal.ends(true);
    // What was recorded can be shown again.
    let again = place.run(&["watch", "--replay", record, "-o", "json"]);
    assert!(again.status.success(), "{}", crate::support::text(&again));
    assert!(String::from_utf8_lossy(&again.stdout).contains("\"level\":\"ok\""));
}
