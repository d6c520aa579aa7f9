//! `nsys send` and `nsys export notifications`.

use crate::cli::{ExportNotificationsArgs, OutputChoice, SendArgs};
use crate::clients::api::Api;
use crate::error::{Error, Result};
use crate::permit::{Consent, PermitRequest, Reach, RequiredConsent};
use crate::render::schema::{AnswerSchema, Either};
use crate::render::{Out, Report, Tone, format, sink::Sink, style::paint};
use crate::stack::account::{api_as, operator_api};
use crate::stack::{Stack, safety};
use nsys_contract::api::{CreateNotification, ExportFormat, ExportQuery, Notification};
use nsys_contract::status::{Channel, Status};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Serialize, schemars::JsonSchema)]
struct Sent(Notification);

impl Report for Sent {
    fn text(&self) -> String {
        let one = &self.0;
        let tone = match one.status {
            Status::Sent | Status::Delivered => Tone::Good,
            Status::Failed | Status::Expired => Tone::Bad,
            _ => Tone::Warn,
        };
        let again = if one.duplicate { ", the one of an earlier request with this key" } else { "" };
        format!(
            "{} {} by {} for {}{again}",
            one.id,
            paint(tone, one.status.as_str()),
            one.channel,
            one.user_id
        )
    }
}

pub(super) async fn send(stack: &Stack, args: &SendArgs, out: Out) -> Result<()> {
    let request = request(args);
    if args.dry_run {
        return out.json(&request);
    }
    let change = PermitRequest { what: "send", reach: Reach::Api, agreement: RequiredConsent::Command };
    let consent = Consent { yes: false, name: args.confirm.as_deref() };
    let permit = safety::permit(stack, change, consent, out).await?;
    let api = api_as(stack, args.sender.as_deref()).await?;
    let mut sent = api.create_notification(&permit, &request).await?;
    if let Some(timeout) = args.wait {
        sent = follow(&api, sent, timeout, out).await?;
    }
    let status = sent.status;
    out.report(&Sent(sent))?;
    match status {
        Status::Failed | Status::Expired => {
            Err(Error::failed(format!("it ended as {status}")).hint("nsys dlq list"))
        }
        _ => Ok(()),
    }
}

fn request(args: &SendArgs) -> CreateNotification {
    let payload = match (&args.payload, &args.template) {
        (Some(payload), _) => payload.clone(),
        (None, Some(_)) => Map::new(),
        (None, None) => example(args.channel),
    };
    CreateNotification {
        user_id: args.user_id.clone(),
        tenant_id: args.tenant.clone(),
        channel: args.channel,
        kind: args.kind,
        priority: args.priority,
        payload,
        scheduled_for: args.scheduled_for,
        expires_at: args.expires_at,
        idempotency_key: args.idempotency_key.clone(),
        correlation_id: args.correlation_id.clone(),
        template_id: args.template.clone(),
        template_data: args.data.clone(),
    }
}

/// Content that each channel takes, to nobody who exists.
fn example(channel: Channel) -> Map<String, Value> {
    let content = match channel {
        Channel::Email => json!({"to": "test@example.com", "subject": "Test", "body": "Sent by nsys send."}),
        Channel::Sms => json!({"to": "+15550100", "message": "Sent by nsys send."}),
        Channel::Push => json!({"token": "test-device", "title": "Test", "body": "Sent by nsys send."}),
        Channel::Webhook => {
            json!({"url": "https://example.com/hook", "payload": {"text": "Sent by nsys send."}})
        }
        Channel::InApp => json!({"title": "Test", "message": "Sent by nsys send."}),
    };
    content.as_object().cloned().unwrap_or_default()
}

/// Waits for the final status.
async fn follow(api: &Api, mut sent: Notification, timeout: Duration, out: Out) -> Result<Notification> {
    let deadline = Instant::now() + timeout;
    let mut said = None;
    while !sent.status.is_final() {
        if said != Some(sent.status) {
            out.say(format!("{} {}", sent.id, sent.status));
            said = Some(sent.status);
        }
        if Instant::now() > deadline {
            return Err(Error::failed(format!(
                "{} is still {} after {}",
                sent.id,
                sent.status,
                format::duration(timeout)
            ))
            .hint("nsys lag shows whether the workers are behind"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        sent = api.notification(sent.id).await?;
    }
    Ok(sent)
}

pub(super) async fn export(
    stack: &Stack,
    args: &ExportNotificationsArgs,
    choice: OutputChoice,
    out: Out,
) -> Result<()> {
    let query = ExportQuery {
        format: if choice == OutputChoice::Csv { ExportFormat::Csv } else { ExportFormat::Ndjson },
        user_id: args.user_id.clone(),
        tenant_id: args.tenant.clone(),
        status: args.status,
        channel: args.channel,
        from: args.from,
        to: args.to,
    };
    let api = operator_api(stack).await?;
    let mut sink = Sink::open(args.file.as_deref(), out)?;
    let mut lines = 0_usize;
    api.export(&query, |chunk| {
        lines += chunk.iter().filter(|byte| **byte == b'\n').count();
        sink.write(chunk)
    })
    .await?;
    sink.finish()?;
    let rows = if query.format == ExportFormat::Csv { lines.saturating_sub(1) } else { lines };
    out.say(format!("{rows} notifications"));
    Ok(())
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<Either<Sent, CreateNotification>>("send", 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_content_of_its_own() {
        for channel in Channel::ALL {
            assert!(!example(*channel).is_empty(), "{channel}");
        }
    }
}
