//! Arguments of the commands that judge runs.

use clap::Args;

/// Arguments of `nsys compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// A directory, its name, latest or latest~1
    pub before: String,
    /// A directory, its name, latest or latest~1
    #[arg(default_value = "latest")]
    pub after: String,
    /// End with 20 when a metric became worse
    #[arg(long)]
    pub fail_on_regression: bool,
    /// Write Markdown, for a pull request
    #[arg(long)]
    pub markdown: bool,
}

/// Arguments of `nsys diagnose`.
#[derive(Clone, Debug, Args)]
pub struct DiagnoseArgs {
    /// A directory, its name, latest or latest~1
    #[arg(default_value = "latest")]
    pub run: String,
    /// Explain one rule; `list` names them all
    #[arg(long, value_name = "RULE")]
    pub explain: Option<String>,
}
