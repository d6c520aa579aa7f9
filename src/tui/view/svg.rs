//! A picture of the screen as SVG: what the terminal shows, to keep or to show somebody.

use super::super::state::{State, ThemeName};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use std::fmt::Write;

/// Pixels of one cell.
const CELL: (f64, f64) = (8.4, 18.0);

/// The screen at a size as SVG.
pub(crate) fn picture(state: &State, now_s: f64, width: u16, height: u16) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    super::draw(state, now_s, area, &mut buffer);
    of_buffer(&buffer, state.effective_theme() == ThemeName::Light)
}

fn of_buffer(buffer: &Buffer, light: bool) -> String {
    let (text, background) = if light { ("#24292f", "#ffffff") } else { ("#d0d4da", "#14171c") };
    let (width, height) = (f64::from(buffer.area.width) * CELL.0, f64::from(buffer.area.height) * CELL.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\" fill=\"{text}\"><rect width=\"100%\" height=\"100%\" fill=\"{background}\"/>\n"
    );
    for row in 0..buffer.area.height {
        line(buffer, row, text, background, &mut svg);
    }
    svg + "</svg>\n"
}

/// One line: cells that look the same are one piece of text, laid out to the exact width.
fn line(buffer: &Buffer, row: u16, text: &str, background: &str, svg: &mut String) {
    let mut column = 0;
    while column < buffer.area.width {
        let first = &buffer[(column, row)];
        let style = (first.fg, first.bg, first.modifier);
        let start = column;
        let mut piece = String::new();
        while column < buffer.area.width {
            let cell = &buffer[(column, row)];
            if (cell.fg, cell.bg, cell.modifier) != style {
                break;
            }
            piece += cell.symbol();
            column += 1;
        }
        let (mut front, mut back) = (hex(style.0, text), hex(style.1, background));
        if style.2.contains(Modifier::REVERSED) {
            std::mem::swap(&mut front, &mut back);
        }
        let (x, y) = (f64::from(start) * CELL.0, f64::from(row) * CELL.1);
        let width = f64::from(column - start) * CELL.0;
        if back != background {
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{}\" fill=\"{back}\"/>",
                CELL.1
            );
        }
        if piece.trim().is_empty() {
            continue;
        }
        let bold = if style.2.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
        let dim = if style.2.contains(Modifier::DIM) { " opacity=\"0.6\"" } else { "" };
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\" fill=\"{front}\"{bold}{dim}>{}</text>",
            y + 13.5,
            escaped(&piece)
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A terminal's colour as the web writes it; the default one is `otherwise`.
fn hex(colour: Color, otherwise: &str) -> String {
    const SIXTEEN: [&str; 16] = [
        "#000000", "#c4473a", "#3fa35b", "#b58900", "#3b78c2", "#a355b5", "#2f9fa5", "#c7ccd1", "#6e7681",
        "#e8685a", "#5bc47a", "#e0b23c", "#5f9be0", "#c37ad3", "#4fc1c7", "#ffffff",
    ];
    let number = match colour {
        Color::Reset => return otherwise.to_owned(),
        Color::Rgb(red, green, blue) => return format!("#{red:02x}{green:02x}{blue:02x}"),
        Color::Indexed(number) => number,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::DarkGray => 8,
        _ => 7,
    };
    match number {
        0..16 => SIXTEEN[usize::from(number)].to_owned(),
        16..232 => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            let cube = number - 16;
            format!("#{:02x}{:02x}{:02x}", level(cube / 36), level(cube / 6 % 6), level(cube % 6))
        }
        grey => {
            let level = 8 + 10 * (grey - 232);
            format!("#{level:02x}{level:02x}{level:02x}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::Setup;

    #[test]
    fn colours_of_the_palette_have_their_place() {
        assert_eq!(hex(Color::Indexed(196), "-"), "#ff0000");
        assert_eq!(hex(Color::Indexed(244), "-"), "#808080");
        assert_eq!(hex(Color::Reset, "#123456"), "#123456");
    }

    #[test]
    fn a_picture_has_every_line_and_breaks_on_nothing() {
        let state = State::new(Setup { stack: "a<b>&c".into(), ..Setup::default() });
        let svg = picture(&state, 0.0, 80, 24);
        assert!(svg.contains("a&lt;b&gt;&amp;c") && svg.ends_with("</svg>\n"), "{svg}");
    }
}
