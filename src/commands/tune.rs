//! `nsys tune`: carries out what [`crate::tune`] plans, and shows what is tuned.

mod experiment;

use crate::change::carry_out;
use crate::cli::TuneCommand;
use crate::config::overlay;
use crate::error::Result;
use crate::render::schema::AnswerSchema;
use crate::render::{Out, OutputFormat};
use crate::stack::Stack;
use crate::tune::planned;
use toml::{Table, Value};

pub(super) async fn tune(stack: &Stack, command: TuneCommand, out: Out) -> Result<()> {
    if let TuneCommand::Experiment(args) = &command {
        return Box::pin(experiment::run(stack, args, out)).await;
    }
    let Some(flags) = command.flags() else { return export(stack, out) };
    let plan = planned(stack, &command).await?;
    carry_out(stack, &plan, flags, None, out).await.map(|_| ())
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    type Overlay = std::collections::BTreeMap<String, std::collections::BTreeMap<String, serde_json::Value>>;
    let mut all = experiment::schemas();
    all.push(AnswerSchema::of::<Overlay>("tune export", 1));
    all
}

/// The tuned overlay, secrets left out.
fn export(stack: &Stack, out: Out) -> Result<()> {
    let tuned = overlay::all(&stack.loaded.overlay)?;
    if tuned.is_empty() && out.format() == OutputFormat::Text {
        out.say("nothing is tuned");
        return Ok(());
    }
    let mut table = Table::new();
    for (full, value) in &tuned {
        if value.is_masked() {
            out.say(format!("{full} is a secret; show it with: nsys config show --reveal {full}"));
        }
        let (section, key) = full.split_once('.').unwrap_or(("", full));
        let values = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Some(values) = values.as_table_mut() {
            values.insert(key.to_owned(), value.shown());
        }
    }
    if out.format() == OutputFormat::Json {
        return out.json(&table);
    }
    out.line(table.to_string().trim_end())
}
