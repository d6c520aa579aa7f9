//! Records of idempotency keys: claimed while the request is in progress, kept once it is answered.

use super::Cache;
use nsys_contract::keys;
use std::time::Duration;

/// Before the fingerprint of a request in progress.
const PENDING: &str = "p:";
/// Before the fingerprint of a request that was answered.
const DONE: &str = "d:";

/// What an idempotency key already stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nobody used it: go on.
    New,
    /// A request with this fingerprint is in progress.
    InFlight {
        /// Fingerprint of the other request.
        request_hash: String,
    },
    /// It was used for a request with this fingerprint.
    Taken {
        /// Fingerprint of the earlier request.
        request_hash: String,
    },
    /// Redis does not answer: the database's unique key decides.
    Unknown,
}

impl Claim {
    fn read(record: &str) -> Self {
        match record.strip_prefix(PENDING) {
            Some(hash) => Self::InFlight { request_hash: hash.to_owned() },
            None => {
                let hash = record.strip_prefix(DONE).unwrap_or(record);
                Self::Taken { request_hash: hash.to_owned() }
            }
        }
    }
}

impl Cache {
    /// Claims an idempotency key for a request. A claim that is never settled, because its process
    /// died, ends by itself when no request can be in progress that long.
    pub(crate) async fn claim(&self, tenant: Option<&str>, key: &str, request_hash: &str) -> Claim {
        let mut pipe = redis::pipe();
        pipe.cmd("SET")
            .arg(keys::idempotency(tenant, key))
            .arg(format!("{PENDING}{request_hash}"))
            .arg("NX")
            .arg("GET")
            .arg("PX")
            .arg(ms(self.in_flight));
        match self.call::<(Option<String>,)>("claim", pipe).await {
            Some((None,)) => Claim::New,
            Some((Some(record),)) => Claim::read(&record),
            None => Claim::Unknown,
        }
    }

    /// Adds to a pipeline: the request was answered.
    pub(super) fn keep_claim(
        &self,
        pipe: &mut redis::Pipeline,
        tenant: Option<&str>,
        key: &str,
        request_hash: &str,
    ) {
        let ttl = ms(self.settings.ttl_idempotency);
        pipe.cmd("SET").arg(keys::idempotency(tenant, key)).arg(format!("{DONE}{request_hash}"));
        pipe.arg("PX").arg(ttl).ignore();
    }

    /// Gives a claimed key back after the request failed.
    pub(crate) async fn release(&self, tenant: Option<&str>, key: &str) {
        let mut pipe = redis::pipe();
        pipe.cmd("DEL").arg(keys::idempotency(tenant, key)).ignore();
        let _: Option<()> = self.call("release", pipe).await;
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_whether_its_request_was_answered() {
        let hash = || "abc".to_owned();
        assert_eq!(Claim::read("p:abc"), Claim::InFlight { request_hash: hash() });
        assert_eq!(Claim::read("d:abc"), Claim::Taken { request_hash: hash() });
        assert_eq!(Claim::read("abc"), Claim::Taken { request_hash: hash() });
    }
}
