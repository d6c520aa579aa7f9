//! Arguments of the commands about notifications and accounts: dead letters, users, tokens, sending, export.

use super::{PlanFlags, parse_duration, parse_instant};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use nsys_contract::status::{Channel, NotificationType, Priority, Role, Status};
use std::path::PathBuf;
use std::time::Duration;

/// Which dead letters are meant: all conditions hold.
#[derive(Clone, Debug, Default, Args)]
pub struct DeadLetterFlags {
    /// Only with this reason: undecodable, key_conflict, exhausted or permanent
    #[arg(long)]
    pub reason: Option<String>,
    /// Only for this channel
    #[arg(long, value_parser = member::<Channel>)]
    pub channel: Option<Channel>,
    /// Only of this tenant
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only dead-lettered since: a timestamp (2026-01-31T12:00:00Z) or an age (15m)
    #[arg(long, value_name = "WHEN", value_parser = parse_instant)]
    pub from: Option<Timestamp>,
    /// Only dead-lettered before: a timestamp or an age
    #[arg(long, value_name = "WHEN", value_parser = parse_instant)]
    pub to: Option<Timestamp>,
}

/// `nsys dlq …`
#[derive(Clone, Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters, newest first
    List {
        /// Which ones.
        #[command(flatten)]
        which: DeadLetterFlags,
        /// Include those that were redriven
        #[arg(long)]
        redriven: bool,
        /// Maximum number to show
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one dead letter with its message
    Show {
        /// Id of the dead letter
        id: i64,
    },
    /// Redrive dead letters
    Redrive {
        /// Ids to redrive; default all that match the other flags
        ids: Vec<i64>,
        /// Which ones.
        #[command(flatten)]
        which: DeadLetterFlags,
        /// Maximum rate per second
        #[arg(long, value_name = "N/s", default_value = "100/s", value_parser = rate)]
        rate: u32,
        /// Flags of changes by plan.
        #[command(flatten)]
        flags: PlanFlags,
    },
    /// Delete dead letters permanently
    Purge {
        /// Which ones.
        #[command(flatten)]
        which: DeadLetterFlags,
        /// Flags of changes by plan.
        #[command(flatten)]
        flags: PlanFlags,
    },
}

/// `nsys user …`
#[derive(Clone, Debug, Subcommand)]
pub enum UserCommand {
    /// Create an account; its generated password stays in the state directory
    Add {
        /// Email address it signs in with
        email: String,
        /// Display name; default the part before the @
        #[arg(long)]
        name: Option<String>,
        /// Role: USER, OPERATOR or ADMIN
        #[arg(long, default_value = "USER", value_parser = member::<Role>)]
        role: Role,
        /// Tenant it belongs to; default a new one
        #[arg(long)]
        tenant: Option<String>,
        /// Read the password from standard input instead of generating one
        #[arg(long)]
        password_stdin: bool,
        /// Flags of changes by plan.
        #[command(flatten)]
        flags: PlanFlags,
    },
    /// Make the account that nsys works with an administrator (`up` does so on a stack that nsys starts)
    Bootstrap(PlanFlags),
    /// List accounts
    List {
        /// Only with this role
        #[arg(long, value_parser = member::<Role>)]
        role: Option<Role>,
        /// Only of this tenant
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Give an account another role
    Role {
        /// Email address of the account
        email: String,
        /// New role: USER, OPERATOR or ADMIN
        #[arg(value_parser = member::<Role>)]
        role: Role,
        /// Flags of changes by plan.
        #[command(flatten)]
        flags: PlanFlags,
    },
}

/// Arguments of `nsys token`.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// Account to issue the token for; default the load-test account
    #[arg(long, value_name = "EMAIL")]
    pub user: Option<String>,
    /// Read the password from standard input, for an account that nsys did not create
    #[arg(long, requires = "user")]
    pub password_stdin: bool,
}

