//! E-mail by SMTP. The only place that names lettre.

use super::{DeliveryOutcome, text};
use anyhow::Context;
use lettre::message::{Mailbox, MessageBuilder, MultiPart, SinglePart};
use lettre::transport::smtp::{Error as SmtpError, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use nsys_contract::config::Channels as Settings;
use nsys_contract::event::Envelope;
use nsys_contract::status::Status;
use serde_json::Value;
use std::time::Duration;

/// Most connections to the mail server that are kept open.
const MAX_CONNECTIONS: u32 = 16;

/// One mail server.
pub(crate) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    destination: String,
    timeout: Duration,
}

impl Mailer {
    pub(super) fn open(settings: &Settings) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !settings.smtp_url.is_empty(),
            "channels.smtp_url is empty, but channels.email is smtp"
        );
        // The address may hold a password: it is not part of the error.
        let builder =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(&settings.smtp_url).map_err(|cause| {
                anyhow::anyhow!("channels.smtp_url is not the address of a mail server: {cause}")
            })?;
        let transport = builder
            .timeout(Some(settings.timeout))
            .pool_config(PoolConfig::new().max_size(MAX_CONNECTIONS))
            .build();
        let from = settings.smtp_from.parse().context("channels.smtp_from is not an e-mail address")?;
        let after_user =
            settings.smtp_url.rsplit_once('@').map_or(settings.smtp_url.as_str(), |(_, host)| host);
        let host = after_user.rsplit_once("//").map_or(after_user, |(_, host)| host);
        let host = host.split(['/', '?']).next().unwrap_or(host);
        Ok(Self { transport, from, destination: format!("smtp {host}"), timeout: settings.timeout })
    }

    pub(super) fn destination(&self) -> &str {
        &self.destination
    }

    pub(super) async fn deliver(&self, envelope: &Envelope) -> DeliveryOutcome {
        let message = match message(envelope, &self.from) {
            Ok(message) => message,
            Err(cause) => return DeliveryOutcome::Refused(format!("{cause:#}")),
        };
        // The transport's own time-out is for each command; a slow server could stretch them.
        match tokio::time::timeout(self.timeout, self.attempt(message)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                DeliveryOutcome::down(format!("the mail server did not answer within {:?}", self.timeout))
            }
        }
    }
}

/// Replies to who we are, not to what is sent: no access without, or with these, credentials (RFC 4954).
const NO_ACCESS: [u16; 4] = [530, 534, 535, 538];

impl Mailer {
    async fn attempt(&self, message: Message) -> DeliveryOutcome {
        let Err(cause) = self.transport.send(message).await else {
            return DeliveryOutcome::Done(Status::Sent);
        };
        let error = with_sources(&cause);
        if cause.is_transient() {
            // The server is there.
            return DeliveryOutcome::Retry { error, after: None, down: false };
        }
        if self.is_about_the_mail(&cause).await {
            DeliveryOutcome::Refused(error)
        } else {
            DeliveryOutcome::down(error)
        }
    }

    /// Whether it is this mail that is refused, for good. A server that would not even let us in refuses every
    /// mail, and an address that it cannot carry says nothing about the server.
    async fn is_about_the_mail(&self, cause: &SmtpError) -> bool {
        let no_access = cause.status().is_some_and(|code| NO_ACCESS.contains(&u16::from(code)));
        (cause.is_permanent() || cause.is_client())
            && !no_access
            && self.transport.test_connection().await.unwrap_or(false)
    }
}

fn with_sources(cause: &dyn std::error::Error) -> String {
    let mut text = cause.to_string();
    let mut source = cause.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// The mail. Its Message-ID is the notification's id, so that a server or a reader that gets it twice
/// can tell.
fn message(envelope: &Envelope, from: &Mailbox) -> anyhow::Result<Message> {
    let payload = &envelope.payload;
    let from: Mailbox = match text(payload, &["from"]) {
        Some(from) => from.parse().with_context(|| format!("from {from:?} is not an e-mail address"))?,
        None => from.clone(),
    };
    let mut builder = Message::builder()
        .message_id(Some(format!("<{}@{}>", envelope.id, from.email.domain())))
        .from(from)
        .subject(text(payload, &["subject"]).unwrap_or_default());
    for (name, add) in
        [("to", MessageBuilder::to as Adding), ("cc", MessageBuilder::cc), ("bcc", MessageBuilder::bcc)]
    {
        for one in recipients(payload, name) {
            let address = one.parse().with_context(|| format!("{name} {one:?} is not an e-mail address"))?;
            builder = add(builder, address);
        }
    }
    if let Some(reply) = text(payload, &["replyTo"]) {
        builder = builder
            .reply_to(reply.parse().with_context(|| format!("replyTo {reply:?} is not an e-mail address"))?);
    }
    let body = text(payload, &["body", "text", "message"]).unwrap_or_default().to_owned();
    let message = match text(payload, &["html"]) {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(body, html.to_owned())),
        None => builder.singlepart(SinglePart::plain(body)),
    };
    message.context("the mail cannot be built")
}

/// Adds somebody to a mail.
type Adding = fn(MessageBuilder, Mailbox) -> MessageBuilder;

