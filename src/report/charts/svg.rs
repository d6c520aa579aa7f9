//! What kuva drew, as a page can hold it: no size of its own, names that do not depend on what was drawn before,
//! and words for those who do not see it.

use crate::report::export::xml;

/// Lets the page decide the width: a view box instead of a fixed size, and no trace of the tool.
pub(super) fn inline(text: &str, class: &str, words: &str) -> String {
    let Some((head, rest)) = text.split_once('>') else { return text.to_owned() };
    let attribute = |name: &str| {
        let (_, value) = head.split_once(&format!(" {name}=\""))?;
        value.split_once('"').map(|(value, _)| value.to_owned())
    };
    let (width, height) = (attribute("width").unwrap_or_default(), attribute("height").unwrap_or_default());
    let rest = match (rest.find("<!--"), rest.find("-->")) {
        (Some(start), Some(end)) if start < end => format!("{}{}", &rest[..start], &rest[end + 3..]),
        _ => rest.to_owned(),
    };
    let rest = steady_names(rest);
    let words = xml(words);
    format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{words}\" \
         font-family=\"system-ui, sans-serif\" fill=\"currentColor\">{rest}"
    )
}
/// Clip paths are numbered through the process, and a page must be the same whoever writes it: they are
/// named by the rectangle that they clip to instead, so that equal names on a page mean equal clips.
fn steady_names(mut text: String) -> String {
    const NUMBERED: &str = "<clipPath id=\"kuva-clip-";
    while let Some(start) = text.find(NUMBERED) {
        let rest = &text[start + NUMBERED.len()..];
        let Some((number, shape)) = rest.split_once("\">") else { break };
        let shape = shape.split_once("</clipPath>").map_or("", |(shape, _)| shape);
        let parts =
            shape.split(|sign: char| !sign.is_ascii_digit() && sign != '.').filter(|one| !one.is_empty());
        let name = format!("clip-{}", parts.collect::<Vec<_>>().join("-"));
        let old = format!("kuva-clip-{number}");
        text = text
            .replace(&format!("\"{old}\""), &format!("\"{name}\""))
            .replace(&format!("#{old})"), &format!("#{name})"));
    }
    text
}
