//! How the dashboard is set up: colours, objectives, time zone.

use super::intent::Judge;
use super::palette::KnownCommand;
use super::pane::Pane;

/// A set of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ThemeName {
    /// For a dark background.
    #[default]
    Dark,
    /// For a light background.
    Light,
    /// Told apart with any kind of colour vision.
    Safe,
    /// The sixteen colours of the terminal's own palette.
    Terminal,
    /// No colour.
    Plain,
}

impl ThemeName {
    /// All, in the order in which a key goes through them.
    pub const ALL: [Self; 5] = [Self::Dark, Self::Light, Self::Safe, Self::Terminal, Self::Plain];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Safe => "safe",
            Self::Terminal => "terminal",
            Self::Plain => "plain",
        }
    }
}

/// The objectives that values are held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DashboardObjectives {
    /// 95th percentile, ms.
    pub p95_ms: f64,
    /// 99th percentile, ms.
    pub p99_ms: f64,
    /// Messages that wait.
    pub lag: f64,
    /// Connections.
    pub connections: f64,
    /// Share of cache reads that hit.
    pub hit_rate: f64,
}

impl Default for DashboardObjectives {
    fn default() -> Self {
        Self { p95_ms: 100.0, p99_ms: 500.0, lag: 1_000.0, connections: 100.0, hit_rate: 0.7 }
    }
}

/// How the dashboard is set up.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Name of the stack.
    pub stack: String,
    /// The pane to begin with.
    pub pane: Pane,
    /// Whether changes are refused.
    pub read_only: bool,
    /// The colours to begin with.
    pub theme: ThemeName,
    /// Whether there is no colour at all.
    pub no_colour: bool,
    /// Whether only ASCII is drawn.
    pub ascii: bool,
    /// The objectives.
    pub bounds: DashboardObjectives,
    /// The commands of nsys.
    pub commands: Vec<KnownCommand>,
    /// Tells what a command would change; without it every command counts as a change.
    pub judge: Option<Judge>,
    /// Whether everything is recorded.
    pub recording: bool,
    /// The time zone of the clocks.
    pub zone: Zone,
}

/// The time zone of the clocks; UTC unless another one is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(pub jiff::tz::TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(jiff::tz::TimeZone::UTC)
    }
}

impl Zone {
    /// A time in seconds since the epoch, in this form.
    #[must_use]
    pub fn show(&self, at_s: f64, form: &str) -> String {
        let time = jiff::Timestamp::from_second(at_s as i64).unwrap_or_default();
        time.to_zoned(self.0.clone()).strftime(form).to_string()
    }
}
