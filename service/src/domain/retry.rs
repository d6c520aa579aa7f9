//! When a failed delivery is tried again. Pure.

use nsys_contract::config::{Wait, Worker};
use std::time::Duration;

/// Longest wait that a receiver may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);
/// Waits of a schedule are spread by up to this share, so that failures of one moment do not come back as one.
const SCHEDULE_JITTER: f64 = 0.2;

/// The wait after the attempt number `attempt` of a round (from 1), or `None` when it was the last.
///
/// A channel with a schedule of its own has one attempt more than waits. Without one the wait
/// doubles from `retry_base` up to `retry_max`, with full jitter. `jitter` is in 0 to 1. What the
/// receiver asks for is never undercut, up to an hour.
pub(crate) fn wait_after(
    settings: &Worker,
    schedule: &[Wait],
    attempt: u32,
    asked: Option<Duration>,
    jitter: f64,
) -> Option<Duration> {
    let jitter = jitter.clamp(0.0, 1.0);
    let failed = attempt.max(1) - 1;
    let own = if schedule.is_empty() {
        if attempt >= settings.max_attempts {
            return None;
        }
        let doubled = settings.retry_base.saturating_mul(1 << failed.min(20));
        doubled.min(settings.retry_max).mul_f64(jitter)
    } else {
        let wait = schedule.get(usize::try_from(failed).unwrap_or(usize::MAX))?;
        wait.0.mul_f64(1.0 - SCHEDULE_JITTER + 2.0 * SCHEDULE_JITTER * jitter)
    };
    Some(asked.map_or(own, |asked| own.max(asked.min(MAX_RETRY_AFTER))))
}

/// How long a notification may be held back in one round by a destination that is down before that counts as
/// failing: as long as its attempts could take.
pub(crate) fn longest_hold(settings: &Worker, schedule: &[Wait]) -> Duration {
    if schedule.is_empty() {
        settings.retry_max.saturating_mul(settings.max_attempts.max(1))
    } else {
        schedule.iter().map(|wait| wait.0).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit_and_is_jittered() {
        let settings = Worker { max_attempts: 100, ..Worker::default() };
        let wait = |attempt, jitter| wait_after(&settings, &[], attempt, None, jitter).unwrap();
        assert_eq!(wait(1, 1.0), settings.retry_base);
        assert_eq!(wait(3, 1.0), settings.retry_base * 4);
        assert_eq!(wait(60, 1.0), settings.retry_max);
        assert_eq!(wait(3, 0.5), settings.retry_base * 2);
        assert_eq!(wait(3, 0.0), Duration::ZERO);
    }

    #[test]
    fn the_last_attempt_has_no_next() {
        let settings = Worker { max_attempts: 3, ..Worker::default() };
        assert!(wait_after(&settings, &[], 2, None, 0.5).is_some());
        assert_eq!(wait_after(&settings, &[], 3, None, 0.5), None);
        assert_eq!(wait_after(&settings, &[], 3, Some(Duration::from_secs(9)), 0.5), None);
    }

    #[test]
    fn a_schedule_replaces_the_backoff() {
        let settings = Worker::default();
        let schedule = [Wait(Duration::from_secs(5)), Wait(Duration::from_secs(100))];
        assert_eq!(wait_after(&settings, &schedule, 1, None, 0.5), Some(Duration::from_secs(5)));
        assert_eq!(wait_after(&settings, &schedule, 2, None, 0.0), Some(Duration::from_secs(80)));
        assert_eq!(wait_after(&settings, &schedule, 3, None, 0.5), None);
        assert_eq!(longest_hold(&settings, &schedule), Duration::from_secs(105));
    }

    #[test]
    fn what_the_receiver_asks_for_is_honoured_up_to_an_hour() {
        let settings = Worker::default();
        let wait = |asked| wait_after(&settings, &[], 1, Some(Duration::from_secs(asked)), 1.0).unwrap();
        assert_eq!(wait(7), Duration::from_secs(7));
        assert_eq!(wait(0), settings.retry_base);
        assert_eq!(wait(86_400), MAX_RETRY_AFTER);
    }
}
