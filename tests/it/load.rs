//! Load tests on a real stack: what is counted is true, what failed is said, and who was the limit.

mod at_once;
mod counts;
mod described;
mod kept;
mod limits;
mod offered;

use crate::support::{Place, text};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Output;

/// A load test that may end with any verdict, and its run.
fn offer(place: &Place, args: &[&str]) -> (Output, Value) {
    let output = place.run(&[&["loadtest", "incremental", "-q", "--stabilise", "20s"], args].concat());
    let run = newest(place, &output);
    (output, run)
}

fn newest(place: &Place, output: &Output) -> Value {
    shown(place.command(&["loadtest", "show", "-o", "json"]), output)
}

fn shown(mut command: std::process::Command, output: &Output) -> Value {
    let shown = command.output().expect("nsys starts");
    let run = serde_json::from_slice(&shown.stdout);
    run.unwrap_or_else(|cause| panic!("{cause}: {}{}", text(output), text(&shown)))
}

fn results(place: &Place) -> PathBuf {
    place.dir.path().join("load-tests/results")
}

#[test]
fn load_tests_count_and_judge_what_really_happened() {
    let place = Place::new();
    // Runs are kept beside the configuration.
    place.configure("");
    place.ok(&["up"]);
    counts::of_several_generators_add_up_to_those_of_the_service_and_the_database(&place);
    described::by_a_profile_is_counted_as_by_its_own(&place);
    offered::or_refused_with_the_arithmetic(&place);
    offered::goes_on_after_a_kill_where_it_stopped(&place);
    offered::engines_are_calibrated(&place);
    at_once::is_refused_and_before_any_load_ctrl_c_works(&place);
    kept::when_the_database_and_the_next_level_fail(&place);
    kept::and_who_holds_every_connection_is_named(&place);
    limits::a_run_whose_every_request_failed_says_so(&place);
    limits::a_slow_database_is_not_the_generator_s_fault(&place);
    limits::a_generator_without_processors_says_so(&place);
}
