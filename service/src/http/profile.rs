//! CPU profiles of this replica, sampled from inside, so that no system profiler is needed.

use super::endpoint::{Endpoint, get};
use super::error::Problem;
use super::extract::Query;
use super::gate::Access;
use crate::http::app::concurrency::RequestClass;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use nsys_contract::api::{ProfileQuery, paths};
use std::time::Duration;
use tokio::sync::Semaphore;

const SVG: &str = "image/svg+xml";
/// Samples per second of CPU time. Not a round number, so that it does not beat with timers.
const FREQUENCY_HZ: i32 = 99;
/// A second profiler would take the first one's signal.
static ONE: Semaphore = Semaphore::const_new(1);

pub(super) fn endpoint() -> Endpoint {
    get(paths::ADMIN_PROFILE, Access::Admin, "A CPU flame graph of this replica")
        .notes(
            "Sampled 99 times a second of CPU time; one profile at a time. Replicas that share a socket are \
            told apart by their metrics listener, where this is served too.",
        )
        .query::<ProfileQuery>()
        .gives_plain(200, "The graph", SVG)
        .fails(&[409])
        .class(RequestClass::Stream)
        .by(profile)
}

async fn profile(Query(wanted): Query<ProfileQuery>) -> Result<impl IntoResponse, Problem> {
    let _turn = ONE.try_acquire().map_err(|_| Problem::conflict("this replica is already being profiled"))?;
    let seconds = wanted.seconds.unwrap_or(30).clamp(1, 600);
    let failed = |cause: &dyn std::fmt::Display| {
        tracing::warn!(%cause, "A profile failed.");
        Problem::internal("the profile failed")
    };
    // Unwinding out of these libraries is not safe in a signal handler.
    let sampler = pprof::ProfilerGuardBuilder::default()
        .frequency(FREQUENCY_HZ)
        .blocklist(&["libc", "libgcc", "pthread", "vdso"])
        .build()
        .map_err(|cause| failed(&cause))?;
    tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
    let drawn = tokio::task::spawn_blocking(move || {
        let report = sampler.report().build().map_err(|cause| cause.to_string())?;
        if report.data.is_empty() {
            return Ok(None);
        }
        let mut graph = Vec::new();
        report.flamegraph(&mut graph).map_err(|cause| cause.to_string())?;
        Ok::<_, String>(Some(graph))
    });
    match drawn.await.map_err(|cause| failed(&cause))?.map_err(|cause| failed(&cause))? {
        Some(graph) => Ok(([(CONTENT_TYPE, SVG)], graph)),
        None => Err(Problem::conflict("nothing ran: no sample was taken")),
    }
}
