//! Records of idempotency keys: claimed while a request is in progress, kept once it is acknowledged.

use super::Cache;
use crate::domain::identity::Identity;
use nsys_contract::keys;
use std::time::Duration;

/// Before the fingerprint of a request in progress.
const PENDING: &str = "p:";
/// Before the fingerprint of a request that was acknowledged.
const DONE: &str = "d:";
/// Frees a key, unless its record is not the claim any more.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end return 0";

/// Keeps what a key stands for, unless that was decided already: by the row, when two requests were
/// acknowledged because nobody knew of the first.
const KEEP: &str = "local record = redis.call('GET', KEYS[1])
if not record or string.sub(record, 1, 2) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 0";

/// What Redis says of an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Nothing; it is claimed now. It may have been used all the same: records are evicted and end.
    New,
    /// A request with this fingerprint is in progress.
    InFlight {
        /// Fingerprint of the other request.
        request_hash: String,
    },
    /// A request with this fingerprint was acknowledged.
    Taken {
        /// Fingerprint of the earlier request.
        request_hash: String,
    },
    /// Redis does not answer.
    Unknown,
}

impl Record {
    fn read(record: Option<&str>) -> Self {
        let Some(record) = record else { return Self::New };
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
    /// Claims idempotency keys for requests, in one call; one record for each. A claim that is never
    /// settled, because its process died, ends by itself when no request can be in progress that long.
    pub(crate) async fn claim(&self, requests: &[Identity]) -> Vec<Record> {
        let mut pipe = redis::pipe();
        for one in requests {
            pipe.cmd("SET").arg(name(one)).arg(pending(one)).arg("NX").arg("GET").arg("PX");
            pipe.arg(ms(self.in_flight));
        }
        match self.call::<Vec<Option<String>>>("claim", pipe).await {
            Some(records) if records.len() == requests.len() => {
                records.iter().map(|record| Record::read(record.as_deref())).collect()
            }
            _ => vec![Record::Unknown; requests.len()],
        }
    }

    /// Keeps what keys stand for, after their requests were acknowledged.
    pub(crate) async fn keep(&self, requests: &[Identity]) {
        let mut pipe = redis::pipe();
        for one in requests {
            self.keep_claim(&mut pipe, one.tenant_id.as_deref(), &one.key, &one.request_hash);
        }
        let _: Option<()> = self.call("keep", pipe).await;
    }

    /// Adds to a pipeline: the request was acknowledged.
    pub(super) fn keep_claim(
        &self,
        pipe: &mut redis::Pipeline,
        tenant: Option<&str>,
        key: &str,
        request_hash: &str,
    ) {
        let ttl = ms(self.settings.ttl_idempotency);
        pipe.cmd("EVAL").arg(KEEP).arg(1).arg(keys::idempotency(tenant, key)).arg(PENDING);
        pipe.arg(format!("{DONE}{request_hash}")).arg(ttl).ignore();
    }

    /// Makes records say what the rows behind their keys say, whatever they said.
    pub(crate) async fn correct(&self, rows: &[(Option<&str>, &str, Option<&str>)]) {
        let mut pipe = redis::pipe();
        let ttl = ms(self.settings.ttl_idempotency);
        for (tenant, key, request_hash) in rows {
            let name = keys::idempotency(*tenant, key);
            match request_hash {
                Some(hash) => pipe.cmd("SET").arg(name).arg(format!("{DONE}{hash}")).arg("PX").arg(ttl),
                None => pipe.cmd("UNLINK").arg(name),
            };
            pipe.ignore();
        }
        let _: Option<()> = self.call("correct", pipe).await;
    }

    /// Gives claimed keys back after their requests failed; what was acknowledged meanwhile stays.
    pub(crate) async fn release(&self, requests: &[Identity]) {
        let mut pipe = redis::pipe();
        for one in requests {
            pipe.cmd("EVAL").arg(RELEASE).arg(1).arg(name(one)).arg(pending(one)).ignore();
        }
        let _: Option<()> = self.call("release", pipe).await;
    }
}

fn name(one: &Identity) -> String {
    keys::idempotency(one.tenant_id.as_deref(), &one.key)
}

fn pending(one: &Identity) -> String {
    format!("{PENDING}{}", one.request_hash)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_whether_its_request_was_acknowledged() {
        let hash = || "abc".to_owned();
        assert_eq!(Record::read(None), Record::New);
        assert_eq!(Record::read(Some("p:abc")), Record::InFlight { request_hash: hash() });
        assert_eq!(Record::read(Some("d:abc")), Record::Taken { request_hash: hash() });
        assert_eq!(Record::read(Some("abc")), Record::Taken { request_hash: hash() });
    }
}
