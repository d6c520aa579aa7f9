//! The way of every change: show, stop at `--dry-run`, lock, confirm, check, apply, prove, tell.

mod proof;
pub mod schema;

use crate::apply::{self, ChangeLock};
use crate::cli::PlanFlags;
use crate::error::Result;
use crate::journal::{Entry, Journal};
use crate::permit::{ChangePermit, PermitRequest, Reach, RequiredConsent};
use crate::plan::{ChangePlan, DataStep, DbStep, Step, Undo, undo::plan_undo};
use crate::render::schema::{AnswerSchema, Either};
use crate::render::{Out, OutputFormat, Report, Tone, format, progress::ProgressView, style::paint};
use crate::stack::{Stack, safety};
use proof::Proof;
use serde::Serialize;
use serde_json::json;

#[derive(Serialize, schemars::JsonSchema)]
struct PlanView<'a> {
    title: &'a str,
    steps: Vec<serde_json::Value>,
    notes: &'a [String],
    warnings: &'a [String],
    irreversible: Option<String>,
}

impl<'a> PlanView<'a> {
    fn new(plan: &'a ChangePlan, history: &[Entry]) -> Self {
        let step = |step: &Step| {
            let undo = match step.undo() {
                Undo::By(back) => back.what(),
                Undo::NotNeeded => "nothing to take back".into(),
                Undo::Impossible(why) => format!("impossible: {why}"),
            };
            let last_ms = crate::journal::last_took_ms(history, step);
            json!({"what": step.what(), "exact": step.exact(), "risk": step.risk(), "cost": step.cost(),
                "last_took_ms": last_ms, "undo": undo, "step": step})
        };
        let (notes, warnings) = (&plan.notes, &plan.warnings);
        let irreversible = plan.irreversible();
        Self {
            title: &plan.title,
            steps: plan.steps.iter().map(step).collect(),
            notes,
            warnings,
            irreversible,
        }
    }
}

impl Report for PlanView<'_> {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        if self.steps.is_empty() {
            lines.push("nothing to do".to_owned());
        } else {
            lines.push(format!("plan: {}", self.title));
        }
        for (number, step) in self.steps.iter().enumerate() {
            let field = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
            lines.push(format!("{:>3}. {}", number + 1, field("what")));
            lines.push(paint(Tone::Dim, &format!("     {}", field("exact"))));
            let last = step["last_took_ms"].as_f64();
            let last =
                last.map(|ms| format!(" (the previous one took {})", format::millis(ms))).unwrap_or_default();
            let detail =
                format!("     risk {}; {}{last}; undo: {}", field("risk"), field("cost"), field("undo"));
            lines.push(paint(Tone::Dim, &detail));
        }
        lines.extend(self.notes.iter().map(|note| format!("  - {note}")));
        lines.extend(self.warnings.iter().map(|text| paint(Tone::Warn, &format!("  ! {text}"))));
        if let Some(why) = &self.irreversible {
            lines.push(paint(Tone::Warn, &format!("  ! this cannot be undone: {why}")));
        }
        lines.join("\n")
    }
}

/// What a change did, with its proof where there is one.
#[derive(Serialize, schemars::JsonSchema)]
struct ChangeResult<'a> {
    entry: &'a Entry,
    proof: &'a [Proof],
}

impl Report for ChangeResult<'_> {
    fn text(&self) -> String {
        let took: f64 = self.entry.steps.iter().map(|done| done.took_ms).sum();
        let text = format!("{} done in {}: {}", self.entry.id, format::millis(took), self.entry.title);
        if self.proof.is_empty() { text } else { format!("{}\n{text}", proof::table(self.proof).text()) }
    }
}

/// The shape of what every change answers: its plan, and what it did.
#[must_use]
pub fn schemas() -> Vec<AnswerSchema> {
    const CHANGES: [&str; 16] = [
        "cache flush",
        "db migrate",
        "db reset",
        "db seed",
        "dlq purge",
        "dlq redrive",
        "flush",
        "tune cache",
        "tune db",
        "tune kafka",
        "tune plan",
        "tune service",
        "undo",
        "user add",
        "user bootstrap",
        "user role",
    ];
    CHANGES.iter().map(|name| AnswerSchema::of::<Either<PlanView<'_>, ChangeResult<'_>>>(name, 1)).collect()
}

