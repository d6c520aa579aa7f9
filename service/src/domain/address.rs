//! Whom a notification is for, and in whose name it is sent: one recipient, copies in bounds, one sender. Pure.

use super::Violation;
use nsys_contract::status::Channel;
use serde_json::{Map, Value};

/// Most copies of a mail, `cc` and `bcc` together.
pub(crate) const MAX_COPIES: usize = 10;
/// Most devices of the one user that a push message is for.
pub(crate) const MAX_DEVICES: usize = 10;
/// Longest sender, in bytes.
const MAX_SENDER: usize = 320;

/// Fields of a payload that are looked at here, beside those that a channel needs.
pub(super) const FIELDS: [&str; 3] = ["from", "cc", "bcc"];

/// In whose name a notification asks to be sent: the address or number that has to be the tenant's. `None`: in
/// ours.
pub(super) fn sender(channel: Channel, payload: &Map<String, Value>) -> Result<Option<String>, Violation> {
    recipients(channel, payload)?;
    let pointer = "/payload/from";
    let text = match payload.get("from") {
        _ if !matches!(channel, Channel::Email | Channel::Sms) => return Ok(None),
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        Some(_) => return Err(Violation::new(pointer, "must be a text")),
    };
    let found = if channel == Channel::Email { mailbox(text) } else { number(text) };
    found.map(Some).ok_or_else(|| {
        Violation::new(
            pointer,
            "must be one sender, such as `sales@example.com` or `Sales <sales@example.com>`",
        )
    })
}

/// The address of `address` or `Name <address>`, in lower case.
fn mailbox(text: &str) -> Option<String> {
    let text = text.trim();
    let address = match text.strip_suffix('>') {
        Some(rest) => {
            let (name, address) = rest.split_once('<')?;
            // Nobody hides another address in the name.
            if name.contains(['>', '@', ',', ';', ':']) {
                return None;
            }
            address
        }
        None => text,
    };
    let fits = address.len() <= MAX_SENDER
        && address.bytes().filter(|byte| *byte == b'@').count() == 1
        && !address.starts_with('@')
        && !address.ends_with('@')
        && address.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,;:\"()[]\\".contains(&byte));
    fits.then(|| address.to_ascii_lowercase())
}

/// The address that a configured sender has, as it is compared.
pub(crate) fn sender_of(text: &str) -> Option<String> {
    mailbox(text)
}

/// The number or name that a text message comes from.
fn number(text: &str) -> Option<String> {
    let text = text.trim();
    let fits =
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    fits.then(|| text.to_ascii_lowercase())
}

/// What somebody may register as a sender of a channel, as it is compared.
pub(crate) fn registrable(channel: Channel, text: &str) -> Option<String> {
    match channel {
        Channel::Email if !text.contains('<') => mailbox(text),
        Channel::Sms => number(text),
        _ => None,
    }
}

fn recipients(channel: Channel, payload: &Map<String, Value>) -> Result<(), Violation> {
    let several = |names: &[&str]| names.iter().map(|name| listed(payload.get(*name))).sum::<Option<usize>>();
    match channel {
        Channel::Email => {
            if several(&["to"]).is_none_or(|count| count > 1) {
                let detail =
                    "must be one recipient; others have notifications of their own, or are in cc and bcc";
                return Err(Violation::new("/payload/to", detail));
            }
            for (name, pointer) in [("cc", "/payload/cc"), ("bcc", "/payload/bcc")] {
                if several(&[name]).is_none() {
                    return Err(Violation::new(pointer, "must be an address, or a list of them"));
                }
            }
            if several(&["cc", "bcc"]).is_some_and(|count| count > MAX_COPIES) {
                let detail = format!("cc and bcc together must be at most {MAX_COPIES}");
                return Err(Violation::new("/payload/cc", detail));
            }
        }
        Channel::Push => {
            let devices = several(&["deviceToken", "token", "topic"]);
            if devices.is_some_and(|count| count > MAX_DEVICES) {
                let detail = format!("must be at most {MAX_DEVICES} devices of one user");
                return Err(Violation::new("/payload/deviceToken", detail));
            }
        }
        Channel::Sms | Channel::Webhook | Channel::InApp => {}
    }
    Ok(())
}