/// A field is one address, or a list of them. Blind copies stand in the envelope alone.
fn recipients<'a>(payload: &'a Value, name: &str) -> Vec<&'a str> {
    match payload.get(name) {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::tests_support::envelope;
    use serde_json::json;

    fn written(payload: Value) -> anyhow::Result<String> {
        let mail = message(&envelope("EMAIL", payload), &"Ours <ours@example.com>".parse().unwrap())?;
        Ok(String::from_utf8(mail.formatted()).unwrap())
    }

    #[test]
    fn a_mail_carries_its_notifications_id() {
        let text = written(json!({"to": "a@example.org", "subject": "S", "body": "B"})).unwrap();
        assert!(text.contains("Message-ID: <00000000-0000-0000-0000-000000000007@example.com>"), "{text}");
        assert!(
            text.contains("To: a@example.org") && text.contains("From: Ours <ours@example.com>"),
            "{text}"
        );
    }

    #[test]
    fn headers_cannot_be_smuggled_in() {
        assert!(written(json!({"to": "a@example.org\r\nBcc: b@example.org"})).is_err());
        let text = written(json!({"to": "a@example.org", "subject": "S\r\nBcc: b@example.org"})).unwrap();
        assert!(!text.contains("\r\nBcc:"), "{text}");
    }

    #[test]
    fn blind_copies_are_in_the_envelope_alone() {
        let payload =
            json!({"to": "a@example.org", "cc": ["c@example.org"], "bcc": "b@example.org", "body": "B"});
        let mail = message(&envelope("EMAIL", payload), &"ours@example.com".parse().unwrap()).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        assert!(text.contains("Cc: c@example.org") && !text.contains("b@example.org"), "{text}");
        let to: Vec<_> = mail.envelope().to().iter().map(ToString::to_string).collect();
        assert_eq!(to, ["a@example.org", "c@example.org", "b@example.org"]);
    }

    #[test]
    fn a_mail_for_nobody_is_refused() {
        assert!(written(json!({"subject": "S"})).is_err());
        assert!(written(json!({"to": "nobody"})).is_err());
    }

    /// A mail server that answers each command as told, or in the usual way.
    async fn sent_to(answers: &'static [(&'static str, &'static str)], to: &str) -> DeliveryOutcome {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, answers));
            }
        });
        let settings =
            Settings { smtp_url: format!("smtp://user:secret@127.0.0.1:{port}"), ..Settings::default() };
        let mailer = Mailer::open(&settings).unwrap();
        mailer.deliver(&envelope("EMAIL", json!({"to": to, "subject": "S", "body": "B"}))).await
    }

    async fn converse(stream: tokio::net::TcpStream, answers: &[(&str, &str)]) {
        use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        let told = |verb: &str| answers.iter().find(|(of, _)| *of == verb).map(|(_, answer)| *answer);
        let greeting = told("").unwrap_or("220 here");
        writer.write_all(format!("{greeting}\r\n").as_bytes()).await.unwrap();
        let mut in_data = false;
        while let Ok(Some(line)) = lines.next_line().await {
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            if in_data && line != "." {
                continue;
            }
            let usual = match verb.as_str() {
                "EHLO" => "250-here\r\n250 AUTH PLAIN",
                "AUTH" => "235 welcome",
                "DATA" => "354 go on",
                _ => "250 fine",
            };
            in_data = verb == "DATA" && told("DATA").is_none();
            let answer = told(&verb).unwrap_or(usual);
            if writer.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn is_down(outcome: &DeliveryOutcome) -> bool {
        matches!(outcome, DeliveryOutcome::Retry { down: true, .. })
    }

    #[tokio::test]
    async fn a_server_that_does_not_let_us_in_is_down_and_no_mail_is_refused_for_it() {
        for answers in [
            &[("AUTH", "535 5.7.8 wrong password")][..],
            &[("MAIL", "530 5.7.0 authentication required")],
            &[("", "554 5.7.1 not from your address")],
            &[("EHLO", "550 5.7.1 go away"), ("HELO", "550 5.7.1 go away")],
        ] {
            let outcome = sent_to(answers, "a@example.org").await;
            assert!(is_down(&outcome), "{answers:?}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn what_is_said_of_the_mail_is_a_refusal_or_a_not_now() {
        assert_eq!(sent_to(&[], "a@example.org").await, DeliveryOutcome::Done(Status::Sent));
        for answers in [
            &[("RCPT", "550 5.1.1 nobody of that name")][..],
            &[("RCPT", "550 5.7.1 they want no mail")],
            &[("DATA", "554 no mail like this")],
        ] {
            let outcome = sent_to(answers, "a@example.org").await;
            assert!(matches!(outcome, DeliveryOutcome::Refused(_)), "{answers:?}: {outcome:?}");
        }
        let busy = sent_to(&[("RCPT", "450 later")], "a@example.org").await;
        assert!(matches!(busy, DeliveryOutcome::Retry { down: false, .. }), "{busy:?}");
    }

    #[tokio::test]
    async fn an_address_that_the_server_cannot_carry_is_refused_and_the_server_is_not_down() {
        let outcome = sent_to(&[], "ü@example.org").await;
        assert!(matches!(outcome, DeliveryOutcome::Refused(_)), "{outcome:?}");
    }

    #[tokio::test]
    async fn the_destination_has_no_password() {
        let settings = Settings {
            smtp_url: "smtp://user:secret@mail.example.com:2525?tls=opportunistic".into(),
            ..Settings::default()
        };
        assert_eq!(Mailer::open(&settings).unwrap().destination(), "smtp mail.example.com:2525");
    }
}
