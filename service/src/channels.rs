//! The outside: how a notification leaves the system.

mod email;
mod endpoints;
mod gateway;
mod guard;
mod headers;
mod http;
mod signature;
mod simulated;
mod vault;
mod webhook;

pub(crate) use vault::EndpointVault;

use crate::db::{Db, EndpointAttempt};
use anyhow::Context;
use email::Mailer;
use gateway::Gateway;
use nsys_contract::config::{Channels as Settings, ServiceConfig, Wait};
use nsys_contract::event::Envelope;
use nsys_contract::status::{Channel, Status};
use simulated::Simulated;
use std::time::Duration;
use tokio::sync::mpsc;
use webhook::Webhooks;

/// What one attempt did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryOutcome {
    /// It arrived, or the provider took it.
    Done(Status),
    /// It may work later.
    Retry {
        /// What went wrong.
        error: String,
        /// How long the receiver asked to wait.
        after: Option<Duration>,
        /// Whether the destination itself seems to be down.
        down: bool,
    },
    /// It will never work.
    Refused(String),
    /// Nobody is there who wants it; that is no failure.
    Unwanted(String),
}

impl DeliveryOutcome {
    /// The destination did not do its part.
    fn down(error: impl Into<String>) -> Self {
        Self::Retry { error: error.into(), after: None, down: true }
    }
}

/// The provider behind a channel.
pub(crate) enum Provider {
    /// Waits and fails as configured; real load without a real receiver.
    Simulated(Simulated),
    /// Writes a log line.
    Log,
    /// Keeps it in the user's inbox, which is the notifications table itself.
    Stored,
    /// A mail server.
    Smtp(Mailer),
    /// An HTTP gateway for text messages or push.
    Gateway(Gateway),
    /// The receiver's own URL, or a tenant's endpoints.
    Webhook(Box<Webhooks>),
}

impl Provider {
    fn open(settings: &Settings, channel: Channel, config: &ServiceConfig) -> anyhow::Result<Self> {
        let (key, name, real) = match channel {
            Channel::Email => ("email", &settings.email, "smtp"),
            Channel::Sms => ("sms", &settings.sms, "http"),
            Channel::Push => ("push", &settings.push, "http"),
            Channel::Webhook => ("webhook", &settings.webhook, "http"),
            Channel::InApp => ("in_app", &settings.in_app, "stored"),
        };
        match (name.as_str(), channel) {
            ("simulated", _) => Ok(Self::Simulated(Simulated::new(settings))),
            ("log", _) => Ok(Self::Log),
            ("stored", Channel::InApp) => Ok(Self::Stored),
            ("smtp", Channel::Email) => Mailer::open(settings).map(Self::Smtp),
            ("http", Channel::Sms) => Gateway::open(&settings.sms_url, &settings.sms_token, settings.timeout)
                .map(Self::Gateway)
                .context("channels.sms_url"),
            ("http", Channel::Push) => {
                Gateway::open(&settings.push_url, &settings.push_token, settings.timeout)
                    .map(Self::Gateway)
                    .context("channels.push_url")
            }
            ("http", Channel::Webhook) => Ok(Self::Webhook(Box::new(Webhooks::open(config)?))),
            (other, _) => {
                anyhow::bail!(
                    "channels.{key} = {other:?} is not a provider; expected simulated, log or {real}"
                )
            }
        }
    }

