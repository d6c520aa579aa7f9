//! Holds the published schema of results.json to what is written.

use super::test_run;
use serde_json::Value;

const PUBLISHED: &str = include_str!("../../../docs/results.schema.json");

/// What a schema demands of a value and does not find, and what it does not know.
fn complaints(value: &Value, schema: &Value, root: &Value, place: &str, into: &mut Vec<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(name) => &root["$defs"][name.trim_start_matches("#/$defs/")],
        None => schema,
    };
    if let Some(choices) = schema["anyOf"].as_array() {
        if !value.is_null() {
            complaints(value, &choices[0], root, place, into);
        }
        return;
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        complaints(value, part, root, place, into);
    }
    match value {
        Value::Object(fields) => {
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !fields.contains_key(name) {
                    into.push(format!("{place} lacks {name}"));
                }
            }
            for (name, value) in fields {
                let known = &schema["properties"][name.as_str()];
                match (known, &schema["additionalProperties"]) {
                    (Value::Null, Value::Bool(false)) => {
                        into.push(format!("{place}.{name} is not published"));
                    }
                    (Value::Null, more) => complaints(value, more, root, &format!("{place}.{name}"), into),
                    (known, _) => complaints(value, known, root, &format!("{place}.{name}"), into),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                complaints(item, &schema["items"], root, &format!("{place}[]"), into);
            }
        }
        Value::String(text) => {
            let words = schema["enum"].as_array();
            if words.is_some_and(|words| !words.iter().any(|word| word == text)) {
                into.push(format!("{place}: {text} is not among the published words"));
            }
        }
        _ => {}
    }
}

#[test]
fn what_is_written_is_what_is_published() {
    let published: Value = serde_json::from_str(PUBLISHED).unwrap();
    let mut run = test_run(&[20.0]);
    run.levels[0].facts.put("rate", 1.0, "Prometheus", "rate(x[1m])");
    run.levels[0].facts.skip("growth", "formula", "there is no level before it");
    let mut found = Vec::new();
    complaints(&serde_json::to_value(&run).unwrap(), &published, &published, "run", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn what_is_not_published_is_found() {
    let published: Value = serde_json::from_str(PUBLISHED).unwrap();
    let mut value = serde_json::to_value(test_run(&[20.0])).unwrap();
    value["levels"][0]["invented"] = 1.into();
    value["verdict"] = "splendid".into();
    let mut found = Vec::new();
    complaints(&value, &published, &published, "run", &mut found);
    assert_eq!(found.len(), 2, "{found:?}");
}
