//! `nsys diagnose`: what gave way first, in a run or on the running stack.

use crate::cli::DiagnoseArgs;
use crate::domain::diagnosis::{self, Diagnosis, Evidence, FindingRole, Rule, RuleFinding, RuleStatus};
use crate::domain::remedy::{self, Remedy};
use crate::domain::usl;
use crate::error::{Error, Result};
use crate::loadtest::runs::Runs;
use crate::render::progress::ProgressView;
use crate::render::schema::{AnswerSchema, Either};
use crate::render::{Out, Report, Tone, format, style::paint};
use crate::stack::Stack;
use serde::Serialize;

pub(super) async fn diagnose(stack: &Stack, args: &DiagnoseArgs, out: Out) -> Result<()> {
    if let Some(wanted) = &args.explain {
        return explain(stack, wanted, out).await;
    }
    if args.live {
        let line = ProgressView::new(out).line("looking");
        let found = crate::diagnose::observe(stack, args.seconds, |left| {
            line.update(&format!("{} left", format::duration(left)));
        });
        let observation = found.await?;
        line.finish("done");
        let now = crate::diagnose::current_settings(stack).await?;
        return out.report(&diagnosis::diagnose_live(observation, &stack.loaded.config.bounds(), &now));
    }
    out.report(&crate::diagnose::of_run(stack, &Runs::of(stack).named(&args.run, out)?.run))
}

#[derive(Serialize, schemars::JsonSchema)]
struct Explained {
    rule: &'static str,
    role: FindingRole,
    weight: f64,
    cause: &'static str,
    explanation: &'static str,
    conditions: Vec<String>,
    explains: &'static [&'static str],
    remedies: Vec<Remedy>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[serde(transparent)]
struct Explanations(Vec<Explained>);

impl Report for Explanations {
    fn text(&self) -> String {
        let one = |one: &Explained| {
            let mut lines = vec![
                format!("{}: {}", paint(Tone::Strong, one.rule), one.cause),
                format!("  {}", one.explanation),
                format!("  fails when {}", one.conditions.join(" and ")),
            ];
            if !one.explains.is_empty() {
                lines.push(format!("  explains {}", one.explains.join(", ")));
            }
            lines.push(format!("  remedy: {}", shown(&one.remedies)));
            lines.join("\n")
        };
        self.0.iter().map(one).collect::<Vec<_>>().join("\n\n")
    }
}

async fn explain(stack: &Stack, wanted: &str, out: Out) -> Result<()> {
    let rules: Vec<_> = diagnosis::rules().filter(|rule| wanted == "list" || rule.id == wanted).collect();
    if rules.is_empty() {
        let known = diagnosis::rules().map(|rule| rule.id);
        return Err(Error::no_such("rule", wanted, known, "nsys diagnose --explain list shows them all"));
    }
    let bounds = stack.loaded.config.bounds();
    // A rule can be explained where nothing runs: its remedies then name no numbers.
    let now = crate::diagnose::current_settings(stack).await.unwrap_or_default();
    let condition = |input: &str, bound: &str, at_least: bool| {
        let relation = if at_least { "below" } else { "above" };
        let section = if toml_has(stack, bound) { "diagnose" } else { "objectives" };
        format!("{input} is {relation} {} ({section}.{bound})", number(bounds.of(bound)))
    };
    let explained = |rule: &&Rule| Explained {
        rule: rule.id,
        role: rule.role,
        weight: rule.weight,
        cause: rule.cause,
        explanation: rule.explanation,
        conditions: std::iter::once(condition(rule.input, rule.bound, rule.at_least))
            .chain(rule.guards.iter().map(|one| condition(one.input, one.bound, one.at_least)))
            .collect(),
        explains: rule.explains,
        remedies: (rule.remedies)(&now),
    };
    out.report(&Explanations(rules.iter().map(explained).collect()))
}

/// Whether a bound is a key of `[diagnose]`.
fn toml_has(stack: &Stack, bound: &str) -> bool {
    stack.loaded.settings.contains_key(&format!("diagnose.{bound}"))
}

/// As many digits as matter.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => format::count(value.round() as u64),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

impl Report for Diagnosis {
    fn text(&self) -> String {
        let mut lines = vec![format!("{}: {}", self.run, self.summary)];
        for (rank, cause) in self.causes().enumerate() {
            lines.push(String::new());
            lines.extend(cause_lines(self, rank + 1, cause));
        }
        lines.push(String::new());
        if let usl::FitOutcome::Fitted(fit) = &self.scalability {
            lines.push(format!("scalability: {}", fit.sentence()));
        } else if let usl::FitOutcome::Missing { reason } = &self.scalability {
            lines.push(paint(Tone::Dim, &format!("scalability: not fitted, {reason}")));
        }
        let names = |status: RuleStatus| {
            let all = self.findings.iter().filter(|one| one.status == status).map(|one| one.rule);
            all.collect::<Vec<_>>().join(", ")
        };
        let (near, unknown, passed) =
            (names(RuleStatus::Warn), names(RuleStatus::Unknown), names(RuleStatus::Pass));
        if !near.is_empty() {
            lines.push(paint(Tone::Warn, &format!("near their bounds: {near}")));
        }
        if !unknown.is_empty() {
            lines.push(paint(Tone::Warn, &format!("not measured: {unknown}")));
        }
        if !passed.is_empty() {
            lines.push(paint(Tone::Dim, &format!("within bounds: {passed}")));
        }
        lines.join("\n")
    }
}

fn cause_lines(found: &Diagnosis, rank: usize, cause: &RuleFinding) -> Vec<String> {
    let since = cause.onset.map_or_else(String::new, |onset| format!(" from {},", onset.sentence()));
    let tone = if cause.role == FindingRole::Measurement { Tone::Warn } else { Tone::Bad };
    let mut lines = vec![format!(
        "{rank}. {} [{}],{since} evidence {}",
        paint(tone, &cause.cause_in_full()),
        cause.rule,
        cause.strength.as_str()
    )];
    lines.extend(evidence_lines(&cause.evidence));
    let symptoms: Vec<_> = found.symptoms_of(cause).map(|one| one.rule).collect();
    if !symptoms.is_empty() {
        lines.push(format!("   explains: {}", symptoms.join(", ")));
    }
    lines.push(format!("   remedy: {}", shown(&cause.remedies)));
    lines
}

fn shown(remedies: &[Remedy]) -> String {
    remedy::line(remedies, |command| paint(Tone::Command, command))
}

/// The worst value of each metric, and on how many levels it was beyond its bound.
fn evidence_lines(evidence: &[Evidence]) -> Vec<String> {
    let mut metrics: Vec<_> = evidence.iter().map(|one| one.metric).collect();
    metrics.dedup();
    let mut seen = Vec::new();
    metrics.retain(|metric| {
        let new = !seen.contains(metric);
        seen.push(*metric);
        new
    });
    let line = |metric: &str| {
        let all: Vec<_> = evidence.iter().filter(|one| one.metric == metric).collect();
        let worst = all
            .iter()
            .max_by(|one, two| (one.value - one.bound).abs().total_cmp(&(two.value - two.bound).abs()))?;
        let levels: Vec<_> = all.iter().map(|one| one.level.to_string()).collect();
        Some(format!(
            "   {metric} = {} on level {}, bound {} (beyond on level {}; {}: {})",
            number(worst.value),
            worst.level,
            number(worst.bound),
            levels.join(", "),
            worst.source,
            worst.query
        ))
    };
    metrics.iter().filter_map(|metric| line(metric)).collect()
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<Either<Diagnosis, Explanations>>("diagnose", 1)]
}
