//! The paths of the API. Placeholders are written as the router and OpenAPI write them.

/// Creates an account.
pub const REGISTER: &str = "/auth/register";
/// Exchanges a password for a token.
pub const LOGIN: &str = "/auth/login";
/// The caller's own account.
pub const ME: &str = "/auth/me";
/// The public signing keys.
pub const JWKS: &str = "/.well-known/jwks.json";

/// Creates and lists notifications.
pub const NOTIFICATIONS: &str = "/notifications";
/// Creates up to a thousand notifications.
pub const NOTIFICATIONS_BATCH: &str = "/notifications/batch";
/// Creates notifications from a stream of lines.
pub const NOTIFICATIONS_STREAM: &str = "/notifications/stream";
/// Every matching notification, as NDJSON or CSV.
pub const NOTIFICATIONS_EXPORT: &str = "/notifications/export";
/// Changes of status as server-sent events.
pub const NOTIFICATIONS_EVENTS: &str = "/notifications/events";
/// One notification; also rescheduled here.
pub const NOTIFICATION: &str = "/notifications/{id}";
/// What happened to one notification.
pub const NOTIFICATION_EVENTS: &str = "/notifications/{id}/events";
/// The delivery attempts of one notification.
pub const NOTIFICATION_ATTEMPTS: &str = "/notifications/{id}/attempts";
/// Cancels a notification that is not delivered yet.
pub const NOTIFICATION_CANCEL: &str = "/notifications/{id}/cancel";
/// Delivers a failed notification again.
pub const NOTIFICATION_RETRY: &str = "/notifications/{id}/retry";

/// What one user wants to get, and when.
pub const PREFERENCES: &str = "/users/{id}/preferences";
/// The templates of a tenant.
pub const TEMPLATES: &str = "/templates";
/// One template.
pub const TEMPLATE: &str = "/templates/{id}";
/// What a template gives for some data, without sending anything.
pub const TEMPLATE_RENDER: &str = "/templates/{id}/render";

/// In whose name tenants may send.
pub const SENDERS: &str = "/senders";
/// One sender identity.
pub const SENDER: &str = "/senders/{id}";
/// Takes the code that was sent to a sender's address.
pub const SENDER_VERIFY: &str = "/senders/{id}/verify";
/// The webhook endpoints of a tenant.
pub const ENDPOINTS: &str = "/endpoints";
/// The secret of a tenant's webhooks that name their URL themselves.
pub const ENDPOINTS_TENANT_SECRET: &str = "/endpoints/tenant-secret";
/// One endpoint.
pub const ENDPOINT: &str = "/endpoints/{id}";
/// What the latest attempts at an endpoint did.
pub const ENDPOINT_ATTEMPTS: &str = "/endpoints/{id}/attempts";
/// Gives an endpoint a new secret.
pub const ENDPOINT_ROTATE: &str = "/endpoints/{id}/rotate";

/// Dead letters; deleting here purges by filter.
pub const DEAD_LETTERS: &str = "/dlq";
/// Sends dead letters again.
pub const DEAD_LETTERS_REDRIVE: &str = "/dlq/redrive";
/// One dead letter.
pub const DEAD_LETTER: &str = "/dlq/{id}";

/// Accounts.
pub const ADMIN_USERS: &str = "/admin/users";
/// One account.
pub const ADMIN_USER: &str = "/admin/users/{id}";
/// API keys.
pub const ADMIN_API_KEYS: &str = "/admin/api-keys";
/// One API key.
pub const ADMIN_API_KEY: &str = "/admin/api-keys/{id}";
/// The signing keys of tokens.
pub const ADMIN_KEYS: &str = "/admin/keys";
/// Takes a new signing key into use.
pub const ADMIN_KEYS_ROTATE: &str = "/admin/keys/rotate";
/// Lag of the workers by partition.
pub const ADMIN_LAG: &str = "/admin/lag";
/// Counts by status, queues and limits.
pub const ADMIN_STATS: &str = "/admin/stats";
/// Takes a replica out of traffic, and back.
pub const ADMIN_DRAIN: &str = "/admin/drain";
/// Who changed what.
pub const ADMIN_AUDIT: &str = "/admin/audit";
/// The effective configuration of the running process, without secrets.
pub const ADMIN_CONFIG: &str = "/admin/config";

/// A CPU flame graph of this replica, sampled for `seconds`.
pub const ADMIN_PROFILE: &str = "/admin/profile";

/// Overall health.
pub const HEALTH: &str = "/health";
/// State of the workers.
pub const HEALTH_WORKER: &str = "/health/worker";
/// State of the database pool.
pub const HEALTH_DATABASE: &str = "/health/database";
/// Whether the process is alive.
pub const LIVENESS: &str = "/health/liveness";
/// Whether the process should receive traffic.
pub const READINESS: &str = "/health/readiness";
/// Prometheus metrics.
pub const METRICS: &str = "/metrics";

/// The description of this API.
pub const OPENAPI: &str = "/openapi.json";
/// The same as a page to read.
pub const DOCS: &str = "/docs";

/// The path of one thing: `one(NOTIFICATION_CANCEL, id)`.
#[must_use]
pub fn one(path: &str, id: impl std::fmt::Display) -> String {
    path.replacen("{id}", &id.to_string(), 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_placeholder_is_filled() {
        assert_eq!(super::one(super::NOTIFICATION_CANCEL, 7), "/notifications/7/cancel");
    }
}
