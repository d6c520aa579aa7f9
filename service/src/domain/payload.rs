//! Looks a payload over without building it: what its channel needs is there, and PostgreSQL can
//! store it. Pure.

use nsys_contract::status::Channel;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// What a channel needs: one of these fields, else this is wrong.
struct Need {
    names: &'static [&'static str],
    pointer: &'static str,
    detail: &'static str,
}

/// The original's field names are all accepted.
const fn need(channel: Channel) -> Need {
    match channel {
        Channel::Email => {
            Need { names: &["to"], pointer: "/payload/to", detail: "an e-mail needs a recipient" }
        }
        Channel::Sms => Need {
            names: &["to", "phoneNumber"],
            pointer: "/payload/to",
            detail: "a text message needs a number",
        },
        Channel::Push => Need {
            names: &["deviceToken", "token", "topic"],
            pointer: "/payload/deviceToken",
            detail: "a push message needs a device token or a topic",
        },
        Channel::Webhook => {
            Need { names: &["url"], pointer: "/payload/url", detail: "a webhook needs a URL" }
        }
        Channel::InApp => Need {
            names: &["title", "message", "body"],
            pointer: "/payload/message",
            detail: "an in-app message needs a title or a message",
        },
    }
}

/// What is wrong with a payload, as a pointer and a reason.
pub(crate) fn violation(channel: Channel, raw: &str) -> Option<(&'static str, String)> {
    let need = need(channel);
    let look = Look { names: need.names, found: Cell::new(false), zero: Cell::new(false) };
    let mut reader = serde_json::Deserializer::from_str(raw);
    match (Top(&look)).deserialize(&mut reader) {
        Err(cause) => {
            let message = cause.to_string();
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(text, _)| text);
            Some(("/payload", message.to_owned()))
        }
        // PostgreSQL text cannot hold a zero byte.
        Ok(()) if look.zero.get() => Some(("/payload", "must not contain a zero byte".to_owned())),
        Ok(()) if !look.found.get() => Some((need.pointer, need.detail.to_owned())),
        Ok(()) => None,
    }
}

/// Whether a text of a JSON value holds a zero byte. A value without the escape is not read.
pub(crate) fn holds_zero_byte(raw: &str) -> bool {
    if !raw.contains("\\u0000") {
        return false;
    }
    let look = Look { names: &[], found: Cell::new(false), zero: Cell::new(false) };
    let read = Any(&look).deserialize(&mut serde_json::Deserializer::from_str(raw));
    read.is_err() || look.zero.get()
}

struct Look {
    names: &'static [&'static str],
    found: Cell<bool>,
    zero: Cell<bool>,
}

impl Look {
    fn text(&self, text: &str) {
        if text.as_bytes().contains(&0) {
            self.zero.set(true);
        }
    }
}

/// The payload itself, which must be an object.
struct Top<'l>(&'l Look);

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
        while let Some(wanted) = map.next_key_seed(Key(self.0))? {
            let filled = map.next_value_seed(Any(self.0))?;
            if wanted && filled {
                self.0.found.set(true);
            }
        }
        Ok(())
    }
}

/// A key: whether it is one of the wanted names.
struct Key<'l>(&'l Look);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        self.0.text(text);
        Ok(self.0.names.contains(&text))
    }
}

/// Any value: whether there is something in it.
struct Any<'l>(&'l Look);

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        // Numbers and strings are really read: one that is out of range or half a surrogate pair
        // could not be stored.
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        self.0.text(text);
        Ok(!text.is_empty())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        while items.next_element_seed(Any(self.0))?.is_some() {}
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while map.next_key_seed(Key(self.0))?.is_some() {
            map.next_value_seed(Any(self.0))?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_channel_needs_must_be_there_and_filled() {
        assert_eq!(violation(Channel::Email, r#"{"to": "a@example.com"}"#), None);
        for raw in ["{}", r#"{"to": ""}"#, r#"{"to": null}"#, r#"{"nested": {"to": "a"}}"#] {
            assert_eq!(
                violation(Channel::Email, raw).map(|(pointer, _)| pointer),
                Some("/payload/to"),
                "{raw}"
            );
        }
        assert_eq!(violation(Channel::Sms, r#"{"phoneNumber": "+49"}"#), None);
    }

    #[test]
    fn what_postgresql_cannot_store_is_refused() {
        let wrong = [
            r#"{"to": "a\u0000"}"#,
            r#"{"to": "a", "n": {"\u0000": 1}}"#,
            r#"{"to": "a", "n": 1e999999}"#,
            r#"{"to": "\ud800"}"#,
            "[]",
            "5",
        ];
        for raw in wrong {
            assert_eq!(violation(Channel::Email, raw).map(|(pointer, _)| pointer), Some("/payload"), "{raw}");
        }
        assert_eq!(violation(Channel::Email, r#"{"to": "a\\u0000", "n": [1.5, true, null]}"#), None);
        assert!(holds_zero_byte(r#"{"to": "a\u0000"}"#) && !holds_zero_byte(r#"{"to": "a\\u0000"}"#));
    }
}
