//! Looks a payload over without building it: what its channel needs is there, and PostgreSQL can
//! store it. Pure.

use super::stored::{self, Measure};
use super::{Violation, address, pointer};
use nsys_contract::status::Channel;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// What a channel needs: one of these fields, in this form, else this is wrong.
struct Need {
    names: &'static [&'static str],
    form: Form,
    pointer: &'static str,
    detail: &'static str,
}

/// What a field has to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A text that is not empty.
    Text,
    /// One such text, or some.
    Texts,
    /// Anything that is not empty.
    Anything,
}

/// The original's field names are all accepted.
const fn need(channel: Channel) -> Need {
    match channel {
        Channel::Email => Need {
            names: &["to"],
            form: Form::Texts,
            pointer: "/payload/to",
            detail: "an e-mail needs a recipient, or a list of them",
        },
        Channel::Sms => Need {
            names: &["to", "phoneNumber"],
            form: Form::Text,
            pointer: "/payload/to",
            detail: "a text message needs a phone number, as a string",
        },
        Channel::Push => Need {
            names: &["deviceToken", "token", "topic"],
            form: Form::Texts,
            pointer: "/payload/deviceToken",
            detail: "a push message needs a device token or a topic, as a string",
        },
        Channel::Webhook => Need {
            names: &["url", "endpointId", "eventType"],
            form: Form::Text,
            pointer: "/payload/url",
            detail: "a webhook needs a URL (url), an endpoint (endpointId) or an event type (eventType), as a string",
        },
        Channel::InApp => Need {
            names: &["title", "message", "body"],
            form: Form::Anything,
            pointer: "/payload/message",
            detail: "an in-app message needs a title or a message",
        },
    }
}

/// What is wrong with a payload of at most `max_bytes`; else in whose name it asks to be sent, if not in ours.
pub(crate) fn inspect(channel: Channel, raw: &str, max_bytes: usize) -> Result<Option<String>, Violation> {
    let need = need(channel);
    if let Some(wrong) = stored::violation("/payload", raw, max_bytes) {
        return Err(wrong);
    }
    let scan = Scan { need: Some(&need), ..Scan::default() };
    let read = Top(&scan).deserialize(&mut serde_json::Deserializer::from_str(raw));
    match read {
        Err(cause) => {
            // What is no object has no place within.
            let whole = || Violation::new("/payload", pointer::without_place(&cause.to_string()));
            Err(stored::locate("/payload", raw).unwrap_or_else(whole))
        }
        Ok(()) if scan.found.get() == 0 => Err(Violation::new(need.pointer, need.detail)),
        // Most payloads name one recipient as a text, and nobody else: they are not built.
        Ok(()) if !scan.addressed.get() => Ok(None),
        Ok(()) => address::sender(channel, &serde_json::from_str(raw).unwrap_or_default()),
    }
}

/// What keeps a text of a JSON value, which was measured, from being stored and read again. One without a
/// doubtful escape is not read here.
pub(crate) fn unstorable(raw: &str, measure: Measure) -> Option<&'static str> {
    if !measure.numbers_fit {
        return Some("it holds a number that is too long");
    }
    if !raw.contains("\\u0000") {
        return None;
    }
    let scan = Scan::default();
    let read = Any(&scan).deserialize(&mut serde_json::Deserializer::from_str(raw));
    (read.is_err() || scan.zero.get()).then_some("it contains a zero byte")
}

#[derive(Default)]
struct Scan<'n> {
    need: Option<&'n Need>,
    /// One bit for each name of what is needed: whether it is filled. Of a key that comes twice PostgreSQL
    /// keeps the last.
    found: Cell<u8>,
    zero: Cell<bool>,
    /// Whether somebody is addressed otherwise than by one text in a field that is needed.
    addressed: Cell<bool>,
}

impl Scan<'_> {
    fn text(&self, text: &str) {
        if text.as_bytes().contains(&0) {
            self.zero.set(true);
        }
    }
}

