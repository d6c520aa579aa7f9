//! Writes the figures into the page between its two marks: what was reached of each target, the whole
//! table, and the machine.

use crate::figures::{self as p, Figure, Figures, middle};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::Path;

const BEGIN: &str = "<!-- figures -->";
const END: &str = "<!-- end of figures -->";

/// A ratio that is aimed at.
struct Aim {
    what: &'static str,
    of: &'static str,
    over: &'static str,
    at_least: f64,
}

const RATIOS: [Aim; 5] = [
    Aim {
        what: "Accept over the prototype, 64 connections",
        of: p::ACCEPT_64,
        over: p::PROTOTYPE_64,
        at_least: 0.8,
    },
    Aim {
        what: "Accept over the prototype, 512 connections",
        of: p::ACCEPT_512,
        over: p::PROTOTYPE_512,
        at_least: 0.8,
    },
    Aim { what: "Read hits over a bare route", of: p::READ, over: p::BARE_GET, at_least: 0.75 },
    Aim { what: "Drain over the database alone", of: p::DRAIN, over: p::CEILING, at_least: 0.5 },
    Aim { what: "Goodput at three times the capacity", of: p::OVERLOAD, over: p::CAPACITY, at_least: 0.9 },
];

const DRAINING: Aim = Aim {
    what: "Accept at half its maximum while a backlog drains",
    of: p::HALF_DRAINING,
    over: p::HALF,
    at_least: 0.95,
};

/// Replaces what stands between the marks.
pub(crate) fn write(page: &Path, figures: &Figures) -> Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{BEGIN} is missing"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{END} is missing"))?;
    std::fs::write(page, format!("{before}{BEGIN}\n{}{END}{after}", table(figures)))?;
    Ok(())
}

/// Prints the table.
pub(crate) fn show(figures: &Figures) -> Result<()> {
    std::io::Write::write_all(&mut std::io::stdout(), table(figures).as_bytes())?;
    Ok(())
}

fn table(figures: &Figures) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = writeln!(text, "\nMeasured on {}.\n\n### Aims\n", machine());
    let _ = writeln!(text, "| Aim | Wanted | Measured | |\n|---|---:|---:|---|");
    for aim in RATIOS.iter().chain([&DRAINING]) {
        let share = ratio(figures, aim.of, aim.over);
        row(
            &mut text,
            aim.what,
            &format!("{:.0} %", aim.at_least * 100.0),
            &format!("{:.0} %", share * 100.0),
            share >= aim.at_least,
        );
    }
    let rate = |name: &str| figures.get(name).map_or(f64::NAN, |rounds| middle(rounds, |one| one.per_s));
    for (what, name, at_least) in [
        ("Batches of 1,000, notifications/s", p::BATCH, 200_000.0),
        ("NDJSON stream, notifications/s", p::LINES, 200_000.0),
        ("End to end, one a request, notifications/s", p::SUSTAINED_SINGLE, 15_000.0),
        ("End to end, batches of 100, notifications/s", p::SUSTAINED_BATCH, 15_000.0),
    ] {
        row(&mut text, what, &thousands(at_least), &thousands(rate(name)), rate(name) >= at_least);
    }
    let memory = figures.get(p::MANY).map_or(f64::NAN, |rounds| middle(rounds, |one| one.memory_mb));
    row(&mut text, "Memory at 1,000 connections", "< 150 MiB", &format!("{memory:.0} MiB"), memory < 150.0);
    let _ =
        writeln!(text, "\n### Figures\n\nThe median of the rounds; lowest and highest rate in brackets.\n");
    let _ = writeln!(
        text,
        "| | per second | per CPU-second | p50 ms | p99 ms | MiB |\n|---|---:|---:|---:|---:|---:|"
    );
    for (name, rounds) in figures {
        let _ = writeln!(text, "{}", line(name, rounds));
    }
    text.push('\n');
    text
}

fn row(text: &mut String, what: &str, wanted: &str, measured: &str, reached: bool) {
    let verdict = if reached { "reached" } else { "not reached" };
    let _ = writeln!(text, "| {what} | {wanted} | {measured} | {verdict} |");
}

/// The middle of the ratios of each round: neighbours in time share the machine's mood.
fn ratio(figures: &Figures, of: &str, over: &str) -> f64 {
    let empty = Vec::new();
    let (of, over) = (figures.get(of).unwrap_or(&empty), figures.get(over).unwrap_or(&empty));
    let each = of.iter().zip(over).map(|(a, b)| Figure { per_s: a.per_s / b.per_s, ..*a });
    middle(&each.collect::<Vec<_>>(), |one| one.per_s)
}

fn line(name: &str, rounds: &[Figure]) -> String {
    let by = |of: fn(&Figure) -> f64| middle(rounds, of);
    let (low, high) = rounds
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(low, high), one| (low.min(one.per_s), high.max(one.per_s)));
    let spread = if rounds.len() > 1 {
        format!(" ({} to {})", thousands(low), thousands(high))
    } else {
        String::new()
    };
    let or_dash = |value: f64, digits: usize| {
        if value.is_finite() && value > 0.0 { format!("{value:.digits$}") } else { "–".to_owned() }
    };
    let per_cpu = by(|one| one.per_cpu_s);
    let per_cpu = if per_cpu > 0.0 { thousands(per_cpu) } else { "–".to_owned() };
    format!(
        "| {name} | {}{spread} | {per_cpu} | {} | {} | {} |",
        thousands(by(|one| one.per_s)),
        or_dash(by(|one| one.p50_ms), 1),
        or_dash(by(|one| one.p99_ms), 1),
        or_dash(by(|one| one.memory_mb), 0),
    )
}

/// A number with three digits that mean something, and commas.
fn thousands(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let step = 10_f64.powf((value.max(1.0).log10().floor() - 2.0).max(0.0));
    let digits = format!("{:.0}", (value / step).round() * step);
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory_kb = value(&read("/proc/meminfo"), "MemTotal");
    let memory_kb = memory_kb.split(' ').next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{cores} cores of {}, {:.0} GiB of memory, Linux {}, on {}; everything, the client too, shares them",
        value(&read("/proc/cpuinfo"), "model name"),
        memory_kb / 1_048_576.0,
        kernel.trim(),
        jiff::Zoned::now().date(),
    )
}