/// How many texts a field holds: one, or a list of them. `None` when it holds something else.
fn listed(value: Option<&Value>) -> Option<usize> {
    match value {
        None | Some(Value::Null) => Some(0),
        Some(Value::String(text)) if !text.is_empty() => Some(1),
        Some(Value::Array(items)) => {
            items.iter().all(|item| item.as_str().is_some_and(|text| !text.is_empty())).then_some(items.len())
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(channel: Channel, payload: Value) -> Result<Option<String>, String> {
        let payload = payload.as_object().cloned().unwrap();
        sender(channel, &payload).map_err(|wrong| wrong.pointer.into_owned())
    }

    #[test]
    fn a_sender_is_one_address_however_it_is_dressed() {
        let from = |from: Value| asked(Channel::Email, json!({"to": "a@b.c", "from": from}));
        for text in [
            "Sales@Example.com",
            " sales@example.com ",
            "Sales <sales@example.com>",
            "\"S, Ltd.\"<sales@example.com>",
        ] {
            let told = from(text.into());
            let hidden = text.contains(',');
            assert_eq!(
                told,
                if hidden { Err("/payload/from".into()) } else { Ok(Some("sales@example.com".into())) },
                "{text}"
            );
        }
        assert_eq!(from(Value::Null), Ok(None));
        for wrong in [
            json!(""),
            json!("nobody"),
            json!("a@b@c"),
            json!("a@b.c, d@e.f"),
            json!("ceo@bank.com <sales@example.com>"),
            json!("sales@example.com <ceo@bank.com> <x@y.z>"),
            json!(["a@b.c"]),
            json!({"email": "a@b.c"}),
            json!(5),
            json!("<a@b.c"),
            json!("a@b.c\r\nBcc: d@e.f"),
            json!("ünser@example.com"),
        ] {
            assert_eq!(from(wrong.clone()), Err("/payload/from".into()), "{wrong}");
        }
        assert_eq!(asked(Channel::Sms, json!({"to": "1", "from": "ACME"})), Ok(Some("acme".into())));
        assert_eq!(asked(Channel::Sms, json!({"to": "1", "from": ["ACME"]})), Err("/payload/from".into()));
        assert_eq!(
            asked(Channel::InApp, json!({"title": "t", "from": 5})),
            Ok(None),
            "a text of the message's own"
        );
    }

    #[test]
    fn a_mail_has_one_recipient_and_few_copies() {
        let mail = |payload: Value| asked(Channel::Email, payload);
        assert_eq!(mail(json!({"to": ["a@b.c"]})), Ok(None));
        assert_eq!(mail(json!({"to": ["a@b.c", "d@e.f"]})), Err("/payload/to".into()));
        let ten: Vec<_> = (0..MAX_COPIES).map(|n| format!("a{n}@b.c")).collect();
        assert_eq!(mail(json!({"to": "a@b.c", "cc": ten})), Ok(None));
        assert_eq!(mail(json!({"to": "a@b.c", "cc": ten, "bcc": "d@e.f"})), Err("/payload/cc".into()));
        assert_eq!(mail(json!({"to": "a@b.c", "bcc": [5]})), Err("/payload/bcc".into()));
        let many: Vec<_> = (0..=MAX_DEVICES).map(|n| format!("d{n}")).collect();
        assert_eq!(asked(Channel::Push, json!({ "deviceToken": many })), Err("/payload/deviceToken".into()));
    }

    #[test]
    fn what_is_registered_is_an_address_without_a_name() {
        assert_eq!(registrable(Channel::Email, "Sales@Example.com").as_deref(), Some("sales@example.com"));
        assert_eq!(registrable(Channel::Email, "Sales <sales@example.com>"), None);
        assert_eq!(registrable(Channel::Push, "sales@example.com"), None);
    }
}
