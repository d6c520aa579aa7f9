//! `nsys config`: effective values and where they came from.

use crate::cli::ConfigCommand;
use crate::config::Loaded;
use crate::error::{Error, Result};
use crate::render::schema::{AnswerSchema, Either};
use crate::render::{Out, OutputFormat, Report, table::Table};
use crate::secret::Guarded;
use serde::Serialize;

#[derive(Serialize, schemars::JsonSchema)]
struct SettingLine {
    key: String,
    value: Guarded,
    origin: String,
}

#[derive(Serialize, schemars::JsonSchema)]
struct ConfigView {
    file: Option<String>,
    settings: Vec<SettingLine>,
}

impl Report for ConfigView {
    fn text(&self) -> String {
        let mut table = Table::new(["key", "value", "origin"]);
        for line in &self.settings {
            table.row([line.key.clone(), line.value.to_string(), line.origin.clone()]);
        }
        table.text()
    }
}

/// That the configuration is right.
#[derive(Serialize, schemars::JsonSchema)]
struct Checked {
    file: Option<String>,
    keys: usize,
    ok: bool,
}

/// The file in use.
#[derive(Serialize, schemars::JsonSchema)]
struct PathAnswer<'a> {
    file: &'a str,
}

/// One value, unmasked.
#[derive(Serialize, schemars::JsonSchema)]
struct RevealedValue<'a> {
    key: &'a str,
    #[schemars(with = "serde_json::Value")]
    value: &'a toml::Value,
}

pub(super) fn run(loaded: &Loaded, command: &ConfigCommand, out: Out) -> Result<()> {
    let file = loaded.file.as_ref().map(|path| path.display().to_string());
    match command {
        ConfigCommand::Path => match file {
            Some(file) if out.format() == OutputFormat::Json => out.json(&PathAnswer { file: &file }),
            Some(file) => out.line(&file),
            None => Err(Error::failed("no configuration file is in use; every value is its default")),
        },
        ConfigCommand::Check => {
            if out.format() == OutputFormat::Json {
                return out.json(&Checked { file, keys: loaded.settings.len(), ok: true });
            }
            out.say(format!(
                "{}: {} keys, all right",
                file.as_deref().unwrap_or("defaults"),
                loaded.settings.len()
            ));
            Ok(())
        }
        ConfigCommand::Show { reveal: Some(key), .. } => match loaded.settings.get(key) {
            Some(setting) => {
                let value = setting.value.reveal();
                if out.format() == OutputFormat::Json {
                    return out.json(&RevealedValue { key, value });
                }
                out.line(value.as_str().unwrap_or(&value.to_string()))
            }
            None => {
                let known = loaded.settings.keys().map(String::as_str);
                Err(Error::no_such("key", key, known, "nsys config show lists them"))
            }
        },
        ConfigCommand::Show { prefix, .. } => {
            let wanted = |key: &str| prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix));
            if let Some(prefix) = prefix.as_deref().filter(|_| !loaded.settings.keys().any(|key| wanted(key)))
            {
                let known = loaded.settings.keys().map(String::as_str);
                return Err(Error::no_such("key", prefix, known, "nsys config show lists them"));
            }
            let settings =
                loaded.settings.iter().filter(|(key, _)| wanted(key)).map(|(key, setting)| SettingLine {
                    key: key.clone(),
                    value: setting.value.clone(),
                    origin: setting.origin.to_string(),
                });
            out.report(&ConfigView { settings: settings.collect(), file })
        }
    }
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![
        AnswerSchema::of::<Either<ConfigView, RevealedValue<'_>>>("config show", 1),
        AnswerSchema::of::<Checked>("config check", 1),
        AnswerSchema::of::<PathAnswer<'_>>("config path", 1),
    ]
}
