//! Pages of lists: how long, and where the next one begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const DEFAULT: u32 = 50;
const MAX: u32 = 200;

/// How many things a page has: what was asked for, within bounds.
pub(crate) fn limit(asked: Option<u32>) -> i64 {
    i64::from(asked.unwrap_or(DEFAULT).clamp(1, MAX))
}

/// Cuts what was read with one more than the page holds: the page, and the cursor of the next one.
pub(crate) fn cut<T>(
    mut read: Vec<T>,
    limit: i64,
    cursor: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = read.len() > limit;
    read.truncate(limit);
    let next = read.last().filter(|_| more).map(|last| self::cursor(&cursor(last)));
    (read, next)
}

/// A place as a cursor.
pub(crate) fn cursor(place: &str) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

/// What a cursor of ours says; `None` for any other text.
pub(crate) fn read_cursor(text: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_a_cursor_only_when_there_is_more() {
        let (page, next) = cut(vec![1, 2, 3], 2, i32::to_string);
        assert_eq!((page, next.as_deref().and_then(read_cursor).as_deref()), (vec![1, 2], Some("2")));
        assert_eq!(cut(vec![1, 2], 2, i32::to_string), (vec![1, 2], None));
    }

    #[test]
    fn lengths_are_bounded() {
        assert_eq!([limit(None), limit(Some(0)), limit(Some(9_999))], [50, 1, 200]);
    }
}
