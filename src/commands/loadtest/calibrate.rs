//! `nsys loadtest calibrate`: do the engines agree, what can they make, and how much do equal runs differ.

use crate::cli::CalibrateArgs;
use crate::domain::calibration::{Ceiling, Client, PercentileAgreement, Turn, agreements};
use crate::domain::compare::NoiseFloor;
use crate::domain::request::LoadRequest;
use crate::domain::scenario::Scenario;
use crate::error::{Error, ErrorKind, Result};
use crate::loadtest::calibrate::{self, Ask};
use crate::loadtest::{noise, permission::permit, plan::plan, run};
use crate::permit::ChangePermit;
use crate::publish;
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report, Tone, format, progress::ProgressView, style::paint, table::Table};
use crate::stack::Stack;
use nsys_contract::api::paths;
use serde::Serialize;

/// What a calibration found.
#[derive(Serialize, schemars::JsonSchema)]
struct Calibration {
    endpoint: String,
    rate_rps: u32,
    seconds: u64,
    turns: Vec<Turn>,
    agreement: Vec<PercentileAgreement>,
    /// Requests for each second of CPU time; empty unless asked for.
    ceilings: Vec<Ceiling>,
    /// How much equal runs differed; null when fewer than two were made.
    noise: Option<NoiseFloor>,
    /// The equal runs.
    runs: Vec<String>,
}

pub(super) async fn calibrate(stack: &Stack, args: &CalibrateArgs, out: Out) -> Result<()> {
    let (progress, seconds) = (ProgressView::new(out), args.duration.as_secs().max(2));
    let path = args.path.clone().unwrap_or_else(|| paths::LIVENESS.to_owned());
    if !path.starts_with('/') {
        return Err(Error::usage(format!("--path {path:?} does not start with /")));
    }
    let ask = Ask { path: path.clone(), level: calibrate::level(args.rate, seconds), rounds: args.rounds };
    let permit = permit(stack, args.offer.consent(), out).await?;
    let turns = calibrate::turns(&permit, stack, &ask, &progress).await?;
    let ceilings = if args.ceiling {
        calibrate::ceilings((&permit, stack), &path, seconds, args.rounds, &progress).await?
    } else {
        Vec::new()
    };
    let (runs, noise) = equal_runs((&permit, stack), args, seconds, &progress).await?;
    let found = Calibration {
        endpoint: path,
        rate_rps: args.rate,
        seconds,
        agreement: agreements(&turns),
        turns,
        ceilings,
        noise,
        runs,
    };
    out.report(&found)?;
    let apart: Vec<_> = found.agreement.iter().filter(|one| one.agrees != Some(true)).collect();
    if apart.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = apart.iter().map(|one| one.percentile.as_str()).collect();
    Err(Error::new(
        ErrorKind::ObjectivesNotMet,
        format!("the native engine and what it was held against do not agree on {}", names.join(", ")),
    )
    .hint("try again on an idle machine, or with a lower --rate"))
}

/// Runs of the same load with nothing changed between them; what they differ by is kept as the noise
/// floor of later comparisons.
async fn equal_runs(
    (permit, stack): (&ChangePermit, &Stack),
    args: &CalibrateArgs,
    seconds: u64,
    progress: &ProgressView,
) -> Result<(Vec<String>, Option<NoiseFloor>)> {
    if args.runs < 2 {
        return Ok((Vec::new(), None));
    }
    let request = LoadRequest {
        rates: vec![format!("{}/s:{seconds}s", args.rate)],
        engine: args.engine,
        generators: 1,
        note: Some("one of several equal runs, for the noise floor".into()),
        ..LoadRequest::default()
    };
    let plan = plan(Scenario::Baseline, &request, &stack.loaded.config.loadtest)?;
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        progress.note(&format!("equal run {number} of {}", args.runs));
        let (dir, run) = run::execute(permit, stack, &plan, progress).await?;
        publish::write(stack, &dir)?;
        if run.state != "finished" {
            return Err(Error::interrupted("the calibration was interrupted; no noise floor was saved"));
        }
        runs.push(run);
    }
    let floor = NoiseFloor::measured(&runs.iter().collect::<Vec<_>>())
        .map_err(|why| Error::refused(format!("no noise floor: {why}")))?;
    noise::keep(stack, &floor)?;
    Ok((runs.into_iter().map(|run| run.id).collect(), Some(floor)))
}

impl Report for Calibration {
    fn text(&self) -> String {
        let mut parts = vec![format!(
            "{} at {}/s for {} s, {} turns of each client\n{}",
            self.endpoint,
            self.rate_rps,
            self.seconds,
            self.turns.iter().filter(|turn| turn.client == Client::Native).count(),
            self.agreement_table().text()
        )];
        if !self.ceilings.is_empty() {
            parts
                .push(format!("As fast as they can, by second of CPU time\n{}", self.ceiling_table().text()));
        }
        if let Some(noise) = &self.noise {
            parts.push(format!(
                "Noise floor ({}), kept for compare\n{}",
                noise.origin,
                noise_table(noise).text()
            ));
        }
        parts.join("\n\n")
    }
}

impl Calibration {
    fn agreement_table(&self) -> Table {
        let clients: Vec<_> = self.agreement.first().into_iter().flat_map(|one| one.ms.keys()).collect();
        let names = clients.iter().map(|client| client.as_str());
        let head = [""].into_iter().chain(names).chain(["apart", "between equal turns", ""]);
        let numbers: Vec<_> = (1..clients.len() + 3).collect();
        let mut table = Table::new(head).right(&numbers);
        for one in &self.agreement {
            let ms = |value: Option<f64>| format::or_missing(value, format::millis);
            let word = match one.agrees {
                Some(true) => paint(Tone::Good, "agree"),
                Some(false) => paint(Tone::Bad, "differ"),
                None => paint(Tone::Dim, "unknown"),
            };
            let seen = one.ms.values().map(|value| ms(*value));
            let rest = [ms(one.apart_ms()), ms(one.between_turns_ms), word];
            table.row([one.percentile.clone()].into_iter().chain(seen).chain(rest));
        }
        table
    }

    fn ceiling_table(&self) -> Table {
        let k6 = self.ceilings.iter().find(|one| one.generator == "k6").map(|one| one.per_cpu_s);
        let mut table = Table::new(["generator", "requests/s", "against k6"]).right(&[1, 2]);
        for one in &self.ceilings {
            table.row([
                one.generator.clone(),
                format::count(one.per_cpu_s as u64),
                format::or_missing(k6, |k6| format!("{:.1} x", one.per_cpu_s / k6)),
            ]);
        }
        table
    }
}

fn noise_table(noise: &NoiseFloor) -> Table {
    let mut table = Table::new(["metric", "floor"]).right(&[1]);
    for name in noise.shares.keys() {
        table.row([name.clone(), format::percent(noise.of(name))]);
    }
    table
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<Calibration>("loadtest calibrate", 1)]
}
