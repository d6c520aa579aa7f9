//! Holds every answer with `-o json` that a test sees to its published schema.

use serde_json::Value;
use std::path::Path;

/// The published schema of a command, the newest; the words of its name come first among the arguments.
fn published(args: &[&str]) -> Option<(String, Value)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
    let words: Vec<_> = args.iter().take_while(|word| !word.starts_with('-')).copied().collect();
    (1..=words.len().min(2)).rev().find_map(|count| {
        let name = words[..count].join("-");
        let version =
            (1..100).take_while(|number| dir.join(format!("{name}-{number}.json")).is_file()).last()?;
        let text = std::fs::read_to_string(dir.join(format!("{name}-{version}.json"))).expect("a schema");
        Some((name, serde_json::from_str(&text).expect("JSON")))
    })
}

/// Fails where an answer is not what is published.
pub(crate) fn hold(args: &[&str], answer: &Value) {
    let Some((name, schema)) = published(args) else { return };
    let found = complaints(answer, &schema);
    assert!(
        found.is_empty(),
        "{args:?} does not answer as docs/schema says of {name}:
{}",
        found.join(
            "
"
        )
    );
}

fn complaints(value: &Value, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(value, schema, schema, "answer", &mut found);
    found
}

/// What a schema demands of a value and does not find, and what it does not know.
fn check(value: &Value, schema: &Value, root: &Value, place: &str, into: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.trim_start_matches("#/$defs/");
        let there = &root["$defs"][name];
        assert!(!there.is_null(), "the schema names {name} and does not have it");
        return check(value, there, root, place, into);
    }
    for choices in ["anyOf", "oneOf"] {
        let Some(choices) = schema[choices].as_array() else { continue };
        let each = choices.iter().map(|one| {
            let mut found = Vec::new();
            check(value, one, root, place, &mut found);
            found
        });
        let best = each.min_by_key(Vec::len).unwrap_or_default();
        into.extend(best);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check(value, part, root, place, into);
    }
    kind(value, schema, place, into);
    match value {
        Value::Object(fields) => object(fields, schema, root, place, into),
        Value::Array(items) if schema["items"].is_object() => {
            for item in items {
                check(item, &schema["items"], root, &format!("{place}[]"), into);
            }
        }
        _ => {}
    }
}

fn kind(value: &Value, schema: &Value, place: &str, into: &mut Vec<String>) {
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type of JSON"),
    };
    let fits = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    if !fits {
        into.push(format!("{place}: {value} is not {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        into.push(format!("{place}: {value} is not among {}", schema["enum"]));
    }
    if !schema["const"].is_null() && schema["const"] != *value {
        into.push(format!("{place}: {value} is not {}", schema["const"]));
    }
}

fn object(
    fields: &serde_json::Map<String, Value>,
    schema: &Value,
    root: &Value,
    place: &str,
    into: &mut Vec<String>,
) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            into.push(format!("{place} lacks {name}"));
        }
    }
    // Where other schemas add to this one, what is known stands in several places.
    let closed = schema["properties"].is_object()
        && ["allOf", "anyOf", "oneOf"].iter().all(|word| schema[word].is_null());
    for (name, value) in fields {
        let place = format!("{place}.{name}");
        match (&schema["properties"][name.as_str()], &schema["additionalProperties"]) {
            (Value::Null, Value::Null) if closed => into.push(format!("{place} is not published")),
            (Value::Null, Value::Bool(false)) => into.push(format!("{place} is not published")),
            (Value::Null, more @ Value::Object(_)) => check(value, more, root, &place, into),
            (known @ Value::Object(_), _) => check(value, known, root, &place, into),
            _ => {}
        }
    }
}

#[test]
fn what_is_not_published_is_found() {
    let schema = published(&["ps"]).expect("a schema of ps").1;
    let part = serde_json::json!({"name": "app-1", "state": "running", "pid": 1, "container": null, "port": 1,
        "uptime_s": 2, "restarts": 0});
    let mut answer = serde_json::json!({"runtime": "local", "parts": [part]});
    assert_eq!(complaints(&answer, &schema), Vec::<String>::new());
    answer["parts"][0]["invented"] = 1.into();
    answer["parts"][0]["state"] = "splendid".into();
    answer["parts"][0]["restarts"] = "none".into();
    answer["runtime"] = Value::Null;
    assert_eq!(complaints(&answer, &schema).len(), 4, "{:?}", complaints(&answer, &schema));
}
