//! What a JSON text becomes once PostgreSQL has stored it as jsonb: how long it is when it is read
//! back, and whether it can be. Pure.
//!
//! jsonb keeps numbers as decimals and writes them out in full: `1e308` comes back as 309 digits, and
//! `0e-16383` as a zero with 16,383 decimals. What was small at the door could be fifty times as
//! large for everybody who reads it later, and larger than any reader's numbers. So texts are measured
//! as they are written out.

use super::Violation;
use super::pointer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// Most digits of a number that is written out in full. Every number of so many digits is one that all
/// readers can hold.
pub(crate) const MAX_DIGITS: usize = 64;

/// A JSON text, measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measure {
    /// Bytes of the longer of the text and what PostgreSQL makes of it.
    pub(crate) bytes: usize,
    /// Values in it, counting each key's and each element's.
    pub(crate) values: usize,
    /// Whether every number fits.
    pub(crate) numbers_fit: bool,
}

/// Bytes that a value takes in memory beside its text, about.
const VALUE_BYTES: usize = 72;

impl Measure {
    /// Bytes that the values take in memory once they are read, about.
    pub(crate) const fn memory(self) -> usize {
        self.bytes + self.values * VALUE_BYTES
    }
}

/// Measures a text, which has to be JSON.
pub(crate) fn measure(raw: &str) -> Measure {
    let bytes = raw.as_bytes();
    let (mut at, mut stored, mut values, mut numbers_fit) = (0, 0, 1, true);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = string_end(bytes, at);
                stored += end - at;
                at = end;
                continue;
            }
            b'-' | b'0'..=b'9' => {
                let token = number(&bytes[at..]);
                let plain = Plain::of(token);
                numbers_fit &= plain.digits() <= MAX_DIGITS;
                stored += plain.len();
                at += token.len();
                continue;
            }
            // It writes a space behind each.
            b',' | b':' => {
                stored += 2;
                values += 1;
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => stored += 1,
        }
        at += 1;
    }
    Measure { bytes: stored.max(raw.len()), values, numbers_fit }
}

/// What is wrong with a text that is to be stored, as a place below `at` and a reason: it is no JSON
/// that a reader takes, too long, has a number that is too long, or a zero byte, which PostgreSQL's
/// texts cannot hold.
pub(crate) fn violation(at: &str, raw: &str, max_bytes: usize) -> Option<Violation> {
    let measure = measure(raw);
    // A number that does not fit says more than the length that it would have; but what is too long to
    // begin with is not looked through.
    if raw.len() <= max_bytes && !measure.numbers_fit {
        return locate(at, raw);
    }
    if let Some(wrong) = too_large(at, measure, max_bytes) {
        return Some(wrong);
    }
    // A zero byte stands in a JSON text only as an escape.
    if raw.contains("\\u0000") { locate(at, raw) } else { None }
}

/// Tells a text that is longer than it may be.
pub(crate) fn too_large(at: &str, measure: Measure, max_bytes: usize) -> Option<Violation> {
    (measure.bytes > max_bytes).then(|| {
        let detail = format!(
            "must be at most {max_bytes} bytes with its numbers written out in full, and has {}",
            measure.bytes
        );
        Violation::at(at.to_owned(), detail)
    })
}

/// Finds what is wrong with a text, and where. Off the fast path: it is read once more.
pub(crate) fn locate(at: &str, raw: &str) -> Option<Violation> {
    let wrong = nth_number_that_does_not_fit(raw);
    let finder = Finder { numbers_left: Cell::new(wrong) };
    let mut track = serde_path_to_error::Track::new();
    let mut reader = serde_json::Deserializer::from_str(raw);
    let outcome = (&finder).deserialize(serde_path_to_error::Deserializer::new(&mut reader, &mut track));
    outcome.err().map(|cause| {
        let pointer = format!("{at}{}", pointer::of(&track.path()));
        Violation::at(pointer, pointer::without_place(&cause.to_string()))
    })
}

