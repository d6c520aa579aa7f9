//! `nsys profile show` and `check`: what the profile of the stack says, and whether it is true.

use crate::cli::{OfferFlags, ProfileCommand};
use crate::clients::http::{self, DescribedRequest};
use crate::domain::profile::{
    OfferedRequest, Profile, ProfileAuth, ProfileLedger, ProfilePart, ProfileRequest, SecretSource,
};
use crate::domain::run::ProfileGap;
use crate::error::{Error, Result};
use crate::generate;
use crate::loadtest::{flows, permission::permit, target::LoadTarget};
use crate::measured::Measured;
use crate::permit::ChangePermit;
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report, Tone, format, style::paint, table::Table};
use crate::stack::{Credentials, Stack, health};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Longest wait for the answer to one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What ids of a check begin with.
const CHECK: &str = "nsys-profile-check";

pub(super) async fn profile(stack: &Stack, command: ProfileCommand, out: Out) -> Result<()> {
    match command {
        ProfileCommand::Show => out.report(&shown(stack)),
        ProfileCommand::Check { all, offer } => check(stack, all, &offer, out).await,
    }
}

/// The profile as it is in force.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct ProfileView {
    /// Its name; `companion` is the one that is built in.
    name: String,
    /// Where it was read; null for the one that is built in.
    file: Option<String>,
    /// The service.
    url: String,
    /// Path of the request that says whether the service can work.
    ready: Option<String>,
    /// How requests show who makes them; no secret is in it.
    auth: String,
    /// What a load test asks.
    requests: Vec<RequestRow>,
    /// What is not measured, and why.
    not_measured: Vec<ProfileGap>,
}

/// A request of a profile.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct RequestRow {
    name: String,
    /// Its share of all requests, 0 to 1.
    share: f64,
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    /// Statuses that are a success.
    success: String,
    /// Those by which the service acknowledges; empty where it does not.
    acknowledged: String,
}

impl Report for ProfileView {
    fn text(&self) -> String {
        let file = self.file.as_deref().unwrap_or("built in");
        let ready = self.ready.as_deref().unwrap_or(format::MISSING);
        let mut lines = vec![
            format!("profile {} ({file})", self.name),
            format!("service {}, ready {ready}, auth {}", self.url, self.auth),
        ];
        let mut table = Table::new(["request", "share", "asks", "success", "acknowledged"]).right(&[1]);
        for one in &self.requests {
            table.row([
                one.name.clone(),
                format::percent(one.share),
                format!("{} {}", one.method, one.path),
                one.success.clone(),
                if one.acknowledged.is_empty() { format::MISSING.into() } else { one.acknowledged.clone() },
            ]);
        }
        if !table.is_empty() {
            lines.push(table.text());
        }
        lines.extend(self.not_measured.iter().map(ProfileGap::sentence));
        lines.join("\n")
    }
}

fn shown(stack: &Stack) -> ProfileView {
    let profile = stack.profile();
    let weights: f64 = profile.requests.iter().map(|one| one.weight).sum();
    let row = |one: &ProfileRequest| RequestRow {
        name: one.name.clone(),
        share: if weights > 0.0 { one.weight / weights } else { 0.0 },
        method: one.method.clone(),
        path: one.path.source().to_owned(),
        headers: one.headers.iter().map(|(name, value)| (name.clone(), value.source().to_owned())).collect(),
        body: one.body.as_ref().map(|body| body.source().to_owned()),
        success: one.success.to_string(),
        acknowledged: one.acknowledged.to_string(),
    };
    ProfileView {
        name: profile.name.clone(),
        file: profile.file.clone(),
        url: stack.endpoints.api_url(),
        ready: profile.ready.clone(),
        auth: auth(profile),
        requests: profile.requests.iter().map(row).collect(),
        not_measured: stack.gaps(),
    }
}

