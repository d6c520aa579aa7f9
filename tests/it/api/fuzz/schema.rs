//! The document's schemas: whether a value fits one.

use serde_json::Value;

/// The OpenAPI document, as far as these tests need it.
pub(super) struct Document<'d>(pub(super) &'d Value);

impl<'d> Document<'d> {
    /// A schema behind its reference.
    pub(super) fn resolved(&self, schema: &'d Value) -> &'d Value {
        match schema["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.trim_start_matches('#');
                self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
            }
            None => schema,
        }
    }

    /// What does not fit, as a place and a reason.
    pub(super) fn fits(&self, schema: &'d Value, value: &Value) -> Result<(), String> {
        let schema = self.resolved(schema);
        if let Some(choices) = schema["oneOf"].as_array() {
            let one = choices.iter().any(|choice| self.fits(choice, value).is_ok());
            return one.then_some(()).ok_or_else(|| format!("{value} is none of the choices"));
        }
        if !types(schema).is_empty() && !types(schema).contains(&type_of(value)) {
            let also = type_of(value) == "integer" && types(schema).contains(&"number");
            also.then_some(()).ok_or_else(|| format!("{value} is no {:?}", types(schema)))?;
        }
        if let Some(members) = schema["enum"].as_array()
            && !members.contains(value)
        {
            return Err(format!("{value} is not among {members:?}"));
        }
        if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
            items.iter().try_for_each(|item| self.fits(schema, item))?;
        }
        let Some(object) = value.as_object() else { return Ok(()) };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            object.get(name).ok_or_else(|| format!("{name} is missing"))?;
        }
        for (name, value) in object {
            if let Some(schema) = schema["properties"].get(name) {
                self.fits(schema, value).map_err(|wrong| format!("{name}: {wrong}"))?;
            } else if schema["additionalProperties"] == false {
                return Err(format!("{name} is not documented"));
            }
        }
        Ok(())
    }
}

/// The types that a schema allows; none where it says nothing.
pub(super) fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
