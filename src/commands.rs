//! One noun per file: from arguments to a typed answer.

mod account;
mod cache;
mod compare;
mod completions;
mod config;
mod db;
mod described;
mod diagnose;
mod dlq;
mod generate;
mod history;
mod kafka;
mod lag;
mod loadtest;
mod manual;
mod metrics;
mod next;
mod observe;
mod open;
mod profile;
mod report;
mod schema;
mod send;
mod stack;
mod trace;
mod tune;
mod verify;
mod version;
mod watch;

pub use completions::answer as answer_completion;

use crate::cli::{
    CacheCommand, Cli, Command, ExportCommand, MetricsCommand, OutputChoice, ProfileArgs, ReportForm,
};
use crate::config::Loaded;
use crate::error::{Error, Result};
use crate::process_env;
use crate::render::Out;
use crate::render::schema::AnswerSchema;
use crate::stack::{Stack, safety};

/// Runs the command.
///
/// # Errors
/// Whatever the command fails with.
pub async fn run(cli: Cli, out: Out) -> Result<()> {
    if let Some(outcome) = without_configuration(&cli.command, out).await {
        return outcome;
    }
    let loaded = load(&cli, out)?;
    if let Command::Config(command) = &cli.command {
        return config::run(&loaded, command, out);
    }
    let choice = chosen_output(&cli)?;
    let stack = Stack::new(loaded);
    attach(&stack, &cli.command).await?;
    // What comes next is known of the service that nsys was made for.
    let hints_itself =
        matches!(cli.command, Command::Next | Command::Watch(_)) || !stack.profile().is_companion();
    let outcome = answer(cli.command, &stack, choice, out).await;
    if outcome.is_ok() && !hints_itself {
        next::hint(&stack, out).await;
    }
    outcome
}

/// What works without any configuration: what shells call, and what nsys starts of itself.
async fn without_configuration(command: &Command, out: Out) -> Option<Result<()>> {
    Some(match command {
        Command::Completions(args) => completions::script(args.shell, out),
        Command::Man(args) => manual::manual(args, out),
        Command::Version => version::version(out),
        Command::Schema(args) => schema::schema(&schemas(), args, out),
        Command::Supervise(args) => crate::stack::supervisor::run(&args.root).await,
        Command::Generate(args) => generate::generate(args, out).await,
        _ => return None,
    })
}

/// Reads the configuration; a change under `--read-only` is refused before anything is asked of the stack.
fn load(cli: &Cli, out: Out) -> Result<Loaded> {
    let global = &cli.global;
    let (profile, config) = (global.profile.as_deref(), global.config.as_deref());
    let mut loaded = Loaded::with_profile(
        profile,
        config,
        global.state_dir.as_deref(),
        process_env::settings()?.into_iter(),
    )?;
    loaded.read_only = cli.global.read_only;
    for skipped in &loaded.skipped {
        out.warn(skipped);
    }
    match cli.command.changes().filter(|_| loaded.read_only) {
        Some(change) => {
            Err(Error::refused(format!("{} changes the stack, and --read-only is set", change.what)))
        }
        None => Ok(loaded),
    }
}

/// Finds where the stack runs, and asks first where the command changes something.
async fn attach(stack: &Stack, command: &Command) -> Result<()> {
    if let Some((capability, what)) = command.needs() {
        stack.must_have(capability, what)?;
    }
    stack.attach().await?;
    if !stack.loaded.read_only {
        // A load test that runs is no hindrance here; one that was killed is cleared away.
        let _ = crate::loadtest::run::settle_abandoned(stack).await;
    }
    match command.changes() {
        // Before the command reads anything. That nothing changes unchecked is held by the permits.
        Some(change) => safety::check(stack, change.what, change.reach).await,
        None => Ok(()),
    }
}