/// How many numbers stand before the first one that is too long.
fn nth_number_that_does_not_fit(raw: &str) -> Option<usize> {
    let bytes = raw.as_bytes();
    let (mut at, mut before) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at),
            b'-' | b'0'..=b'9' => {
                let token = number(&bytes[at..]);
                if Plain::of(token).digits() > MAX_DIGITS {
                    return Some(before);
                }
                before += 1;
                at += token.len();
            }
            _ => at += 1,
        }
    }
    None
}

/// Where the string that begins at `from` has ended.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        // What is escaped ends nothing.
        at += 2;
    }
    bytes.len()
}

/// The number that a text begins with.
fn number(text: &[u8]) -> &[u8] {
    let len = text.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    &text[..len.count()]
}

/// A number as PostgreSQL writes it.
struct Plain {
    negative: bool,
    whole: usize,
    decimals: usize,
}

impl Plain {
    /// From its token; never less than it is.
    fn of(token: &[u8]) -> Self {
        let negative = token.first() == Some(&b'-');
        let token = &token[usize::from(negative)..];
        let (mantissa, moved_by) = match memchr::memchr2(b'e', b'E', token) {
            Some(place) => (&token[..place], exponent(&token[place + 1..])),
            None => (token, 0),
        };
        let (whole, decimals) = match memchr::memchr(b'.', mantissa) {
            Some(place) => (place, mantissa.len() - place - 1),
            None => (mantissa.len(), 0),
        };
        let moved = |digits: usize, by: i64| {
            let digits = i64::try_from(digits).unwrap_or(i64::MAX).saturating_add(by);
            usize::try_from(digits).unwrap_or(0)
        };
        Self {
            negative,
            whole: moved(whole, moved_by).max(1),
            decimals: moved(decimals, moved_by.saturating_neg()),
        }
    }

    const fn digits(&self) -> usize {
        self.whole.saturating_add(self.decimals)
    }

    fn len(&self) -> usize {
        self.digits().saturating_add(usize::from(self.negative) + usize::from(self.decimals > 0))
    }
}

/// An exponent; one of more digits than a number holds is as good as endless.
fn exponent(text: &[u8]) -> i64 {
    let negative = text.first() == Some(&b'-');
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    let value =
        digits.fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    // Halved so that sums with lengths stay within bounds.
    let value = value.min(i64::MAX / 2);
    if negative { -value } else { value }
}

/// Reads a text until something is wrong with it.
struct Finder {
    /// Numbers before the one that is wrong.
    numbers_left: Cell<Option<usize>>,
}

