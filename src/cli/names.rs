//! How the command line offers what the domain names: the same names, with a line of help each.

use crate::domain::level::Model;
use crate::domain::scenario::{LoadEngine, Scenario};
use clap::ValueEnum;
use clap::builder::PossibleValue;

impl ValueEnum for Scenario {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let name = PossibleValue::new(self.as_str()).help(match self {
            Self::Smoke => "Send a few requests to check that it works",
            Self::Baseline => "Moderate load, as a baseline to compare with",
            Self::Incremental => "Increase level by level up to the breaking point",
            Self::Stress => "Load beyond the breaking point",
            Self::Spike => "A sudden burst, and the recovery from it",
            Self::Soak => "Constant load over a long time, to find leaks",
            Self::FindMax => "Search for the highest rate that meets the objectives",
        });
        Some(if *self == Self::Baseline { name.alias("load") } else { name })
    }
}

impl ValueEnum for Model {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Open, Self::Closed]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Open => PossibleValue::new("open")
                .help("Requests arrive at a fixed rate, however long responses take"),
            Self::Closed => PossibleValue::new("closed")
                .help("Virtual users wait for each response before the next request"),
        })
    }
}

impl ValueEnum for LoadEngine {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::K6, Self::Native]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()).help(match self {
            Self::K6 => "k6, the reference",
            Self::Native => "nsys' own open-loop generator",
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_takes_the_names_that_reports_use() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::from_str(scenario.as_str(), false), Ok(scenario));
            assert_eq!(serde_json::to_value(scenario).unwrap(), scenario.as_str());
        }
        for engine in LoadEngine::value_variants() {
            assert_eq!(serde_json::to_value(engine).unwrap(), engine.as_str());
        }
        assert_eq!(Scenario::from_str("load", false), Ok(Scenario::Baseline));
    }
}
