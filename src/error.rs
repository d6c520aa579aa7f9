//! One error type: what went wrong, the next command that helps, and the exit code.
//!
//! Messages are lowercase fragments that name the thing; hints are whole sentences or commands.

use crate::secret::mask_text;
use std::fmt::Display;
use std::process::ExitCode;

/// The result of everything in nsys that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// It was tried and did not work. Exit code 1.
    Failed,
    /// The command line or the configuration is wrong. Exit code 2.
    Usage,
    /// A part that is needed does not answer. Exit code 3.
    Unreachable,
    /// It would be unsafe, or was not confirmed, or a right is missing. Exit code 4.
    Refused,
    /// The objectives of a load test were not met. Exit code 10.
    ObjectivesNotMet,
    /// The load could not be offered: the generator was the limit. Exit code 11.
    GeneratorLimited,
    /// A comparison found a regression. Exit code 20.
    Regression,
    /// Ctrl-C or SIGTERM. Exit code 130.
    Interrupted,
    /// Whoever read the output has gone, as `head` does when it has enough. Said to nobody. Exit code 0.
    OutputClosed,
}

impl ErrorKind {
    /// The process exit code, as documented for scripts.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Refused => 4,
            Self::ObjectivesNotMet => 10,
            Self::GeneratorLimited => 11,
            Self::Regression => 20,
            Self::Interrupted => 130,
            Self::OutputClosed => 0,
        }
    }

    /// The word for it in errors as JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::ObjectivesNotMet => "objectives_not_met",
            Self::GeneratorLimited => "generator_limited",
            Self::Regression => "regression",
            Self::Interrupted => "interrupted",
            Self::OutputClosed => "output_closed",
        }
    }
}

/// A failure with its kind, its message and, where there is one, a hint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What failed, naming the thing.
    pub message: String,
    /// What to do now.
    pub hint: Option<String>,
    /// What a driver, a program or the system said of it; stands at the end of the message too.
    pub cause: Option<String>,
}

/// How alike two names must be for one to be meant by the other, 0 to 1.
const ALIKE: f64 = 0.7;
/// Most names that an error lists.
const MOST_NAMES: usize = 12;

/// The known name that is most like the given one, if one is alike at all.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = known.into_iter().map(|one| (strsim::jaro_winkler(one, name), one));
    alike.filter(|(likeness, _)| *likeness > ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, one)| one)
}

impl Error {
    /// A failure of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        // Whoever fails likes to name the address at which it did.
        Self { kind, message: mask_text(&message.into()), hint: None, cause: None }
    }

    /// It was tried and did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// The command line or the configuration is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// A part that is needed does not answer.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unreachable, message)
    }

    /// It would be unsafe, or was not confirmed, or a right is missing.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// Ctrl-C or SIGTERM ended it.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Interrupted, message)
    }

    /// Adds what to do now.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(mask_text(&hint.into()));
        self
    }

    /// Adds what a driver, a program or the system said.
    #[must_use]
    pub fn cause(mut self, cause: impl Display) -> Self {
        self.cause = Some(mask_text(&cause.to_string()));
        self
    }

    /// A name that somebody gave stands for nothing: the near one is named, a few are listed, and `lists`, a
    /// command, shows them all.
    pub fn no_such<'a>(
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
        lists: &str,
    ) -> Self {
        let known: Vec<_> = known.into_iter().collect();
        let meant = nearest(name, known.iter().copied()).map(|near| format!("did you mean {near}? "));
        let listed = match known.len() {
            0 => String::new(),
            count if count <= MOST_NAMES => format!("there are: {}; ", known.join(", ")),
            _ => String::new(),
        };
        Self::usage(format!("there is no {what} {name}"))
            .hint(format!("{}{listed}{lists}", meant.unwrap_or_default()))
    }

    /// The one shape of an error for programs: kind, message, hint, cause and exit code.
    #[must_use]
    pub fn as_json(&self) -> serde_json::Value {
        serde_json::json!({"error": {
            "kind": self.kind.as_str(),
            "message": self.message,
            "hint": self.hint,
            "cause": self.cause,
            "exit_code": self.kind.exit_code(),
        }})
    }

    /// The exit code of the process that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.exit_code())
    }
}

/// Puts what was being done before a foreign error.
pub trait Context<T> {
    /// Turns any error into an [`ErrorKind::Failed`] one that reads "`what`: cause".
    ///
    /// # Errors
    /// The error it was called on, with `what` before it.
    fn context(self, what: impl Display) -> Result<T>;

    /// As [`Context::context`], with the message made only when it is needed.
    ///
    /// # Errors
    /// The error it was called on, with the message before it.
    fn with_context<D: Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl Display) -> Result<T> {
        self.map_err(|cause| Error::failed(format!("{what}: {cause}")).cause(cause))
    }

    fn with_context<D: Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|cause| Error::failed(format!("{}: {cause}", what())).cause(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_documented_exit_code_everywhere() {
        let codes = [
            (ErrorKind::Failed, 1),
            (ErrorKind::Usage, 2),
            (ErrorKind::Unreachable, 3),
            (ErrorKind::Refused, 4),
            (ErrorKind::ObjectivesNotMet, 10),
            (ErrorKind::GeneratorLimited, 11),
            (ErrorKind::Regression, 20),
            (ErrorKind::Interrupted, 130),
            (ErrorKind::OutputClosed, 0),
        ];
        let root = env!("CARGO_MANIFEST_DIR");
        let source = std::fs::read_to_string(format!("{root}/src/error.rs")).unwrap();
        let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
        let section =
            readme.split("## Exit codes").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
        let help = std::fs::read_to_string(format!("{root}/tests/it/golden/help.txt")).unwrap();
        let help = help.split("Exit codes:").nth(1).unwrap();
        let numbers = |text: &str| -> std::collections::BTreeSet<u8> {
            text.split(|one: char| !one.is_ascii_digit()).filter_map(|one| one.parse().ok()).collect()
        };
        let all: std::collections::BTreeSet<_> = codes.iter().map(|(_, code)| *code).collect();
        assert_eq!(numbers(section), all, "README.md");
        assert_eq!(numbers(help), all, "nsys --help");
        for (kind, code) in codes {
            assert_eq!(kind.exit_code(), code);
            assert!(source.contains(&format!("Exit code {code}.")), "{kind:?} documents another code");
        }
    }

    #[test]
    fn a_name_that_is_not_there_gets_the_near_one() {
        let error = Error::no_such("part", "kafak", ["app", "kafka"], "nsys ps lists them");
        assert_eq!(error.kind, ErrorKind::Usage);
        assert_eq!(
            error.hint.as_deref(),
            Some("did you mean kafka? there are: app, kafka; nsys ps lists them")
        );
        let far = Error::no_such("part", "zzz", [], "nsys ps lists them");
        assert_eq!(far.hint.as_deref(), Some("nsys ps lists them"));
    }

    #[test]
    fn what_a_driver_said_is_told_apart() {
        let error = std::fs::read("/nowhere").context("cannot read it").unwrap_err().as_json();
        assert!(error["error"]["cause"].as_str().unwrap().starts_with("No such file"), "{error}");
        assert!(
            error["error"]["message"].as_str().unwrap().starts_with("cannot read it: No such"),
            "{error}"
        );
    }
}
