//! The outside: how a notification leaves the system.

use nsys_contract::config::Channels as Settings;
use nsys_contract::status::{Channel, Status};
use rand::RngExt;

/// What one attempt did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It arrived, or the provider took it.
    Done(Status),
    /// It may work later.
    Retry(String),
}

/// The provider behind a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    /// Waits and fails as configured; real load without a real receiver.
    Simulated,
    /// Writes a log line.
    Log,
    /// Keeps it in the user's inbox, which is the notifications table itself.
    Stored,
}

impl Provider {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::Log => "log",
            Self::Stored => "stored",
        }
    }
}

/// The provider configured for a channel; an unknown name is an error at start, not at delivery.
pub(crate) fn provider(settings: &Settings, channel: Channel) -> anyhow::Result<Provider> {
    let (key, name) = match channel {
        Channel::Email => ("email", &settings.email),
        Channel::Sms => ("sms", &settings.sms),
        Channel::Push => ("push", &settings.push),
        Channel::Webhook => ("webhook", &settings.webhook),
        Channel::InApp => ("in_app", &settings.in_app),
    };
    match name.as_str() {
        "simulated" => Ok(Provider::Simulated),
        "log" => Ok(Provider::Log),
        "stored" if channel == Channel::InApp => Ok(Provider::Stored),
        other => anyhow::bail!("channels.{key} = {other:?} is not a provider of this build (simulated, log)"),
    }
}

/// Makes one attempt.
pub(crate) async fn deliver(settings: &Settings, provider: Provider, id: uuid::Uuid) -> Outcome {
    match provider {
        Provider::Stored => Outcome::Done(Status::Delivered),
        Provider::Log => {
            tracing::info!(notification.id = %id, "Delivered to the log.");
            Outcome::Done(Status::Sent)
        }
        Provider::Simulated => {
            let (spread, luck) = (rand::rng().random::<f64>() * 2.0 - 1.0, rand::rng().random::<f64>());
            if !settings.simulated_latency.is_zero() {
                let factor = (1.0 + spread * settings.simulated_jitter).max(0.0);
                tokio::time::sleep(settings.simulated_latency.mul_f64(factor)).await;
            }
            if luck < settings.simulated_failure_rate {
                Outcome::Retry("the simulated provider failed, as configured".to_owned())
            } else {
                Outcome::Done(Status::Sent)
            }
        }
    }
}
