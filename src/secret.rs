//! Secrets: the one place that decides what may be shown of a value, an address or a command line.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use toml::Value;

/// What is shown in place of a secret.
pub const MASK: &str = "***";

/// Keys whose values are never shown unless asked for one by one.
pub const SECRETS: [&str; 11] = [
    "db.url",
    "db.read_url",
    "cache.url",
    "kafka.sasl_password",
    "channels.smtp_url",
    "channels.webhook_secret",
    "endpoints.encryption_keys",
    "external.api_token",
    "external.prometheus_token",
    "channels.sms_token",
    "channels.push_token",
];

/// Arguments that may carry a secret.
const FLAGS: [&str; 1] = ["--read-replica"];

/// Whether the value of this key must not be shown.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

/// A value of the configuration. However it is shown, written or logged, a secret is masked; only
/// [`Guarded::reveal`] gives it away.
#[derive(Clone, PartialEq)]
pub struct Guarded {
    secret: bool,
    lost: bool,
    value: Value,
}

impl schemars::JsonSchema for Guarded {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SettingValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"description": "A value of the configuration; a secret is masked."})
    }
}

impl Guarded {
    /// The value of a key.
    #[must_use]
    pub fn new(key: &str, value: Value) -> Self {
        Self { secret: is_secret(key), lost: false, value }
    }

    /// The value of a key as it was written to be shown: what was masked then is lost.
    #[must_use]
    pub fn written(key: &str, value: Value) -> Self {
        let lost = value.as_str().is_some_and(|text| text.contains(MASK));
        Self { lost, ..Self::new(key, value) }
    }

    /// The value itself, to be used and never to be shown.
    #[must_use]
    pub const fn reveal(&self) -> &Value {
        &self.value
    }

    /// Whether only the masked form is left of it.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether it is shown otherwise than it is.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.shown() != self.value
    }

    /// As it may be shown.
    #[must_use]
    pub fn shown(&self) -> Value {
        match self.value.as_str() {
            // What says that there is none gives nothing away.
            Some("" | "none") => self.value.clone(),
            _ if self.secret => Value::from(MASK),
            _ => without_passwords(&self.value),
        }
    }
}

/// A value that is no secret, but may hold an address with a password.
fn without_passwords(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(mask_word(text)),
        Value::Array(items) => Value::Array(items.iter().map(without_passwords).collect()),
        other => other.clone(),
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown().fmt(f)
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown().fmt(f)
    }
}

impl Serialize for Guarded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown().serialize(serializer)
    }
}

/// A command line without the program, secrets masked. It cannot hold another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct CommandLine(String);

impl CommandLine {
    /// The one of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let arguments: Vec<_> =
            std::env::args_os().skip(1).map(|one| one.to_string_lossy().into_owned()).collect();
        Self::new(&arguments)
    }

    /// These arguments.
    #[must_use]
    pub fn new(arguments: &[String]) -> Self {
        let mut masked = Vec::with_capacity(arguments.len());
        let mut carries = false;
        for argument in arguments {
            let shown = match argument.split_once('=') {
                Some((flag, value)) if FLAGS.contains(&flag) => format!("{flag}={}", mask_argument(value)),
                _ if carries => mask_argument(argument),
                _ => mask_word(argument),
            };
            carries = FLAGS.contains(&argument.as_str());
            masked.push(shown);
        }
        Self(masked.join(" "))
    }
}

impl From<&str> for CommandLine {
    fn from(text: &str) -> Self {
        Self::new(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    // Older versions wrote down what was typed.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}

/// What a command line held that must not be repeated in what is said about it.
#[must_use]
pub fn typed(arguments: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut carries = false;
    for argument in arguments {
        match argument.split_once('=') {
            Some((flag, value)) if FLAGS.contains(&flag) => found.push(value.to_owned()),
            _ if carries => found.push(argument.clone()),
            _ => {}
        }
        carries = FLAGS.contains(&argument.as_str());
    }
    found.retain(|value| mask_argument(value) != *value);
    found
}

/// A text without what was typed as a secret and without passwords of addresses.
#[must_use]
pub fn mask_typed(text: &str, arguments: &[String]) -> String {
    let masked = typed(arguments)
        .into_iter()
        .fold(text.to_owned(), |text, value| text.replace(&value, &mask_argument(&value)));
    mask_text(&masked)
}

/// The value of an argument that carries a secret.
fn mask_argument(value: &str) -> String {
    match value {
        "" | "none" | "local" => value.to_owned(),
        address if address.contains("://") => mask_word(address),
        _ => MASK.to_owned(),
    }
}

/// A text in which no address shows a password.
#[must_use]
pub fn mask_text(text: &str) -> String {
    if !text.contains("://") {
        return text.to_owned();
    }
    let ends = |sign: char| sign.is_whitespace() || matches!(sign, '"' | '`' | '\u{1b}');
    text.split_inclusive(ends)
        .map(|word| {
            let bare = word.trim_end_matches(ends);
            mask_word(bare) + &word[bare.len()..]
        })
        .collect()
}

/// A word that is an address or holds one, without its password.
fn mask_word(word: &str) -> String {
    // A list of addresses is one word.
    if word.matches("://").count() > 1 {
        return word.split(',').map(mask_address).collect::<Vec<_>>().join(",");
    }
    mask_address(word)
}

fn mask_address(word: &str) -> String {
    let Some(start) = word.find("://").map(|at| at + 3) else { return word.to_owned() };
    let (scheme, rest) = (&word[..start], &word[start..]);
    let rest = match credentials(scheme, rest) {
        Some((from, to)) => format!("{}{MASK}{}", &rest[..from], mask_queries(&rest[to..])),
        None => mask_queries(rest),
    };
    format!("{scheme}{rest}")
}

/// An address without whoever signs in there and its parameters: where it is.
#[must_use]
pub fn place_of(address: &str) -> String {
    let address = address.split('?').next().unwrap_or_default();
    match address.split_once("://") {
        Some((scheme, rest)) => {
            format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, place)| place))
        }
        None => address.to_owned(),
    }
}

