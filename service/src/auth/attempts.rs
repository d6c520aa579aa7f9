//! How often somebody may try to sign in or to register. Each replica counts for itself.

use super::principal::Limited;
use crate::domain::limit::{Bucket, Decision, Quota};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Wrong passwords for one account from one address: so many at once, then one each interval.
const GUESSES: (u32, Duration) = (20, Duration::from_secs(3));
/// Wrong passwords for one account from all addresses from which nobody signed in to it. More than from
/// one, so that a stranger with one address keeps no owner out.
const GUESSES_ANYWHERE: (u32, Duration) = (200, Duration::from_secs(3));
/// Wrong passwords from one address, whatever the account.
const FAILURES: (u32, Duration) = (100, Duration::from_secs(1));
/// Accounts registered from one address.
const REGISTRATIONS: (u32, Duration) = (100, Duration::from_secs(10));
/// Accounts registered from anywhere.
const REGISTRATIONS_ANYWHERE: (u32, Duration) = (500, Duration::from_secs(1));
/// Most accounts and addresses that are counted.
const MAX_BUCKETS: u64 = 100_000;
/// How long an address is known from which somebody signed in.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The attempts that one process has seen.
pub(crate) struct Attempts {
    buckets: moka::sync::Cache<String, Arc<Bucket>>,
    /// Accounts and the addresses from which their owners signed in.
    known: moka::sync::Cache<(String, IpAddr), ()>,
}

impl Default for Attempts {
    fn default() -> Self {
        let buckets = moka::sync::Cache::builder()
            .max_capacity(MAX_BUCKETS)
            // Longer than any bucket takes to fill.
            .time_to_idle(Duration::from_secs(1_200))
            .build();
        let known = moka::sync::Cache::builder().max_capacity(MAX_BUCKETS).time_to_live(KNOWN_FOR).build();
        Self { buckets, known }
    }
}

impl Attempts {
    fn limits<const N: usize>(&self, limits: [(String, (u32, Duration)); N]) -> Vec<Limited> {
        let limit = |(name, (burst, interval))| {
            Limited::new(self.buckets.get_with(name, Arc::default), Quota::every(interval, burst))
        };
        limits.into_iter().map(limit).collect()
    }

    /// An attempt to sign in from an address, whatever the account.
    pub(crate) fn sign_in_from(&self, from: IpAddr) -> Attempt {
        Attempt(self.limits([(format!("address {from}"), FAILURES)]))
    }

    /// An attempt to sign in to an account, by its id or by a folded address that has none.
    pub(crate) fn sign_in_to(&self, whose: &str, from: IpAddr) -> Attempt {
        let own = (format!("guess {from} {whose}"), GUESSES);
        // What others do from elsewhere keeps nobody out who signed in from here before.
        if self.known.contains_key(&(whose.to_owned(), from)) {
            return Attempt(self.limits([own]));
        }
        Attempt(self.limits([own, (format!("account {whose}"), GUESSES_ANYWHERE)]))
    }

    /// Somebody signed in to an account.
    pub(crate) fn signed_in(&self, whose: &str, from: IpAddr) {
        self.known.insert((whose.to_owned(), from), ());
    }

    /// The registration of an account.
    pub(crate) fn register(&self, from: IpAddr) -> Attempt {
        Attempt(self.limits([
            (format!("registrations {from}"), REGISTRATIONS),
            ("registrations".to_owned(), REGISTRATIONS_ANYWHERE),
        ]))
    }
}

/// One attempt. It counts from its beginning, so that many at once are not more than one after the other.
pub(crate) struct Attempt(Vec<Limited>);

impl Attempt {
    /// Counts it, or says how long to wait.
    pub(crate) fn begin(&self) -> Decision {
        let mut last = Decision::Pass { remaining: u32::MAX, reset_s: 0 };
        for (index, limit) in self.0.iter().enumerate() {
            last = limit.take(1);
            if let Decision::Wait(_) = last {
                self.0.iter().take(index).for_each(|limit| limit.refund(1));
                break;
            }
        }
        last
    }

    /// It did not fail, or was not made: it does not count.
    pub(crate) fn forgive(&self) {
        self.0.iter().for_each(|limit| limit.refund(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn passes(attempt: &Attempt) -> bool {
        matches!(attempt.begin(), Decision::Pass { .. })
    }

    /// Guesses so many times; how often it was let.
    fn guess(attempts: &Attempts, whose: &str, from: IpAddr, times: u32) -> u32 {
        (0..times).map(|_| u32::from(passes(&attempts.sign_in_to(whose, from)))).sum()
    }

    #[test]
    fn guesses_at_one_account_end_soon_and_the_owner_is_not_kept_out() {
        let attempts = Attempts::default();
        assert!((20..25).contains(&guess(&attempts, "account", address(1), 100)));
        assert!(passes(&attempts.sign_in_to("account", address(2))));
    }

    #[test]
    fn many_addresses_together_do_not_guess_for_ever_and_keep_no_known_owner_out() {
        let attempts = Attempts::default();
        attempts.signed_in("account", address(200));
        let made: u32 = (0..100).map(|last| guess(&attempts, "account", address(last), 20)).sum();
        assert!((200..220).contains(&made), "{made}");
        assert!(passes(&attempts.sign_in_to("account", address(200))));
        assert!(!passes(&attempts.sign_in_to("account", address(201))));
    }

    #[test]
    fn spraying_over_accounts_ends_too() {
        let attempts = Attempts::default();
        let made = (0..300).filter(|_| passes(&attempts.sign_in_from(address(1)))).count();
        assert!((100..120).contains(&made), "{made}");
        assert!(passes(&attempts.sign_in_from(address(2))));
    }

    #[test]
    fn who_signs_in_rightly_is_not_counted() {
        let attempts = Attempts::default();
        for _ in 0..1_000 {
            let attempt = attempts.sign_in_to("account", address(1));
            assert!(passes(&attempt));
            attempt.forgive();
        }
    }

    #[test]
    fn accounts_are_not_registered_without_end() {
        let attempts = Attempts::default();
        let passed = (0..300).filter(|_| passes(&attempts.register(address(1)))).count();
        assert!((100..110).contains(&passed), "{passed}");
        assert!(passes(&attempts.register(address(2))));
    }
}