async fn answer(command: Command, stack: &Stack, choice: OutputChoice, out: Out) -> Result<()> {
    match command {
        Command::Setup(args) => stack::setup(args, out).await,
        Command::Up(args) => stack::up(stack, args, out).await,
        Command::Down(args) => stack::down(stack, args, out).await,
        Command::Ps => stack::ps(stack, out).await,
        Command::Logs(args) => stack::logs(stack, args, out).await,
        Command::Restart(args) => stack::restart(stack, args, out).await,
        Command::Scale(args) => stack::scale(stack, args, out).await,
        Command::Metrics(command) => metrics::metrics(stack, command, choice, out).await,
        Command::Db(command) => db::db(stack, command, out).await,
        Command::Stats(args) => repeat(args.watch, out, async || observe::stats(stack, out).await).await,
        Command::Doctor(args) => observe::doctor(stack, &args, out).await,
        Command::Health(args) => {
            repeat(args.watch, out, async || stack::health(stack, args, out).await).await
        }
        Command::Lag(args) => repeat(args.watch, out, async || lag::lag(stack, &args, out).await).await,
        Command::Dlq(command) => dlq::dlq(stack, command, out).await,
        Command::User(command) => account::user(stack, command, out).await,
        Command::Token(args) => account::token(stack, &args, out).await,
        Command::Send(args) => send::send(stack, &args, out).await,
        Command::Export(ExportCommand::Notifications(args)) => send::export(stack, &args, choice, out).await,
        Command::Trace(args) => trace::trace(stack, args, out).await,
        Command::Traces(args) => trace::traces(stack, args, out).await,
        Command::Open(args) => open::open(stack, args, out).await,
        Command::Profile(ProfileArgs { command: Some(command), .. }) => {
            described::profile(stack, command, out).await
        }
        Command::Profile(ProfileArgs { flame, .. }) => profile::profile(stack, flame, out).await,
        Command::Watch(args) => watch::watch(stack, args, stack.loaded.read_only, out).await,
        Command::Kafka(command) => kafka::kafka(stack, command, out).await,
        Command::Cache(command) => cache::cache(stack, command, out).await,
        Command::Flush(args) => cache::cache(stack, CacheCommand::Flush(args), out).await,
        Command::Tune(command) => tune::tune(stack, command, out).await,
        Command::History(args) => history::history(stack, &args, out),
        Command::Undo(args) => history::undo(stack, &args, out).await,
        Command::Loadtest(command) => loadtest::loadtest(stack, command, out).await,
        Command::Diagnose(args) => diagnose::diagnose(stack, &args, out).await,
        Command::Verify(args) => verify::verify(stack, args, out).await,
        Command::Next => next::next(stack, out).await,
        Command::Compare(args) => compare::compare(stack, &args, out),
        Command::Report(mut args) => {
            args.print = args.print.or(report_form(choice));
            report::report(stack, &args, out)
        }
        // Answered by `run`, before there was a stack.
        Command::Completions(_)
        | Command::Man(_)
        | Command::Version
        | Command::Schema(_)
        | Command::Supervise(_)
        | Command::Generate(_)
        | Command::Config(_) => Ok(()),
    }
}

/// The form of a report that `-o` asks for.
const fn report_form(choice: OutputChoice) -> Option<ReportForm> {
    match choice {
        OutputChoice::Md => Some(ReportForm::Md),
        OutputChoice::Html => Some(ReportForm::Html),
        OutputChoice::Junit => Some(ReportForm::Junit),
        OutputChoice::Csv => Some(ReportForm::Csv),
        OutputChoice::Text | OutputChoice::Json | OutputChoice::Ndjson => None,
    }
}

/// The output format, where this command knows it.
fn chosen_output(cli: &Cli) -> Result<OutputChoice> {
    use OutputChoice::{Csv, Html, Json, Junit, Md, Ndjson, Text};
    let choice = cli.global.output.unwrap_or_default();
    let known: &[OutputChoice] = match &cli.command {
        Command::Metrics(MetricsCommand::Export(_)) => &[Text, Json, Csv, Ndjson],
        Command::Export(_) => &[Text, Csv, Ndjson],
        Command::Report(_) => &[Text, Json, Csv, Md, Html, Junit],
        _ => &[Text, Json],
    };
    if known.contains(&choice) {
        return Ok(choice);
    }
    let words: Vec<_> = known.iter().map(|one| format!("{one:?}").to_lowercase()).collect();
    Err(Error::usage(format!("this command has no {} output", format!("{choice:?}").to_lowercase()))
        .hint(format!("it has: {}", words.join(", "))))
}

/// Once, or every second until Ctrl-C. Why there is no answer this time is the answer of this time: it goes where
/// the others go, so that whoever reads them sees it, and a reader who has gone ends it.
async fn repeat(watch: bool, out: Out, sample: impl AsyncFn() -> Result<()>) -> Result<()> {
    if !watch {
        return sample().await;
    }
    loop {
        out.clear();
        if let Err(error) = sample().await {
            out.failure(&error)?;
        }
        out.must_be_read()?;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// The shape of what each command answers with `-o json`, in order of the commands' names.
fn schemas() -> Vec<AnswerSchema> {
    let mut all = [
        account::schemas(),
        cache::schemas(),
        crate::change::schemas(),
        compare::schemas(),
        completions::schemas(),
        config::schemas(),
        db::schemas(),
        diagnose::schemas(),
        described::schemas(),
        dlq::schemas(),
        history::schemas(),
        kafka::schemas(),
        lag::schemas(),
        loadtest::schemas(),
        manual::schemas(),
        metrics::schemas(),
        next::schemas(),
        observe::schemas(),
        open::schemas(),
        profile::schemas(),
        report::schemas(),
        schema::schemas(),
        send::schemas(),
        stack::schemas(),
        trace::schemas(),
        tune::schemas(),
        verify::schemas(),
        version::schemas(),
    ]
    .concat();
    all.sort_by_key(|one| one.command);
    all
}

/// The output that the global flags ask for.
#[must_use]
pub fn output(cli: &Cli) -> Out {
    Out::new(cli.global.output.unwrap_or_default().format(), cli.global.quiet)
}
