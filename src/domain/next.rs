//! The one most useful next step, from what is known without asking anybody for long. Pure.

use super::remedy::Tuning;
use super::verdict::Verdict;
use serde::Serialize;

/// What is known.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    /// Programs that the runtime needs and that are not installed.
    pub missing: Vec<String>,
    /// Whether anything of the stack runs.
    pub runs: bool,
    /// Parts that do not run as they should.
    pub broken: Vec<String>,
    /// The newest finished run.
    pub last: Option<Last>,
    /// Changes of the journal since the newest run began.
    pub changed_since: usize,
}

/// The newest run.
#[derive(Clone, Debug)]
pub struct Last {
    /// Its name.
    pub id: String,
    /// Its scenario.
    pub kind: String,
    /// Whether it came to its end.
    pub finished: bool,
    /// Whether the same load can be offered again.
    pub repeatable: bool,
    /// What it came to.
    pub verdict: Verdict,
    /// The change that helps against the first cause found in it.
    pub tuning: Option<Tuning>,
    /// What that cause is.
    pub cause: Option<String>,
    /// The run before it of the same load, when changes lie between.
    pub before: Option<String>,
}

/// A step and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct NextStep {
    /// The command line.
    pub command: String,
    /// Why it is the next one.
    pub because: String,
}

/// Decides.
#[must_use]
pub fn next(now: &Situation) -> NextStep {
    let step = |command: &str, because: String| NextStep { command: command.to_owned(), because };
    if !now.missing.is_empty() {
        return step("nsys setup", format!("{} is not installed", now.missing.join(", ")));
    }
    if !now.runs {
        return step("nsys up", "the stack is not running".into());
    }
    if !now.broken.is_empty() {
        return step("nsys health", format!("{} does not run as it should", now.broken.join(", ")));
    }
    let Some(last) = &now.last else {
        return step("nsys loadtest incremental --quick", "nothing was measured yet".into());
    };
    if !last.finished {
        return step("nsys loadtest resume", format!("{} did not finish", last.id));
    }
    if now.changed_since > 0 {
        let changes = if now.changed_since == 1 { "a change was" } else { "changes were" };
        let again = if last.repeatable {
            format!("nsys verify --against {}", last.id)
        } else {
            format!("nsys loadtest {}", last.kind)
        };
        return step(&again, format!("{changes} made since {}", last.id));
    }
    if let Some(before) = &last.before {
        return step(
            &format!("nsys compare {before} {}", last.id),
            "the same load was run before and after a change".into(),
        );
    }
    judged(last)
}

fn judged(last: &Last) -> NextStep {
    let step = |command: String, because: String| NextStep { command, because };
    match (last.verdict, &last.tuning, &last.cause) {
        (Verdict::GeneratorLimited, ..) => step(
            "nsys loadtest plan incremental".into(),
            format!("the generator was the limit of {}; see what this machine can offer", last.id),
        ),
        (_, Some(tuning), Some(cause)) => step(tuning.to_string(), cause.clone()),
        (Verdict::Failed, _, Some(cause)) => step(format!("nsys diagnose {}", last.id), cause.clone()),
        (Verdict::Failed, ..) => {
            step(format!("nsys diagnose {}", last.id), format!("{} missed objectives", last.id))
        }
        (Verdict::Unknown, ..) => {
            step("nsys doctor".into(), "something needed for the verdict could not be measured".into())
        }
        _ if last.kind == "smoke" => {
            step("nsys loadtest incremental --quick".into(), "it works; how much load can it take?".into())
        }
        _ => step(
            "nsys loadtest find-max".into(),
            format!("{} passed: find the rate at which it saturates", last.id),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up() -> Situation {
        Situation { runs: true, ..Situation::default() }
    }

    fn last(verdict: Verdict) -> Last {
        Last {
            id: "incremental-1".into(),
            kind: "incremental".into(),
            finished: true,
            repeatable: true,
            verdict,
            tuning: None,
            cause: None,
            before: None,
        }
    }

    fn command(now: &Situation) -> String {
        next(now).command
    }

    #[test]
    fn each_situation_has_its_step() {
        let missing = Situation { missing: vec!["k6".into()], ..Situation::default() };
        assert_eq!(command(&missing), "nsys setup");
        assert_eq!(command(&Situation::default()), "nsys up");
        assert_eq!(command(&Situation { broken: vec!["kafka".into()], ..up() }), "nsys health");
        assert_eq!(command(&up()), "nsys loadtest incremental --quick");
        let with = |last: Last| Situation { last: Some(last), ..up() };
        assert_eq!(
            command(&with(Last { finished: false, ..last(Verdict::Interrupted) })),
            "nsys loadtest resume"
        );
        assert_eq!(command(&with(last(Verdict::Passed))), "nsys loadtest find-max");
        assert_eq!(command(&with(last(Verdict::Failed))), "nsys diagnose incremental-1");
        let found = Last {
            tuning: Some(Tuning::BuildIndexes),
            cause: Some("an index is missing".into()),
            ..last(Verdict::Failed)
        };
        assert_eq!(command(&with(found.clone())), "nsys tune db --indexes");
        let changed = Situation { changed_since: 1, ..with(found) };
        assert_eq!(command(&changed), "nsys verify --against incremental-1");
        let searched = Last { kind: "find-max".into(), repeatable: false, ..last(Verdict::Passed) };
        let changed = Situation { changed_since: 2, ..with(searched) };
        assert_eq!(command(&changed), "nsys loadtest find-max");
        let after = Last { before: Some("incremental-0".into()), ..last(Verdict::Passed) };
        assert_eq!(command(&with(after)), "nsys compare incremental-0 incremental-1");
    }
}
