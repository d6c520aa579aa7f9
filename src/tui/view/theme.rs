//! Colours by meaning. Symbols and words carry every meaning too.

use super::super::state::ThemeName;
use super::super::state::charts::LineRole;
use crate::render::Tone;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

/// The styles of a theme.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    pub(super) dim: Style,
    pub(super) strong: Style,
    pub(super) accent: Style,
    pub(super) rule: Style,
    pub(super) selected: Style,
    pub(super) mark: Style,
    good: Style,
    warn: Style,
    bad: Style,
    main: Style,
    other: Style,
    third: Style,
}

/// The colours of a theme, in the order: good, warn, bad, accent, main, other, third, mark, dim, rule,
/// background of the chosen row.
type Colours = [Color; 11];

const fn of(numbers: [u8; 11]) -> Colours {
    let mut colours = [Color::Reset; 11];
    let mut place = 0;
    while place < 11 {
        colours[place] = Color::Indexed(numbers[place]);
        place += 1;
    }
    colours
}

const DARK: Colours = of([78, 221, 203, 75, 74, 180, 141, 213, 245, 239, 237]);
const LIGHT: Colours = of([28, 130, 160, 25, 31, 130, 97, 126, 243, 250, 253]);
/// Okabe and Ito's palette: blue for good and vermilion for bad, told apart by everybody.
const SAFE: Colours = of([74, 220, 202, 36, 74, 214, 175, 175, 245, 240, 237]);
const TERMINAL: Colours = [
    Color::Green,
    Color::Yellow,
    Color::Red,
    Color::Cyan,
    Color::Blue,
    Color::Yellow,
    Color::Magenta,
    Color::Magenta,
    Color::DarkGray,
    Color::DarkGray,
    Color::Reset,
];

impl Theme {
    pub(super) fn new(name: ThemeName) -> Self {
        match name {
            ThemeName::Dark => Self::coloured(DARK),
            ThemeName::Light => Self::coloured(LIGHT),
            ThemeName::Safe => Self::coloured(SAFE),
            ThemeName::Terminal => {
                Self { selected: Style::new().add_modifier(Modifier::REVERSED), ..Self::coloured(TERMINAL) }
            }
            ThemeName::Plain => Self::plain(),
        }
    }

    fn coloured(colours: Colours) -> Self {
        let [good, warn, bad, accent, main, other, third, mark, dim, rule, chosen] =
            colours.map(|colour| Style::new().fg(colour));
        Self {
            dim,
            rule,
            mark,
            main,
            other,
            third,
            good,
            warn,
            strong: Style::new().add_modifier(Modifier::BOLD),
            accent: accent.add_modifier(Modifier::BOLD),
            bad: bad.add_modifier(Modifier::BOLD),
            selected: Style::new().bg(chosen.fg.unwrap_or_default()).add_modifier(Modifier::BOLD),
        }
    }

    fn plain() -> Self {
        let (none, bold) = (Style::new(), Style::new().add_modifier(Modifier::BOLD));
        let dim = none.add_modifier(Modifier::DIM);
        Self {
            dim,
            rule: dim,
            strong: bold,
            accent: bold,
            selected: none.add_modifier(Modifier::REVERSED),
            mark: bold,
            good: none,
            warn: bold,
            bad: bold,
            main: none,
            other: bold,
            third: dim,
        }
    }

    pub(super) const fn tone(&self, tone: Option<Tone>) -> Style {
        match tone {
            None => Style::new(),
            Some(Tone::Good) => self.good,
            Some(Tone::Warn) => self.warn,
            Some(Tone::Bad) => self.bad,
            Some(Tone::Dim) => self.dim,
            Some(Tone::Strong) => self.strong,
            Some(Tone::Command) => self.accent,
        }
    }

    pub(super) const fn role(&self, role: LineRole) -> Style {
        match role {
            LineRole::Main => self.main,
            LineRole::Other => self.other,
            LineRole::Third => self.third,
            LineRole::Bad => self.bad,
        }
    }
}

/// The symbol of a tone, so that colour is never the only carrier.
pub(super) const fn symbol(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✔",
        Tone::Warn => "▲",
        Tone::Bad => "✖",
        Tone::Dim | Tone::Strong | Tone::Command => "○",
    }
}

/// Puts ASCII in the place of every other symbol.
pub(super) fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let symbol = cell.symbol();
        if !symbol.is_ascii() {
            let plain = ascii(symbol);
            cell.set_symbol(plain);
        }
    }
}

fn ascii(symbol: &str) -> &'static str {
    const BARS: &str = "▁▂▃▄▅▆▇█";
    const PLAIN: [&str; 8] = [".", ".", ":", "-", "=", "+", "*", "#"];
    if let Some(place) = symbol.chars().next().and_then(|one| BARS.chars().position(|bar| bar == one)) {
        return PLAIN[place];
    }
    // A pattern of dots: above, below, or both.
    if let Some(dots @ 0x2800..0x2900) = symbol.chars().next().map(u32::from) {
        return match (dots & 0x1b != 0, dots & 0xe4 != 0) {
            (true, false) => "'",
            (false, true) => ".",
            _ => ":",
        };
    }
    match symbol {
        "─" | "╌" | "┈" | "–" | "━" => "-",
        "│" | "┆" | "▏" => "|",
        "╭" | "╮" | "╰" | "╯" | "┌" | "┐" | "└" | "┘" | "┴" | "┬" | "├" | "┤" => "+",
        "✔" => "+",
        "✖" => "x",
        "▲" | "↑" => "^",
        "▼" | "↓" => "v",
        "→" | "▸" | "≥" | "▶" => ">",
        "←" => "<",
        "●" | "•" | "◆" => "*",
        "○" => "o",
        "·" => ".",
        "…" => "~",
        "⏸" => "=",
        "×" => "x",
        _ => "?",
    }
}
