//! `nsys compare` and `nsys diagnose`.

use crate::cli::{CompareArgs, DiagnoseArgs, OutputFormat};
use crate::domain::compare::{self, Change, Comparison, Metric};
use crate::domain::diagnosis::{Bounds, Diagnosis, RULES, Status, diagnose as judge};
use crate::domain::run::Run;
use crate::error::{Error, Kind, Result};
use crate::journal::{Journal, Outcome};
use crate::loadtest::store;
use crate::render::{Out, Report, Tone, format, style::paint, table::Table};
use crate::stack::Stack;

fn table(found: &Comparison, painted: bool) -> Table {
    let mut table =
        Table::new(["level", "metric", "before", "after", "change", "95 % interval", "p", "verdict"])
            .right(&[2, 3, 4, 5, 6]);
    for level in &found.levels {
        let load = level
            .target_rps
            .map_or_else(|| level.level.to_string(), |rate| format!("{} ({rate}/s)", level.level));
        for one in &level.metrics {
            table.row([
                load.clone(),
                one.name.to_owned(),
                format::or_missing(one.before, |value| format!("{value:.1}")),
                format::or_missing(one.after, |value| format!("{value:.1}")),
                format::or_missing(one.change, signed),
                format::or_missing(one.interval, |(low, high)| {
                    format!("{} to {}", signed(low), signed(high))
                }),
                format::or_missing(one.p, |p| if p < 0.001 { "<0.001".into() } else { format!("{p:.3}") }),
                verdict(one, painted),
            ]);
        }
    }
    table
}

