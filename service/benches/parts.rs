//! What the pure parts of the service cost: checking a request, its token, ids, cursors, a batch.
#![allow(missing_docs, reason = "criterion's macros make public items without documentation")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use notification_service::bench::{Tokens, batch, cursor, id, message};
use std::hint::black_box;

/// As the load script sends it.
const EMAIL: &str = r#"{"userId": "user-4711", "tenantId": "tenant-42", "channel": "EMAIL", "type": "TRANSACTIONAL",
    "priority": "HIGH", "payload": {"to": "user-4711@example.com", "subject": "Order shipped",
    "body": "Your order has left our warehouse and will be with you on Thursday."}, "correlationId": "act-1"}"#;
/// Items of a batch.
const ITEMS: usize = 1_000;

fn with_key() -> String {
    EMAIL.replacen('{', r#"{"idempotencyKey": "key-1767323000000-abcdefghij", "#, 1)
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    let keyed = with_key();
    assert!(message(EMAIL.as_bytes()).is_some() && message(keyed.as_bytes()).is_some());
    group.bench_function("checked, message written", |bencher| {
        bencher.iter(|| message(black_box(EMAIL.as_bytes())));
    });
    group.bench_function("the same with an idempotency key", |bencher| {
        bencher.iter(|| message(black_box(keyed.as_bytes())));
    });
    let wrong = EMAIL.replacen("EMAIL", "PIGEON", 1);
    assert!(message(wrong.as_bytes()).is_none());
    group.bench_function("refused, the wrong field found", |bencher| {
        bencher.iter(|| message(black_box(wrong.as_bytes())));
    });
    group.finish();
}

fn batches(criterion: &mut Criterion) {
    let text = format!(r#"{{"notifications": [{}]}}"#, vec![EMAIL; ITEMS].join(","));
    assert!(batch(text.as_bytes()).is_some());
    let mut group = criterion.benchmark_group("batch");
    group.throughput(Throughput::Elements(ITEMS as u64)).sample_size(20);
    group.bench_function("1,000 read, checked, written, answered", |bencher| {
        bencher.iter(|| batch(black_box(text.as_bytes())));
    });
    group.finish();
}

fn small(criterion: &mut Criterion) {
    let tokens = Tokens::new().expect("a key");
    assert!(tokens.verify());
    criterion.bench_function("token: signature and claims", |bencher| bencher.iter(|| tokens.verify()));
    criterion.bench_function("id derived from tenant and key", |bencher| {
        bencher.iter(|| id(black_box("tenant-42"), black_box("key-1767323000000-abcdefghij")));
    });
    let place = "1767323000000000 019b8f5e-7c00-7000-8000-000000000000";
    assert_eq!(cursor(place).as_deref(), Some(place));
    criterion.bench_function("cursor: written and read", |bencher| {
        bencher.iter(|| cursor(black_box(place)));
    });
}

criterion_group! {
    name = parts;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = requests, batches, small
}
criterion_main!(parts);
