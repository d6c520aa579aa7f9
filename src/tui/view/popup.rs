//! The box that lies over a pane.

use super::View;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

/// A box with a title; its inside is empty.
pub(super) fn frame(view: &View<'_>, title: &str, area: Rect, buffer: &mut Buffer) -> Rect {
    use ratatui::widgets::{Block, BorderType, Clear, Widget};
    Clear.render(area, buffer);
    let title = Span::styled(format!(" {title} "), view.theme.accent);
    let block = Block::bordered().border_type(BorderType::Rounded).border_style(view.theme.rule).title(title);
    let inside = block.inner(area);
    block.render(area, buffer);
    inside
}