/// The payload itself, which must be an object.
struct Top<'l>(&'l Scan<'l>);

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key(self.0))? {
            let held = map.next_value_seed(Any(self.0))?;
            if key == KeyKind::Addressing || (matches!(key, KeyKind::Needed(_)) && held == Held::Texts) {
                self.0.addressed.set(true);
            }
            if let (KeyKind::Needed(place), Some(need)) = (key, self.0.need) {
                let (found, bit) = (self.0.found.get(), 1 << place);
                self.0.found.set(if held.fits(need.form) { found | bit } else { found & !bit });
            }
        }
        Ok(())
    }
}

/// What a value holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    Text,
    /// Texts that are not empty, and nothing else.
    Texts,
    Other,
}

impl Held {
    fn fits(self, form: Form) -> bool {
        match form {
            Form::Text => self == Self::Text,
            Form::Texts => matches!(self, Self::Text | Self::Texts),
            Form::Anything => self != Self::Nothing,
        }
    }
}

/// What a key stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    /// One of the names that are needed: its place among them.
    Needed(usize),
    /// It addresses somebody else, or says who sends.
    Addressing,
    Other,
}

struct Key<'l>(&'l Scan<'l>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = KeyKind;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<KeyKind, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = KeyKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<KeyKind, E> {
        self.0.text(text);
        let needed = self.0.need.and_then(|need| need.names.iter().position(|name| *name == text));
        Ok(match needed {
            Some(place) => KeyKind::Needed(place),
            None if address::FIELDS.contains(&text) => KeyKind::Addressing,
            None => KeyKind::Other,
        })
    }
}

