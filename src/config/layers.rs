//! Layering by flat keys (`section.key`), each value with its origin. Reads files, decides nothing else.

use super::profile::Found;
use super::variables::variable;
use super::{Config, DEFAULTS, former};
use crate::error::{Context, Error, Result};
use crate::secret::Guarded;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Origin {
    /// Shipped with nsys.
    Default,
    /// The user's file.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The profile of the stack.
    Profile {
        /// The file.
        path: PathBuf,
    },
    /// The overlay that tuning writes.
    Tuned {
        /// The overlay.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Profile { path } => write!(f, "profile {}", path.display()),
            Self::Tuned { path, line } => write!(f, "tuned, {}:{line}", path.display()),
            Self::Environment { name } => write!(f, "env {name}"),
        }
    }
}

/// One effective value.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The value.
    pub value: Guarded,
    /// Where it came from.
    pub origin: Origin,
}

type Settings = BTreeMap<String, Setting>;

/// The keys and values of the shipped file.
pub(super) fn defaults() -> Result<Settings> {
    let table: Table = DEFAULTS.parse().context("the shipped configuration is not TOML")?;
    let mut settings = Settings::new();
    for (section, values) in table {
        for (key, value) in values.as_table().cloned().unwrap_or_default() {
            let key = format!("{section}.{key}");
            let value = Guarded::new(&key, value);
            settings.insert(key, Setting { value, origin: Origin::Default });
        }
    }
    Ok(settings)
}

/// Why what stands at this place is no configuration of nsys, if something stands there that is none.
pub(super) fn not_ours(path: &Path) -> Option<&'static str> {
    path.symlink_metadata().ok()?;
    if path.is_dir() {
        return Some("it is a directory");
    }
    if !path.exists() {
        return Some("it is a link to nothing");
    }
    // What cannot be read as TOML may be ours with a mistake, which is said with its line.
    let table: Table = std::fs::read_to_string(path).ok()?.parse().ok()?;
    let ours: Table = DEFAULTS.parse().ok()?;
    let is_near = |name: &String| {
        known_section(name)
            || ours.keys().any(|known| strsim::jaro_winkler(known, former::current(name)) > 0.8)
    };
    (!table.is_empty() && !table.keys().any(is_near)).then_some("it has no section of nsys")
}

/// A section that is read by others.
fn known_section(name: &str) -> bool {
    name == "profile"
}

/// Lays what a profile says over what is there: one in a file of its own says all of it, one that is a section of
/// the configuration file only what that leaves out.
pub(super) fn add_profile(settings: &mut Settings, found: &Found) -> Result<()> {
    for (key, value) in &found.profile.settings {
        let is_written = settings.get(*key).is_some_and(|one| one.origin != Origin::Default);
        if found.is_section && (value.is_empty() || is_written) {
            continue;
        }
        put_profile(settings, found, key, value)?;
    }
    Ok(())
}

/// Where the stack of a profile runs, whatever is said elsewhere.
pub(super) fn add_runtime(settings: &mut Settings, found: &Found) -> Result<()> {
    let runtime = "stack.runtime";
    found.profile.settings.get(runtime).map_or(Ok(()), |value| put_profile(settings, found, runtime, value))
}

fn put_profile(settings: &mut Settings, found: &Found, key: &str, value: &str) -> Result<()> {
    let origin = Origin::Profile { path: found.path.clone() };
    let setting = Setting { value: Guarded::new(key, Value::from(value)), origin };
    set(settings, key, setting)
        .map_err(|cause| Error::usage(format!("{}: {key}: {cause}", found.path.display())))
}

