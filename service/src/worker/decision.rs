//! What becomes of a notification: of a new one, and of one after an attempt. Pure.

use super::message::Incoming;
use crate::channels::{DeliveryOutcome, Providers};
use crate::db::{AttemptMade, Due, RowState};
use crate::domain::recipient::{DeliveryDecision, Recipient};
use crate::domain::retry;
use jiff::Timestamp;
use nsys_contract::config::Worker;
use nsys_contract::status::{Channel, NotificationType, Priority, Status};
use std::time::Duration;

/// What is known when an attempt has ended.
pub(crate) struct After<'a> {
    pub(crate) settings: &'a Worker,
    pub(crate) providers: &'a Providers,
    pub(crate) channel: Channel,
    /// Number of this attempt, from 1.
    pub(crate) number: u32,
    /// Number of the first attempt of this round.
    pub(crate) first: u32,
    pub(crate) took: Duration,
}

impl After<'_> {
    /// The state that an attempt leads to. `jitter` in 0 to 1 spreads the retries.
    pub(crate) fn state(&self, outcome: DeliveryOutcome, jitter: f64) -> RowState {
        let provider = self.providers.of(self.channel).as_str();
        let attempt = Some(AttemptMade { number: self.number, provider, took: self.took });
        let before =
            RowState { attempt, retry_count: self.number - 1, ..RowState::new(Status::Failed, None) };
        match outcome {
            DeliveryOutcome::Done(status) => RowState { status, ..before },
            DeliveryOutcome::Unwanted(why) => {
                RowState { status: Status::Cancelled, error: Some(why), attempt: None, ..before }
            }
            DeliveryOutcome::Refused(error) => RowState { error: Some(error), refused: true, ..before },
            DeliveryOutcome::Retry { error, after, .. } => {
                let schedule = self.providers.schedule(self.channel);
                let in_round = (self.number + 1).saturating_sub(self.first);
                let error = Some(error);
                match retry::wait_after(self.settings, schedule, in_round, after, jitter) {
                    None => RowState { error, ..before },
                    Some(wait) => RowState {
                        status: Status::Retrying,
                        due: Some(Due::In(wait)),
                        retry_count: self.number,
                        error,
                        ..before
                    },
                }
            }
        }
    }
}

/// Why a notification is not tried now: it is too late for it, unwanted, or to wait.
pub(crate) fn not_now(
    recipient: Option<&Recipient>,
    (channel, kind, priority): (Channel, NotificationType, Priority),
    expires_at: Option<Timestamp>,
    retry_count: u32,
    now: Timestamp,
) -> Option<RowState> {
    if expires_at.is_some_and(|at| at <= now) {
        return Some(RowState { retry_count, ..RowState::new(Status::Expired, None) });
    }
    let state = |status, until, why: &str| RowState {
        retry_count,
        error: Some(why.to_owned()),
        ..RowState::new(status, until)
    };
    match recipient?.decide(channel, kind, priority, now) {
        DeliveryDecision::Send => None,
        DeliveryDecision::Mute => Some(state(Status::Cancelled, None, "muted by the user's preferences")),
        DeliveryDecision::Defer(until) => Some(state(
            Status::Scheduled,
            Some(Due::At(until)),
            &format!("deferred until the end of the user's quiet hours, {until}"),
        )),
    }
}

/// How long a notification waits for the preferences of its user to be known.
const CONSENT_WAIT: Duration = Duration::from_secs(10);

/// Whether a notification may only go out when it is known that its user does not mind.
pub(crate) fn needs_consent(kind: NotificationType, priority: Priority) -> bool {
    kind == NotificationType::Marketing && priority != Priority::Urgent
}

/// What becomes of such a notification while nobody can tell. That is no attempt.
pub(crate) fn consent_unknown(retry_count: u32) -> RowState {
    RowState {
        retry_count,
        error: Some("the user's preferences cannot be read; it waits until they can".to_owned()),
        ..RowState::new(Status::Retrying, Some(Due::In(CONSENT_WAIT)))
    }
}

/// What becomes of a notification that is not tried because the circuit of its destination is open. That is no attempt, but
/// it does not go on for ever either: what counts is how long it was held back in this round, however old it is
/// and whatever else it waited for.
pub(crate) fn held_back(
    before: Duration,
    wait: Duration,
    longest: Duration,
    retry_count: u32,
    error: String,
) -> RowState {
    let state = if before > longest {
        RowState::new(Status::Failed, None)
    } else {
        RowState { held: Some(before + wait), ..RowState::new(Status::Retrying, Some(Due::In(wait))) }
    };
    RowState { retry_count, error: Some(error), ..state }
}

