//! Logs: what of them is asked for, and when a line was written, in the formats of the stack's parts.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use regex::Regex;
use std::sync::LazyLock;

/// `2026-01-31T12:00:00.5Z`, `2026-01-31 12:00:00.5 UTC`, `2026-01-31T12:00:00,5` (Kafka).
static ISO: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(?: ?(Z|UTC|[+-]\d\d:?\d\d))?").ok()
});
/// `31 Jan 2026 12:00:00.5` (Redis).
static REDIS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d)(?:\.(\d{1,9}))?").ok());
/// A time that stands further in the line is that of something else.
const WITHIN: usize = 80;

/// What of the logs is asked for.
#[derive(Clone, Debug)]
pub struct LogRequest {
    /// Parts or replicas; empty: all.
    pub parts: Vec<String>,
    /// Last lines of each to begin with.
    pub lines: usize,
    /// Only what was written since then.
    pub since: Option<Timestamp>,
    /// Go on until interrupted.
    pub follow: bool,
}

impl LogRequest {
    /// Whether this part was asked for, by its name or its role.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|part| means(part, name))
    }

    /// The first of what was asked for that none of these names is.
    #[must_use]
    pub fn missing(&self, names: &[String]) -> Option<&str> {
        self.parts.iter().find(|part| !names.iter().any(|name| means(part, name))).map(String::as_str)
    }
}

/// Whether a part or a role means this part.
fn means(asked: &str, name: &str) -> bool {
    name == asked || name.rsplit_once('-').is_some_and(|(role, _)| role == asked)
}

/// When this line was written, when it says so. Times that name no zone are those of `zone`.
#[must_use]
pub fn written_at(line: &str, zone: &TimeZone) -> Option<Timestamp> {
    let begin = &line[..line.floor_char_boundary(WITHIN)];
    if let Some(found) = ISO.as_ref()?.captures(begin) {
        let fraction = found.get(3).map_or("0", |digits| digits.as_str());
        let civil: DateTime = format!("{}T{}.{fraction}", &found[1], &found[2]).parse().ok()?;
        return match found.get(4).map(|zone| zone.as_str()) {
            None => civil.to_zoned(zone.clone()).ok().map(|at| at.timestamp()),
            Some("Z" | "UTC") => civil.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp()),
            Some(offset) => format!("{civil}{offset}").parse().ok(),
        };
    }
    let found = REDIS.as_ref()?.captures(begin)?;
    let fraction = found.get(2).map_or("0", |digits| digits.as_str());
    let text = format!("{}.{fraction}", &found[1]);
    let civil = strtime::parse("%d %b %Y %H:%M:%S%.f", text).ok()?.to_datetime().ok()?;
    civil.to_zoned(zone.clone()).ok().map(|at| at.timestamp())
}

/// Where the lines begin that were written at this time or later. A line without a time belongs to the one
/// before it.
#[must_use]
pub fn first_since(lines: &[&str], since: Timestamp, zone: &TimeZone) -> usize {
    lines.iter().position(|line| written_at(line, zone).is_some_and(|at| at >= since)).unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_stack_is_understood() {
        let at: Timestamp = "2026-11-25T02:59:48.535Z".parse().unwrap();
        for line in [
            r#"{"timestamp":"2026-11-25T02:59:48.535000Z","level":"WARN","fields":{}}"#,
            "2026-11-25T02:59:48,535 WARN [QuorumController id=1] Performing controller activation.",
            "2026-11-25 02:59:48.535 UTC [7019] LOG:  starting PostgreSQL 15.18",
            "7031:M 25 Nov 2026 02:59:48.535 * Running mode=standalone, port=21279.",
            "ts=2026-11-25T02:59:48.535Z caller=main.go:823 level=warn",
            "2026-11-25T03:59:48.535+01:00 elsewhere",
        ] {
            assert_eq!(written_at(line, &TimeZone::UTC), Some(at), "{line}");
        }
        assert_eq!(written_at("    at java.lang.Thread.run(Thread.java:840)", &TimeZone::UTC), None);
        assert_eq!(written_at("2026-99-99T00:00:00Z", &TimeZone::UTC), None);
    }

    #[test]
    fn lines_without_a_time_go_with_the_one_before() {
        let lines = [
            "2026-11-25T02:00:00Z old",
            "  its trace",
            "2026-11-25T03:00:00Z new",
            "  its trace",
            "2026-11-25T03:00:01Z newer",
        ];
        let since = "2026-11-25T02:30:00Z".parse().unwrap();
        assert_eq!(first_since(&lines, since, &TimeZone::UTC), 2);
        let never = "2026-11-26T00:00:00Z".parse().unwrap();
        assert_eq!(first_since(&lines, never, &TimeZone::UTC), 5);
    }
}
