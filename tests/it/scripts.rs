//! The scripts that build: how far they are, what they tell of an error, and when they do not begin.

use crate::support::{Disk, text};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)
}

/// A package of two units in a directory of its own.
fn package(main: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let head =
        |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    write(
        "Cargo.toml",
        &format!("{}[dependencies]\nlow = {{ path = \"low\" }}\n[workspace]\n", head("high")),
    );
    write("src/main.rs", main);
    write("low/Cargo.toml", &head("low"));
    write("low/src/lib.rs", "//! Low.\npub fn low() {}\n");
    dir
}

fn build(dir: &Path) -> Output {
    Command::new("sh")
        .arg(script("build-with-progress.sh"))
        .current_dir(dir)
        .env("CARGO_TARGET_DIR", dir.join("target"))
        .env("BUILD_RECORD", dir.join("record"))
        .env("BUILD_REPORT_EVERY", "0")
        .output()
        .unwrap()
}

#[test]
fn a_build_tells_its_units_and_the_time_left() {
    let dir = package("fn main() { low::low() }");
    let output = build(dir.path());
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("of 2 units after") && said.contains("left\n"), "{said}");
    assert!(said.contains("built in"), "{said}");
    // Two units are no measure of the next whole build.
    assert!(!dir.path().join("record").exists());
}

#[test]
fn a_build_that_fails_shows_the_compilers_words_and_ends_as_cargo_does() {
    let dir = package("fn main() { missing() }");
    let output = build(dir.path());
    let said = text(&output);
    assert_eq!(output.status.code(), Some(101), "{said}");
    assert!(said.contains("cannot find function `missing`") && !said.contains("built in"), "{said}");
}

#[test]
fn a_demo_that_lacks_disk_says_so_before_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_disk) = Disk::mount(dir.path().join("small"), "1m") else { return };
    let output = Command::new("sh")
        .arg(script("demo.sh"))
        .env("CARGO_TARGET_DIR", dir.path().join("small"))
        .env("XDG_STATE_HOME", dir.path())
        .output()
        .unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("1 MB are free") && said.contains("set CARGO_TARGET_DIR"), "{said}");
}
