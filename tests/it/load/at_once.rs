//! Two load tests at once, and Ctrl-C before any load is offered.

use super::offered::events;
use crate::support::Place;
use crate::tune::{hold, release};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Starts a load test that waits in its seed as long as nobody may write.
fn begin(place: &Place, args: &[&str], seeded: &str) -> Child {
    let mut command = place.command(args);
    command.env("NSYS_LOADTEST__SEED_NOTIFICATIONS", seeded).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn wait(done: impl Fn() -> bool, otherwise: &str) {
    crate::support::wait(Duration::from_secs(90), done, otherwise);
}

fn seeds(place: &Place, kind: &str) -> bool {
    let events = events(place);
    events.first().is_some_and(|start| start["kind"] == kind)
        && events.iter().any(|one| one["phase"] == "seed")
}

/// Ctrl-C, and how it ended.
fn interrupt(mut child: Child) -> Option<i32> {
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("Ctrl-C did nothing");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(super) fn is_refused_and_before_any_load_ctrl_c_works(place: &Place) {
    let holder = hold(place, "LOCK TABLE notifications IN SHARE MODE");
    let smoke = ["loadtest", "smoke", "-q", "--rates", "20/s:3s"];
    let both = [begin(place, &smoke, "2500"), begin(place, &smoke, "2500")].map(std::cell::RefCell::new);
    let ended = |child: &std::cell::RefCell<Child>| child.borrow_mut().try_wait().unwrap().is_some();
    wait(|| both.iter().any(ended), "two load tests run at once");
    let [one, two] = both;
    let (mut refused, runs) = if ended(&one) { (one, two) } else { (two, one) };
    let mut said = String::new();
    refused.get_mut().stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let code = refused.get_mut().wait().unwrap().code();
    assert!(code == Some(4) && said.contains("already running on this stack"), "{code:?}: {said}");
    wait(|| seeds(place, "smoke"), "the other does not seed");
    assert_eq!(interrupt(runs.into_inner()), Some(130));

    // The second thing that a command does is interrupted like its first.
    let args =
        ["loadtest", "calibrate", "-q", "--rate", "20", "--duration", "2s", "--rounds", "1", "--runs", "2"];
    let calibrates = begin(place, &args, "2500");
    wait(|| seeds(place, "baseline"), "the equal runs never began");
    assert_eq!(interrupt(calibrates), Some(130));
    release(place, holder);
    // Neither is taken for a run that tells something.
    let shown = place.json(&["loadtest", "show"]);
    assert!(!shown["levels"].as_array().unwrap().is_empty(), "{shown}");
}
