//! Tells a build that is shipped which commit it is of. Without git, or from sources that are not git's,
//! the program says that it does not know.
#![allow(clippy::disallowed_methods, reason = "a build script is told by variables and asks git")]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A development build would be built anew for every commit.
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    println!("cargo:rustc-env=NSYS_SHIPPED=1");
    // Sources from an archive may lie inside somebody's repository: that one's commit says nothing of them.
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let top = git(&["rev-parse", "--show-toplevel"]);
    let place = |path: &str| Path::new(path).canonicalize().ok();
    let ours = top.is_some_and(|top| place(&top) == place(&here));
    if !ours {
        return;
    }
    let (Some(commit), Some(date)) =
        (git(&["log", "-1", "--format=%h", "--abbrev=12"]), git(&["log", "-1", "--format=%cs"]))
    else {
        return;
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|list| !list.is_empty());
    let changed = if changed { "-changed" } else { "" };
    println!("cargo:rustc-env=NSYS_COMMIT={commit}{changed}");
    println!("cargo:rustc-env=NSYS_COMMITTED={date}");
    // It grows with every commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