/// Lays a file over what is there. Returns what to say of the former names in it.
pub(super) fn add_file(settings: &mut Settings, path: &Path, tuned: bool) -> Result<Vec<String>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|cause| {
        let before = &cause.as_bytes()[..cause.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::usage(format!("{}:{line}: not valid UTF-8", path.display()))
    })?;
    let line_of = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
    let at = |offset: usize| format!("{}:{}", path.display(), line_of(offset));
    let table = DeTable::parse(&text).map_err(|cause| {
        let place = cause.span().map_or_else(|| path.display().to_string(), |span| at(span.start));
        // A name is no secret, a value may be one.
        let twice = cause.span().filter(|_| cause.message().contains("duplicate key")).and_then(|span| {
            let line = text.get(span.start..)?.lines().next()?;
            let name = line.split(['=', ']']).next()?.trim_matches(['[', ' ', '"', '\'']);
            Some(format!("{place}: {name} is defined twice"))
        });
        Error::usage(twice.unwrap_or_else(|| format!("{place}: not valid TOML")))
    })?;
    // What this error says repeats what stands there, which may be a secret.
    let whole: Table = text.parse().map_err(|cause: toml::de::Error| {
        let place = cause.span().map_or_else(|| path.display().to_string(), |span| at(span.start));
        Error::usage(format!("{place}: not valid TOML"))
    })?;
    let mut outdated = Vec::new();
    for (section, values) in table.get_ref() {
        let written = section.get_ref().as_ref();
        if known_section(written) && !tuned {
            continue;
        }
        let name = former::current(written);
        if name != written && table.get_ref().contains_key(name) {
            let place = at(section.span().start);
            return Err(Error::usage(format!(
                "{place}: [{written}] and [{name}] are one section; keep the second"
            )));
        }
        if name != written {
            outdated
                .push(format!("{}: [{written}] is called [{name}] now; it is still read", path.display()));
        }
        let DeValue::Table(values) = values.get_ref() else {
            return Err(without_section(settings, name, &at(section.span().start)));
        };
        if !settings.keys().any(|key| key.split('.').next() == Some(name)) {
            return Err(unknown(settings, name, &at(section.span().start)));
        }
        for key in values.keys() {
            let written_key = key.get_ref().as_ref();
            let full = former::current_key(name, written_key);
            let place = at(key.span().start);
            let today = full.rsplit('.').next().unwrap_or(written_key);
            if today != written_key {
                if values.contains_key(today) {
                    let both = format!("{written_key} and {today} are one key; keep the second");
                    return Err(Error::usage(format!("{place}: {both}")));
                }
                outdated.push(format!(
                    "{}: {name}.{written_key} is called {full} now; it is still read",
                    path.display()
                ));
            }
            let Some(current) = settings.get(&full).cloned() else {
                return Err(unknown(settings, &full, &place));
            };
            let value = whole[written][written_key].clone();
            let line = line_of(key.span().start);
            let path = path.to_owned();
            let origin = if tuned { Origin::Tuned { path, line } } else { Origin::File { path, line } };
            let value = Guarded::new(&full, fitting(value, current.value.reveal()));
            set(settings, &full, Setting { value, origin })
                .map_err(|cause| Error::usage(format!("{place}: {full}: {cause}")))?;
        }
    }
    Ok(outdated)
}

/// Lays the `NSYS_SECTION__KEY` variables over what is there.
pub(super) fn add_environment(
    settings: &mut Settings,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<()> {
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix("NSYS_") else { continue };
        let Some((section, key)) = rest.split_once("__") else {
            let meant =
                settings.keys().map(|key| variable(key)).find(|known| known.replace("__", "_") == name);
            if let Some(meant) = meant {
                let why = format!("{name} sets nothing: section and key are separated by two underscores");
                return Err(Error::usage(why).hint(format!("did you mean {meant}?")));
            }
            continue;
        };
        let section = section.to_lowercase();
        let full = former::current_key(&section, &key.to_lowercase());
        let Some(current) = settings.get(&full) else {
            return Err(unknown(settings, &full, &name));
        };
        let default = current.value.reveal();
        let seen = Guarded::new(&full, Value::from(text.as_str()));
        let value = typed(&text, default)
            .ok_or_else(|| Error::usage(format!("{name}={seen}: {} is expected", kind(default))))?;
        let origin = Origin::Environment { name: name.clone() };
        set(settings, &full, Setting { value: Guarded::new(&full, value), origin })
            .map_err(|cause| Error::usage(format!("{name}={seen}: {cause}")))?;
    }
    Ok(())
}

/// The typed configuration.
pub(super) fn build(settings: &Settings) -> Result<Config> {
    nested(settings.iter().map(|(key, setting)| (key.as_str(), setting.value.reveal()))).try_into().map_err(
        |cause: toml::de::Error| Error::usage(format!("the configuration is wrong: {}", cause.message())),
    )
}

fn set(settings: &mut Settings, key: &str, setting: Setting) -> Result<(), String> {
    // Whoever says why a value is wrong likes to repeat it.
    let masked = setting.value.is_masked();
    let before = settings.insert(key.to_owned(), setting);
    // Only this key changed, so whatever does not fit now is this key's fault.
    match build_quietly(settings) {
        Ok(()) => Ok(()),
        Err(cause) => {
            let Some(before) = before else { return Err(cause) };
            let expected = expected(key, &cause, before.value.reveal());
            settings.insert(key.to_owned(), before);
            Err(match expected {
                Some(expected) => format!("{expected} is expected"),
                None if masked => "another value is expected".to_owned(),
                None => cause,
            })
        }
    }
}

