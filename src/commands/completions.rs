//! Shell completion: the script that a shell loads, and the answers that it asks for, with the names of this stack.

use crate::cli::visible_commands;
use crate::config::Loaded;
use crate::error::{Context, Error, Result};
use crate::loadtest::store;
use crate::process_env;
use crate::render::schema::AnswerSchema;
use crate::render::{Out, OutputFormat};
use crate::stack::{Stack, doctor, parts, replica};
use crate::tune::snapshots;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use nsys_contract::topics;
use std::path::PathBuf;
use std::time::Duration;

/// The variable by which the script of a shell asks.
const VARIABLE: &str = "NSYS_COMPLETE";
/// Longest wait for names that a part knows: a shell that hangs is worse than a name that is missing.
const TIMEOUT: Duration = Duration::from_millis(700);
/// Most runs that are offered, newest first.
const MOST_RUNS: usize = 50;

/// What knows the names for an argument.
type Names = fn() -> Vec<String>;

/// Arguments that take a name of this stack: the command, or `*` for any, the argument's id, and what knows names.
const NAMES: [(&str, &str, Names); 23] = [
    ("*", "run", runs),
    ("compare", "before", runs),
    ("compare", "after", runs),
    ("compare", "noise_from", runs),
    ("verify", "against", runs),
    ("logs", "parts", known_parts),
    ("restart", "parts", known_parts),
    ("profile", "part", known_parts),
    ("up", "only", known_parts),
    ("up", "without", known_parts),
    ("up", "with", optional_parts),
    ("lag", "group", groups),
    ("describe", "topic", topics_there),
    ("show", "prefix", keys),
    ("show", "reveal", keys),
    ("get", "name", queries),
    ("history", "id", changes),
    ("undo", "id", changes),
    ("diagnose", "explain", rules),
    ("doctor", "explain", checks),
    ("slow", "since", kept_snapshots),
    ("man", "command", commands),
    ("schema", "command", commands),
];

/// Answers a shell that asks for completions, if one does.
///
/// # Errors
/// When the shell is not known.
pub fn answer() -> Result<bool> {
    if process_env::var_os(VARIABLE).is_none() {
        return Ok(false);
    }
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(with_names)
        .var(VARIABLE)
        .try_complete(std::env::args_os(), here.as_deref())
        .map_err(|cause| Error::failed(format!("cannot complete: {cause}")))
}

/// What a shell loads.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct ScriptAnswer {
    shell: String,
    script: String,
}

/// Prints what a shell loads.
pub(super) fn script(shell: clap_complete::Shell, out: Out) -> Result<()> {
    let shell = shell.to_string();
    let mut text = Vec::new();
    let shells = Shells::builtins();
    let known = shells.completer(&shell).ok_or_else(|| Error::usage(format!("no completion for {shell}")))?;
    known
        .write_registration(VARIABLE, "nsys", "nsys", "nsys", &mut text)
        .context("cannot write the script")?;
    match out.format() {
        OutputFormat::Text => out.bytes(&text),
        OutputFormat::Json => {
            out.json(&ScriptAnswer { shell, script: String::from_utf8_lossy(&text).into_owned() })
        }
    }
}

/// The command line, where arguments know the names of this stack.
fn with_names() -> clap::Command {
    named(visible_commands())
}

fn named(command: clap::Command) -> clap::Command {
    let of = command.get_name().to_owned();
    let names = |id: &str| {
        let fits = |known: &&(&str, &str, Names)| (known.0 == "*" || known.0 == of) && known.1 == id;
        NAMES.iter().find(fits).map(|(_, _, names)| *names)
    };
    let command = command.mut_args(|arg| match names(arg.get_id().as_str()) {
        Some(names) => {
            let candidates = move || names().into_iter().map(CompletionCandidate::new).collect();
            arg.add(ArgValueCandidates::new(candidates))
        }
        None => arg,
    });
    command.mut_subcommands(named)
}

/// The configuration of the command line that is being typed.
fn loaded() -> Option<Loaded> {
    let typed: Vec<_> = std::env::args().collect();
    let flag = |name: &str| {
        let apart = typed.windows(2).find(|two| two[0] == name).map(|two| two[1].clone());
        apart
            .or_else(|| typed.iter().find_map(|one| one.strip_prefix(&format!("{name}="))).map(str::to_owned))
    };
    let path = |name: &str| flag(name).map(PathBuf::from);
    let (profile, config, state_dir) = (path("--profile"), path("--config"), path("--state-dir"));
    let variables = process_env::settings().ok()?.into_iter();
    Loaded::with_profile(profile.as_deref(), config.as_deref(), state_dir.as_deref(), variables).ok()
}

