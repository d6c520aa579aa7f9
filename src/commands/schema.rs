//! `nsys schema`: what commands answer with `-o json`, as JSON Schema.

use crate::cli::SchemaArgs;
use crate::error::{Error, Result};
use crate::render::schema::AnswerSchema;
use crate::render::{Out, rows, table::Table};
use serde::Serialize;

/// A command whose answers have a schema.
#[derive(Serialize, schemars::JsonSchema)]
struct SchemaRow<'a> {
    command: &'a str,
    version: u32,
}

/// Prints the schema of one command, or which commands have one.
pub(super) fn schema(all: &[AnswerSchema], args: &SchemaArgs, out: Out) -> Result<()> {
    if args.command.is_empty() {
        let rows: Vec<_> =
            all.iter().map(|one| SchemaRow { command: one.command, version: one.version }).collect();
        let mut table = Table::new(["command", "version"]).right(&[1]);
        for row in &rows {
            table.row([row.command.to_owned(), row.version.to_string()]);
        }
        return rows::show(out, &rows, &table, "no command has one");
    }
    let name = args.command.join(" ");
    let found = all.iter().find(|one| one.command == name).ok_or_else(|| {
        let known = all.iter().map(|one| one.command);
        Error::no_such("schema of", &name, known, "nsys schema lists them")
    })?;
    out.json(&found.schema)
}

/// The shape of the list; a schema itself is one of JSON Schema.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![AnswerSchema::of::<Vec<SchemaRow<'_>>>("schema", 1)]
}

#[cfg(test)]
mod tests {
    use super::super::schemas;
    use serde_json::Value;
    use std::path::Path;

    /// Without what is said about it in words, and with each definition in the place where it is named: what
    /// it is called is no part of the shape.
    fn shape(schema: &Value) -> Value {
        fn expand(part: &Value, whole: &Value, within: &mut Vec<String>) -> Value {
            match part {
                Value::Object(fields) => {
                    let of_shape = |(name, value): &(&String, &Value)| {
                        !(["description", "title"].contains(&name.as_str()) && value.is_string())
                            && *name != "$defs"
                    };
                    let mut expand_field = |(name, value): (&String, &Value)| {
                        let definition = value.as_str().filter(|_| name == "$ref");
                        let definition = definition.and_then(|one| one.strip_prefix("#/$defs/"));
                        let Some(definition) = definition else {
                            return (name.clone(), expand(value, whole, within));
                        };
                        // One that holds itself: how many definitions lie between.
                        if let Some(at) = within.iter().rposition(|one| one == definition) {
                            return (name.clone(), Value::from(within.len() - at));
                        }
                        within.push(definition.to_owned());
                        let expanded = expand(&whole["$defs"][definition], whole, within);
                        within.pop();
                        (name.clone(), expanded)
                    };
                    fields.iter().filter(of_shape).map(&mut expand_field).collect()
                }
                Value::Array(items) => items.iter().map(|one| expand(one, whole, within)).collect(),
                other => other.clone(),
            }
        }
        expand(schema, schema, &mut Vec::new())
    }

    #[test]
    fn the_name_of_a_definition_is_no_shape_and_its_content_is() {
        let of = |name: &str, kind: &str| {
            let place = format!("#/$defs/{name}");
            serde_json::json!({"title": name, "properties": {"one": {"$ref": place}}, "$defs": {name: {"type": kind}}})
        };
        assert_eq!(shape(&of("One", "string")), shape(&of("Other", "string")));
        assert_ne!(shape(&of("One", "string")), shape(&of("One", "number")));
    }

    /// What a version has published never changes: another shape is another version, in a file of its own.
    #[test]
    fn a_shape_changes_only_with_its_version() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
        let mut current = std::collections::BTreeMap::new();
        for one in schemas().into_iter().filter(|one| one.has_file) {
            let before = current.insert(one.command.replace(' ', "-"), one.version);
            assert!(before.is_none(), "{} has two schemas", one.command);
            let path = dir.join(one.file());
            let text = serde_json::to_string_pretty(&one.schema).unwrap() + "\n";
            let published = std::fs::read_to_string(&path);
            let known = published.as_ref().map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
            let is_same = shape(&known) == shape(&one.schema);
            if crate::process_env::var_os("NSYS_BLESS").is_some() && (published.is_err() || is_same) {
                std::fs::create_dir_all(&dir).unwrap();
                std::fs::write(&path, &text).unwrap();
                continue;
            }
            assert!(
                is_same,
                "nsys {} answers in another shape than {} says: raise its version, then NSYS_BLESS=1 writes the file",
                one.command,
                path.display()
            );
        }
        for file in std::fs::read_dir(&dir).unwrap().flatten() {
            let name = file.file_name().into_string().unwrap();
            let (command, version) = name.trim_end_matches(".json").rsplit_once('-').unwrap();
            let now = current.get(command).unwrap_or_else(|| panic!("{name} is the schema of no command"));
            assert!(version.parse::<u32>().unwrap() <= *now, "{name} is newer than the command");
        }
    }

    #[test]
    fn every_command_that_answers_has_a_schema() {
        // What streams rows of its own form, is several runs, or opens a screen.
        const NONE: [&str; 5] =
            ["db snapshot", "export notifications", "loadtest all", "metrics export", "watch"];
        fn walk(command: &clap::Command, before: &str, into: &mut Vec<String>) {
            for sub in command.get_subcommands().filter(|one| !one.is_hide_set()) {
                let name = format!("{before} {}", sub.get_name()).trim_start().to_owned();
                if sub.has_subcommands() { walk(sub, &name, into) } else { into.push(name) }
            }
        }
        let mut commands = Vec::new();
        walk(&crate::cli::visible_commands(), "", &mut commands);
        let all = schemas();
        for name in commands {
            let has = all.iter().any(|one| one.command == name);
            assert_eq!(has, !NONE.contains(&name.as_str()), "{name}");
        }
    }
}
