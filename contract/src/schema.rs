//! Names in PostgreSQL: tables, the columns both programs read, and the tuning indexes.

/// Notifications, one row each.
pub const NOTIFICATIONS: &str = "notifications";
/// State changes of notifications, append only.
pub const EVENTS: &str = "events";
/// Accounts.
pub const USERS: &str = "users";
/// What delivery attempts did.
pub const DELIVERY_ATTEMPTS: &str = "delivery_attempts";
/// What could not be delivered or decoded.
pub const DEAD_LETTERS: &str = "dead_letters";
/// What users want: quiet hours, muted channels and types.
pub const PREFERENCES: &str = "preferences";
/// Work that one worker at a time does once each period.
pub const JOBS: &str = "jobs";
/// Credentials of programs.
pub const API_KEYS: &str = "api_keys";
/// Signing keys of tokens.
pub const SIGNING_KEYS: &str = "signing_keys";
/// Stored payloads with placeholders.
pub const TEMPLATES: &str = "templates";
/// In whose name tenants may send.
pub const SENDER_IDENTITIES: &str = "sender_identities";
/// Messages that the log deleted before a worker read them.
pub const LOG_GAPS: &str = "log_gaps";
/// Receivers of webhooks that tenants register.
pub const WEBHOOK_ENDPOINTS: &str = "webhook_endpoints";
/// What the latest attempts at each of them did.
pub const WEBHOOK_ATTEMPTS: &str = "webhook_attempts";
/// Who changed what.
pub const AUDIT_LOG: &str = "audit_log";

/// The tables that `ANALYZE` follows after an index build, as in the guide.
pub const ANALYZE_TABLES: [&str; 3] = [NOTIFICATIONS, EVENTS, USERS];

/// The unique key that decides idempotency.
pub const IDEMPOTENCY_CONSTRAINT: &str = "notifications_tenant_id_idempotency_key_key";

/// The schema version that this build of the service needs: the number of the newest migration.
pub const REQUIRED_SCHEMA_VERSION: i64 = 8;

/// One index of the tuning step: everything needed to create it and to recognise it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexDefinition {
    /// The index's name.
    pub name: &'static str,
    /// The table it is on.
    pub table: &'static str,
    /// The key columns with their direction, as in `CREATE INDEX`.
    pub columns: &'static str,
    /// The partial index's condition.
    pub predicate: Option<&'static str>,
    /// Which reads it serves.
    pub serves: &'static str,
}

/// The guide's three indexes. The base migration leaves them out, so that tuning has an effect.
pub const TUNING_INDEXES: [IndexDefinition; 3] = [
    IndexDefinition {
        name: "idx_notifications_user_status_created",
        table: NOTIFICATIONS,
        columns: "user_id, status, created_at DESC",
        predicate: None,
        serves: "lists of one user by status, newest first",
    },
    IndexDefinition {
        name: "idx_notifications_scheduled",
        table: NOTIFICATIONS,
        columns: "status, scheduled_for",
        predicate: Some("status = 'SCHEDULED'"),
        serves: "the scheduler's search for due notifications",
    },
    IndexDefinition {
        name: "idx_notifications_correlation",
        table: NOTIFICATIONS,
        columns: "correlation_id, created_at",
        predicate: Some("correlation_id IS NOT NULL"),
        serves: "look-ups by correlation id",
    },
];
