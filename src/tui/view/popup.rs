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

/// A place of this size, or of what there is, in the middle.
pub(super) fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}
