//! What Redis says about itself.

use serde::{Deserialize, Serialize};

/// Counters and sizes at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CacheStats {
    /// Reads that found their key, since start.
    pub hits: u64,
    /// Reads that did not, since start.
    pub misses: u64,
    /// Keys removed to make room, since start.
    pub evicted: u64,
    /// Keys whose time was over, since start.
    pub expired: u64,
    /// Keys now.
    pub keys: u64,
    /// Memory used, in bytes.
    pub memory_bytes: u64,
    /// Most memory it may use, in bytes; 0 means any.
    pub max_memory_bytes: u64,
    /// Clients that are connected.
    pub clients: u64,
    /// Most clients that it admits; 0 where it does not tell.
    #[serde(default)]
    pub max_clients: u64,
    /// Seconds since start.
    pub uptime_s: u64,
    /// Commands processed, since start.
    #[serde(default)]
    pub commands: u64,
}

impl CacheStats {
    /// Share of reads that hit (0 to 1); absent when nothing was read.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        let reads = self.hits + self.misses;
        (reads > 0).then(|| self.hits as f64 / reads as f64)
    }

    /// The reads and losses between an earlier look and this one; sizes are those of now. After a
    /// restart of Redis the counters begin anew and count from there.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let restarted = self.uptime_s < earlier.uptime_s;
        let delta = |now: u64, then: u64| if restarted { now } else { now.saturating_sub(then) };
        Self {
            hits: delta(self.hits, earlier.hits),
            misses: delta(self.misses, earlier.misses),
            evicted: delta(self.evicted, earlier.evicted),
            expired: delta(self.expired, earlier.expired),
            commands: delta(self.commands, earlier.commands),
            ..*self
        }
    }

    /// Reads the answer of `INFO`.
    ///
    /// # Errors
    /// Which field is not there, or is no number.
    pub fn read(info: &str) -> Result<Self, String> {
        let field = |name: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let count = value.and_then(|text| text.trim().parse::<u64>().ok());
            count.ok_or_else(|| format!("INFO of Redis does not tell {name}"))
        };
        let keyspace = info.lines().filter_map(|line| line.strip_prefix("db")?.split_once(":keys="));
        let keys = keyspace.filter_map(|(_, rest)| rest.split(',').next()?.parse::<u64>().ok()).sum();
        Ok(Self {
            hits: field("keyspace_hits")?,
            misses: field("keyspace_misses")?,
            evicted: field("evicted_keys")?,
            expired: field("expired_keys")?,
            keys,
            memory_bytes: field("used_memory")?,
            max_memory_bytes: field("maxmemory")?,
            clients: field("connected_clients")?,
            // An older Redis does not tell it, which 0 stands for.
            max_clients: field("maxclients").unwrap_or(0),
            uptime_s: field("uptime_in_seconds")?,
            commands: field("total_commands_processed")?,
        })
    }
}

/// The prefix a key is counted under: up to and including its first colon.
#[must_use]
pub fn prefix(key: &str) -> &str {
    key.find(':').map_or("(none)", |end| &key[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Stats\r\nkeyspace_hits:90\r\nkeyspace_misses:10\r\nevicted_keys:3\r\nexpired_keys:0\r\nconnected_clients:2\r\ntotal_commands_processed:100\r\nmaxmemory:0\r\nused_memory:1024\r\nuptime_in_seconds:60\r\n# Keyspace\r\ndb0:keys=7,expires=7,avg_ttl=1\r\n";

    #[test]
    fn info_is_read() {
        let stats = CacheStats::read(INFO).unwrap();
        assert_eq!((stats.hits, stats.evicted, stats.keys, stats.memory_bytes), (90, 3, 7, 1024));
        assert_eq!(stats.hit_rate(), Some(0.9));
        assert_eq!(CacheStats::default().hit_rate(), None);
        let without = INFO.replace("evicted_keys:3", "evicted_keys:");
        assert_eq!(CacheStats::read(&without).unwrap_err(), "INFO of Redis does not tell evicted_keys");
    }

    #[test]
    fn a_window_counts_only_itself() {
        let now = CacheStats::read(INFO).unwrap();
        let window = now.since(&CacheStats { hits: 80, misses: 10, uptime_s: 50, ..CacheStats::default() });
        assert_eq!((window.hits, window.misses), (10, 0));
        let restarted = now.since(&CacheStats { hits: 1_000, uptime_s: 500, ..CacheStats::default() });
        assert_eq!(restarted.hits, 90);
    }

    #[test]
    fn keys_are_counted_under_their_first_part() {
        assert_eq!(prefix("notification:123"), "notification:");
        assert_eq!(prefix("plain"), "(none)");
    }
}
