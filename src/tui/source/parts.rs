//! The parts: what whoever runs them says, what they use, and what the journal says was changed.

use super::{UpdateSender, ticks};
use crate::domain::usage::{Usage, cpu_pct};
use crate::error::{Error, Result};
use crate::journal::{ChangeOutcome, Journal};
use crate::stack::Stack;
use crate::stack::spec::Record;
use crate::tui::update::{Mark, PartSample, Update};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

/// The last look, by part.
type UsageSamples = HashMap<String, Usage>;

pub(super) async fn run(stack: Arc<Stack>, sender: UpdateSender) {
    let mut samples = UsageSamples::default();
    let mut changed = None;
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        let answer = sender.ask("nsys stats -o json", fetch(&stack, &mut samples)).await;
        if !sender.send(Update::Stack(answer)).await {
            return;
        }
        if let Some(changes) = changes(&stack, &mut changed) {
            sender.send(Update::Changes(changes)).await;
        }
    }
}

async fn fetch(stack: &Stack, samples: &mut UsageSamples) -> Result<Vec<PartSample>> {
    let records = stack.records().await?;
    if records.is_empty() {
        return Err(Error::unreachable("nothing runs; start it with: nsys up"));
    }
    let usage = stack.usage(&records).await;
    samples.retain(|name, _| records.iter().any(|record| record.name == *name));
    Ok(records.into_iter().zip(usage).map(|(record, usage)| part(record, usage, samples)).collect())
}

fn part(record: Record, usage: Option<Usage>, samples: &mut UsageSamples) -> PartSample {
    let before = usage.and_then(|now| samples.insert(record.name.clone(), now));
    let network = usage.and_then(|one| Some(one.network_in_bytes? + one.network_out_bytes?));
    PartSample {
        state: serde_json::to_value(record.state)
            .ok()
            .and_then(|word| word.as_str().map(str::to_owned))
            .unwrap_or_default(),
        name: record.name,
        cpu_pct: before.zip(usage).and_then(|(before, now)| cpu_pct(&before, &now)),
        memory_bytes: usage.map(|one| one.memory_bytes),
        disk_read_bytes: usage.and_then(|one| one.disk_read_bytes),
        disk_write_bytes: usage.and_then(|one| one.disk_write_bytes),
        network_bytes: network,
        restarts: record.restarts,
        started_s: (record.started_s > 0).then_some(record.started_s as f64),
        last_exit: record.last_exit,
    }
}

/// The changes of the stack when the journal was written since the last look.
fn changes(stack: &Stack, seen: &mut Option<SystemTime>) -> Option<Vec<Mark>> {
    let written = std::fs::metadata(stack.layout.path("journal.jsonl")).ok()?.modified().ok()?;
    if *seen == Some(written) {
        return None;
    }
    *seen = Some(written);
    let entries = Journal::of(&stack.layout).entries().ok()?;
    let made = entries.iter().filter(|entry| entry.outcome != ChangeOutcome::Failed);
    let mark = |entry: &crate::journal::Entry| Mark {
        at_s: entry.at.as_millisecond() as f64 / 1_000.0,
        text: format!("{} {}", entry.id, entry.command),
    };
    Some(made.map(mark).collect())
}
