//! `nsys man`: the manual page of nsys or of one command, made from the command line itself.

use crate::cli::{ManArgs, visible_commands};
use crate::error::{Context, Error, Result};
use crate::render::schema::{AnswerSchema, Either};
use crate::render::{Out, OutputFormat};
use std::path::{Path, PathBuf};

/// Pages that were written.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Pages {
    files: Vec<PathBuf>,
}

/// One page, as roff.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct ManualPage {
    command: String,
    page: String,
}

pub(super) fn manual(args: &ManArgs, out: Out) -> Result<()> {
    let mut whole = visible_commands();
    // Gives every command its full name.
    whole.build();
    match &args.dir {
        Some(dir) => write_all(whole, dir, out),
        None => print(find(whole, &args.command)?, out),
    }
}

fn write_all(whole: clap::Command, dir: &Path, out: Out) -> Result<()> {
    let files = written(whole, dir)?;
    match out.format() {
        OutputFormat::Json => out.json(&Pages { files }),
        OutputFormat::Text => files.iter().try_for_each(|file| out.line(&file.display().to_string())),
    }
}

/// The command that these words mean.
fn find(whole: clap::Command, words: &[String]) -> Result<clap::Command> {
    words.iter().try_fold(whole, |command, word| {
        let known: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        match command.find_subcommand(word) {
            Some(found) if !found.is_hide_set() => Ok(found.clone()),
            _ => Err(Error::no_such("command", word, known, "nsys --help lists them")),
        }
    })
}

fn print(command: clap::Command, out: Out) -> Result<()> {
    let mut page = Vec::new();
    let name = command.get_bin_name().unwrap_or("nsys").to_owned();
    clap_mangen::Man::new(command).render(&mut page).context("cannot write the manual page")?;
    // Pages that are not installed are told as what shows them: `nsys man loadtest`.
    let page = String::from_utf8_lossy(&page).replace("(1)", "");
    match out.format() {
        OutputFormat::Text => out.bytes(page.as_bytes()),
        OutputFormat::Json => out.json(&ManualPage { command: name, page }),
    }
}

/// Writes the pages of a command and of those below it; the files, in order.
fn written(whole: clap::Command, dir: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut files = Vec::new();
    let mut waiting = vec![whole];
    while let Some(command) = waiting.pop() {
        waiting.extend(command.get_subcommands().filter(|one| !one.is_hide_set()).cloned());
        let file = clap_mangen::Man::new(command).generate_to(dir);
        files.push(file.with_context(|| format!("cannot write into {}", dir.display()))?);
    }
    files.sort();
    Ok(files)
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<Either<ManualPage, Pages>>("man", 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_command_is_found_by_its_words_and_a_hidden_one_is_not() {
        let whole = || {
            let mut whole = visible_commands();
            whole.build();
            whole
        };
        let found = find(whole(), &words("loadtest incremental")).unwrap();
        assert_eq!(found.get_display_name(), Some("nsys-loadtest-incremental"));
        let error = find(whole(), &words("loadtest incrementel")).unwrap_err();
        assert!(error.hint.unwrap().contains("did you mean incremental?"));
        assert!(find(whole(), &words("supervise")).is_err());
    }

    #[test]
    fn every_page_that_a_page_names_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut whole = visible_commands();
        whole.build();
        written(whole, dir.path()).unwrap();
        let name = regex::Regex::new(r"(nsys[a-z\\-]*)\(1\)").unwrap();
        let mut named = 0;
        for page in std::fs::read_dir(dir.path()).unwrap().flatten() {
            let text = std::fs::read_to_string(page.path()).unwrap();
            for found in name.captures_iter(&text) {
                let file = format!("{}.1", found[1].replace('\\', ""));
                assert!(dir.path().join(&file).is_file(), "{} names {file}", page.path().display());
                named += 1;
            }
        }
        assert!(named > 30, "{named}");
    }
}
