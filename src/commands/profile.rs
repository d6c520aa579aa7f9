//! `nsys profile`: a CPU flame graph, sampled inside the replica itself.

use crate::cli::FlameArgs;
use crate::clients::http;
use crate::error::{Context, Error, Result};
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report, progress::ProgressView};
use crate::stack::{Stack, account};
use nsys_contract::api::paths;
use std::path::PathBuf;
use std::time::Duration;

/// Where the graph was written.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct ProfileAnswer<'a> {
    part: &'a str,
    file: &'a std::path::Path,
}

impl Report for ProfileAnswer<'_> {
    fn text(&self) -> String {
        self.file.display().to_string()
    }
}

/// Longest wait for the graph to be drawn after the sampling.
const DRAWING: Duration = Duration::from_secs(60);

pub(super) async fn profile(stack: &Stack, args: FlameArgs, out: Out) -> Result<()> {
    let part = args.part.as_deref().ok_or_else(|| {
        Error::usage("which replica is missing")
            .hint("nsys profile app, or nsys profile check for the profile")
    })?;
    let records = stack.records().await?;
    if records.is_empty() {
        return Err(Error::unreachable("nothing runs").hint("nsys up"));
    }
    let of_role = |name: &str| name.rsplit_once('-').is_some_and(|(role, _)| role == part);
    let record = records
        .iter()
        .find(|record| record.role().is_some() && (record.name == part || of_role(&record.name)))
        .ok_or_else(|| {
            let running: Vec<_> =
                records.iter().filter(|one| one.role().is_some()).map(|one| one.name.as_str()).collect();
            let hint = if running.is_empty() { "nsys up".to_owned() } else { running.join(", ") };
            Error::usage(format!("no replica {part} of the service runs")).hint(hint)
        })?;
    let address = record
        .address
        .as_ref()
        .ok_or_else(|| Error::unreachable(format!("{} has no metrics address yet", record.name)))?;
    let token = account::loadtest_user(stack).await?;
    let url = format!("http://{address}{}?seconds={}", paths::ADMIN_PROFILE, args.seconds);
    let line = ProgressView::new(out).line(&record.name);
    line.update(&format!("samples for {} s", args.seconds));
    let timeout = Duration::from_secs(u64::from(args.seconds)) + DRAWING;
    let answer = http::get_as(&url, &token, timeout).await?;
    if answer.status != 200 {
        let why = answer.body["detail"].as_str().map_or_else(|| answer.body.to_string(), str::to_owned);
        return Err(Error::failed(format!("{}: {why}", record.name)));
    }
    let graph = answer.body.as_str().ok_or_else(|| Error::failed("the profile is not an SVG"))?;
    let stamp = crate::clock::now().to_zoned(jiff::tz::TimeZone::system()).strftime("%Y%m%d_%H%M%S");
    let file = args.file.unwrap_or_else(|| PathBuf::from(format!("{}-{stamp}.svg", record.name)));
    std::fs::write(&file, graph).with_context(|| format!("cannot write {}", file.display()))?;
    line.finish("done");
    out.report(&ProfileAnswer { part: &record.name, file: &file })
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<ProfileAnswer<'_>>("profile", 1)]
}