impl Finder {
    fn number<E: Error>(&self) -> Result<(), E> {
        match self.numbers_left.get() {
            Some(0) => Err(E::custom(format_args!(
                "must have at most {MAX_DIGITS} digits when it is written out in full"
            ))),
            left => {
                self.numbers_left.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }

    fn text<E: Error>(&self, text: &str) -> Result<(), E> {
        if text.as_bytes().contains(&0) {
            return Err(E::custom("must not contain a zero byte"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &Finder {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Finder {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.number()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.number()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.number()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.text(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            self.text(&key)?;
            map.next_value_seed(self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrong(raw: &str) -> Option<(String, String)> {
        violation("/payload", raw, 1_000).map(|wrong| (wrong.pointer.into_owned(), wrong.detail))
    }

    #[test]
    fn numbers_are_measured_as_postgresql_writes_them() {
        // What `SELECT '…'::jsonb::text` gives.
        let written = [
            ("1e3", "1000"),
            ("-1.5", "-1.5"),
            ("1.50", "1.50"),
            ("2.5E-3", "0.0025"),
            ("0e-4", "0.0000"),
            ("1.25e1", "12.5"),
            ("1.25e2", "125"),
            ("12e0", "12"),
            (r#"{"a":[1,2],"b":"x, y: z"}"#, r#"{"a": [1, 2], "b": "x, y: z"}"#),
            (r#"{ "a" : "\"\\" }"#, r#"{"a": "\"\\"}"#),
        ];
        for (raw, text) in written {
            assert_eq!(measure(raw).bytes, text.len().max(raw.len()), "{raw}");
        }
    }

    #[test]
    fn numbers_that_grow_are_refused_where_they_stand() {
        let fitting = [
            "[0, -1, 1.5, 1e63, 1e-63, 6.62607015e-34, 18446744073709551615, 0.1]",
            r#"{"text": "1e308 0e-16383", "n": 1.7976931348623157e30}"#,
        ];
        for raw in fitting {
            assert_eq!(wrong(raw), None, "{raw}");
        }
        let digits = format!("[\"1\", 1, {}]", "9".repeat(65));
        let unfit = [
            (r#"{"n": 1.7976931348623157e308}"#, "/payload/n"),
            (r#"{"a": 1, "l": [1, {"x/y": 0e-16383}]}"#, "/payload/l/1/x~1y"),
            (r#"{"a": "9e999", "n": 1e-400}"#, "/payload/n"),
            (r#"{"n": 1e999999999999999999999999}"#, "/payload/n"),
            (r#"{"n": -0.0E+64}"#, "/payload/n"),
            (&digits, "/payload/2"),
        ];
        for (raw, pointer) in unfit {
            let (found, detail) = wrong(raw).unwrap_or_else(|| panic!("{raw} is taken"));
            assert_eq!(found, pointer, "{raw}");
            assert!(detail.contains("64 digits") || detail.contains("out of range"), "{detail}");
        }
    }

    #[test]
    fn zero_bytes_are_found_in_keys_and_texts() {
        assert_eq!(wrong(r#"{"a": {"b": "x\u0000"}}"#).unwrap().0, "/payload/a/b");
        assert!(wrong(r#"{"a\u0000": 1}"#).unwrap().1.contains("zero byte"));
        assert_eq!(wrong(r#"{"a": "\\u0000"}"#), None);
    }

    #[test]
    fn what_grows_is_counted_as_it_is_written() {
        let raw = format!("[{}]", vec!["1e60"; 100].join(","));
        assert!(raw.len() < 600 && measure(&raw).bytes > 6_000);
        assert!(wrong(&raw).unwrap().1.contains("at most 1000 bytes"));
    }

    /// A number as PostgreSQL writes it, made by moving its point.
    fn written(whole: &str, decimals: &str, exponent: i32) -> String {
        let all = format!("{whole}{decimals}");
        let (len, point) = (all.len() as i32, whole.len() as i32 + exponent);
        let zeros = |count: i32| "0".repeat(count.max(0) as usize);
        let text = if point <= 0 {
            format!("0.{}{all}", zeros(-point))
        } else if point >= len {
            format!("{all}{}", zeros(point - len))
        } else {
            format!("{}.{}", &all[..point as usize], &all[point as usize..])
        };
        let short = text.trim_start_matches('0');
        if short.is_empty() || short.starts_with('.') { format!("0{short}") } else { short.to_owned() }
    }

    proptest! {
        #[test]
        fn no_number_is_longer_than_it_was_measured_and_what_fits_can_be_read(
            whole in "0|[1-9][0-9]{0,20}", decimals in "[0-9]{0,40}", exponent in -400_i32..400,
        ) {
            let point = if decimals.is_empty() { "" } else { "." };
            let token = format!("{whole}{point}{decimals}e{exponent}");
            let (measured, written) = (Plain::of(token.as_bytes()), written(&whole, &decimals, exponent));
            prop_assert!(measured.len() >= written.len(), "{token}: {written}");
            if whole != "0" {
                prop_assert_eq!(measured.len(), written.len(), "{}: {}", token, written);
            }
            if measured.digits() <= MAX_DIGITS {
                let read: f64 = serde_json::from_str(&written).unwrap();
                prop_assert!(read.is_finite());
            }
        }
    }
}
