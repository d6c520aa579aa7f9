//! What a user wants: whether a notification is sent to them, and when. Pure.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use nsys_contract::api::Mute;
use nsys_contract::status::{Channel, NotificationType, Priority};
use serde::{Deserialize, Serialize};

/// What the service knows of whom it sends to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recipient {
    /// IANA name; empty and unknown names mean UTC.
    pub(crate) timezone: String,
    /// The quiet span of the local day: first minute, and first minute after.
    pub(crate) quiet: Option<(Time, Time)>,
    /// What is not wanted.
    pub(crate) muted: Vec<Mute>,
}

/// What to do with a notification for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Send it.
    Send,
    /// Send it at this instant.
    Wait(Timestamp),
    /// Do not send it.
    Mute,
}

impl Recipient {
    /// Transactional and urgent notifications are never muted, urgent ones never wait. Only what
    /// makes a noise waits: e-mail, text messages and push.
    pub(crate) fn wish(
        &self,
        channel: Channel,
        kind: NotificationType,
        priority: Priority,
        now: Timestamp,
    ) -> Wish {
        if priority == Priority::Urgent {
            return Wish::Send;
        }
        if kind != NotificationType::Transactional && self.muted.iter().any(|mute| mute.covers(channel, kind))
        {
            return Wish::Mute;
        }
        let noisy = matches!(channel, Channel::Email | Channel::Sms | Channel::Push);
        match self.quiet_until(now).filter(|_| noisy) {
            Some(until) => Wish::Wait(until),
            None => Wish::Send,
        }
    }

    /// The end of the quiet span that `now` lies in.
    fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        let (from, to) = self.quiet?;
        let local = now.to_zoned(TimeZone::get(&self.timezone).unwrap_or(TimeZone::UTC));
        let (date, time) = (local.date(), local.time());
        let over_midnight = from > to;
        let until = if over_midnight && time >= from {
            date.tomorrow().ok()?
        } else if time < to && (over_midnight || from <= time) {
            date
        } else {
            return None;
        };
        // A minute that a change of clocks leaves out becomes the one after it.
        let until = until.to_datetime(to).to_zoned(local.time_zone().clone()).ok()?;
        Some(until.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::time;

    fn berlin(quiet: (Time, Time)) -> Recipient {
        Recipient { timezone: "Europe/Berlin".into(), quiet: Some(quiet), muted: Vec::new() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn mail(recipient: &Recipient, now: &str) -> Wish {
        recipient.wish(Channel::Email, NotificationType::System, Priority::Medium, at(now))
    }

    #[test]
    fn quiet_hours_are_those_of_the_users_own_clock() {
        let night = berlin((time(22, 0, 0, 0), time(7, 0, 0, 0)));
        // 21:30 and 22:30 in Berlin in winter, then 06:59 and 07:00.
        assert_eq!(mail(&night, "2026-01-10T20:30:00Z"), Wish::Send);
        assert_eq!(mail(&night, "2026-01-10T21:30:00Z"), Wish::Wait(at("2026-01-11T06:00:00Z")));
        assert_eq!(mail(&night, "2026-01-11T05:59:00Z"), Wish::Wait(at("2026-01-11T06:00:00Z")));
        assert_eq!(mail(&night, "2026-01-11T06:00:00Z"), Wish::Send);
        // In summer the same local hours are an hour earlier.
        assert_eq!(mail(&night, "2026-07-10T20:30:00Z"), Wish::Wait(at("2026-07-11T05:00:00Z")));
    }

    #[test]
    fn an_end_that_the_change_of_clocks_leaves_out_is_the_minute_after() {
        let night = berlin((time(1, 0, 0, 0), time(2, 30, 0, 0)));
        assert_eq!(mail(&night, "2026-03-29T00:30:00Z"), Wish::Wait(at("2026-03-29T01:30:00Z")));
    }

    #[test]
    fn an_unknown_time_zone_is_utc() {
        let mut noon = berlin((time(12, 0, 0, 0), time(13, 0, 0, 0)));
        noon.timezone = "Atlantis/Capital".into();
        assert_eq!(mail(&noon, "2026-01-10T12:30:00Z"), Wish::Wait(at("2026-01-10T13:00:00Z")));
    }

    #[test]
    fn the_inbox_and_urgent_ones_do_not_wait() {
        let day = berlin((time(0, 0, 0, 0), time(23, 59, 0, 0)));
        let now = at("2026-01-10T12:00:00Z");
        let wish = |channel, priority| day.wish(channel, NotificationType::Alert, priority, now);
        assert!(matches!(wish(Channel::Push, Priority::High), Wish::Wait(_)));
        assert_eq!(wish(Channel::InApp, Priority::High), Wish::Send);
        assert_eq!(wish(Channel::Push, Priority::Urgent), Wish::Send);
    }

    #[test]
    fn what_is_muted_is_not_sent_but_transactional_is() {
        let mute = |channel, kind| Mute { channel, kind };
        let muted = vec![mute(Some(Channel::Email), None), mute(None, Some(NotificationType::Marketing))];
        let muted = Recipient { muted, ..Recipient::default() };
        let now = at("2026-01-10T12:00:00Z");
        let wish = |channel, kind| muted.wish(channel, kind, Priority::Low, now);
        assert_eq!(wish(Channel::Email, NotificationType::System), Wish::Mute);
        assert_eq!(wish(Channel::Push, NotificationType::Marketing), Wish::Mute);
        assert_eq!(wish(Channel::Push, NotificationType::System), Wish::Send);
        assert_eq!(wish(Channel::Email, NotificationType::Transactional), Wish::Send);
    }
}