fn runs() -> Vec<String> {
    let Some(loaded) = loaded() else { return Vec::new() };
    let newest_first = store::list(&loaded.results_dir()).into_iter().rev();
    let newest = newest_first.filter_map(|dir| Some(dir.file_name()?.to_str()?.to_owned())).take(MOST_RUNS);
    std::iter::once("latest".to_owned()).chain(newest).collect()
}

/// Roles, and the parts that have written a log on this stack.
fn known_parts() -> Vec<String> {
    let logs = loaded().map(|loaded| Stack::new(loaded).layout.path("logs"));
    let entries = logs.and_then(|dir| std::fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    let logged = |one: std::fs::DirEntry| Some(one.file_name().to_str()?.strip_suffix(".log")?.to_owned());
    let mut names: Vec<_> = entries.filter_map(logged).collect();
    names.extend(["app", "worker"].into_iter().chain(parts::INFRASTRUCTURE).map(str::to_owned));
    names.sort();
    names.dedup();
    names
}

fn optional_parts() -> Vec<String> {
    parts::OPTIONAL.into_iter().chain([replica::PART]).map(str::to_owned).collect()
}

/// What a broker answers in a moment; what the service uses in any case.
fn asked<T>(
    usual: &[&str],
    ask: impl AsyncFnOnce(&Stack) -> Result<T>,
    names: fn(T) -> Vec<String>,
) -> Vec<String> {
    let mut found: Vec<String> = usual.iter().map(|one| (*one).to_owned()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    if let (Some(loaded), Ok(runtime)) = (loaded(), runtime) {
        let stack = Stack::new(loaded);
        let answer = runtime.block_on(tokio::time::timeout(TIMEOUT, ask(&stack)));
        found.extend(answer.ok().and_then(Result::ok).map(names).unwrap_or_default());
        runtime.shutdown_background();
    }
    found.sort();
    found.dedup();
    found
}

fn groups() -> Vec<String> {
    asked(
        &[topics::WORKER_GROUP],
        async |stack| crate::clients::kafka::groups(&stack.endpoints.brokers(), TIMEOUT).await,
        |found| found.into_iter().map(|one| one.name).collect(),
    )
}

fn topics_there() -> Vec<String> {
    asked(
        &[topics::NOTIFICATIONS],
        async |stack| crate::clients::kafka::topics(&stack.endpoints.brokers(), TIMEOUT).await,
        |found| found.into_iter().map(|(name, _)| name).collect(),
    )
}

fn keys() -> Vec<String> {
    loaded().map(|loaded| loaded.settings.into_keys().collect()).unwrap_or_default()
}

fn queries() -> Vec<String> {
    crate::domain::catalogue::names().into_iter().map(str::to_owned).collect()
}

fn changes() -> Vec<String> {
    let Some(loaded) = loaded() else { return Vec::new() };
    let entries = crate::journal::Journal::of(&Stack::new(loaded).layout).entries().unwrap_or_default();
    entries.into_iter().rev().map(|entry| entry.id).collect()
}

fn rules() -> Vec<String> {
    let rules = crate::domain::diagnosis::rules().map(|rule| rule.id.to_owned());
    std::iter::once("list".to_owned()).chain(rules).collect()
}

fn checks() -> Vec<String> {
    doctor::EXPLANATIONS.iter().map(|(id, _)| (*id).to_owned()).collect()
}

fn kept_snapshots() -> Vec<String> {
    let mut names = loaded().map(|loaded| snapshots::names(&Stack::new(loaded))).unwrap_or_default();
    names.sort();
    std::iter::once("latest".to_owned()).chain(names).collect()
}

fn commands() -> Vec<String> {
    visible_commands().get_subcommands().map(|one| one.get_name().to_owned()).collect()
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<ScriptAnswer>("completions", 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_name_belongs_to_an_argument_of_some_command() {
        fn ids(command: &clap::Command, into: &mut Vec<(String, String)>) {
            let of = command.get_name();
            into.extend(command.get_arguments().map(|arg| (of.to_owned(), arg.get_id().to_string())));
            command.get_subcommands().for_each(|one| ids(one, into));
        }
        let mut all = Vec::new();
        ids(&visible_commands(), &mut all);
        for (of, id, _) in NAMES {
            let there = all.iter().any(|(command, known)| (of == "*" || command == of) && known == id);
            assert!(there, "{of} has no argument {id}");
        }
    }
}
