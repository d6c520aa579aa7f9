//! The sentence people act on: what it says, and what it must not say.

use super::super::super::bench::second;
use super::super::super::update::{Load, MachineSample, ServiceSample, Stamped, Update};
use super::super::tables;
use super::*;
use crate::domain::lag::PartitionLag;
use crate::domain::lag::tracker::{GroupSample, OwnedLag};
use crate::domain::progress::RunProgress;
use nsys_contract::topics;

fn busy() -> State {
    let mut state = State::default();
    for number in 0..30 {
        second(f64::from(number), 3).into_iter().for_each(|stamped| state.update(stamped));
    }
    state
}

fn update(state: &mut State, at_s: f64, update: Update) {
    state.update(Stamped { at_s, update });
}

fn running(names: &[&str]) -> Vec<PartSample> {
    let part =
        |name: &&str| PartSample { name: (*name).into(), state: "running".into(), ..PartSample::default() };
    names.iter().map(part).collect()
}

fn sample(rate: f64, p95_ms: f64) -> ServiceSample {
    ServiceSample {
        rate: Some(rate),
        window_s: Some(5.0),
        p95_ms: Some(p95_ms),
        errors: Some(0.0),
        ..ServiceSample::default()
    }
}

/// Nobody owns the partitions, and more waits each second.
fn waiting(at_s: f64, owner: Option<&str>, committed: i64, end: i64) -> Update {
    let one = |partition: i32| OwnedLag {
        lag: PartitionLag::new(topics::NOTIFICATIONS, partition, Some(committed), 0, end),
        owner: owner.map(str::to_owned),
        oldest_s: Some(at_s - 20.0),
    };
    let group = topics::WORKER_GROUP.into();
    let members = usize::from(owner.is_some());
    Update::Lag(Ok(vec![GroupSample {
        group,
        state: "Stable".into(),
        members,
        partitions: (0..3).map(one).collect(),
        ..GroupSample::default()
    }]))
}

#[test]
fn a_replica_that_does_not_answer_is_not_green_and_its_restart_is_named() {
    let mut state = busy();
    update(&mut state, 30.0, Update::Stack(Ok(running(&["app-1", "worker-1"]))));
    let silent = ServiceSample { answers: [("worker-1".to_owned(), false)].into(), ..sample(60.0, 5.0) };
    update(&mut state, 30.0, Update::Service(Ok(silent)));
    update(&mut state, 30.0, waiting(30.0, None, 0, 335));
    let said = worst(&state, 30.0);
    assert_eq!(said.text, "worker-1 runs but does not answer; 1,005 messages wait");
    assert_eq!((said.tone, said.hint.as_deref()), (Tone::Bad, Some("nsys restart worker-1")));
    let dots = dots(&state, 30.0);
    assert_eq!(dots.iter().map(|dot| dot.tone).collect::<Vec<_>>(), [Tone::Good, Tone::Bad]);
    state.pane = Pane::Stack;
    let grid = tables::of_pane(&state, 30.0);
    assert_eq!(
        (grid.rows[1].cells[1].text.as_str(), grid.rows[1].cells[1].tone),
        ("no answer", Some(Tone::Bad))
    );
}

#[test]
fn a_part_whose_source_fails_is_not_called_running() {
    let mut state = busy();
    update(&mut state, 30.0, Update::Stack(Ok(running(&["kafka"]))));
    update(&mut state, 30.0, Update::Lag(Err("kafka: no broker".into())));
    state.pane = Pane::Stack;
    let cell = tables::of_pane(&state, 30.0).rows[0].cells[1].clone();
    assert_eq!((cell.text.as_str(), cell.tone), ("no answer", Some(Tone::Bad)));
}