/// What becomes of a new notification.
#[derive(Debug, PartialEq)]
pub(crate) enum First {
    /// Its row is written in this state, and that is all for now.
    Settled(RowState),
    /// It has to be handed to its provider.
    Deliver,
}

/// Decides over a new notification.
pub(crate) fn first(
    incoming: &Incoming<'_>,
    recipient: Option<&Recipient>,
    providers: &Providers,
    settings: &Worker,
    now: Timestamp,
) -> First {
    let retry_count = incoming.retry_count();
    if let Some(at) = incoming.scheduled_for.filter(|at| *at > now) {
        return First::Settled(RowState {
            retry_count,
            ..RowState::new(Status::Scheduled, Some(Due::At(at)))
        });
    }
    let about = (incoming.channel(), incoming.kind(), incoming.priority());
    if let Some(state) = not_now(recipient, about, incoming.expires_at, retry_count, now) {
        return First::Settled(state);
    }
    if let Some(at) = incoming.retry_at.filter(|at| *at > now) {
        let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        return First::Settled(RowState {
            retry_count,
            ..RowState::new(Status::Pending, Some(Due::In(wait)))
        });
    }
    let Some(outcome) = providers.of(incoming.channel()).at_once() else { return First::Deliver };
    let after = After {
        settings,
        providers,
        channel: incoming.channel(),
        number: retry_count + 1,
        first: 1,
        took: Duration::ZERO,
    };
    First::Settled(after.state(outcome, rand::random()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsys_contract::config::ServiceConfig;

    fn failing(number: u32, first: u32, after: Option<Duration>) -> RowState {
        let config = ServiceConfig::default();
        let providers = Providers::open(&config).unwrap();
        let after_it = After {
            settings: &config.worker,
            providers: &providers,
            channel: Channel::Email,
            number,
            first,
            took: Duration::from_millis(2),
        };
        after_it.state(DeliveryOutcome::Retry { error: "no".into(), after, down: true }, 1.0)
    }

    #[test]
    fn a_failed_attempt_is_tried_again_until_its_round_is_over() {
        let first = failing(1, 1, None);
        assert_eq!((first.status, first.retry_count), (Status::Retrying, 1));
        assert_eq!(first.due, Some(Due::In(Duration::from_secs(1))));
        let last = failing(5, 1, None);
        assert_eq!((last.status, last.retry_count, last.due), (Status::Failed, 4, None));
        assert!(!last.refused);
        assert_eq!(failing(5, 5, None).status, Status::Retrying, "a retry by hand begins a new round");
    }

    #[test]
    fn only_the_time_that_it_was_held_back_counts_against_a_notification() {
        let (wait, longest) = (Duration::from_secs(40), Duration::from_secs(100));
        let mut held = Duration::ZERO;
        for _ in 0..3 {
            let state = held_back(held, wait, longest, 2, "down".into());
            assert_eq!(
                (state.status, state.due, state.retry_count),
                (Status::Retrying, Some(Due::In(wait)), 2)
            );
            held = state.held.unwrap();
        }
        let last = held_back(held, wait, longest, 2, "down".into());
        assert_eq!((last.status, last.refused, last.retry_count), (Status::Failed, false, 2));
        // Without any time to be held back in, it is held back once all the same.
        let first = held_back(Duration::ZERO, wait, Duration::ZERO, 0, "down".into());
        assert_eq!(first.status, Status::Retrying);
    }

    #[test]
    fn advertising_waits_until_consent_is_known() {
        assert!(needs_consent(NotificationType::Marketing, Priority::High));
        // It passes mutes and quiet hours anyway.
        assert!(!needs_consent(NotificationType::Marketing, Priority::Urgent));
        assert!(!needs_consent(NotificationType::Transactional, Priority::Low));
        let state = consent_unknown(2);
        assert_eq!((state.status, state.retry_count, state.attempt), (Status::Retrying, 2, None));
        assert_eq!(state.due, Some(Due::In(CONSENT_WAIT)));
    }

    #[test]
    fn expiry_comes_before_every_preference() {
        let about = (Channel::Email, NotificationType::Marketing, Priority::Low);
        let everything = nsys_contract::api::Mute { channel: None, kind: None };
        let muted = Recipient { muted: vec![everything], ..Recipient::default() };
        let now = Timestamp::from_second(100).unwrap();
        let state = |expires| not_now(Some(&muted), about, expires, 0, now).unwrap().status;
        assert_eq!(state(Some(now)), Status::Expired);
        assert_eq!(state(None), Status::Cancelled);
        assert_eq!(not_now(None, about, None, 0, now), None);
    }
}
