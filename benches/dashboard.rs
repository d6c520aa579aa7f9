//! What the dashboard costs: taking one second of answers, and drawing one frame.
#![allow(missing_docs, reason = "criterion's macros make public items without documentation")]

use criterion::{Criterion, criterion_group, criterion_main};
use nsys::tui::bench::{Canvas, second};
use nsys::tui::state::{Pane, Setup, State};
use std::hint::black_box;

const PARTITIONS: i32 = 100;
const START_S: f64 = 1_767_323_000.0;

/// A state that has watched a busy stack for ten minutes.
fn watched() -> (State, f64) {
    let mut state = State::new(Setup { stack: "bench".into(), ..Setup::default() });
    let mut now_s = START_S;
    for _ in 0..600 {
        second(now_s, PARTITIONS).into_iter().for_each(|stamped| state.update(stamped));
        now_s += 1.0;
    }
    (state, now_s - 1.0)
}

fn update(criterion: &mut Criterion) {
    let (mut state, mut now_s) = watched();
    criterion.bench_function("update: one second of answers, 100 partitions", |bencher| {
        bencher.iter_batched(
            || {
                now_s += 1.0;
                second(now_s, PARTITIONS)
            },
            |updates| updates.into_iter().for_each(|stamped| state.update(stamped)),
            criterion::BatchSize::SmallInput,
        );
    });
}

fn draw(criterion: &mut Criterion) {
    let (mut state, now_s) = watched();
    let mut canvas = Canvas::new(200, 50);
    for pane in Pane::ALL {
        state.pane = pane;
        criterion.bench_function(&format!("draw: {} at 200x50", pane.name()), |bencher| {
            bencher.iter(|| canvas.draw(black_box(&state), now_s));
        });
    }
}

criterion_group!(benches, update, draw);
criterion_main!(benches);