/// Where the password of an address stands behind its scheme. One that was not encoded may hold the
/// signs that end an authority; only paths of HTTP hold an at sign of their own.
fn credentials(scheme: &str, rest: &str) -> Option<(usize, usize)> {
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let at = rest[..authority].rfind('@').or_else(|| {
        let (_, port) = rest[..authority].rsplit_once(':')?;
        let is_port = is_http(scheme) && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        if is_port { None } else { rest.rfind('@') }
    })?;
    match rest[..at].find(':') {
        Some(colon) => Some((colon + 1, at)),
        // A token in place of a name.
        None if is_http(scheme) => Some((0, at)),
        None => None,
    }
}

fn is_http(scheme: &str) -> bool {
    scheme.ends_with("http://") || scheme.ends_with("https://")
}

/// Parameters of an address that are secrets, in lower case.
const SECRET_PARAMETERS: [&str; 14] = [
    "password",
    "passwd",
    "pwd",
    "sslpassword",
    "token",
    "access_token",
    "auth",
    "key",
    "apikey",
    "api_key",
    "api-key",
    "secret",
    "sig",
    "signature",
];

/// An address without the values of its secret parameters.
fn mask_queries(rest: &str) -> String {
    let Some((path, query)) = rest.split_once('?') else { return rest.to_owned() };
    let one = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if SECRET_PARAMETERS.contains(&name.to_lowercase().as_str()) => {
            format!("{name}={MASK}")
        }
        _ => pair.to_owned(),
    };
    format!("{path}?{}", query.split('&').map(one).collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> String {
        CommandLine::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).to_string()
    }

    #[test]
    fn a_secret_masks_itself_in_every_form() {
        let secret = Guarded::new("kafka.sasl_password", "hunter2".into());
        let forms = [secret.to_string(), format!("{secret:?}"), serde_json::to_string(&secret).unwrap()];
        assert!(forms.iter().all(|form| form.contains(MASK) && !form.contains("hunter2")), "{forms:?}");
        assert_eq!(secret.reveal().as_str(), Some("hunter2"));
        let open = Guarded::new("channels.sms_url", "https://me:hunter2@gateway/send".into());
        assert_eq!(open.shown().as_str(), Some("https://me:***@gateway/send"));
        let gateway = Guarded::new("channels.sms_url", "https://gw/send?to=1&ApiKey=hunter2".into());
        assert_eq!(gateway.shown().as_str(), Some("https://gw/send?to=1&ApiKey=***"));
        assert_eq!(mask_word("redis://:a@h1,redis://:b@h2"), "redis://:***@h1,redis://:***@h2");
        assert_eq!(mask_word("url=https://hunter2@h"), "url=https://***@h");
        assert_eq!(Guarded::new("db.read_url", "none".into()).shown().as_str(), Some("none"));
        assert_eq!(Guarded::new("db.pool_size", 20.into()).to_string(), "20");
    }

    #[test]
    fn a_command_line_never_holds_a_password() {
        let address = "postgres://u:hunter2@host/db";
        assert_eq!(
            line(&["tune", "db", "--read-replica", address]),
            "tune db --read-replica postgres://u:***@host/db"
        );
        assert_eq!(line(&[&format!("--read-replica={address}")]), "--read-replica=postgres://u:***@host/db");
        assert_eq!(line(&["--read-replica", "u:hunter2@host"]), "--read-replica ***");
        assert_eq!(line(&["--read-replica", "local", "--yes"]), "--read-replica local --yes");
        let old: CommandLine =
            serde_json::from_str(&format!("\"tune db --read-replica {address}\"")).unwrap();
        assert!(!old.to_string().contains("hunter2"), "{old}");
    }

    #[test]
    fn passwords_of_addresses_are_masked_and_nothing_else() {
        for (text, shown) in [
            ("cannot reach postgres://u:p/w?x@h:5432/db: no", "cannot reach postgres://u:***@h:5432/db: no"),
            ("redis://:pw@h/0", "redis://:***@h/0"),
            ("https://token@h/x", "https://***@h/x"),
            (
                "postgres://u@h/db?password=pw&sslmode=require",
                "postgres://u@h/db?password=***&sslmode=require",
            ),
            ("http://127.0.0.1:3000/users/a@b.c", "http://127.0.0.1:3000/users/a@b.c"),
            ("say \"amqp://u:p@w@h\" once", "say \"amqp://u:***@h\" once"),
            ("a@b.c: nothing", "a@b.c: nothing"),
        ] {
            assert_eq!(mask_text(text), shown);
        }
    }

    #[test]
    fn what_was_typed_is_not_repeated() {
        let typed = ["--read-replica".to_owned(), "mysql-u:hunter2@h".to_owned()];
        assert_eq!(mask_typed("invalid value 'mysql-u:hunter2@h'", &typed), "invalid value '***'");
    }
}