/// Arguments of `nsys send`.
#[derive(Clone, Debug, Args)]
pub struct SendArgs {
    /// The stack's name, for a protected stack
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// Channel: EMAIL, SMS, PUSH, WEBHOOK or IN_APP
    #[arg(long, default_value = "IN_APP", value_parser = member::<Channel>)]
    pub channel: Channel,
    /// Type: TRANSACTIONAL, MARKETING, SYSTEM or ALERT
    #[arg(long = "type", value_name = "TYPE", default_value = "SYSTEM", value_parser = member::<NotificationType>)]
    pub kind: NotificationType,
    /// Priority: LOW, MEDIUM, HIGH or URGENT
    #[arg(long, value_parser = member::<Priority>)]
    pub priority: Option<Priority>,
    /// Recipient's user id
    #[arg(long, default_value = "nsys-send", value_name = "USER")]
    pub user_id: String,
    /// Tenant; default the caller's own
    #[arg(long)]
    pub tenant: Option<String>,
    /// Payload as a JSON object; default a sample for the channel
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub payload: Option<serde_json::Map<String, serde_json::Value>>,
    /// Earliest delivery: a timestamp or a delay, for example 10m
    #[arg(long = "at", value_name = "WHEN", value_parser = coming)]
    pub scheduled_for: Option<Timestamp>,
    /// Latest delivery: a timestamp or a delay
    #[arg(long, value_name = "WHEN", value_parser = coming)]
    pub expires_at: Option<Timestamp>,
    /// Idempotency key: a repeated request has no further effect
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Correlation id of related notifications
    #[arg(long, value_name = "ID")]
    pub correlation_id: Option<String>,
    /// Stored template to render the payload from
    #[arg(long, value_name = "ID")]
    pub template: Option<String>,
    /// Values for the template, as a JSON object
    #[arg(long, value_name = "JSON", requires = "template", value_parser = object)]
    pub data: Option<serde_json::Map<String, serde_json::Value>>,
    /// Send as this account; default the load-test account
    #[arg(long = "as", value_name = "EMAIL")]
    pub sender: Option<String>,
    /// Wait for the final status, at most this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, num_args = 0..=1, default_missing_value = "30s")]
    pub wait: Option<Duration>,
    /// Show the request and stop
    #[arg(long)]
    pub dry_run: bool,
}

/// `nsys export …`
#[derive(Clone, Debug, Subcommand)]
pub enum ExportCommand {
    /// Stream notifications as NDJSON or, with -o csv, as CSV
    Notifications(ExportNotificationsArgs),
}

/// Arguments of `nsys export notifications`.
#[derive(Clone, Debug, Args)]
pub struct ExportNotificationsArgs {
    /// Only accepted since: a timestamp (2026-01-31T12:00:00Z) or an age (15m)
    #[arg(long, value_name = "WHEN", value_parser = parse_instant)]
    pub from: Option<Timestamp>,
    /// Only accepted before: a timestamp or an age
    #[arg(long, value_name = "WHEN", value_parser = parse_instant)]
    pub to: Option<Timestamp>,
    /// Only this user's
    #[arg(long, value_name = "USER")]
    pub user_id: Option<String>,
    /// Only this tenant's
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only in this status
    #[arg(long, value_parser = member::<Status>)]
    pub status: Option<Status>,
    /// Only for this channel
    #[arg(long, value_parser = member::<Channel>)]
    pub channel: Option<Channel>,
    /// Write into this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Reads a member of a closed set as people write it: `in-app` for `IN_APP`.
fn member<T: std::str::FromStr<Err = nsys_contract::status::UnknownMember>>(text: &str) -> Result<T, String> {
    text.to_uppercase().replace('-', "_").parse().map_err(|cause: T::Err| cause.to_string())
}

fn rate(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is not a rate; write for example 50/s");
    let number = text.strip_suffix("/s").unwrap_or(text);
    number.parse().ok().filter(|rate| *rate > 0).ok_or_else(wrong)
}

fn object(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    serde_json::from_str(text).map_err(|cause| format!("a JSON object is expected: {cause}"))
}

/// An instant to come: a time stamp, or in so long.
fn coming(text: &str) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let wrong = || format!("{text:?} is no instant; write for example 2026-01-31T12:00:00Z, or 10m");
    let ahead = parse_duration(text).map_err(|_| wrong())?;
    crate::clock::now().checked_add(ahead).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_as_people_write_them() {
        assert_eq!(member::<Channel>("in-app"), Ok(Channel::InApp));
        assert!(member::<Role>("boss").unwrap_err().contains("BOSS"));
    }

    #[test]
    fn rates_and_objects_are_checked_at_once() {
        assert_eq!((rate("50/s"), rate("7")), (Ok(50), Ok(7)));
        assert!(rate("0/s").is_err() && rate("fast").is_err());
        assert!(object("[1]").unwrap_err().contains("object"));
    }
}
