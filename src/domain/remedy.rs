//! What helps against a cause: a change that nsys makes, a command that shows more, or advice in words. Pure.
//!
//! A remedy is a value, made from what is set now. Its text is its rendering, for people and for JSON; what
//! it does is read from the value, never from the text.

mod operation;
mod settings;
mod tuning;

pub use operation::Operation;
pub use settings::CurrentSettings;
#[cfg(test)]
pub(crate) use tests::configurations;
pub use tuning::{SettingChange, TimeSpan, Tuning};

use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::fmt;

/// One thing that helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A change that nsys plans, makes and takes back.
    Tune(Tuning),
    /// A command of nsys that shows more, or that somebody has to decide on.
    Run(Operation),
    /// What nsys cannot do, in one sentence.
    Advise(&'static str),
}

impl Remedy {
    /// The change, where it is one.
    #[must_use]
    pub const fn tuning(&self) -> Option<&Tuning> {
        match self {
            Self::Tune(tuning) => Some(tuning),
            Self::Run(_) | Self::Advise(_) => None,
        }
    }

    /// Whether its text is a command line.
    #[must_use]
    pub const fn is_command(&self) -> bool {
        !matches!(self, Self::Advise(_))
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Tune(_) => "tune",
            Self::Run(_) => "run",
            Self::Advise(_) => "advise",
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tune(tuning) => tuning.fmt(f),
            Self::Run(operation) => operation.fmt(f),
            Self::Advise(text) => f.write_str(text),
        }
    }
}

/// As `{"kind": "tune", "text": "nsys tune db --indexes", "change": {…}}`; only a change has a `change`.
impl schemars::JsonSchema for Remedy {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Remedy".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "properties": {"kind": {"type": "string"}, "text": {"type": "string"}, "change": {}},
            "required": ["kind", "text"],
        })
    }
}

impl Serialize for Remedy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Remedy", 3)?;
        fields.serialize_field("kind", self.kind())?;
        fields.serialize_field("text", &self.to_string())?;
        match self {
            Self::Tune(tuning) => fields.serialize_field("change", tuning)?,
            Self::Run(_) | Self::Advise(_) => fields.skip_field("change")?,
        }
        fields.end()
    }
}

/// Several in one line; `command` dresses what is a command line.
#[must_use]
pub fn line(remedies: &[Remedy], command: impl Fn(&str) -> String) -> String {
    let one = |remedy: &Remedy| {
        let text = remedy.to_string();
        if remedy.is_command() { command(&text) } else { text }
    };
    remedies.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