/// Carries a plan out as the flags say and tells what was done. `None` when there was nothing to do
/// or it was a dry run.
///
/// # Errors
/// When it is refused, not confirmed, or a step fails.
pub async fn carry_out(
    stack: &Stack,
    plan: &ChangePlan,
    flags: &PlanFlags,
    undoes: Option<&Entry>,
    out: Out,
) -> Result<Option<Entry>> {
    let history = Journal::of(&stack.layout).entries()?;
    let shown = PlanView::new(plan, &history);
    if plan.is_empty() || flags.change.dry_run {
        out.report(&shown)?;
        return Ok(None);
    }
    if out.format() == OutputFormat::Text {
        out.line(&shown.text())?;
    }
    let lock = ChangeLock::take(stack)?;
    let permit = agree(stack, plan, flags, out).await?;
    apply::check(stack, plan).await?;
    let before = proof::explain_all(stack, &plan.reads).await?;
    let entry = apply::apply((&lock, &permit), stack, plan, undoes, &ProgressView::new(out)).await?;
    let after = proof::explain_all(stack, &plan.reads).await?;
    out.report(&ChangeResult { entry: &entry, proof: &proof::pair(&plan.reads, before, after) })?;
    if plan_undo(&entry.id, &entry.made()).is_ok_and(|plan| !plan.is_empty()) {
        out.say(paint(Tone::Dim, &format!("undo with: nsys undo {}", entry.id)));
    }
    Ok(Some(entry))
}

/// Makes a plan that is confirmed already, without a word on standard output.
///
/// # Errors
/// When it is refused, or a step fails.
pub async fn make(
    permit: &ChangePermit,
    stack: &Stack,
    plan: &ChangePlan,
    undoes: Option<&Entry>,
    out: Out,
) -> Result<Entry> {
    let lock = ChangeLock::take(stack)?;
    apply::check(stack, plan).await?;
    apply::apply((&lock, permit), stack, plan, undoes, &ProgressView::new(out)).await
}

/// The permit for a plan, when it is agreed to.
///
/// # Errors
/// When it is not, or there is nobody to ask; and as [`safety::permit`].
pub async fn agree(stack: &Stack, plan: &ChangePlan, flags: &PlanFlags, out: Out) -> Result<ChangePermit> {
    let agreement =
        if plan.irreversible().is_some() { RequiredConsent::ForGood } else { RequiredConsent::Confirmed };
    let change = PermitRequest { what: "the plan", reach: reach(plan), agreement };
    safety::permit(stack, change, flags.consent(), out).await
}

/// What a plan changes, the step that reaches farthest.
fn reach(plan: &ChangePlan) -> Reach {
    let of = |step: &Step| match step {
        Step::Db(DbStep::Reset { .. }) => Reach::Reset,
        Step::Db(DbStep::Migrate { .. }) => Reach::Schema,
        Step::Db(DbStep::Seed { .. } | DbStep::Unseed { .. })
        | Step::Kafka(_)
        | Step::Cache(_)
        | Step::Data(DataStep::Bootstrap { .. }) => Reach::Data,
        Step::Db(
            DbStep::BuildIndex { .. }
            | DbStep::DropIndex { .. }
            | DbStep::DropInvalid { .. }
            | DbStep::Analyze { .. },
        ) => Reach::Index,
        Step::Data(_) => Reach::Api,
        Step::Config(_) | Step::Service(_) => Reach::Parts,
    };
    let far = [Reach::Reset, Reach::Schema, Reach::Data, Reach::Api, Reach::Index];
    far.into_iter().find(|far| plan.steps.iter().any(|step| of(step) == *far)).unwrap_or(Reach::Parts)
}
