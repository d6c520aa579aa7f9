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
