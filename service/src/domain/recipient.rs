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

/// Whether a notification is delivered to its recipient now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryDecision {
    /// Send it.
    Send,
    /// Not before this instant.
    Defer(Timestamp),
    /// Do not send it.
    Mute,
}

impl Recipient {
    /// Transactional and urgent notifications are never muted, urgent ones never wait. Only what
    /// makes a noise waits: e-mail, text messages and push.
    pub(crate) fn decide(
        &self,
        channel: Channel,
        kind: NotificationType,
        priority: Priority,
        now: Timestamp,
    ) -> DeliveryDecision {
        if priority == Priority::Urgent {
            return DeliveryDecision::Send;
        }
        if kind != NotificationType::Transactional && self.muted.iter().any(|mute| mute.covers(channel, kind))
        {
            return DeliveryDecision::Mute;
        }
        let noisy = matches!(channel, Channel::Email | Channel::Sms | Channel::Push);
        match self.quiet_until(now).filter(|_| noisy) {
            Some(until) => DeliveryDecision::Defer(until),
            None => DeliveryDecision::Send,
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
        // A minute that a change of clocks leaves out becomes the one after it. One that comes twice is the first
        // of the two, and in the hour between them the second: an end that is over would be waited for again
        // and again.
        let until = local.time_zone().to_ambiguous_timestamp(until.to_datetime(to));
        let ends = [until.compatible(), until.later()];
        ends.into_iter().flatten().find(|end| *end > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::time;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    fn berlin(quiet: (Time, Time)) -> Recipient {
        Recipient { timezone: "Europe/Berlin".into(), quiet: Some(quiet), muted: Vec::new() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn mail(recipient: &Recipient, now: &str) -> DeliveryDecision {
        recipient.decide(Channel::Email, NotificationType::System, Priority::Medium, at(now))
    }

    #[test]
    fn quiet_hours_are_those_of_the_users_own_clock() {
        let night = berlin((time(22, 0, 0, 0), time(7, 0, 0, 0)));
        // 21:30 and 22:30 in Berlin in winter, then 06:59 and 07:00.
        assert_eq!(mail(&night, "2026-01-10T20:30:00Z"), DeliveryDecision::Send);
        assert_eq!(mail(&night, "2026-01-10T21:30:00Z"), DeliveryDecision::Defer(at("2026-01-11T06:00:00Z")));
        assert_eq!(mail(&night, "2026-01-11T05:59:00Z"), DeliveryDecision::Defer(at("2026-01-11T06:00:00Z")));
        assert_eq!(mail(&night, "2026-01-11T06:00:00Z"), DeliveryDecision::Send);
        // In summer the same local hours are an hour earlier.
        assert_eq!(mail(&night, "2026-07-10T20:30:00Z"), DeliveryDecision::Defer(at("2026-07-11T05:00:00Z")));
    }

    #[test]
    fn an_end_that_the_change_of_clocks_leaves_out_is_the_minute_after() {
        let night = berlin((time(1, 0, 0, 0), time(2, 30, 0, 0)));
        assert_eq!(mail(&night, "2026-03-29T00:30:00Z"), DeliveryDecision::Defer(at("2026-03-29T01:30:00Z")));
    }

    #[test]
    fn an_end_that_comes_twice_is_the_next_of_the_two() {
        let night = berlin((time(22, 0, 0, 0), time(2, 30, 0, 0)));
        // 02:15 comes at 00:15Z and at 01:15Z.
        assert_eq!(mail(&night, "2026-10-25T00:15:00Z"), DeliveryDecision::Defer(at("2026-10-25T00:30:00Z")));
        assert_eq!(mail(&night, "2026-10-25T01:15:00Z"), DeliveryDecision::Defer(at("2026-10-25T01:30:00Z")));
        let mut island = berlin((time(22, 0, 0, 0), time(1, 45, 0, 0)));
        island.timezone = "Australia/Lord_Howe".into();
        // There the clock goes back by half an hour: 01:40 comes at 14:40Z and at 15:10Z.
        assert_eq!(
            mail(&island, "2026-04-04T14:40:00Z"),
            DeliveryDecision::Defer(at("2026-04-04T14:45:00Z"))
        );
        assert_eq!(
            mail(&island, "2026-04-04T15:10:00Z"),
            DeliveryDecision::Defer(at("2026-04-04T15:15:00Z"))
        );
    }

    /// Instants of ten years, most of them close to a change of the zone's clock.
    fn close_to_changes(zone: &TimeZone, pick: prop::sample::Index, minutes: i64) -> Timestamp {
        let begin = at("2020-01-01T00:00:00Z");
        let end = at("2030-01-01T00:00:00Z");
        let changes = zone.following(begin).map(|change| change.timestamp());
        let changes: Vec<_> = changes.take_while(|change| *change < end).take(40).collect();
        let near = if changes.is_empty() {
            begin + jiff::SignedDuration::from_hours(i64::try_from(pick.index(87_600)).unwrap())
        } else {
            changes[pick.index(changes.len())]
        };
        near + jiff::SignedDuration::from_mins(minutes)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

        #[test]
        fn whoever_waits_waits_for_an_instant_to_come(
            zone in any::<prop::sample::Index>(),
            change in any::<prop::sample::Index>(),
            minutes in -300_i64..300,
            from in 0_i8..24,
            to in (0_i8..24, 0_i8..60),
        ) {
            static NAMES: LazyLock<Vec<String>> =
                LazyLock::new(|| jiff::tz::db().available().map(|name| name.to_string()).collect());
            let name = &NAMES[zone.index(NAMES.len())];
            let now = close_to_changes(&TimeZone::get(name).unwrap(), change, minutes);
            let quiet = Some((time(from, 0, 0, 0), time(to.0, to.1, 0, 0)));
            let user = Recipient { timezone: name.clone(), quiet, muted: Vec::new() };
            if let DeliveryDecision::Defer(until) = user.decide(Channel::Email, NotificationType::System, Priority::Low, now) {
                prop_assert!(until > now, "{name}: at {now} until {until}, {quiet:?}");
                let longest = jiff::SignedDuration::from_hours(49);
                prop_assert!(until.duration_since(now) < longest, "{name}: at {now} until {until}, {quiet:?}");
            }
        }
    }

    #[test]
    fn an_unknown_time_zone_is_utc() {
        let mut noon = berlin((time(12, 0, 0, 0), time(13, 0, 0, 0)));
        noon.timezone = "Atlantis/Capital".into();
        assert_eq!(mail(&noon, "2026-01-10T12:30:00Z"), DeliveryDecision::Defer(at("2026-01-10T13:00:00Z")));
    }

    #[test]
    fn the_inbox_and_urgent_ones_do_not_wait() {
        let day = berlin((time(0, 0, 0, 0), time(23, 59, 0, 0)));
        let now = at("2026-01-10T12:00:00Z");
        let decide = |channel, priority| day.decide(channel, NotificationType::Alert, priority, now);
        assert!(matches!(decide(Channel::Push, Priority::High), DeliveryDecision::Defer(_)));
        assert_eq!(decide(Channel::InApp, Priority::High), DeliveryDecision::Send);
        assert_eq!(decide(Channel::Push, Priority::Urgent), DeliveryDecision::Send);
    }

    #[test]
    fn what_is_muted_is_not_sent_but_transactional_is() {
        let mute = |channel, kind| Mute { channel, kind };
        let muted = vec![mute(Some(Channel::Email), None), mute(None, Some(NotificationType::Marketing))];
        let muted = Recipient { muted, ..Recipient::default() };
        let now = at("2026-01-10T12:00:00Z");
        let decide = |channel, kind| muted.decide(channel, kind, Priority::Low, now);
        assert_eq!(decide(Channel::Email, NotificationType::System), DeliveryDecision::Mute);
        assert_eq!(decide(Channel::Push, NotificationType::Marketing), DeliveryDecision::Mute);
        assert_eq!(decide(Channel::Push, NotificationType::System), DeliveryDecision::Send);
        assert_eq!(decide(Channel::Email, NotificationType::Transactional), DeliveryDecision::Send);
    }
}
