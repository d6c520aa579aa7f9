//! What is different between two JSON values, and how one becomes the other: recordings hold changes.
//!
//! A change of an object is an object with the fields that differ, `null` for one that is gone. A change
//! of an array is `{"[]": length, "place": change, …}`. Anything else is the new value itself, in a list
//! of one, so that it cannot be taken for a change.

use serde_json::{Map, Value};

/// The field that marks a change of an array.
const ARRAY: &str = "[]";

/// What makes `before` into `after`; none when they are equal.
pub(super) fn diff(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    Some(match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let mut fields = Map::new();
            for (name, value) in new {
                let change = old.get(name).map_or_else(|| Some(whole(value)), |before| diff(before, value));
                fields.extend(change.map(|change| (name.clone(), change)));
            }
            let gone = old.keys().filter(|name| !new.contains_key(*name));
            fields.extend(gone.map(|name| (name.clone(), Value::Null)));
            Value::Object(fields)
        }
        (Value::Array(old), Value::Array(new)) => {
            let mut places = Map::from_iter([(ARRAY.to_owned(), Value::from(new.len()))]);
            for (place, value) in new.iter().enumerate() {
                let change = old.get(place).map_or_else(|| Some(whole(value)), |before| diff(before, value));
                places.extend(change.map(|change| (place.to_string(), change)));
            }
            Value::Object(places)
        }
        _ => whole(after),
    })
}

fn whole(value: &Value) -> Value {
    Value::Array(vec![value.clone()])
}

/// Makes a change. One that does not fit is none of ours: false, and the value is not to be used.
pub(super) fn apply(value: &mut Value, change: &Value) -> bool {
    match (change, value) {
        (Value::Array(new), value) => match new.as_slice() {
            [new] => {
                *value = new.clone();
                true
            }
            _ => false,
        },
        (Value::Object(changes), Value::Array(places)) => {
            let length =
                changes.get(ARRAY).and_then(Value::as_u64).and_then(|length| usize::try_from(length).ok());
            // Longer than what it was by more than what is told of is no change of this array.
            let Some(length) = length.filter(|length| *length <= places.len() + changes.len()) else {
                return false;
            };
            places.resize(length, Value::Null);
            changes.iter().filter(|(name, _)| *name != ARRAY).all(|(name, change)| {
                let place = name.parse::<usize>().ok().and_then(|place| places.get_mut(place));
                place.is_some_and(|place| apply(place, change))
            })
        }
        (Value::Object(changes), Value::Object(fields)) => changes.iter().all(|(name, change)| {
            if change.is_null() {
                return fields.remove(name).is_some();
            }
            apply(fields.entry(name.clone()).or_insert(Value::Null), change)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_leads_from_one_value_to_the_other() {
        let values = [
            json!({"a": 1, "b": [1, 2, {"c": null}], "d": {"e": "x"}}),
            json!({"a": null, "b": [1, 3, {"c": 4}, 5], "d": {"f": []}}),
            json!({"b": [1], "d": {"f": [[1]], "e": {}}}),
            json!([1, {"[]": 2}]),
            json!([]),
            json!(null),
            json!({"b": {"[]": 1}}),
        ];
        for before in &values {
            for after in &values {
                let mut value = before.clone();
                match diff(before, after) {
                    None => assert_eq!(before, after),
                    Some(change) => assert!(apply(&mut value, &change), "{before} {after} {change}"),
                }
                assert_eq!(&value, after, "from {before}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for change in
            [json!(1), json!([]), json!([1, 2]), json!({"[]": 9_000_000_000_u64}), json!({"x": null})]
        {
            assert!(!apply(&mut json!([1]), &change) || change == json!([1]), "{change}");
        }
        assert!(!apply(&mut json!({"a": 1}), &json!({"b": null})));
    }

    #[test]
    fn little_that_changed_is_a_short_line() {
        let statements: Vec<_> =
            (0..60).map(|id| json!({"id": id, "query": "q".repeat(300), "calls": 5})).collect();
        let mut later = statements.clone();
        later[7]["calls"] = json!(6);
        let (before, after) = (json!({"statements": statements}), json!({"statements": later}));
        let change = diff(&before, &after).unwrap().to_string();
        assert!(change.len() * 100 < after.to_string().len(), "{change}");
    }
}
