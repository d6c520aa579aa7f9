//! When a signing key signs and until when its tokens are accepted. Pure.

/// What is known of one signing key. Instants are seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyTimes {
    pub(crate) kid: String,
    /// `None` for the first key, which signs from the beginning.
    pub(crate) active_from: Option<i64>,
    /// Since when its tokens are refused, whatever they say.
    pub(crate) revoked_at: Option<i64>,
}

/// What a key is good for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyState {
    pub(crate) kid: String,
    /// Whether new tokens are signed with it.
    pub(crate) signing: bool,
    /// Until when its tokens are accepted; `None` while it signs or is to sign.
    pub(crate) accepted_until: Option<i64>,
}

/// The keys that count now, the newest first: those to sign in future, the one that signs, and those
/// whose tokens may still live.
///
/// A key gives way to the next that becomes active; its last token dies `token_ttl_s` later.
pub(crate) fn arrange(keys: &[KeyTimes], now_s: i64, token_ttl_s: i64) -> Vec<KeyState> {
    let mut order: Vec<&KeyTimes> = keys.iter().collect();
    order.sort_by_key(|key| std::cmp::Reverse(key.active_from.unwrap_or(i64::MIN)));
    let mut states = Vec::with_capacity(order.len());
    let (mut signing_found, mut succeeded_at) = (false, None);
    for key in order {
        if key.revoked_at.is_some_and(|at| at <= now_s) {
            continue;
        }
        let active = key.active_from.is_none_or(|from| from <= now_s);
        let signing = active && !signing_found;
        signing_found |= signing;
        let accepted_until = if active && !signing {
            succeeded_at.map(|at: i64| at.saturating_add(token_ttl_s))
        } else {
            None
        };
        if active {
            succeeded_at = key.active_from;
        }
        if accepted_until.is_none_or(|until| until > now_s) {
            states.push(KeyState { kid: key.kid.clone(), signing, accepted_until });
        }
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str, active_from: Option<i64>) -> KeyTimes {
        KeyTimes { kid: kid.to_owned(), active_from, revoked_at: None }
    }

    fn told(states: &[KeyState]) -> Vec<(&str, bool, Option<i64>)> {
        states.iter().map(|one| (one.kid.as_str(), one.signing, one.accepted_until)).collect()
    }

    #[test]
    fn the_first_key_signs_until_the_next_is_active() {
        let keys = [key("first", None), key("next", Some(100))];
        assert_eq!(told(&arrange(&keys, 99, 10)), [("next", false, None), ("first", true, None)]);
        assert_eq!(told(&arrange(&keys, 100, 10)), [("next", true, None), ("first", false, Some(110))]);
        assert_eq!(told(&arrange(&keys, 110, 10)), [("next", true, None)]);
    }

    #[test]
    fn each_key_lives_as_long_as_its_last_token() {
        let keys = [key("a", None), key("b", Some(100)), key("c", Some(105))];
        let states = arrange(&keys, 108, 10);
        assert_eq!(told(&states), [("c", true, None), ("b", false, Some(115)), ("a", false, Some(110))]);
    }

    #[test]
    fn a_revoked_key_is_out_at_once() {
        let mut keys = [key("a", None), key("b", Some(100))];
        keys[0].revoked_at = Some(101);
        assert_eq!(arrange(&keys, 100, 10).len(), 2);
        assert_eq!(told(&arrange(&keys, 101, 10)), [("b", true, None)]);
    }
}