fn auth(profile: &Profile) -> String {
    match &profile.auth {
        ProfileAuth::Open => "none".into(),
        ProfileAuth::Account => "a token of the account that nsys made".into(),
        ProfileAuth::Header { name, prefix, secret } => {
            let from = match secret {
                SecretSource::Variable(name) => format!("the variable {name}"),
                SecretSource::File(path) => format!("the file {path}"),
            };
            format!("{name}: {prefix}… from {from}")
        }
    }
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum CheckOutcome {
    /// It is as the profile says.
    Ok,
    /// It is not.
    Failed,
    /// It was not tried.
    NotTried,
    /// The profile does not name it.
    NotNamed,
}

/// One thing that a profile says.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct CheckRow {
    /// `request create`, `ready GET /healthz`, `postgres`, ….
    what: String,
    outcome: CheckOutcome,
    /// What was found, or why nothing was.
    found: String,
    /// How long the answer took, in ms.
    latency_ms: Option<f64>,
    /// What to do about it.
    hint: Option<String>,
}

impl CheckRow {
    fn new(what: impl Into<String>, outcome: CheckOutcome, found: impl Into<String>) -> Self {
        Self { what: what.into(), outcome, found: found.into(), latency_ms: None, hint: None }
    }

    /// What came of asking: something was found, or it failed.
    fn of(what: impl Into<String>, found: Result<String>) -> Self {
        match found {
            Ok(found) => Self::new(what, CheckOutcome::Ok, found),
            Err(error) => Self { hint: error.hint, ..Self::new(what, CheckOutcome::Failed, error.message) },
        }
    }
}

/// Whether a profile is true.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct ProfileCheck {
    profile: String,
    checks: Vec<CheckRow>,
}

impl Report for ProfileCheck {
    fn text(&self) -> String {
        let mut table = Table::new(["profile says", "is", "found"]);
        for one in &self.checks {
            let (tone, word) = match one.outcome {
                CheckOutcome::Ok => (Tone::Good, "ok"),
                CheckOutcome::Failed => (Tone::Bad, "failed"),
                CheckOutcome::NotTried => (Tone::Dim, "not tried"),
                CheckOutcome::NotNamed => (Tone::Dim, "not named"),
            };
            let hint = one.hint.as_ref().map(|hint| format!(" → {hint}")).unwrap_or_default();
            table.row([one.what.clone(), paint(tone, word), format!("{}{hint}", one.found)]);
        }
        table.text()
    }
}

/// Asks everything, side by side with nothing: a stranger's service is not to be loaded by looking at it.
async fn check(stack: &Stack, all: bool, offer: &OfferFlags, out: Out) -> Result<()> {
    let permit = if all { Some(permit(stack, offer.consent(), out).await?) } else { None };
    let mut checks = vec![part(stack, "api", &ready_name(stack)).await];
    checks.extend(requests(stack, permit.as_ref()).await);
    for (name, named) in [("postgres", ProfilePart::Postgres), ("redis", ProfilePart::Redis)] {
        checks.push(match stack.unnamed(named) {
            Some(why) => not_named(named, why.into_owned()),
            None => part(stack, name, name).await,
        });
    }
    for (name, address) in
        [("kafka", stack.endpoints.brokers().to_string()), ("prometheus", stack.endpoints.prometheus_url())]
    {
        if !address.is_empty() {
            checks.push(part(stack, name, name).await);
        }
    }
    if !stack.profile().is_companion() {
        if stack.unnamed(ProfilePart::Flows).is_none() {
            checks.push(flows(stack).await);
        }
        if let Some(ledger) =
            stack.profile().ledger.as_ref().filter(|_| stack.unnamed(ProfilePart::Ledger).is_none())
        {
            checks.push(counted(stack, ledger).await);
        }
    }
    let others = [ProfilePart::Flows, ProfilePart::Metrics, ProfilePart::Processes, ProfilePart::Ledger];
    checks
        .extend(others.into_iter().filter_map(|one| Some(not_named(one, stack.unnamed(one)?.into_owned()))));
    let failed = checks.iter().filter(|one| one.outcome == CheckOutcome::Failed).count();
    let whole = checks.len();
    let name = stack.profile().name.clone();
    out.report(&ProfileCheck { profile: name.clone(), checks })?;
    if failed > 0 {
        return Err(Error::failed(format!(
            "{failed} of {whole} things that the profile {name} says are not so"
        )));
    }
    Ok(())
}

fn ready_name(stack: &Stack) -> String {
    match &stack.profile().ready {
        Some(path) => format!("ready GET {path}"),
        None => "url".to_owned(),
    }
}

