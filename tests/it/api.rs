//! The service's API on a real stack: what every caller may do, and what none may.

mod access;
mod audit;
mod client;
mod errors;
mod fuzz;
mod identity;
mod keys;
mod lists;
mod promql;
mod replays;
mod sending;
mod streams;
mod traces;

use crate::support::{Place, text};
use client::Api;
use traces::Collector;

#[test]
fn notifications_are_sent_followed_and_changed_on_a_real_stack() {
    on_a_stack(async |api, _| {
        errors::every_mistake_is_told_as_a_problem(api).await;
        sending::one_notification_is_sent_followed_and_changed(api).await;
        sending::a_batch_answers_for_each(api).await;
        sending::templates_are_filled_and_bounded(api).await;
        sending::nobody_sends_in_anothers_name(api).await;
        sending::dead_letters_are_looked_at_and_sent_again(api).await;
        replays::a_key_stands_for_one_request_whatever_redis_knows(api).await;
        fuzz::no_request_is_answered_in_a_way_the_document_does_not_know(api).await;
    });
}

#[test]
fn callers_streams_traces_and_metrics_hold_on_a_real_stack() {
    on_a_stack(async |api, collector| {
        sending::dead_letters_are_looked_at_and_sent_again(api).await;
        streams::lines_go_in_and_results_come_out(api).await;
        streams::an_export_is_whole_in_both_forms(api).await;
        streams::events_are_resumed_without_a_gap(api).await;
        streams::an_event_of_a_slow_transaction_is_not_left_out(api).await;
        audit::every_act_is_recorded_where_it_was_done(api).await;
        access::no_route_is_open_to_whom_it_is_not_for(api).await;
        access::no_tenant_reaches_another_by_any_route(api).await;
        keys::an_api_key_works_until_it_is_revoked(api).await;
        identity::an_account_that_is_disabled_takes_its_keys_and_streams_along(api).await;
        keys::callers_are_held_to_their_rate(api).await;
        keys::a_read_costs_one_statement_once(api).await;
        keys::accepting_asks_the_database_for_keys_only(api).await;
        traces::a_trace_goes_through_http_the_log_and_the_worker(api, collector).await;
        promql::every_line_of_the_guide_gives_a_sane_value(api).await;
        lists::a_page_costs_the_same_whatever_others_have_stored(api).await;
        lists::lists_that_take_long_hold_up_nobody(api).await;
        // Last: it signs everybody out.
        keys::signing_keys_are_rotated_with_overlap_and_revoked_at_once(api).await;
    });
}

/// Runs facts on a stack of their own, whose deliveries really fail now and then.
fn on_a_stack(facts: impl AsyncFnOnce(&Api, &Collector)) {
    let place = Place::new();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let collector = Collector::default();
    let otlp = runtime.block_on(collector.start());
    let mut up = place.command(&["up"]);
    up.env("NSYS_TELEMETRY__OTLP_URL", otlp).env("NSYS_TELEMETRY__TRACE_SAMPLE", "0");
    // Deliveries that really fail, for good at once: the metrics of failures have to move.
    up.env("NSYS_CHANNELS__SIMULATED_FAILURE_RATE", "0.3").env("NSYS_WORKER__MAX_ATTEMPTS", "1");
    let output = up.output().expect("nsys starts");
    assert!(output.status.success(), "{}", text(&output));
    runtime.block_on(async {
        let api = Api::sign_in(&place).await;
        facts(&api, &collector).await;
    });
}
