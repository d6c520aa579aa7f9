//! The only place that names the redis driver.

use super::access;
use crate::domain::cache::{CacheStats, prefix};
use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use redis::aio::MultiplexedConnection;
use std::collections::BTreeMap;
use std::time::Duration;

/// Keys looked at or removed in one call, so that Redis serves others in between.
const BATCH: usize = 1_000;

/// A connection for one command.
#[derive(Debug)]
pub struct Redis {
    connection: MultiplexedConnection,
    timeout: Duration,
}

/// Asks for a PONG.
///
/// # Errors
/// When Redis does not answer in time, or answers that it cannot (loading, wrong password).
pub async fn ping(url: &str, timeout: Duration) -> Result<()> {
    Redis::connect(url, timeout).await?.ask::<String>(&redis::cmd("PING")).await.map(|_| ())
}

/// Why the driver failed, in words that do not need its source.
fn reason(cause: &redis::RedisError) -> String {
    if cause.is_connection_refusal() {
        "nothing listens there".to_owned()
    } else if cause.is_timeout() {
        "no answer in time".to_owned()
    } else if cause.is_connection_dropped() {
        "the connection broke".to_owned()
    } else {
        cause.to_string()
    }
}

impl Redis {
    /// Connects.
    ///
    /// # Errors
    /// When Redis does not take the connection in time.
    pub async fn connect(url: &str, timeout: Duration) -> Result<Self> {
        let connect = async {
            let client = match access::authority().filter(|_| url.starts_with("rediss:")) {
                Some(authority) => {
                    let certificates =
                        redis::TlsCertificates { client_tls: None, root_cert: Some(authority.to_vec()) };
                    redis::Client::build_with_tls(url, certificates)?
                }
                None => redis::Client::open(url)?,
            };
            // The driver's own limits are shorter than ours.
            let timeout = redis::AsyncConnectionConfig::new()
                .set_connection_timeout(Some(timeout))
                .set_response_timeout(Some(timeout));
            client.get_multiplexed_async_connection_with_config(&timeout).await
        };
        match tokio::time::timeout(timeout, connect).await {
            Ok(Ok(connection)) => Ok(Self { connection, timeout }),
            Ok(Err(cause)) => Err(Error::unreachable(format!("redis: {}", reason(&cause))).cause(&cause)),
            Err(_) => Err(Error::unreachable(format!("redis did not answer within {timeout:?}"))),
        }
    }

    async fn ask<T: redis::FromRedisValue>(&mut self, command: &redis::Cmd) -> Result<T> {
        match tokio::time::timeout(self.timeout, command.query_async(&mut self.connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(cause)) if matches!(cause.code(), Some("READONLY" | "NOPERM" | "MOVED")) => {
                Err(Error::refused(format!("redis: {cause}"))
                    .hint("point cache.url at a primary where this user may write"))
            }
            Ok(Err(cause)) => Err(Error::unreachable(format!("redis: {}", reason(&cause))).cause(&cause)),
            Err(_) => Err(Error::unreachable(format!("redis did not answer within {:?}", self.timeout))),
        }
    }

    /// Refuses a node of a cluster: it holds a part of the keys only, and a change of it is half done.
    ///
    /// # Errors
    /// When it is one, or does not answer.
    pub async fn must_hold_every_key(&mut self) -> Result<()> {
        let info: String = self.ask(redis::cmd("INFO").arg("cluster")).await?;
        if info.contains("cluster_enabled:1") {
            return Err(Error::refused(
                "this Redis is a node of a cluster, which holds only a part of the keys",
            )
            .hint("flush it with redis-cli --cluster call, node by node"));
        }
        Ok(())
    }

    /// Counters and sizes.
    ///
    /// # Errors
    /// When Redis does not answer, or tells less than is asked for.
    pub async fn stats(&mut self) -> Result<CacheStats> {
        let info: String = self.ask(&redis::cmd("INFO")).await?;
        CacheStats::read(&info).map_err(Error::failed)
    }

    /// What the server says of its version.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn version(&mut self) -> Result<String> {
        let info: String = self.ask(redis::cmd("INFO").arg("server")).await?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        version
            .map(|text| text.trim().to_owned())
            .ok_or_else(|| Error::failed("redis does not tell its version"))
    }

    /// How many keys there are by prefix, among those that begin with `start`.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn keys_by_prefix(&mut self, start: &str) -> Result<BTreeMap<String, u64>> {
        self.count_prefixes(start, u64::MAX).await.map(|(counts, _)| counts)
    }

    /// The same over about `most` keys, and whether those are all.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn sample_prefixes(&mut self, most: u64) -> Result<(BTreeMap<String, u64>, bool)> {
        self.count_prefixes("", most).await
    }

    async fn count_prefixes(&mut self, start: &str, most: u64) -> Result<(BTreeMap<String, u64>, bool)> {
        let (mut counts, mut seen, mut cursor) = (BTreeMap::new(), 0, 0);
        loop {
            let keys = self.scan(&mut cursor, start).await?;
            for key in &keys {
                *counts.entry(prefix(&String::from_utf8_lossy(key)).to_owned()).or_insert(0) += 1;
            }
            seen += keys.len() as u64;
            if cursor == 0 || seen >= most {
                return Ok((counts, cursor == 0));
            }
        }
    }

    async fn scan(&mut self, cursor: &mut u64, start: &str) -> Result<Vec<Vec<u8>>> {
        // What is special in a pattern stands for itself in a prefix.
        let quoted: String = start
            .chars()
            .flat_map(|one| {
                matches!(one, '*' | '?' | '[' | ']' | '\\').then_some('\\').into_iter().chain([one])
            })
            .collect();
        let mut command = redis::cmd("SCAN");
        command.arg(*cursor).arg("MATCH").arg(format!("{quoted}*")).arg("COUNT").arg(BATCH);
        let (next, keys) = self.ask(&command).await?;
        *cursor = next;
        Ok(keys)
    }

    /// Removes the keys with a prefix in batches, without blocking Redis. Tells how many are gone so
    /// far, and answers how many in the end.
    ///
    /// # Errors
    /// When Redis does not answer, or does not allow it.
    pub async fn unlink(
        &mut self,
        _permit: &ChangePermit,
        start: &str,
        mut so_far: impl FnMut(u64),
    ) -> Result<u64> {
        let (mut cursor, mut removed) = (0, 0);
        loop {
            let keys = self.scan(&mut cursor, start).await?;
            if !keys.is_empty() {
                let gone: u64 = self.ask(redis::cmd("UNLINK").arg(keys)).await?;
                removed += gone;
                so_far(removed);
            }
            if cursor == 0 {
                return Ok(removed);
            }
        }
    }

    /// Tells every subscriber.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn publish(&mut self, _permit: &ChangePermit, channel: &str, text: &str) -> Result<()> {
        self.ask::<u64>(redis::cmd("PUBLISH").arg(channel).arg(text)).await.map(|_| ())
    }
}