fn not_named(part: ProfilePart, why: String) -> CheckRow {
    CheckRow::new(part.as_str(), CheckOutcome::NotNamed, format!("{why}; not measured: {}", part.without()))
}

/// Whether topics and groups are there, and what waits.
async fn flows(stack: &Stack) -> CheckRow {
    let names: Vec<_> =
        stack.profile().flows.iter().map(|one| format!("{} read by {}", one.topic, one.group)).collect();
    let found = match flows::lag(stack).await {
        Measured::Value(lags) => {
            let waits: i64 = lags.iter().map(|one| one.lag).sum();
            Ok(format!("lag {waits} on {} partitions", lags.len()))
        }
        Measured::Missing(why) | Measured::NotApplicable(why) => {
            Err(Error::failed(why.into_owned()).hint("nsys kafka groups, nsys kafka topics"))
        }
    };
    CheckRow::of(format!("flow {}", names.join(", ")), found)
}

/// Whether the queries of the ledger can be asked.
async fn counted(stack: &Stack, ledger: &ProfileLedger) -> CheckRow {
    let ask = async {
        let finished = ledger.finished.as_deref();
        let rows = stack.postgres().await?.count_ledger(&ledger.stored, finished, CHECK, &[]).await?;
        Ok(format!("{} ids begin with {CHECK}", rows.all))
    };
    CheckRow::of("ledger", ask.await)
}

/// A part that can be asked whether it is there.
async fn part(stack: &Stack, part: &str, what: &str) -> CheckRow {
    let started = Instant::now();
    let row = CheckRow::of(what, health::probe(stack, part).await);
    let latency_ms = (row.outcome == CheckOutcome::Ok).then(|| started.elapsed().as_secs_f64() * 1_000.0);
    CheckRow { latency_ms, ..row }
}

/// Every request once, as far as it only reads; the others too where that is permitted.
async fn requests(stack: &Stack, permit: Option<&ChangePermit>) -> Vec<CheckRow> {
    let target = LoadTarget::of(&stack.endpoints.api_url());
    let offered = async {
        let credentials: Option<Credentials> = stack.credentials().await?;
        target.requests(stack, credentials.as_ref())
    };
    let offered = match offered.await {
        Ok(offered) => offered,
        Err(error) => return vec![CheckRow::of("requests", Err(error))],
    };
    let mut rows = Vec::new();
    for one in &offered {
        rows.push(request(&target, one, permit).await);
    }
    rows
}

async fn request(target: &LoadTarget, one: &OfferedRequest, permit: Option<&ChangePermit>) -> CheckRow {
    let what = format!("request {}", one.name);
    let sample = match generate::sample(one, CHECK) {
        Ok(sample) => sample,
        Err(error) => return CheckRow::of(what, Err(error)),
    };
    let url = format!("{}{}", target.base_url, sample.path);
    let sent = DescribedRequest { method: sample.method, url, headers: sample.headers, body: sample.body };
    let started = Instant::now();
    let answer = match permit {
        Some(permit) => http::send(permit, &sent, TIMEOUT).await,
        None if sent.only_reads() => http::read(&sent, TIMEOUT).await,
        None => {
            let found = format!("{} may change something", sent.method);
            let hint = Some("nsys profile check --all sends it once".to_owned());
            return CheckRow { hint, ..CheckRow::new(what, CheckOutcome::NotTried, found) };
        }
    };
    let latency_ms = started.elapsed().as_secs_f64() * 1_000.0;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return CheckRow::of(what, Err(error)),
    };
    let row = if one.success.contains(answer.status) {
        let acknowledged =
            if one.acknowledged.contains(answer.status) { ", which acknowledges it" } else { "" };
        let found = format!("{}{acknowledged}, in {}", answer.status, format::millis(latency_ms));
        CheckRow::new(what, CheckOutcome::Ok, found)
    } else {
        let said: String = answer.body.to_string().chars().take(200).collect();
        CheckRow::new(what, CheckOutcome::Failed, format!("{}, not {}: {said}", answer.status, one.success))
    };
    CheckRow { latency_ms: Some(latency_ms), ..row }
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![
        AnswerSchema::of::<ProfileView>("profile show", 1),
        AnswerSchema::of::<ProfileCheck>("profile check", 1),
    ]
}