fn signed(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

fn verdict(metric: &Metric, painted: bool) -> String {
    let text = match metric.reason {
        Some(why) => format!("{}: {why}", metric.verdict.as_str()),
        None => metric.verdict.as_str().to_owned(),
    };
    match metric.verdict {
        Change::Improved if painted => paint(Tone::Good, &text),
        Change::Regressed if painted => paint(Tone::Bad, &text),
        _ => text,
    }
}

fn head(found: &Comparison) -> Vec<String> {
    let mut lines = vec![format!("{} -> {}", found.before, found.after)];
    lines.extend(found.changes.iter().map(|change| format!("changed: {change}")));
    lines.extend(found.differences.iter().map(|difference| format!("differs: {difference}")));
    lines
}

impl Report for Comparison {
    fn text(&self) -> String {
        let count = |wanted: Change| {
            self.levels.iter().flat_map(|level| &level.metrics).filter(|one| one.verdict == wanted).count()
        };
        format!(
            "{}\n\n{}\n\n{} improved, {} regressed, {} unchanged, {} inconclusive\n\
             Values are those of the levels; change, interval and p are of the service's per-second series (Welch on\n\
             logarithms, effective sample size, Holm over all rows).",
            head(self).join("\n"),
            table(self, true).text(),
            count(Change::Improved),
            count(Change::Regressed),
            count(Change::Unchanged),
            count(Change::Inconclusive),
        )
    }
}

pub(super) fn compare(stack: &Stack, args: &CompareArgs, out: Out) -> Result<()> {
    let results = stack.loaded.results_dir();
    let load = |name: &str| store::load(&store::find(&results, name)?);
    let (before, after) = (load(&args.before)?, load(&args.after)?);
    let obstacles = compare::obstacles(&before, &after);
    if !obstacles.is_empty() {
        return Err(Error::refused(format!(
            "{} and {} cannot be compared:\n  {}",
            before.id,
            after.id,
            obstacles.join("\n  ")
        ))
        .hint("run the same load test again: nsys loadtest show RUN tells what it was"));
    }
    let found = compare::compare(&before, &after, changes_between(stack, &before, &after)?);
    if args.markdown && out.format() == OutputFormat::Text {
        let lines: String = head(&found).iter().map(|line| format!("- {line}\n")).collect();
        out.line(&format!("{lines}\n{}", table(&found, false).markdown()))?;
    } else {
        out.report(&found)?;
    }
    if args.fail_on_regression && found.regressed() {
        return Err(Error::new(Kind::Regression, "a metric became worse"));
    }
    Ok(())
}

/// What the journal says was changed after the first run began and before the second did.
fn changes_between(stack: &Stack, before: &Run, after: &Run) -> Result<Vec<String>> {
    let times = [&before.started_at, &after.started_at].map(|at| at.parse::<jiff::Timestamp>().ok());
    let [Some(from), Some(to)] = times else { return Ok(Vec::new()) };
    let entries = Journal::of(&stack.layout).entries()?;
    let between = entries.iter().filter(|one| one.at > from && one.at < to && one.outcome != Outcome::Undone);
    Ok(between.map(|one| format!("{} {} (nsys {})", one.id, one.title, one.command)).collect())
}

/// What the journal says was applied before the run began and not taken back.
pub(super) fn changes_before(stack: &Stack, run: &Run) -> Result<Vec<String>> {
    let Ok(start) = run.started_at.parse::<jiff::Timestamp>() else { return Ok(Vec::new()) };
    let entries = Journal::of(&stack.layout).entries()?;
    let before = entries.iter().filter(|one| one.at < start && one.outcome == Outcome::Applied);
    Ok(before.map(|one| format!("{} {} (nsys {})", one.id, one.title, one.command)).collect())
}

impl Report for Diagnosis {
    fn text(&self) -> String {
        let mut lines = vec![format!("{}: {}", self.run, self.summary), String::new()];
        let failed = || self.findings.iter().filter(|one| one.status == Status::Fail);
        for (rank, one) in failed().enumerate() {
            lines.push(format!(
                "{}. {} [{}], confidence {:.0} %",
                rank + 1,
                paint(Tone::Bad, one.cause),
                one.rule,
                one.confidence * 100.0
            ));
            for evidence in &one.evidence {
                lines.push(format!(
                    "   level {}: {} = {:.2}, bound {:.2} ({})",
                    evidence.level, evidence.metric, evidence.value, evidence.bound, evidence.source
                ));
            }
            lines.push(format!("   mend: {}", paint(Tone::Command, one.mend)));
        }
        let names = |status: Status| {
            let all = self.findings.iter().filter(|one| one.status == status).map(|one| one.rule);
            all.collect::<Vec<_>>().join(", ")
        };
        let (unknown, passed) = (names(Status::Unknown), names(Status::Pass));
        if !unknown.is_empty() {
            lines.push(paint(Tone::Warn, &format!("not measured: {unknown}")));
        }
        if !passed.is_empty() {
            lines.push(format!("within bounds: {passed}"));
        }
        lines.join("\n")
    }
}

pub(super) fn diagnose(stack: &Stack, args: &DiagnoseArgs, out: Out) -> Result<()> {
    if let Some(wanted) = &args.explain {
        let rules: Vec<_> = RULES.iter().filter(|rule| wanted == "list" || rule.id == wanted).collect();
        if rules.is_empty() {
            let known: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
            return Err(Error::usage(format!("there is no rule {wanted}")).hint(known.join(", ")));
        }
        let explain = |rule: &&crate::domain::diagnosis::Rule| {
            format!("{}: {}\n  {}\n  mend: {}", rule.id, rule.cause, rule.explanation, rule.mend)
        };
        return out.line(&rules.iter().map(explain).collect::<Vec<_>>().join("\n"));
    }
    let run = store::load(&store::find(&stack.loaded.results_dir(), &args.run)?)?;
    out.report(&judged(stack, &run))
}

/// The diagnosis of a run by the configured bounds.
pub(super) fn judged(stack: &Stack, run: &Run) -> Diagnosis {
    judge(run, &bounds(stack))
}

/// The bounds that the configuration sets.
fn bounds(stack: &Stack) -> Bounds {
    let (own, targets) = (&stack.loaded.config.diagnose, &stack.loaded.config.targets);
    Bounds {
        query_p95_ms: own.query_p95_ms,
        statement_ms: own.statement_ms,
        pool_share: own.pool_share,
        scan_rows: own.scan_rows,
        lag: targets.lag,
        consumed_share: own.consumed_share,
        cache_hit_rate: targets.cache_hit_rate,
        cpu_pct: targets.cpu_pct,
        memory_mb: targets.memory_mb,
        error_rate: targets.error_rate,
    }
}