/// What is expected where `usual` is the default, in our words instead of the parser's.
fn expected(key: &str, cause: &str, usual: &Value) -> Option<String> {
    if let Some(words) = cause.split_once("unknown variant").and_then(|(_, rest)| rest.split_once("expected"))
    {
        let words: Vec<_> = words.1.split('`').skip(1).step_by(2).collect();
        return Some(format!("one of {}", words.join(", ")));
    }
    let most =
        ["u8", "u16", "u32"].into_iter().zip([u64::from(u8::MAX), u64::from(u16::MAX), u64::from(u32::MAX)]);
    match usual {
        Value::Integer(_) => {
            let most = most.into_iter().find(|(kind, _)| cause.contains(&format!("expected {kind}")));
            let range = most.map_or_else(|| "from 0".to_owned(), |(_, most)| format!("from 0 to {most}"));
            Some(format!("a whole number {range}"))
        }
        Value::String(text) if text.parse::<jiff::SignedDuration>().is_ok() => {
            let class = if key.starts_with("cache.ttl_") {
                " or a class (SHORT, MEDIUM, LONG, DAY, WEEK)"
            } else {
                ""
            };
            Some(format!("a duration with its unit, such as 500ms, 30s, 5m or 1h,{class}"))
        }
        // Lists may hold durations.
        Value::Array(_) if cause.contains("duration") => {
            Some("a list of durations with their units, such as [\"5s\", \"5m\"],".to_owned())
        }
        other if cause.contains("invalid type") => Some(kind(other).to_owned()),
        _ => None,
    }
}

fn build_quietly(settings: &Settings) -> Result<(), String> {
    nested(settings.iter().map(|(key, setting)| (key.as_str(), setting.value.reveal())))
        .try_into::<Config>()
        .map(|_| ())
        .map_err(|cause| cause.message().trim().to_owned())
}

fn nested<'a>(values: impl Iterator<Item = (&'a str, &'a Value)>) -> Table {
    let mut table = Table::new();
    for (key, value) in values {
        let (section, key) = key.split_once('.').unwrap_or(("", key));
        let entry = table.entry(section.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        if let Some(entry) = entry.as_table_mut() {
            entry.insert(key.to_owned(), value.clone());
        }
    }
    table
}

/// A whole number where a fraction is expected is meant as one.
fn fitting(value: Value, default: &Value) -> Value {
    match (value, default) {
        (Value::Integer(number), Value::Float(_)) => Value::Float(number as f64),
        (value, _) => value,
    }
}

fn typed(text: &str, default: &Value) -> Option<Value> {
    Some(match default {
        Value::Integer(_) => Value::Integer(text.parse().ok()?),
        Value::Float(_) => Value::Float(text.parse().ok()?),
        Value::Boolean(_) => Value::Boolean(text.parse().ok()?),
        Value::Array(_) if text.trim_start().starts_with('[') => {
            format!("list = {text}").parse::<Table>().ok()?.remove("list")?
        }
        Value::Array(_) => {
            Value::Array(text.split(',').filter(|item| !item.is_empty()).map(Value::from).collect())
        }
        _ => Value::from(text),
    })
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list: a,b or [\"a\", \"b\"]",
        _ => "text",
    }
}

/// A key that stands above the first section.
fn without_section(settings: &Settings, key: &str, place: &str) -> Error {
    let fits = |full: &&String| full.split_once('.').is_some_and(|(_, rest)| rest == key);
    let known: Vec<_> = settings.keys().filter(fits).filter_map(|full| full.split_once('.')).collect();
    let error = Error::usage(format!("{place}: {key} is outside any section"));
    let sections: Vec<_> = known.iter().map(|(section, _)| format!("[{section}]")).collect();
    match sections.as_slice() {
        [] => error.hint("every key belongs to a section, such as [stack]; nsys config show lists the keys"),
        sections => error.hint(format!("move it below {}", sections.join(" or "))),
    }
}