#[test]
fn what_nothing_runs_any_more_is_grey_and_said_in_the_past() {
    let mut state = busy();
    update(&mut state, 30.0, Update::Stack(Ok(running(&["app-1", "kafka"]))));
    update(&mut state, 31.0, Update::Stack(Err("nothing runs; start it with: nsys up".into())));
    assert!(dots(&state, 50.0).iter().all(|dot| dot.tone == Tone::Dim), "{:?}", dots(&state, 50.0));
    for pane in [Pane::Stack, Pane::Lag, Pane::Db, Pane::Cache, Pane::Load, Pane::Overview] {
        state.pane = pane;
        let grid = tables::of_pane(&state, 50.0);
        let facts = tables::facts(&state, 50.0);
        let cells = grid.rows.iter().flat_map(|row| row.cells.iter().chain(row.heading.iter().flatten()));
        let cells: Vec<_> = cells.chain(facts.iter().flatten().map(|(_, cell)| cell)).collect();
        assert!(!cells.is_empty(), "{pane:?}");
        assert!(
            cells
                .iter()
                .all(|cell| cell.tone == Some(Tone::Dim) || cell.tone.is_none() && pane == Pane::Overview),
            "{pane:?}: {cells:?}"
        );
    }
    state.pane = Pane::Stack;
    assert_eq!(tables::of_pane(&state, 50.0).rows[0].cells[1].text, "was running");
}

#[test]
fn a_group_that_does_not_exist_is_no_group_without_lag() {
    let mut state = busy();
    let group = |state: &str, members| GroupSample {
        group: topics::WORKER_GROUP.into(),
        state: state.into(),
        members,
        ..GroupSample::default()
    };
    update(&mut state, 30.0, Update::Service(Ok(sample(25.0, 39.0))));
    update(&mut state, 30.0, Update::Lag(Ok(vec![group("Dead", 0)])));
    let said = worst(&state, 30.0);
    assert_eq!(said.text, "the consumer group notification-workers does not exist");
    assert_eq!((said.tone, said.hint.as_deref()), (Tone::Warn, Some("nsys kafka groups")));
    // One that has read nothing yet has no lag either.
    update(&mut state, 30.5, Update::Lag(Ok(vec![group("Stable", 1)])));
    let said = worst(&state, 30.5);
    assert_eq!((said.text.as_str(), said.tone), ("25/s, p95 39.0 ms; not measured: lag", Tone::Dim));
}

#[test]
fn what_is_not_counted_is_not_called_keeping_up() {
    let mut state = busy();
    let uncounted = ServiceSample { errors: None, ..sample(25.0, 39.0) };
    update(&mut state, 30.0, Update::Service(Ok(uncounted)));
    let said = worst(&state, 30.0);
    assert!(said.text.ends_with("not measured: errors") && said.tone == Tone::Dim, "{said:?}");
    update(&mut state, 30.5, Update::Service(Ok(ServiceSample::default())));
    let said = worst(&state, 30.5);
    assert!(said.text.ends_with("not measured: requests") && said.tone == Tone::Dim, "{said:?}");
    // Our own service has no series of requests before the first one.
    let answers = [("app-1".to_owned(), true)].into();
    update(&mut state, 31.0, Update::Service(Ok(ServiceSample { answers, ..ServiceSample::default() })));
    assert!(worst(&state, 31.0).text.starts_with("keeping up: idle"), "{:?}", worst(&state, 31.0));
}

#[test]
fn a_handful_of_requests_is_no_alarm() {
    let mut state = busy();
    update(&mut state, 30.0, Update::Service(Ok(sample(0.6, 280.0))));
    assert_eq!(worst(&state, 30.0).tone, Tone::Good, "{:?}", worst(&state, 30.0));
    update(&mut state, 31.0, Update::Service(Ok(sample(60.0, 280.0))));
    assert_eq!(worst(&state, 31.0).text, "p95 is 280 ms, the objective is 100 ms");
}

#[test]
fn the_generators_verdict_comes_before_the_services_percentiles() {
    let mut state = busy();
    update(&mut state, 30.0, Update::Service(Ok(sample(104.0, 194.0))));
    let mut progress = RunProgress { run: "incremental-1".into(), ..RunProgress::default() };
    progress.limited = Some("the generator waits 78 % of its time for a processor".into());
    let load = |progress: &RunProgress| {
        Update::Load(Ok(Some(Load {
            run: "incremental-1".into(),
            progress: Some(Box::new(progress.clone())),
            ..Load::default()
        })))
    };
    update(&mut state, 30.0, load(&progress));
    let said = worst(&state, 30.0);
    assert!(said.text.contains("measures the machine, not the service"), "{said:?}");
    assert_eq!(said.pane, Pane::Load);
    // When it has ended it limits nothing any more, and is still there to be read.
    progress.interrupt(31.0);
    update(&mut state, 31.0, load(&progress));
    assert!(worst(&state, 31.0).text.starts_with("p95 is"));
    state.pane = Pane::Load;
    let facts = tables::facts(&state, 40.0);
    assert!(
        facts[0].iter().any(|(name, cell)| *name == "verdict" && cell.text == "interrupted"),
        "{facts:?}"
    );
    assert!(tables::of_pane(&state, 40.0).title.contains("incremental-1, the last run"));
}