/// Any value: what it holds.
struct Any<'l>(&'l Scan<'l>);

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Held;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Held, D::Error> {
        // Numbers and strings are really read: one that is out of range or half a surrogate pair
        // could not be stored.
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Held;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Held, E> {
        Ok(Held::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Held, E> {
        Ok(Held::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Held, E> {
        Ok(Held::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Held, E> {
        Ok(Held::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Held, E> {
        Ok(Held::Nothing)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Held, E> {
        self.0.text(text);
        Ok(if text.is_empty() { Held::Nothing } else { Held::Text })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Held, A::Error> {
        let mut held = Held::Nothing;
        while let Some(item) = items.next_element_seed(Any(self.0))? {
            held = match (held, item) {
                (Held::Nothing | Held::Texts, Held::Text) => Held::Texts,
                _ => Held::Other,
            };
        }
        Ok(held)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Held, A::Error> {
        while map.next_key_seed(Key(self.0))?.is_some() {
            map.next_value_seed(Any(self.0))?;
        }
        Ok(Held::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(channel: Channel, raw: &str) -> Option<String> {
        inspect(channel, raw, 65_536).err().map(|wrong| wrong.pointer.into_owned())
    }

    #[test]
    fn what_a_channel_needs_must_be_there_and_filled() {
        assert_eq!(place(Channel::Email, r#"{"to": "a@example.com"}"#), None);
        assert_eq!(place(Channel::Email, r#"{"to": ["a@example.com"]}"#), None);
        let wrong = [
            "{}",
            r#"{"to": ""}"#,
            r#"{"to": null}"#,
            r#"{"nested": {"to": "a"}}"#,
            r#"{"to": 5}"#,
            r#"{"to": {}}"#,
            r#"{"to": true}"#,
            r#"{"to": []}"#,
            r#"{"to": ["a", ""]}"#,
            r#"{"to": ["a", 5]}"#,
            r#"{"to": [5, "a"]}"#,
        ];
        for raw in wrong {
            assert_eq!(place(Channel::Email, raw).as_deref(), Some("/payload/to"), "{raw}");
        }
        assert_eq!(place(Channel::Sms, r#"{"phoneNumber": "+49"}"#), None);
        assert_eq!(place(Channel::Sms, r#"{"to": 49}"#).as_deref(), Some("/payload/to"));
        assert_eq!(place(Channel::InApp, r#"{"body": {"blocks": []}}"#), None, "a message may have parts");
        for way in ["url", "endpointId", "eventType"] {
            assert_eq!(place(Channel::Webhook, &format!(r#"{{"{way}": "x"}}"#)), None, "{way}");
        }
        assert_eq!(place(Channel::Webhook, r#"{"eventType": 5}"#).as_deref(), Some("/payload/url"));
    }

    #[test]
    fn of_a_key_that_comes_twice_the_last_counts() {
        let twice = r#"{"title": "x", "title": ""}"#;
        assert_eq!(place(Channel::InApp, twice).as_deref(), Some("/payload/message"));
        assert_eq!(place(Channel::InApp, r#"{"title": "", "title": "x"}"#), None);
        assert_eq!(place(Channel::InApp, r#"{"title": "x", "body": ""}"#), None, "one of them is enough");
    }

    #[test]
    fn a_payload_is_bounded_as_postgresql_writes_it() {
        let numbers = format!(r#"{{"title": "t", "n": [{}]}}"#, ["1e60"; 20].join(","));
        assert!(numbers.len() < 200);
        let wrong = inspect(Channel::InApp, &numbers, 1_000).unwrap_err();
        assert!(
            wrong.pointer == "/payload" && wrong.detail.starts_with("must be at most 1000 bytes"),
            "{wrong:?}"
        );
        assert_eq!(inspect(Channel::InApp, &numbers, 2_000), Ok(None));
        let spaces = format!(r#"{{"title": "t"{}}}"#, " ".repeat(2_000));
        assert!(inspect(Channel::InApp, &spaces, 1_000).is_err(), "the log holds the spaces too");
    }

    #[test]
    fn whoever_is_addressed_is_seen_however_it_is_written() {
        let mail =
            |raw: &str| inspect(Channel::Email, raw, 65_536).map_err(|wrong| wrong.pointer.into_owned());
        assert_eq!(mail(r#"{"to": "a@b.c", "subject": "from"}"#), Ok(None));
        assert_eq!(mail(r#"{"to": "a@b.c", "from": "D@e.f"}"#), Ok(Some("d@e.f".into())));
        assert_eq!(mail(r#"{"to": "a@b.c", "fr\u006fm": "d@e.f"}"#), Ok(Some("d@e.f".into())));
        assert_eq!(mail(r#"{"to": ["a@b.c", "d@e.f"]}"#), Err("/payload/to".into()));
        assert_eq!(mail(r#"{"to": "a@b.c", "to": ["a@b.c", "d@e.f"]}"#), Err("/payload/to".into()));
        assert_eq!(mail(r#"{"to": "a@b.c", "data": {"from": 5}}"#), Ok(None));
    }

    #[test]
    fn what_postgresql_cannot_store_is_refused() {
        let wrong = [
            (r#"{"to": "a\u0000"}"#, "/payload/to"),
            (r#"{"to": "a", "n": {"\u0000": 1}}"#, "/payload/n"),
            (r#"{"to": "a", "n": 1e999999}"#, "/payload/n"),
            (r#"{"to": "a", "n": [1.7976931348623157e308]}"#, "/payload/n/0"),
            (r#"{"to": "a", "n": 0e-16383}"#, "/payload/n"),
            (r#"{"to": "\ud800"}"#, "/payload/to"),
            ("[]", "/payload"),
            ("5", "/payload"),
        ];
        for (raw, pointer) in wrong {
            assert_eq!(place(Channel::Email, raw).as_deref(), Some(pointer), "{raw}");
        }
        assert_eq!(place(Channel::Email, r#"{"to": "a\\u0000", "n": [1.5, true, null]}"#), None);
        let unstorable = |raw: &str| unstorable(raw, stored::measure(raw));
        assert_eq!(unstorable(r#"{"to": "a\u0000"}"#), Some("it contains a zero byte"));
        assert_eq!(unstorable(r#"{"n": 1e308}"#), Some("it holds a number that is too long"));
        assert_eq!(unstorable(r#"{"to": "a\\u0000 1e308", "n": 1e30}"#), None);
    }
}
