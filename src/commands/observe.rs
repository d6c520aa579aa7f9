//! `nsys stats` and `nsys doctor`.

use crate::cli::DoctorArgs;
use crate::domain::usage::cpu_pct;
use crate::error::{Error, Result};
use crate::render::schema::{AnswerSchema, Either};
use crate::render::{Out, Report, Tone, format, style::paint, table::Table};
use crate::stack::{Stack, doctor};
use serde::Serialize;
use std::time::Duration;

#[derive(Serialize, schemars::JsonSchema)]
struct Used {
    name: String,
    /// Per cent of one core over half a second; a rate needs two looks.
    cpu_pct: Option<f64>,
    memory_bytes: Option<u64>,
    disk_read_bytes: Option<u64>,
    disk_write_bytes: Option<u64>,
    network_in_bytes: Option<u64>,
    network_out_bytes: Option<u64>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct StackStats {
    parts: Vec<Used>,
}

impl Report for StackStats {
    fn text(&self) -> String {
        let header = ["part", "cpu", "memory", "disk read", "disk written", "net in", "net out"];
        let mut table = Table::new(header).right(&[1, 2, 3, 4, 5, 6]);
        for one in &self.parts {
            table.row([
                one.name.clone(),
                format::or_missing(one.cpu_pct, |pct| format!("{pct:.1} %")),
                format::or_missing(one.memory_bytes, format::bytes),
                format::or_missing(one.disk_read_bytes, format::bytes),
                format::or_missing(one.disk_write_bytes, format::bytes),
                format::or_missing(one.network_in_bytes, format::bytes),
                format::or_missing(one.network_out_bytes, format::bytes),
            ]);
        }
        table.text()
    }
}

pub(super) async fn stats(stack: &Stack, out: Out) -> Result<()> {
    let records = stack.records().await?;
    if records.is_empty() {
        return Err(Error::unreachable("nothing runs").hint("nsys up"));
    }
    let before = stack.usage(&records).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = stack.usage(&records).await;
    let parts = records.into_iter().zip(before.iter().zip(&after)).map(|(record, (before, after))| Used {
        name: record.name,
        cpu_pct: before.as_ref().zip(after.as_ref()).and_then(|(before, after)| cpu_pct(before, after)),
        memory_bytes: after.map(|one| one.memory_bytes),
        disk_read_bytes: after.and_then(|one| one.disk_read_bytes),
        disk_write_bytes: after.and_then(|one| one.disk_write_bytes),
        network_in_bytes: after.and_then(|one| one.network_in_bytes),
        network_out_bytes: after.and_then(|one| one.network_out_bytes),
    });
    out.report(&StackStats { parts: parts.collect() })
}

#[derive(Serialize, schemars::JsonSchema)]
struct Checks {
    checks: Vec<doctor::DoctorCheck>,
}

impl Report for Checks {
    fn text(&self) -> String {
        let mut table = Table::new(["id", "check", "result", "detail"]);
        for one in &self.checks {
            let result = if one.ok { paint(Tone::Good, "ok") } else { paint(Tone::Bad, "failed") };
            table.row([one.id.to_owned(), one.name.to_owned(), result, one.detail.clone()]);
        }
        let remedy = self.checks.iter().filter(|one| !one.ok);
        let remedy: String =
            remedy.map(|one| format!("\n{}: {}", one.id, paint(Tone::Command, one.remedy))).collect();
        table.text() + &remedy
    }
}

/// What a check looks at and why.
#[derive(Serialize, schemars::JsonSchema)]
struct Explanation {
    id: &'static str,
    explanation: &'static str,
}

impl Report for Explanation {
    fn text(&self) -> String {
        format!("{}: {}", self.id, self.explanation)
    }
}

pub(super) async fn doctor(stack: &Stack, args: &DoctorArgs, out: Out) -> Result<()> {
    if let Some(id) = &args.explain {
        let known = doctor::EXPLANATIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(id));
        let (id, text) = known.ok_or_else(|| {
            let known = doctor::EXPLANATIONS.iter().map(|(id, _)| *id);
            Error::no_such("check", id, known, "nsys doctor lists them")
        })?;
        return out.report(&Explanation { id, explanation: text });
    }
    let checks = doctor::run(stack).await;
    let failed: Vec<_> = checks.iter().filter(|one| !one.ok).map(|one| one.id).collect();
    let result =
        if failed.is_empty() { Ok(()) } else { Err(Error::failed(format!("failed: {}", failed.join(", ")))) };
    out.report(&Checks { checks })?;
    result
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![
        AnswerSchema::of::<StackStats>("stats", 1),
        AnswerSchema::of::<Either<Checks, Explanation>>("doctor", 1),
    ]
}
