//! `nsys config`: effective values and where they came from.

use crate::cli::ConfigCommand;
use crate::config::{Loaded, is_secret};
use crate::error::{Error, Result};
use crate::render::{Out, Report, table::Table};
use serde::Serialize;

#[derive(Serialize)]
struct Line {
    key: String,
    value: serde_json::Value,
    origin: String,
}

#[derive(Serialize)]
struct Shown {
    file: Option<String>,
    settings: Vec<Line>,
}

impl Report for Shown {
    fn text(&self) -> String {
        let mut table = Table::new(["key", "value", "origin"]);
        for line in &self.settings {
            table.row([line.key.clone(), line.value.to_string(), line.origin.clone()]);
        }
        table.text()
    }
}

pub(super) fn run(loaded: &Loaded, command: &ConfigCommand, out: Out) -> Result<()> {
    let file = loaded.file.as_ref().map(|path| path.display().to_string());
    match command {
        ConfigCommand::Path => match file {
            Some(file) => out.line(&file),
            None => Err(Error::failed("no configuration file is in use; every value is its default")),
        },
        ConfigCommand::Check => {
            out.say(format!(
                "{}: {} keys, all right",
                file.as_deref().unwrap_or("defaults"),
                loaded.settings.len()
            ));
            Ok(())
        }
        ConfigCommand::Show { reveal: Some(key), .. } => match loaded.settings.get(key) {
            Some(setting) => out.line(setting.value.as_str().unwrap_or(&setting.value.to_string())),
            None => Err(Error::usage(format!("there is no key {key}"))),
        },
        ConfigCommand::Show { prefix, .. } => {
            let wanted = |key: &str| prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix));
            let settings = loaded.settings.iter().filter(|(key, _)| wanted(key)).map(|(key, setting)| {
                let masked = is_secret(key) && setting.value.as_str() != Some("");
                let value = if masked {
                    "(set, masked)".into()
                } else {
                    serde_json::to_value(&setting.value).unwrap_or(serde_json::Value::Null)
                };
                Line { key: key.clone(), value, origin: setting.origin.to_string() }
            });
            out.report(&Shown { settings: settings.collect(), file })
        }
    }
}
