//! A caller that was recognised: what it may do, for whom, and how often.

use crate::domain::limit::{Bucket, Decision, Quota};
use crate::domain::scope::Scope;
use nsys_contract::status::Role;
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use uuid::Uuid;

/// The moment from which buckets count.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since that moment.
fn now_ns() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// A caller.
#[derive(Debug)]
pub(crate) struct Principal {
    /// The account's id or the public part of the API key.
    pub(crate) id: String,
    /// The account; `None` for an API key.
    pub(crate) account: Option<Uuid>,
    /// The account that answers for it: its own, or that of whoever issued the API key.
    pub(crate) owner: Option<Uuid>,
    /// How it is called in the audit log.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) tenant: Option<String>,
    /// When the credential ends by itself, in seconds since the epoch.
    pub(crate) expires_at_s: Option<i64>,
    /// How often it may come; `None` is without limit.
    pub(crate) limit: Option<Limited>,
}

impl Principal {
    /// Whose data it may touch: admins everybody's, everyone else their tenant's.
    pub(crate) fn scope(&self) -> Scope {
        if self.role == Role::Admin { Scope::All } else { Scope::Tenant(self.tenant.clone()) }
    }

    /// Whether it may touch what belongs to this tenant.
    pub(crate) fn may_use_tenant(&self, tenant: Option<&str>) -> bool {
        self.role == Role::Admin || tenant == self.tenant.as_deref()
    }
}

/// A bucket and its size: of a caller, or of attempts to sign in.
#[derive(Debug)]
pub(crate) struct Limited {
    bucket: Arc<Bucket>,
    quota: Quota,
}

impl Limited {
    pub(crate) fn new(bucket: Arc<Bucket>, quota: Quota) -> Self {
        Self { bucket, quota }
    }

    /// Takes tokens now, or says how long to wait.
    pub(crate) fn take(&self, tokens: u32) -> Decision {
        self.bucket.take(tokens, self.quota, now_ns())
    }

    /// The same for what a request brings that was counted as one already.
    pub(crate) fn take_more(&self, tokens: u32) -> Decision {
        self.bucket.take_more(tokens, self.quota, now_ns())
    }

    /// Gives tokens back that were taken and not used.
    pub(crate) fn refund(&self, tokens: u32) {
        self.bucket.refund(tokens, self.quota);
    }

    pub(crate) fn quota(&self) -> Quota {
        self.quota
    }
}