#[test]
fn against_lag_the_reversible_comes_first() {
    let growing = |workers: &[&str], machine_pct: f64| {
        let mut state = State::default();
        for number in 0..40_u8 {
            let at_s = f64::from(number);
            update(&mut state, at_s, Update::Stack(Ok(running(workers))));
            let machine = MachineSample { cpu_pct: Some(machine_pct), ..MachineSample::default() };
            update(&mut state, at_s, Update::Machine(Ok(machine)));
            update(&mut state, at_s, Update::Service(Ok(sample(60.0, 5.0))));
            update(&mut state, at_s, Update::Db(Ok(Default::default())));
            update(&mut state, at_s, Update::Cache(Ok(Default::default())));
            let number = i64::from(number);
            update(&mut state, at_s, waiting(at_s, Some("worker-1"), number * 10, number * 60));
        }
        let said = worst(&state, 39.0);
        assert!(said.text.starts_with("lag of notifications grows"), "{said:?}");
        said.hint.unwrap()
    };
    assert_eq!(growing(&["worker-1"], 20.0), "nsys scale worker=2");
    // Beyond one for each partition, or on a full machine, another worker has nothing to do.
    assert_eq!(growing(&["worker-1", "worker-2", "worker-3"], 20.0), "nsys diagnose --live");
    assert_eq!(growing(&["worker-1"], 99.0), "nsys diagnose --live");
}

#[test]
fn nobody_in_the_group_although_workers_run_is_not_fixed_by_scaling() {
    let mut state = busy();
    for number in 30..50 {
        let at_s = f64::from(number);
        let others = second(at_s, 3).into_iter().filter(|one| !matches!(one.update, Update::Lag(_)));
        others.for_each(|stamped| state.update(stamped));
        update(&mut state, at_s, Update::Stack(Ok(running(&["worker-1"]))));
        update(&mut state, at_s, waiting(at_s, None, 5, 340));
    }
    let said = worst(&state, 49.0);
    assert!(said.text.contains("nobody consumes them"), "{said:?}");
    assert_eq!(said.hint.as_deref(), Some("nsys logs worker"));
    update(&mut state, 49.5, Update::Stack(Ok(running(&["app-1"]))));
    assert_eq!(worst(&state, 49.5).hint.as_deref(), Some("nsys scale worker=1"));
}

#[test]
fn retention_that_overtakes_the_workers_is_said_with_the_time_that_is_left() {
    let said = |read_per_s: i64, owner: Option<&str>| {
        let mut state = busy();
        for number in 30..80 {
            let at_s = f64::from(number);
            let others = second(at_s, 3).into_iter().filter(|one| !matches!(one.update, Update::Lag(_)));
            others.for_each(|stamped| state.update(stamped));
            update(&mut state, at_s, Update::Stack(Ok(running(&["worker-1", "worker-2", "worker-3"]))));
            let number = i64::from(number);
            let mut lag = waiting(at_s, owner, number * read_per_s, number * 100);
            let Update::Lag(Ok(groups)) = &mut lag else { panic!("no lag") };
            groups[0].keeps_s = [(topics::NOTIFICATIONS.to_owned(), 70.0)].into();
            update(&mut state, at_s, lag);
        }
        worst(&state, 79.0)
    };
    let (stopped, slow) = (said(0, None), said(10, Some("worker-1")));
    assert!(stopped.text.contains("nobody consumes them; retention deletes them in "), "{stopped:?}");
    assert!(slow.text.starts_with("retention deletes messages of notifications in "), "{slow:?}");
    assert!(slow.text.contains("% of it used), unread") && slow.tone == Tone::Bad, "{slow:?}");
    assert!(!said(95, Some("worker-1")).text.contains("retention"));
}
