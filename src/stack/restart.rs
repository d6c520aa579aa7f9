//! Restarts parts one after the other: each must be ready before the next one goes.

use super::Stack;
use super::ready::wait_ready;
use super::spec::Record;
use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use crate::render::Out;
use crate::render::progress::ProgressView;
use std::time::Duration;
use tokio::time::Instant;

/// The names that a list of parts or roles means, among those that run.
///
/// # Errors
/// When one of them is no part that runs.
pub fn chosen(records: &[Record], asked: &[String]) -> Result<Vec<String>> {
    if records.is_empty() {
        return Err(Error::unreachable("nothing runs").hint("nsys up"));
    }
    let mut names = Vec::new();
    for one in asked {
        let fits = |name: &str| name == one || name.rsplit_once('-').is_some_and(|(role, _)| role == one);
        let found: Vec<_> =
            records.iter().map(|record| &record.name).filter(|name| fits(name)).cloned().collect();
        if found.is_empty() {
            let known = records.iter().map(|record| record.name.as_str());
            return Err(Error::no_such("part", one, known, "nsys ps lists them"));
        }
        names.extend(found);
    }
    Ok(names)
}

/// Restarts these parts; each must be ready before the next one goes.
///
/// # Errors
/// When one does not come back.
pub async fn one_after_the_other(
    permit: &ChangePermit,
    stack: &Stack,
    records: &[Record],
    names: &[String],
    out: Out,
) -> Result<()> {
    let progress = ProgressView::new(out);
    for record in records.iter().filter(|record| names.contains(&record.name)) {
        stack.restart(permit, record).await?;
        wait_ready(stack, &record.name, Instant::now() + Duration::from_secs(60), &progress).await?;
    }
    Ok(())
}

/// Restarts every replica of the service.
///
/// # Errors
/// When nsys does not run the parts, nothing runs, or a replica does not come back.
pub async fn restart_service(permit: &ChangePermit, stack: &Stack, out: Out) -> Result<()> {
    stack.runtime.must_run_parts("restart a part")?;
    let records = stack.records().await?;
    if records.is_empty() {
        return Err(Error::unreachable("nothing runs").hint("nsys up"));
    }
    // One of the roles may have been scaled to none.
    let replicas = records.iter().filter(|record| record.role().is_some());
    let names: Vec<_> = replicas.map(|record| record.name.clone()).collect();
    if names.is_empty() {
        return Err(Error::unreachable("no replica of the service runs").hint("nsys scale app=1 worker=1"));
    }
    one_after_the_other(permit, stack, &records, &names, out).await
}
