//! Redis keys: builders, prefixes, and which prefixes a cache flush must leave alone.

use std::fmt::Display;

/// Prefix of cached notifications.
pub const NOTIFICATION: &str = "notification:";
/// Prefix of cached users.
pub const USER: &str = "user:";
/// Prefix of idempotency records.
pub const IDEMPOTENCY: &str = "idempotency:";
/// Prefix of rate-limit counters.
pub const RATE_LIMIT: &str = "rate_limit:";
/// Prefix of leases (leader of the scheduler, of cache warming).
pub const LEASE: &str = "lease:";
/// Prefix of sessions and revoked tokens.
pub const SESSION: &str = "session:";

/// The channel on which "clear your in-process cache" is announced: a message is the beginning of the
/// keys to forget, or [`ONE`] and one whole key.
pub const INVALIDATION_CHANNEL: &str = "cache:invalidate";

/// Before a whole key on the [`INVALIDATION_CHANNEL`].
pub const ONE: char = '=';

/// Prefixes that hold only copies of rows: safe to flush at any time.
pub const CACHE_PREFIXES: [&str; 2] = [NOTIFICATION, USER];

/// Prefixes whose loss changes behaviour: flushed only when named.
pub const PROTECTED_PREFIXES: [&str; 4] = [IDEMPOTENCY, RATE_LIMIT, LEASE, SESSION];

/// The key of a cached notification.
#[must_use]
pub fn notification(id: impl Display) -> String {
    format!("{NOTIFICATION}{id}")
}

/// The key that stands for what is known of a caller: an account's id, or the public part of an API key.
/// Nothing is kept under it; it is announced when the caller was changed.
#[must_use]
pub fn session(id: impl Display) -> String {
    format!("{SESSION}{id}")
}

/// The key of a cached user.
#[must_use]
pub fn user(id: impl Display) -> String {
    format!("{USER}{id}")
}

/// The key of what is known of somebody notifications are for. An empty tenant stands for none.
#[must_use]
pub fn recipient(tenant_id: &str, user_id: &str) -> String {
    scoped(USER, tenant_id, user_id)
}

/// The announcement that one key is to be forgotten.
#[must_use]
pub fn one(key: &str) -> String {
    format!("{ONE}{key}")
}

/// The key of an idempotency record. Keys are scoped by tenant.
#[must_use]
pub fn idempotency(tenant_id: Option<&str>, key: &str) -> String {
    scoped(IDEMPOTENCY, tenant_id.unwrap_or_default(), key)
}

/// The key of something that a tenant has named. Tenants and names may hold any character, so the
/// tenant's length comes first: no two pairs share a key.
fn scoped(prefix: &str, tenant_id: &str, name: &str) -> String {
    format!("{prefix}{}:{tenant_id}:{name}", tenant_id.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_tenants_never_share_a_key(
            a in "[0-9a:]{0,4}", b in "[0-9a:]{0,4}", c in "[0-9a:]{0,4}", d in "[0-9a:]{0,4}"
        ) {
            prop_assume!((&a, &b) != (&c, &d));
            prop_assert_ne!(recipient(&a, &b), recipient(&c, &d));
            prop_assert_ne!(idempotency(Some(&a), &b), idempotency(Some(&c), &d));
        }
    }

    #[test]
    fn separators_within_names_do_not_move_a_key_to_another_tenant() {
        assert_ne!(recipient("corp", "eu:bob"), recipient("corp:eu", "bob"));
        assert_ne!(idempotency(Some("corp:eu"), "z"), idempotency(Some("corp"), "eu:z"));
        assert_ne!(idempotency(None, "k"), idempotency(Some("-"), "k"));
    }
}
