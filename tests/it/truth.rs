//! The truth bench: what the engines tell of servers whose behaviour is prescribed, against what these
//! servers recorded. `make truth` plays everything; a few plays run with every test.

mod play;
mod prometheus;
mod recorded;
mod scenario;
mod server;
mod table;
pub(crate) mod topologies;
mod verdict;

use nsys::domain::scenario::LoadEngine;
use play::{Played, Row, Tolerance, play};
use scenario::Scenario;
use std::sync::Mutex;

/// Plays at once in every run of the tests, where the machine is busy anyway …
const AT_ONCE: usize = 6;
/// … and where times are to be exact: each waits for most of its time.
const AT_ONCE_EXACTLY: usize = 2;

/// Plays all of them with both engines, alone and as three, some at once.
fn bench(scenarios: Vec<Scenario>, tolerance: Tolerance, at_once: usize) -> Vec<Played> {
    let each = |scenario: Scenario| {
        let several = [(LoadEngine::Native, 3), (LoadEngine::K6, 3)];
        let alone = [(LoadEngine::Native, 1), (LoadEngine::K6, 1)];
        // What a verdict says does not depend on how the counts came together.
        let several = if scenario.verdict_only { &[][..] } else { &several[..] };
        let ways: Vec<_> = alone.iter().chain(several).copied().collect();
        ways.into_iter().map(move |(engine, generators)| (scenario, engine, generators))
    };
    let mut plays: Vec<_> = scenarios.into_iter().flat_map(each).collect();
    plays.reverse();
    let (plays, done) = (Mutex::new(plays), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some((scenario, engine, generators)) = next(&plays) {
                    let played = play(&scenario, engine, generators, tolerance);
                    done.lock().expect("no holder panics").push(played);
                }
            });
        }
    });
    done.into_inner().expect("no holder panics")
}

fn next<T>(plays: &Mutex<Vec<T>>) -> Option<T> {
    plays.lock().expect("no holder panics").pop()
}

#[test]
fn what_is_told_of_a_server_is_what_it_did() {
    let wanted = std::env::var("NSYS_TRUTH").ok();
    let chosen = |one: &Scenario| match wanted.as_deref() {
        None => one.short,
        Some("all") => true,
        Some(word) => one.name.contains(word),
    };
    // Beside other tests clients have to wait for a processor; alone they have not.
    let (tolerance, at_once) = match wanted {
        None => {
            let (ms, single_ms) = (400.0, 400.0);
            (Tolerance { share: 0.5, ms, single_ms, repeats: 1, is_machine_busy: true }, AT_ONCE)
        }
        Some(_) => {
            let (ms, single_ms) = (5.0, 30.0);
            (Tolerance { share: 0.02, ms, single_ms, repeats: 3, is_machine_busy: false }, AT_ONCE_EXACTLY)
        }
    };
    let plays = bench(scenario::all().into_iter().filter(chosen).collect(), tolerance, at_once);
    let rows = || plays.iter().flat_map(|play| play.rows.iter().map(move |row| (play, row)));
    if wanted.is_some() {
        let all = format!("{}\n{}", table::every(rows()), table::compact(&plays));
        std::io::Write::write_all(&mut std::io::stderr(), all.as_bytes()).expect("somebody reads");
    }
    let wrong: Vec<(&Played, &Row)> = rows().filter(|(_, row)| !row.holds).collect();
    let count = rows().count();
    assert!(count > 100, "only {count} numbers were compared");
    assert!(wrong.is_empty(), "{} of {count} numbers are wrong:\n{}", wrong.len(), table::every(wrong));
}

/// Lag of 200 topologies; a few are made with every test where a broker runs anyway.
#[test]
fn lag_is_that_of_what_was_written_and_committed() {
    if std::env::var("NSYS_TRUTH").as_deref() != Ok("all") {
        return;
    }
    let place = crate::support::Place::new();
    place.ok(&["up"]);
    let table = topologies::are_told_as_they_were_made(&place, 200, 20_261_130);
    std::io::Write::write_all(&mut std::io::stderr(), table.as_bytes()).expect("somebody reads");
}
