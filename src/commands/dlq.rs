//! `nsys dlq`: dead letters.

use crate::change::carry_out;
use crate::cli::{DeadLetterFlags, DlqCommand, PlanFlags};
use crate::error::Result;
use crate::plan::{ChangePlan, DataStep, Step};
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report, format, rows::show, table::Table};
use crate::stack::Stack;
use crate::stack::account::operator_api;
use nsys_contract::api::{DeadLetter, DeadLetterFilter, DeadLetterQuery};
use serde::Serialize;

#[derive(Serialize, schemars::JsonSchema)]
struct OneDeadLetter(DeadLetter);

impl Report for OneDeadLetter {
    fn text(&self) -> String {
        let letter = &self.0;
        let maybe = |text: Option<String>| text.unwrap_or_else(|| format::MISSING.into());
        let mut lines = vec![
            format!("dead letter {}: {}", letter.id, letter.reason),
            format!("  notification  {}", maybe(letter.notification_id.map(|id| id.to_string()))),
            format!("  user          {}", maybe(letter.user_id.clone())),
            format!("  tenant        {}", maybe(letter.tenant_id.clone())),
            format!("  channel       {}", maybe(letter.channel.map(|channel| channel.to_string()))),
            format!("  attempts      {}", letter.attempts),
            format!("  given up      {}", letter.created_at),
            format!("  sent again    {}", maybe(letter.redriven_at.map(|at| at.to_string()))),
            format!("  error         {}", letter.error),
        ];
        if let Some(message) = &letter.message {
            lines.push(serde_json::to_string_pretty(message).unwrap_or_default());
        }
        lines.join("\n")
    }
}

pub(super) async fn dlq(stack: &Stack, command: DlqCommand, out: Out) -> Result<()> {
    match command {
        DlqCommand::List { which, redriven, limit } => list(stack, &which, redriven, limit, out).await,
        DlqCommand::Show { id } => {
            out.report(&OneDeadLetter(operator_api(stack).await?.dead_letter(id).await?))
        }
        DlqCommand::Redrive { ids, which, rate, flags } => {
            redrive(stack, ids, &which, rate, &flags, out).await
        }
        DlqCommand::Purge { which, flags } => purge(stack, &which, &flags, out).await,
    }
}

fn query(which: &DeadLetterFlags) -> DeadLetterQuery {
    DeadLetterQuery {
        reason: which.reason.clone(),
        channel: which.channel,
        tenant_id: which.tenant.clone(),
        from: which.from,
        to: which.to,
        ..DeadLetterQuery::default()
    }
}

async fn list(stack: &Stack, which: &DeadLetterFlags, redriven: bool, limit: usize, out: Out) -> Result<()> {
    let query = DeadLetterQuery { redriven: redriven.then_some(true), ..query(which) };
    let letters = operator_api(stack).await?.dead_letters(query, limit).await?;
    let mut table =
        Table::new(["id", "given up", "reason", "channel", "user", "attempts", "error"]).right(&[0, 5]);
    for one in &letters {
        table.row([
            one.id.to_string(),
            one.created_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            one.reason.clone(),
            one.channel.map_or_else(|| format::MISSING.into(), |channel| channel.to_string()),
            one.user_id.clone().unwrap_or_else(|| format::MISSING.into()),
            one.attempts.to_string(),
            one.error.clone(),
        ]);
    }
    show(out, &letters, &table, "no dead letter")
}

/// Redriving may deliver what was delivered already; the plan says how many before anything happens.
async fn redrive(
    stack: &Stack,
    ids: Vec<i64>,
    which: &DeadLetterFlags,
    rate: u32,
    flags: &PlanFlags,
    out: Out,
) -> Result<()> {
    let filter = DeadLetterFilter {
        ids,
        reason: which.reason.clone(),
        channel: which.channel,
        tenant_id: which.tenant.clone(),
        from: which.from,
        to: which.to,
    };
    let matched = operator_api(stack).await?.count_redrive(filter.clone()).await?.matched;
    let mut plan = ChangePlan::new("redrive dead letters");
    if matched > 0 {
        plan.steps.push(Step::Data(DataStep::Redrive { filter, matched, rate }));
        let seconds = matched.div_ceil(u64::from(rate));
        plan.notes.push(format!(
            "{matched} at {rate}/s take {}",
            format::duration(std::time::Duration::from_secs(seconds))
        ));
    } else {
        plan.notes.push("no dead letter matches".into());
    }
    carry_out(stack, &plan, flags, None, out).await.map(|_| ())
}

async fn purge(stack: &Stack, which: &DeadLetterFlags, flags: &PlanFlags, out: Out) -> Result<()> {
    let query = query(which);
    let matched = operator_api(stack).await?.count_purge(query.clone()).await?.matched;
    let mut plan = ChangePlan::new("purge dead letters");
    if matched > 0 {
        plan.steps.push(Step::Data(DataStep::Purge { query, matched }));
    } else {
        plan.notes.push("no dead letter matches".into());
    }
    carry_out(stack, &plan, flags, None, out).await.map(|_| ())
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<Vec<DeadLetter>>("dlq list", 1), AnswerSchema::of::<OneDeadLetter>("dlq show", 1)]
}
