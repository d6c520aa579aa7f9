//! What an account may be called, and which passwords it may have. Pure.

use super::Violation;

/// Longest e-mail address of an account, in bytes.
pub(crate) const MAX_EMAIL_BYTES: usize = 254;
/// Longest password, in characters.
pub(crate) const MAX_PASSWORD_CHARS: usize = 100;
/// Characters of a password and of a name.
const PASSWORD: std::ops::RangeInclusive<usize> = 8..=MAX_PASSWORD_CHARS;
const NAME: std::ops::RangeInclusive<usize> = 2..=100;
/// Passwords that guessing begins with, in lower case, and none shorter than a password may be.
const COMMON: &str = include_str!("account/common_passwords.txt");

/// What is wrong with the fields of a new account.
pub(crate) fn violations(email: &str, password: &str, name: &str) -> Vec<Violation> {
    let checks = [
        ("/email", wrong_email(email)),
        ("/password", wrong_password(password, email)),
        ("/name", wrong_name(name)),
    ];
    checks.into_iter().filter_map(|(pointer, wrong)| Some(Violation::new(pointer, wrong?))).collect()
}

/// What is wrong with an account's address. One address has one spelling but for its case: letters beyond
/// ASCII look alike, are invisible, or are written in several ways.
fn wrong_email(email: &str) -> Option<&'static str> {
    let local = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let fits = email.rsplit_once('@').is_some_and(|(name, domain)| {
        (1..=64).contains(&name.len()) && name.bytes().all(local) && domain.split('.').all(label)
    });
    let fits = fits && email.len() <= MAX_EMAIL_BYTES;
    (!fits).then_some("must be one e-mail address in ASCII, at most 254 characters")
}

fn wrong_password(password: &str, email: &str) -> Option<&'static str> {
    if !PASSWORD.contains(&password.chars().count()) {
        return Some("must have 8 to 100 characters");
    }
    let lower = password.to_lowercase();
    let own = email.to_lowercase();
    let name = own.split_once('@').map_or(own.as_str(), |(name, _)| name);
    if lower == own || lower == name {
        return Some("must not be the e-mail address");
    }
    let mut letters = lower.chars();
    let first = letters.next();
    if letters.all(|letter| Some(letter) == first) || COMMON.lines().any(|common| common == lower) {
        return Some("is one of the passwords that guessing begins with; choose another");
    }
    None
}

/// What is wrong with the name of an account or of an API key.
pub(crate) fn wrong_name(name: &str) -> Option<&'static str> {
    let fits = NAME.contains(&name.chars().count()) && !name.contains('\0');
    (!fits).then_some("must have 2 to 100 characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_address_with_one_spelling() {
        for email in ["a@example.com", "A.b+c@Mail.Example.com", "root@localhost", "o'neil@example.ie"] {
            assert_eq!(wrong_email(email), None, "{email}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        for email in [
            "",
            "a",
            "@",
            "a@",
            "@b.c",
            "a@b@c",
            "a@b.c,d@e.f",
            "a@b..c",
            "a@-b.c",
            "a b@c.d",
            "a@b\r\n.c",
            "a\u{200b}@b.c",
            "İ@b.c",
            "ü@b.c",
            "a@ß.de",
            "<a@b.c>",
            "\"a\"@b.c",
            &long,
        ] {
            assert!(wrong_email(email).is_some(), "{email:?}");
        }
    }

    #[test]
    fn passwords_that_everybody_guesses_are_refused() {
        for password in [
            "123456",
            "1234567",
            "password",
            "PassWord",
            "12345678",
            "qwertyuiop",
            "        ",
            "aaaaaaaa",
            "somebody",
            "Somebody@Example.com",
        ] {
            assert!(wrong_password(password, "somebody@example.com").is_some(), "{password:?}");
        }
        for password in ["correct horse", "pässwörter", "zzzzzzzy"] {
            assert_eq!(wrong_password(password, "somebody@example.com"), None, "{password:?}");
        }
        assert!(wrong_password(&"x1".repeat(51), "a@b.c").is_some());
    }

    #[test]
    fn the_list_holds_what_a_password_could_be() {
        for common in COMMON.lines() {
            assert!(
                PASSWORD.contains(&common.chars().count()) && common == common.to_lowercase(),
                "{common:?}"
            );
        }
        assert!(COMMON.lines().count() > 100);
    }
}
