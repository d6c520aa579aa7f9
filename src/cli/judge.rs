//! Arguments of the commands that judge runs.

use clap::Args;

/// Arguments of `nsys compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// Run: a directory, its name, latest or latest~1; five and more with commas are compared by ranks
    pub before: String,
    /// Run: a directory, its name, latest or latest~1; five and more with commas are compared by ranks
    #[arg(default_value = "latest")]
    pub after: String,
    /// Exit with 20 if a metric regressed
    #[arg(long)]
    pub fail_on_regression: bool,
    /// Write Markdown, for a pull request
    #[arg(long)]
    pub markdown: bool,
    /// Identical runs, separated by commas; their differences become the noise floor of this and later comparisons
    #[arg(long, value_name = "RUN,RUN")]
    pub noise_from: Option<String>,
}

/// Arguments of `nsys diagnose`.
#[derive(Clone, Debug, Args)]
pub struct DiagnoseArgs {
    /// Run: a directory, its name, latest or latest~1
    #[arg(default_value = "latest")]
    pub run: String,
    /// Diagnose the running stack instead of a run
    #[arg(long, conflicts_with = "run")]
    pub live: bool,
    /// How long to observe the running stack
    #[arg(long, value_parser = super::parse_duration, default_value = "15s", requires = "live")]
    pub seconds: std::time::Duration,
    /// Explain one rule; `list` explains them all
    #[arg(long, value_name = "RULE", conflicts_with = "live")]
    pub explain: Option<String>,
}

/// Arguments of `nsys verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Run before the change, or several separated by commas
    #[arg(long, value_delimiter = ',', required = true, value_name = "RUN")]
    pub against: Vec<String>,
    /// Skip the restart of the service
    #[arg(long)]
    pub no_restart: bool,
    /// Maximum wait until every part is ready
    #[arg(long, value_parser = super::parse_duration, default_value = "60s")]
    pub timeout: std::time::Duration,
    /// Whether load may be offered there.
    #[command(flatten)]
    pub offer: super::OfferFlags,
}
