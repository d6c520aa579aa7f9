//! `[channels]`: where notifications go.

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A wait, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wait(#[serde(with = "span")] pub Duration);

/// `[channels]`: where notifications go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Channels {
    /// `simulated`, `smtp` or `log`.
    pub email: String,
    /// `simulated`, `http` or `log`.
    pub sms: String,
    /// `simulated`, `http` or `log`.
    pub push: String,
    /// `simulated`, `http` or `log`.
    pub webhook: String,
    /// `stored`, `simulated` or `log`.
    pub in_app: String,
    /// Address of the mail server, `smtp://user:password@host:port`. Secret.
    pub smtp_url: String,
    /// Sender of mail that names none.
    pub smtp_from: String,
    /// Where the SMS gateway takes a POST.
    pub sms_url: String,
    /// Bearer token for the SMS gateway; empty: none is sent. Secret.
    pub sms_token: String,
    /// Where the push gateway takes a POST.
    pub push_url: String,
    /// Bearer token for the push gateway; empty: none is sent. Secret.
    pub push_token: String,
    /// Key from which each tenant's secret for webhooks that name their URL is derived (`whsec_…`). Empty:
    /// generated. Secret.
    pub webhook_secret: String,
    /// Sign such webhooks with webhook_secret itself as well, for receivers that still verify with it: each of
    /// them could sign for every tenant.
    pub webhook_shared_signature: bool,
    /// Private addresses or host names a webhook may reach all the same, for development.
    pub webhook_allow: Vec<String>,
    /// Waits between the attempts by e-mail, such as ["5s", "5m"]; empty: worker.retry_base, doubling.
    pub email_retries: Vec<Wait>,
    /// Waits between the attempts by text message.
    pub sms_retries: Vec<Wait>,
    /// Waits between the attempts by push.
    pub push_retries: Vec<Wait>,
    /// Waits between the attempts of a webhook.
    pub webhook_retries: Vec<Wait>,
    /// Longest time one delivery may take.
    #[serde(with = "span")]
    pub timeout: Duration,
    /// Mean latency of the simulated provider.
    #[serde(with = "span")]
    pub simulated_latency: Duration,
    /// Spread of that latency, as a share of it.
    pub simulated_jitter: f64,
    /// Share of simulated deliveries that fail and are retried, 0 to 1; at 1 the provider is down, and
    /// breakers open.
    pub simulated_failure_rate: f64,
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            email: "simulated".into(),
            sms: "simulated".into(),
            push: "simulated".into(),
            webhook: "simulated".into(),
            in_app: "stored".into(),
            smtp_url: String::new(),
            smtp_from: "notifications@example.com".into(),
            sms_url: String::new(),
            sms_token: String::new(),
            push_url: String::new(),
            push_token: String::new(),
            webhook_secret: String::new(),
            webhook_shared_signature: false,
            webhook_allow: Vec::new(),
            email_retries: Vec::new(),
            sms_retries: Vec::new(),
            push_retries: Vec::new(),
            webhook_retries: Vec::new(),
            timeout: Duration::from_secs(10),
            simulated_latency: Duration::ZERO,
            simulated_jitter: 0.2,
            simulated_failure_rate: 0.0,
        }
    }
}
