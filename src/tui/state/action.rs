//! What a key means, and what the program is to do for it.

use super::pane::Pane;

/// What a key means; which key that is stands in `keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End.
    Quit,
    /// Open a pane.
    Open(Pane),
    /// The next pane.
    Next,
    /// The pane before.
    Previous,
    /// So many rows down.
    Rows(i32),
    /// So many pages down; in the stack pane the log.
    Page(i32),
    /// Type a filter.
    Filter,
    /// Choose the column to sort by.
    Sort,
    /// Sort the other way round.
    Reverse,
    /// Type what to search for.
    Search,
    /// The next place that fits the search, or the one before.
    Find(bool),
    /// Show what happened.
    Events,
    /// Hold the moment, or let go.
    Hold,
    /// So many steps forward in time.
    Shift(i32),
    /// Back to the present.
    Present,
    /// A shorter window.
    Zoom,
    /// A longer window.
    Widen,
    /// Put a mark on the charts.
    Mark,
    /// Type a command.
    Palette,
    /// Show the row in full.
    Detail,
    /// Copy the row.
    Copy,
    /// Copy the command that answers for the row.
    CopyCommand,
    /// Export the pane.
    Export,
    /// Show the calls that were made.
    Calls,
    /// The next theme.
    Theme,
    /// Show the keys.
    Help,
    /// A recording goes slower.
    Slower,
    /// A recording goes faster.
    Faster,
}

/// A form of export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A picture of the screen.
    Svg,
    /// The series or the rows.
    Csv,
    /// Both.
    Json,
    /// For a document.
    Markdown,
}

impl Format {
    /// All, with their keys.
    pub const ALL: [(char, Self, &'static str); 4] = [
        ('s', Self::Svg, "SVG picture of the screen"),
        ('c', Self::Csv, "CSV of the series or rows"),
        ('j', Self::Json, "JSON of series and rows"),
        ('m', Self::Markdown, "Markdown table"),
    ];

    /// The end of a file's name.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Markdown => "md",
        }
    }
}

/// What the program is to do besides drawing.
#[derive(Clone, Debug, PartialEq)]
pub enum ScreenEffect {
    /// Nothing.
    None,
    /// End.
    Quit,
    /// Run nsys with these arguments in a terminal of its own.
    Run(Vec<String>),
    /// Give these bytes to the command that runs.
    Type(Vec<u8>),
    /// End the command that runs.
    EndSession,
    /// Put this on the clipboard.
    Copy(String),
    /// Write the pane to a file.
    Save(Format),
    /// Put a mark with this text at the moment that is shown.
    Mark(String),
    /// Go to this moment of the recording.
    Seek(f64),
    /// Play the recording at this speed.
    Speed(f64),
    /// Play or stop the recording.
    Play(bool),
}