    /// The name that attempts are recorded with.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Simulated(_) => "simulated",
            Self::Log => "log",
            Self::Stored => "stored",
            Self::Smtp(_) => "smtp",
            Self::Gateway(_) | Self::Webhook(_) => "http",
        }
    }

    /// The outcome of providers that neither wait nor have an effect outside: recording it is the
    /// delivery, so the row can be written once, in its final state.
    pub(crate) fn at_once(&self) -> Option<DeliveryOutcome> {
        match self {
            Self::Stored => Some(DeliveryOutcome::Done(Status::Delivered)),
            Self::Simulated(simulated) => simulated.at_once(),
            Self::Log | Self::Smtp(_) | Self::Gateway(_) | Self::Webhook(_) => None,
        }
    }

    /// What a circuit breaker is kept for.
    pub(crate) fn destination(&self, envelope: &Envelope) -> Option<String> {
        match self {
            Self::Smtp(mailer) => Some(mailer.destination().to_owned()),
            Self::Gateway(gateway) => Some(gateway.destination().to_owned()),
            Self::Webhook(_) => webhook::destination(envelope),
            Self::Simulated(simulated) => {
                simulated.is_down().then(|| format!("simulated {}", envelope.channel))
            }
            Self::Log | Self::Stored => None,
        }
    }

    /// Makes one attempt.
    pub(crate) async fn deliver(&self, db: &Db, envelope: &Envelope) -> DeliveryOutcome {
        match self {
            Self::Stored => DeliveryOutcome::Done(Status::Delivered),
            Self::Log => {
                tracing::info!(notification.id = %envelope.id, "Delivered to the log.");
                DeliveryOutcome::Done(Status::Sent)
            }
            Self::Simulated(simulated) => simulated.deliver().await,
            Self::Smtp(mailer) => mailer.deliver(envelope).await,
            Self::Gateway(gateway) => gateway.deliver(envelope).await,
            Self::Webhook(webhooks) => webhooks.deliver(db, envelope).await,
        }
    }
}

/// The provider of each channel.
pub(crate) struct Providers {
    by_channel: Vec<Provider>,
    settings: Settings,
}

impl Providers {
    /// Opens every provider; a wrong name or address is an error at start, not at delivery.
    pub(crate) fn open(config: &ServiceConfig) -> anyhow::Result<Self> {
        let settings = &config.channels;
        let by_channel = Channel::ALL.iter().map(|channel| Provider::open(settings, *channel, config));
        Ok(Self { by_channel: by_channel.collect::<anyhow::Result<_>>()?, settings: settings.clone() })
    }

    /// The provider of a channel.
    pub(crate) fn of(&self, channel: Channel) -> &Provider {
        // `Channel::ALL` is in the order of declaration, which is what the discriminant counts.
        &self.by_channel[channel as usize]
    }

    /// The attempts at endpoints, for whoever logs them; `None` where webhooks go nowhere.
    pub(crate) fn take_endpoint_attempts(&self) -> Option<mpsc::Receiver<EndpointAttempt>> {
        match self.of(Channel::Webhook) {
            Provider::Webhook(webhooks) => webhooks.take_attempts(),
            _ => None,
        }
    }

    /// The waits between the attempts of a channel; empty: the worker's exponential back-off.
    pub(crate) fn schedule(&self, channel: Channel) -> &[Wait] {
        match channel {
            Channel::Email => &self.settings.email_retries,
            Channel::Sms => &self.settings.sms_retries,
            Channel::Push => &self.settings.push_retries,
            Channel::Webhook => &self.settings.webhook_retries,
            Channel::InApp => &[],
        }
    }
}

/// The first text among the fields of a payload that go by one of these names.
fn text<'a>(payload: &'a serde_json::Value, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| payload.get(*name)?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_its_own_provider() {
        let providers = Providers::open(&ServiceConfig::default()).unwrap();
        assert_eq!(providers.of(Channel::InApp).as_str(), "stored");
        assert_eq!(providers.of(Channel::Email).as_str(), "simulated");
    }

    #[test]
    fn a_wrong_provider_names_its_key() {
        let mut config = ServiceConfig::default();
        config.channels.sms = "smtp".into();
        let error = Providers::open(&config).err().unwrap().to_string();
        assert!(
            error.contains("channels.sms = \"smtp\" is not a provider; expected simulated, log or http"),
            "{error}"
        );
        config.channels.sms = "http".into();
        let error = format!("{:#}", Providers::open(&config).err().unwrap());
        assert!(error.starts_with("channels.sms_url"), "{error}");
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    use nsys_contract::event::Envelope;
    use serde_json::{Value, json};

    /// A notification by some channel.
    pub(crate) fn envelope(channel: &str, payload: Value) -> Envelope {
        serde_json::from_value(json!({
            "id": "00000000-0000-0000-0000-000000000007", "version": "1.0.0", "timestamp": 1_700_000_000_000_i64,
            "userId": "user-1", "type": "SYSTEM", "channel": channel, "priority": "MEDIUM", "status": "PENDING",
            "payload": payload,
        }))
        .unwrap()
    }
}