fn unknown(settings: &Settings, key: &str, place: &str) -> Error {
    let is_section = !key.contains('.');
    let candidates = settings
        .keys()
        .map(|known| if is_section { known.split('.').next().unwrap_or(known) } else { known });
    let nearest =
        candidates.max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
    let what = if is_section { "section" } else { "key" };
    let error = Error::usage(format!("{place}: there is no {what} {key}"));
    match nearest {
        Some(nearest) => error.hint(format!("did you mean {nearest}?")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str) -> Result<Settings> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let mut settings = defaults()?;
        add_file(&mut settings, &path, false)?;
        Ok(settings)
    }

    #[test]
    fn a_wrong_key_names_its_line_and_the_nearest_right_one() {
        let error = with_file("[kafka]\n\nlingr = \"1ms\"\n").unwrap_err();
        assert!(error.message.ends_with("config.toml:3: there is no key kafka.lingr"), "{}", error.message);
        assert_eq!(error.hint.as_deref(), Some("did you mean kafka.linger?"));
    }

    #[test]
    fn a_wrong_type_names_its_line() {
        let error = with_file("[db]\npool_size = \"many\"\n").unwrap_err();
        assert!(error.message.contains("config.toml:2: db.pool_size"), "{}", error.message);
    }

    #[test]
    fn what_is_expected_is_said_in_our_words() {
        for (text, expected) in [
            ("[db]\npool_timeout = \"5\"\n", "such as 500ms, 30s, 5m or 1h, is expected"),
            ("[db]\npool_timeout = 5\n", "such as 500ms, 30s, 5m or 1h, is expected"),
            ("[stack]\nport_offset = -1\n", "a whole number from 0 to 65535 is expected"),
            ("[stack]\nname = 5\n", "text is expected"),
            ("[kafka]\ncompression = \"best\"\n", "one of none, gzip, lz4, zstd is expected"),
            ("[channels]\nsms_retries = [\"soon\"]\n", "[\"5s\", \"5m\"], is expected"),
            ("[cache]\nttl_user = \"sometimes\"\n", "is expected"),
        ] {
            let error = with_file(text).unwrap_err();
            assert!(
                error.message.contains("config.toml:2: ") && error.message.ends_with(expected),
                "{error}"
            );
        }
    }

    #[test]
    fn a_key_that_comes_twice_or_in_no_section_is_named() {
        let twice = with_file("[db]\npool_size = 1\npool_size = 2\n").unwrap_err();
        assert!(twice.message.ends_with("config.toml:3: pool_size is defined twice"), "{twice}");
        let section = with_file("[db]\n[cache]\n[db]\n").unwrap_err();
        assert!(section.message.ends_with("config.toml:3: db is defined twice"), "{section}");
        let bare = with_file("name = \"a\"\n").unwrap_err();
        assert!(bare.message.ends_with("config.toml:1: name is outside any section"), "{bare}");
        assert_eq!(bare.hint.as_deref(), Some("move it below [stack]"));
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let mut settings = with_file("[stack]\nport_offset = 200\n").unwrap();
        let pair = ("NSYS_STACK__PORT_OFFSET".to_owned(), "300".to_owned());
        add_environment(&mut settings, std::iter::once(pair)).unwrap();
        assert_eq!(build(&settings).unwrap().stack.port_offset, 300);
        assert_eq!(settings["stack.port_offset"].origin.to_string(), "env NSYS_STACK__PORT_OFFSET");
    }

    #[test]
    fn a_variable_with_one_underscore_is_refused_with_the_right_one() {
        let pair = ("NSYS_STACK_NAME".to_owned(), "x".to_owned());
        let error = add_environment(&mut defaults().unwrap(), std::iter::once(pair)).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean NSYS_STACK__NAME?"));
    }

    #[test]
    fn a_file_of_another_program_is_not_ours_and_a_misspelt_section_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let seen = |text: &str| {
            std::fs::write(&path, text).unwrap();
            not_ours(&path)
        };
        assert_eq!(seen("baseURL = \"x\"\n[markup]\na = 1\n"), Some("it has no section of nsys"));
        assert_eq!(seen("[kafak]\nlinger = \"1ms\"\n"), None);
        assert_eq!(seen(""), None);
        assert_eq!(not_ours(dir.path()), Some("it is a directory"));
    }

    #[test]
    fn text_that_looks_like_a_number_stays_text() {
        let mut settings = defaults().unwrap();
        let pair = ("NSYS_STACK__NAME".to_owned(), "5".to_owned());
        add_environment(&mut settings, std::iter::once(pair)).unwrap();
        assert_eq!(build(&settings).unwrap().stack.name, "5");
    }

    #[test]
    fn lists_are_told_with_commas_or_as_in_the_file() {
        for text in ["load@first,load@second", r#"["load@first", "load@second"]"#] {
            let mut settings = defaults().unwrap();
            let pair = ("NSYS_LOADTEST__HOSTS".to_owned(), text.to_owned());
            add_environment(&mut settings, std::iter::once(pair)).unwrap();
            assert_eq!(build(&settings).unwrap().loadtest.hosts, ["load@first", "load@second"], "{text}");
        }
        let pair = ("NSYS_LOADTEST__HOSTS".to_owned(), r#"["load@first""#.to_owned());
        assert!(add_environment(&mut defaults().unwrap(), std::iter::once(pair)).is_err());
    }
}
