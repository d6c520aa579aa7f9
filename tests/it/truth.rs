//! The truth bench: what the engines tell of servers whose behaviour is prescribed, against what these
//! servers recorded. `make truth` plays everything; a few plays run with every test.

mod play;
mod prometheus;
mod recorded;
mod scenario;
mod server;
pub(crate) mod topologies;

use nsys::domain::scenario::LoadEngine;
use play::{Row, Tolerance, play};
use scenario::Scenario;
use std::sync::Mutex;

/// Plays at once.
const AT_ONCE: usize = 6;

/// Plays all of them with both engines, alone and as three, some at once.
fn bench(scenarios: Vec<Scenario>, tolerance: Tolerance) -> Vec<Row> {
    let each = |scenario: Scenario| {
        [(LoadEngine::Native, 1), (LoadEngine::Native, 3), (LoadEngine::K6, 1), (LoadEngine::K6, 3)]
            .map(|(engine, generators)| (scenario, engine, generators))
    };
    let mut plays: Vec<_> = scenarios.into_iter().flat_map(each).collect();
    plays.reverse();
    let (plays, rows) = (Mutex::new(plays), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((scenario, engine, generators)) = next(&plays) {
                    let found = play(&scenario, engine, generators, tolerance);
                    rows.lock().expect("no holder panics").extend(found);
                }
            });
        }
    });
    rows.into_inner().expect("no holder panics")
}

fn next<T>(plays: &Mutex<Vec<T>>) -> Option<T> {
    plays.lock().expect("no holder panics").pop()
}

fn table(rows: &[&Row]) -> String {
    let line = |row: &&Row| {
        let mark = if row.holds { "" } else { "WRONG" };
        format!("| {} | {} | {} | {} | {mark} |\n", row.play, row.number, row.told, row.truth)
    };
    let head = "| Scenario; engine, generators | Number | Told | True | |\n|---|---|---:|---:|---|\n";
    head.to_owned() + &rows.iter().map(line).collect::<String>()
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
    let tolerance = match wanted {
        None => Tolerance { share: 0.5, ms: 400.0 },
        Some(_) => Tolerance { share: 0.02, ms: 5.0 },
    };
    let rows = bench(scenario::all().into_iter().filter(chosen).collect(), tolerance);
    if wanted.is_some() {
        let all = table(&rows.iter().collect::<Vec<_>>());
        std::io::Write::write_all(&mut std::io::stderr(), all.as_bytes()).expect("somebody reads");
    }
    let wrong: Vec<_> = rows.iter().filter(|row| !row.holds).collect();
    assert!(rows.len() > 100, "only {} numbers were compared", rows.len());
    assert!(wrong.is_empty(), "{} of {} numbers are wrong:\n{}", wrong.len(), rows.len(), table(&wrong));
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
