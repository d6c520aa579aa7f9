//! Kafka's encoding of numbers, texts and lists, as far as [`super`] needs it. Nothing in an answer is
//! trusted: what does not fit is absent.

/// A request in the making.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn short(&mut self, value: i16) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(super) fn int(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }

    /// A text with its length in two bytes, as requests wrote it before they had tagged fields.
    pub(super) fn short_text(&mut self, text: &str) {
        self.short(i16::try_from(text.len()).unwrap_or(i16::MAX));
        self.bytes.extend(text.as_bytes());
    }

    /// Bytes with their length in four.
    pub(super) fn long_bytes(&mut self, bytes: &[u8]) {
        self.int(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.bytes.extend(bytes);
    }

    /// How many follow, or the length of a text: one more than that, in groups of seven bits.
    pub(super) fn count(&mut self, count: usize) {
        let mut rest = count + 1;
        while rest >= 0x80 {
            self.byte((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.byte(rest as u8);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend(text.as_bytes());
    }

    /// No list, where that means all.
    pub(super) fn all(&mut self) {
        self.byte(0);
    }

    /// No tagged field.
    pub(super) fn tags(&mut self) {
        self.byte(0);
    }
}

/// A response that is read from its beginning.
#[derive(Debug)]
pub(super) struct ResponseReader<'a> {
    rest: &'a [u8],
}

impl<'a> ResponseReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }

    pub(super) fn short(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take()?))
    }

    pub(super) fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take()?))
    }

    pub(super) fn long(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take()?))
    }

    fn unsigned(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A text; an absent one is empty.
    pub(super) fn text(&mut self) -> Option<String> {
        let length = self.unsigned()?.saturating_sub(1);
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// A list; an absent one is empty.
    pub(super) fn list<T>(&mut self, item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.unsigned()?.saturating_sub(1);
        self.items(count, item)
    }

    /// A list with its length in four bytes.
    pub(super) fn long_list<T>(&mut self, item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.int()?).unwrap_or(0);
        self.items(count, item)
    }

    fn items<T>(&mut self, count: usize, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        // Every item takes a byte at least, so a count of nonsense takes no memory.
        (count <= self.rest.len()).then_some(())?;
        (0..count).map(|_| item(self)).collect()
    }

    /// Passes over fields that are newer than what is known here.
    pub(super) fn tags(&mut self) -> Option<()> {
        for _ in 0..self.unsigned()? {
            self.unsigned()?;
            let length = self.unsigned()?;
            self.skip(length)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.text(&"x".repeat(300));
        writer.count(2);
        writer.int(7);
        writer.int(-1);
        writer.tags();
        let mut reader = ResponseReader::new(&writer.bytes);
        assert_eq!(reader.text().map(|text| text.len()), Some(300));
        assert_eq!(reader.list(ResponseReader::int), Some(vec![7, -1]));
        assert_eq!((reader.tags(), reader.short()), (Some(()), None));
    }

    #[test]
    fn newer_fields_are_passed_over() {
        let mut reader = ResponseReader::new(&[1, 9, 2, 0xaa, 0xbb, 0, 5]);
        assert_eq!((reader.tags(), reader.short()), (Some(()), Some(5)));
    }

    #[test]
    fn nonsense_is_absent_and_takes_no_memory() {
        assert_eq!(ResponseReader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).list(ResponseReader::int), None);
        assert_eq!(ResponseReader::new(&[0xff; 9]).text(), None);
        assert_eq!(ResponseReader::new(&[0x7f, 0xff, 0xff, 0xff]).long_list(ResponseReader::short), None);
        assert_eq!(ResponseReader::new(&[9, b'a']).text(), None);
        assert_eq!(ResponseReader::new(&[0]).text(), Some(String::new()));
    }
}
