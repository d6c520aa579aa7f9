//! `nsys stats` and `nsys doctor`.

use crate::cli::DoctorArgs;
use crate::clients::process;
use crate::error::{Error, Result};
use crate::render::{Out, Report, Tone, format, style::paint, table::Table};
use crate::stack::{Stack, control, doctor};
use serde::Serialize;
use std::time::{Duration, Instant};

#[derive(Serialize)]
struct Usage {
    name: String,
    /// Per cent of one core over half a second; a rate needs two looks.
    cpu_pct: Option<f64>,
    memory_bytes: Option<u64>,
    disk_read_bytes: Option<u64>,
    disk_write_bytes: Option<u64>,
    /// Linux does not count network by process.
    network_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Stats {
    parts: Vec<Usage>,
}

impl Report for Stats {
    fn text(&self) -> String {
        let header = ["part", "cpu", "memory", "disk read", "disk written", "network"];
        let mut table = Table::new(header).right(&[1, 2, 3, 4, 5]);
        for one in &self.parts {
            table.row([
                one.name.clone(),
                format::or_missing(one.cpu_pct, |pct| format!("{pct:.1} %")),
                format::or_missing(one.memory_bytes, format::bytes),
                format::or_missing(one.disk_read_bytes, format::bytes),
                format::or_missing(one.disk_write_bytes, format::bytes),
                format::or_missing(one.network_bytes, format::bytes),
            ]);
        }
        table.text()
    }
}

pub(super) async fn stats(stack: &Stack, out: Out) -> Result<()> {
    let records = control::list(&stack.layout).await?;
    if records.is_empty() {
        return Err(Error::unreachable("nothing runs").hint("nsys up"));
    }
    let pid = |index: usize| records[index].process.as_ref().map(|one| one.pid);
    let look = || {
        (0..records.len()).map(|index| pid(index).and_then(process::usage_with_children)).collect::<Vec<_>>()
    };
    let (start, before) = (Instant::now(), look());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (passed, after) = (start.elapsed().as_secs_f64(), look());
    let parts = records.iter().enumerate().map(|(index, record)| {
        let disk = pid(index).and_then(process::disk);
        Usage {
            name: record.name.clone(),
            cpu_pct: before[index]
                .zip(after[index])
                .map(|(before, after)| (after.0 - before.0) / passed * 100.0),
            memory_bytes: after[index].map(|one| one.1),
            disk_read_bytes: disk.map(|one| one.0),
            disk_write_bytes: disk.map(|one| one.1),
            network_bytes: None,
        }
    });
    out.report(&Stats { parts: parts.collect() })
}

#[derive(Serialize)]
struct Checks {
    checks: Vec<doctor::Check>,
}

impl Report for Checks {
    fn text(&self) -> String {
        let mut table = Table::new(["id", "check", "result", "detail"]);
        for one in &self.checks {
            let result = if one.ok { paint(Tone::Good, "ok") } else { paint(Tone::Bad, "failed") };
            table.row([one.id.to_owned(), one.name.to_owned(), result, one.detail.clone()]);
        }
        let mend = self.checks.iter().filter(|one| !one.ok);
        let mend: String =
            mend.map(|one| format!("\n{}: {}", one.id, paint(Tone::Command, one.mend))).collect();
        table.text() + &mend
    }
}

pub(super) async fn doctor(stack: &Stack, args: &DoctorArgs, out: Out) -> Result<()> {
    if let Some(id) = &args.explain {
        let known = doctor::EXPLANATIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(id));
        let (id, text) = known
            .ok_or_else(|| Error::usage(format!("there is no check {id}")).hint("nsys doctor lists them"))?;
        return out.line(&format!("{id}: {text}"));
    }
    let checks = doctor::run(stack).await;
    let failed: Vec<_> = checks.iter().filter(|one| !one.ok).map(|one| one.id).collect();
    let result =
        if failed.is_empty() { Ok(()) } else { Err(Error::failed(format!("failed: {}", failed.join(", ")))) };
    out.report(&Checks { checks })?;
    result
}
