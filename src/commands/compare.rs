//! `nsys compare`: did it help.

use crate::cli::CompareArgs;
use crate::domain::compare::{
    Comparison, ComparisonMethod, MetricChange, MetricComparison, NoiseFloor, runs_needed,
};
use crate::domain::run::Run;
use crate::error::{Error, ErrorKind, Result};
use crate::loadtest::comparison::compared;
use crate::loadtest::noise;
use crate::loadtest::runs::Runs;
use crate::render::schema::AnswerSchema;
use crate::render::{Out, OutputFormat, Report, Tone, format, style::paint, table::Table};
use crate::stack::Stack;

pub(super) fn compare(stack: &Stack, args: &CompareArgs, out: Out) -> Result<()> {
    let (before, after) = (load(stack, &args.before, out)?, load(stack, &args.after, out)?);
    let floor = match &args.noise_from {
        Some(names) => measure_noise(stack, names, out)?,
        None => noise::floor(stack, before.iter().chain(&after)),
    };
    let found = compared(stack, &before, &after, &floor)?;
    if args.fail_on_regression && found.is_blind() {
        let needed = runs_needed(found.levels.len());
        return Err(Error::refused(format!(
            "{} and {} runs cannot prove a regression, however large it is: {needed} on each side are needed",
            before.len(),
            after.len()
        ))
        .hint("name more runs, or compare one with one"));
    }
    if args.markdown && out.format() == OutputFormat::Text {
        out.line(&markdown(&found))?;
    } else {
        out.report(&found)?;
    }
    if args.fail_on_regression && found.regressed() {
        return Err(Error::new(ErrorKind::Regression, "a metric became worse"));
    }
    Ok(())
}

/// The runs that a name, or names with commas between them, mean.
fn load(stack: &Stack, names: &str, out: Out) -> Result<Vec<Run>> {
    names.split(',').map(|name| Ok(Runs::of(stack).named(name, out)?.run)).collect()
}

fn measure_noise(stack: &Stack, names: &str, out: Out) -> Result<NoiseFloor> {
    let runs = load(stack, names, out)?;
    if let Some(other) = runs.iter().find(|run| !Runs::of(stack).is_own(run)) {
        return Err(Error::refused(format!("{} is not of this stack, whose noise is asked for", other.id))
            .hint("nsys loadtest calibrate"));
    }
    let floor = NoiseFloor::measured(&runs.iter().collect::<Vec<_>>())
        .map_err(|why| Error::refused(format!("no noise floor: {why}")))?;
    noise::keep(stack, &floor)?;
    let shares: Vec<_> =
        floor.shares.keys().map(|name| format!("{name} {}", format::percent(floor.of(name)))).collect();
    out.say(format!("noise floor ({}), kept for later comparisons: {}", floor.origin, shares.join(", ")));
    Ok(floor)
}

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
                one.name.clone(),
                format::or_missing(one.before, |value| shown_value(one, value)),
                format::or_missing(one.after, |value| shown_value(one, value)),
                format::or_missing(one.change, |change| one.change_text(change)),
                format::or_missing(one.interval, |(low, high)| {
                    format!("{} to {}", one.change_text(low), one.change_text(high))
                }),
                format::or_missing(one.p, |p| if p < 0.001 { "<0.001".into() } else { format!("{p:.3}") }),
                verdict(one, painted),
            ]);
        }
    }
    table
}

fn shown_value(metric: &MetricComparison, value: f64) -> String {
    if metric.is_share() { format!("{:.2} %", value * 100.0) } else { format!("{value:.1}") }
}

fn verdict(metric: &MetricComparison, painted: bool) -> String {
    let hidden = metric.detectable.filter(|_| metric.verdict == MetricChange::Inconclusive);
    let text = match (&metric.reason, hidden) {
        (Some(why), _) => format!("{}: {why}", metric.verdict.as_str()),
        (None, Some(least)) => {
            format!("{}: less than {:.0} % does not show", metric.verdict.as_str(), (least * 100.0).ceil())
        }
        (None, None) => metric.verdict.as_str().to_owned(),
    };
    match metric.verdict {
        MetricChange::Improved if painted => paint(Tone::Good, &text),
        MetricChange::Regressed if painted => paint(Tone::Bad, &text),
        _ => text,
    }
}

fn head(found: &Comparison) -> Vec<String> {
    let mut lines = vec![format!("{} -> {}", found.before, found.after)];
    lines.extend(found.changes.iter().map(|change| format!("changed: {change}")));
    lines.extend(found.differences.iter().map(|difference| format!("differs: {difference}")));
    lines.extend(found.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn foot(found: &Comparison) -> String {
    let method = match found.method {
        ComparisonMethod::Welch => {
            "each change is that of the two values shown, its interval and p from what they are without each part \
             of the level (jackknife, Welch, effective sample size)"
        }
        ComparisonMethod::MannWhitney => {
            "values are medians of the runs, change, interval and p theirs by ranks (Mann-Whitney, exact), spread \
             is the median distance to the median"
        }
    };
    format!(
        "{} improved, {} regressed, {} unchanged, {} inconclusive\n{}Noise floor: {}. Throughput, errors and \
         percentiles are the client's; rows that begin with service_ are the service's own, its percentiles those of \
         a typical second of its coarse histogram. {}; p is corrected for all rows (Holm, throughput, errors and \
         p95 as one family).",
        found.count(MetricChange::Improved),
        found.count(MetricChange::Regressed),
        found.count(MetricChange::Unchanged),
        found.count(MetricChange::Inconclusive),
        found.power().map(|line| line + "\n").unwrap_or_default(),
        found.noise,
        format::capital(method)
    )
}

/// For a pull request: the verdict first, what was changed, then the numbers.
fn markdown(found: &Comparison) -> String {
    let verdict = match (found.count(MetricChange::Regressed), found.count(MetricChange::Improved)) {
        (0, 0) => "➖ no change beyond chance and noise".to_owned(),
        (0, improved) => format!("✅ {improved} metrics improved, none regressed"),
        (regressed, improved) => format!("❌ {regressed} metrics regressed, {improved} improved"),
    };
    let lines: String = head(found).iter().map(|line| format!("- {line}\n")).collect();
    format!("### {verdict}\n\n{lines}\n{}\n\n{}", table(found, false).markdown(), foot(found))
}

impl Report for Comparison {
    fn text(&self) -> String {
        format!("{}\n\n{}\n\n{}", head(self).join("\n"), table(self, true).text(), foot(self))
    }
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<Comparison>("compare", 1)]
}
