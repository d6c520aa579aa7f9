//! Cuts chunks of bytes into lines, within bounds. Pure.

use std::ops::Range;

/// A line that is longer than allowed; its bytes are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Where a line lies, or that it is too long.
pub(crate) type Line = Result<Range<usize>, TooLong>;

/// Bytes that came and were not read yet.
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    max: usize,
    /// Whether the line that comes is the rest of one that was too long.
    skipping: bool,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(max: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, max, skipping: false, ended: false }
    }

    /// Adds what came.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(chunk);
    }

    /// Nothing more comes: what is left is the last line.
    pub(crate) fn finish(&mut self) {
        self.ended = true;
    }

    /// The places of the next whole lines that are not blank, up to `most`.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Line> {
        std::iter::from_fn(|| self.next()).take(most).collect()
    }

    /// A line without its end. Read it before more bytes are added.
    pub(crate) fn read(&self, line: &Line) -> Result<&[u8], TooLong> {
        line.clone().map(|place| self.buffer.get(place).unwrap_or_default())
    }

    /// The next whole line that is not blank.
    fn next(&mut self) -> Option<Line> {
        loop {
            let rest = self.buffer.get(self.start..)?;
            let Some(len) = memchr::memchr(b'\n', rest) else {
                return self.unfinished();
            };
            let (from, to) = (self.start, self.start + len);
            self.start = to + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if len > self.max {
                return Some(Err(TooLong));
            }
            if let Some(line) = self.trimmed(from, to) {
                return Some(Ok(line));
            }
        }
    }

    /// What lies between, without blanks around it; `None` when there is nothing else.
    fn trimmed(&self, from: usize, to: usize) -> Option<Range<usize>> {
        let text = &self.buffer[from..to];
        let start = to - text.trim_ascii_start().len();
        let line = start..start + text.trim_ascii().len();
        (!line.is_empty()).then_some(line)
    }

    fn unfinished(&mut self) -> Option<Line> {
        let from = std::mem::replace(&mut self.start, self.buffer.len());
        let len = self.buffer.len() - from;
        if len > self.max {
            // Reported once; the rest of the line is dropped as it comes.
            return (!std::mem::replace(&mut self.skipping, true)).then_some(Err(TooLong));
        }
        if self.skipping {
            return None;
        }
        if self.ended {
            return self.trimmed(from, self.buffer.len()).map(Ok);
        }
        self.start = from;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(max: usize, chunks: &[&[u8]]) -> Vec<Result<String, TooLong>> {
        let mut lines = Lines::new(max);
        let mut found = Vec::new();
        let mut take = |lines: &mut Lines| {
            let cut = lines.take(usize::MAX);
            let texts = cut.iter().map(|line| lines.read(line));
            found.extend(texts.map(|line| line.map(|line| String::from_utf8_lossy(line).into_owned())));
        };
        for chunk in chunks {
            lines.push(chunk);
            take(&mut lines);
        }
        lines.finish();
        take(&mut lines);
        found
    }

    #[test]
    fn lines_come_whole_and_blank_ones_not_at_all() {
        let found = all(9, &[b"a\n\n b", b"c\r\n  \n", b"last"]);
        assert_eq!(found, [Ok("a".into()), Ok("bc".into()), Ok("last".into())]);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_the_next_one_is_read() {
        let found = all(3, &[b"ab\nabcd", b"efgh", b"ij\nxyz\nlong!\n"]);
        assert_eq!(found, [Ok("ab".into()), Err(TooLong), Ok("xyz".into()), Err(TooLong)]);
    }

    proptest! {
        #[test]
        fn the_cut_into_chunks_does_not_matter(text in "[a-c\n]{0,60}", cuts in prop::collection::vec(0_usize..60, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts {
                chunks.push(&bytes[from..cut]);
                from = cut;
            }
            chunks.push(&bytes[from..]);
            prop_assert_eq!(all(5, &chunks), all(5, &[bytes]));
        }
    }
}
