//! Which preferences are valid. Pure.

use super::Violation;
use nsys_contract::api::{PreferencesUpdate, QuietHours};

/// Most entries of `muted`: every channel and type, and each alone.
const MAX_MUTED: usize = 30;

/// What is wrong with an update; empty when it may be stored.
pub(crate) fn violations(update: &PreferencesUpdate) -> Vec<Violation> {
    let mut wrong = Vec::new();
    if let Some(name) = &update.timezone
        && jiff::tz::TimeZone::get(name).map_or(true, |zone| zone.is_unknown())
    {
        wrong.push(Violation::new("/timezone", "must be an IANA time zone such as Europe/Berlin"));
    }
    if let Some(QuietHours { from, to }) = &update.quiet_hours {
        let parsed = (minutes(from), minutes(to));
        if parsed.0.is_none() {
            wrong.push(Violation::new("/quietHours/from", "must be a time of day, HH:MM"));
        }
        if parsed.1.is_none() {
            wrong.push(Violation::new("/quietHours/to", "must be a time of day, HH:MM"));
        }
        if parsed.0.is_some() && parsed.0 == parsed.1 {
            wrong.push(Violation::new(
                "/quietHours/to",
                "must differ from its beginning; mute everything instead",
            ));
        }
    }
    if update.muted.len() > MAX_MUTED {
        wrong.push(Violation::new("/muted", format!("must have at most {MAX_MUTED} entries")));
    }
    wrong
}

/// Minutes since midnight of `HH:MM`.
pub(crate) fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = |part: &str| digits(part).then(|| part.parse::<u16>().ok())?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_read() {
        assert_eq!(minutes("07:30"), Some(450));
        for text in ["", "7:30", "24:00", "07:60", "+7:00", "07:3", "07:30:00"] {
            assert_eq!(minutes(text), None, "{text}");
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let update = PreferencesUpdate {
            timezone: Some("Mars/Olympus".into()),
            quiet_hours: Some(QuietHours { from: "25:00".into(), to: "x".into() }),
            muted: Vec::new(),
        };
        let pointers: Vec<_> = violations(&update).into_iter().map(|wrong| wrong.pointer).collect();
        assert_eq!(pointers, ["/timezone", "/quietHours/from", "/quietHours/to"]);
        let nowhere =
            PreferencesUpdate { timezone: Some("Etc/Unknown".into()), quiet_hours: None, muted: Vec::new() };
        assert_eq!(violations(&nowhere).len(), 1, "the name of no place is no zone");
    }
}
