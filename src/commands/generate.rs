//! `nsys generate`: the native engine's process. One line of JSON a second, and a summary at its end.

use crate::cli::GenerateArgs;
use crate::clients::process;
use crate::error::{Context, Error, Result};
use crate::generate;
use crate::loadtest::engine;
use crate::render::Out;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

pub(super) async fn generate(args: &GenerateArgs, out: Out) -> Result<()> {
    // Each virtual user is a connection.
    process::raise_file_limit(u64::MAX);
    let stop = Arc::new(AtomicBool::new(false));
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let asked = Arc::clone(&stop);
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        asked.store(true, Ordering::Relaxed);
    });
    if let Some(plan) = engine::plan_of(&args.plan) {
        return engine::drive(plan, stopped(stop)).await;
    }
    let plan = args.plan.clone();
    let work = tokio::task::spawn_blocking(move || {
        generate::run(&plan, stop, |tick| {
            // Whoever reads may be gone; the summary is written all the same.
            let _ = serde_json::to_string(tick).map(|line| out.line(&line));
        })
    });
    work.await.map_err(|cause| Error::failed(format!("the generator ended abnormally: {cause}")))?
}

/// Resolves once it shall stop.
async fn stopped(stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
