//! What a person sees: help texts as golden files, colour on a terminal and only there.

use crate::support::{Place, text};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use std::io::Read;
use std::path::Path;

/// Compares with a golden file; `NSYS_BLESS=1` writes it anew.
fn golden(name: &str, said: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name);
    if std::env::var_os("NSYS_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, said).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        said, wanted,
        "{name} changed; if that is meant: NSYS_BLESS=1 cargo test -p nsys --test it terminal"
    );
}

#[test]
fn help_texts_are_as_reviewed() {
    let place = Place::new();
    let commands: [&[&str]; 5] =
        [&[], &["up"], &["loadtest"], &["loadtest", "incremental"], &["config", "show"]];
    for command in commands {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_nsys"))
            .args(command)
            .arg("--help")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        golden(
            &format!("help{}.txt", command.iter().map(|one| format!("-{one}")).collect::<String>()),
            &String::from_utf8_lossy(&output.stdout),
        );
    }
    let plan = place.run(&["loadtest", "plan", "incremental"]);
    let said = String::from_utf8_lossy(&plan.stdout).into_owned();
    // What follows is about this machine.
    let (levels, checks) = said.split_once("\n\n").unwrap();
    golden("plan-incremental.txt", &format!("{levels}\n"));
    assert!(checks.contains("100 virtual users carry 1000/s while answers take 100 ms"), "{checks}");
}

fn in_terminal(place: &Place, args: &[&str], no_color: bool) -> String {
    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_nsys"));
    command.args(args);
    command.args(["--state-dir", place.dir.path().join("state").to_str().unwrap()]);
    command.cwd(place.dir.path());
    command.env("TERM", "xterm-256color");
    command.env_remove("NO_COLOR");
    if no_color {
        command.env("NO_COLOR", "1");
    }
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let mut said = Vec::new();
    // The end of a pseudo-terminal reads as an error on Linux.
    let _ = reader.read_to_end(&mut said);
    child.wait().unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn a_terminal_gets_colour_unless_it_is_refused() {
    let place = Place::new();
    assert!(in_terminal(&place, &["doctor"], false).contains("\u{1b}[3"));
    assert!(!in_terminal(&place, &["doctor"], true).contains("\u{1b}[3"));
    assert!(!text(&place.run(&["doctor"])).contains('\u{1b}'));
}

#[test]
fn the_dashboard_shows_a_recording_and_gives_the_terminal_back() {
    use std::io::Write;
    let place = Place::new();
    let recording = place.dir.path().join("recording.jsonl");
    let at = |at_s: f64, update: serde_json::Value| {
        serde_json::json!({"at_s": at_s, "update": update}).to_string()
    };
    let lag = serde_json::json!({"topic": "notifications", "partition": 0, "committed": 1, "end": 4322, "lag": 4321});
    let lines = [
        at(1.0, serde_json::json!({"lag": {"Ok": [{"lag": lag, "owner": null}]}})),
        at(1.1, serde_json::json!({"db": {"Err": "nothing listens there"}})),
    ];
    std::fs::write(&recording, lines.join("\n")).unwrap();

    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_nsys"));
    command.args(["watch", "lag", "--replay", recording.to_str().unwrap()]);
    command.cwd(place.dir.path());
    command.env("TERM", "xterm-256color");
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let mut writer = pair.master.take_writer().unwrap();
    let (to, from) = std::sync::mpsc::channel::<Vec<u8>>();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut bytes) {
            if to.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    // Only what changed is written, so the screen tells, not the bytes.
    let mut terminal = vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0);
    let mut until = |wanted: &str| {
        while !terminal.screen().contents().contains(wanted) {
            let bytes = from.recv_timeout(std::time::Duration::from_secs(30));
            let shown = terminal.screen().contents();
            terminal.process(&bytes.unwrap_or_else(|_| panic!("{wanted} was never shown: {shown}")));
        }
    };
    until("4321");
    until("postgres: nothing listens there");
    writer.write_all(b"?").unwrap();
    until("shorter window");
    pair.master.resize(PtySize { rows: 5, cols: 20, ..size }).unwrap();
    until("too small");
    writer.write_all(b"q").unwrap();
    while terminal.screen().alternate_screen() {
        let bytes =
            from.recv_timeout(std::time::Duration::from_secs(30)).expect("the terminal is given back");
        terminal.process(&bytes);
    }
    assert!(child.wait().unwrap().success());
}
