//! The panes, in the order of their keys.

/// One pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Pane {
    /// Everything on one time axis.
    #[default]
    Overview,
    /// Consumer lag by partition.
    Lag,
    /// The running load test.
    Load,
    /// PostgreSQL.
    Db,
    /// Redis.
    Cache,
    /// The parts and their logs.
    Stack,
}

impl Pane {
    /// All, in the order of their keys.
    pub const ALL: [Self; 6] = [Self::Overview, Self::Lag, Self::Load, Self::Db, Self::Cache, Self::Stack];

    /// The name on its tab.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Lag => "lag",
            Self::Load => "load",
            Self::Db => "db",
            Self::Cache => "cache",
            Self::Stack => "stack",
        }
    }
}
