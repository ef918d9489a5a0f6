//! The part of JSON Schema that the installed schema uses: type, enum, const, properties, required, items, oneOf,
//! `$ref` to `$defs`, pattern of digits, and no unknown keys.

use serde_json::Value;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../schema/atlasm.schema.json")).unwrap());

/// Panics if `object` does not follow the schema.
#[track_caller]
pub(crate) fn check(object: &Value) {
    if let Err(why) = validate(object, &SCHEMA) {
        panic!("{why}\nin {object}");
    }
}

fn validate(value: &Value, schema: &Value) -> Result<(), String> {
    let known = [
        "type",
        "enum",
        "const",
        "properties",
        "required",
        "items",
        "oneOf",
        "$ref",
        "pattern",
        "additionalProperties",
        "$defs",
        "$schema",
        "$id",
        "title",
        "description",
        "minimum",
    ];
    let keys = schema.as_object().ok_or("a schema that is no object")?;
    if let Some(key) = keys.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("the schema uses {key}, which this test does not know"));
    }
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let name = name.strip_prefix("#/$defs/").ok_or("a reference elsewhere")?;
        validate(value, SCHEMA["$defs"].get(name).ok_or(format!("no $defs/{name}"))?)?;
    }
    if let Some(kind) = schema.get("type").and_then(Value::as_str) {
        let fits = match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            other => return Err(format!("type {other}")),
        };
        if !fits {
            return Err(format!("{value} is no {kind}"));
        }
    }
    if let Some(wanted) = schema.get("const")
        && value != wanted
    {
        return Err(format!("{value} is not {wanted}"));
    }
    if let Some(wanted) = schema.get("minimum").and_then(Value::as_i64)
        && value.as_i64().is_some_and(|value| value < wanted)
    {
        return Err(format!("{value} is less than {wanted}"));
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array)
        && !choices.contains(value)
    {
        return Err(format!("{value} is none of {choices:?}"));
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        // `^[0-9a-f]{N}$` alone.
        let digits = pattern.strip_prefix("^[0-9a-f]{").and_then(|rest| rest.strip_suffix("}$"));
        let digits: usize = digits.ok_or("a pattern of another form")?.parse().unwrap();
        let text = value.as_str().unwrap_or_default();
        let is_hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if text.len() != digits || !is_hex {
            return Err(format!("{value} has no {digits} hexadecimal digits"));
        }
    }
    if let Some(items) = schema.get("items")
        && let Some(list) = value.as_array()
    {
        list.iter().try_for_each(|item| validate(item, items))?;
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let results: Vec<_> = choices.iter().map(|choice| validate(value, choice)).collect();
        if results.iter().filter(|result| result.is_ok()).count() != 1 {
            // The choice for this command says most.
            let of_command = choices.iter().zip(&results).find(|(choice, _)| {
                choice["properties"]["command"]["const"] == value["command"]
                    || choice["properties"]["command"]["enum"]
                        .as_array()
                        .is_some_and(|names| names.contains(&value["command"]))
            });
            return match of_command {
                Some((_, Err(why))) => Err(why.clone()),
                _ => Err(format!(
                    "{} of the choices fit",
                    results.iter().filter(|result| result.is_ok()).count()
                )),
            };
        }
    }
    if let Some(object) = value.as_object()
        && let Some(properties) = schema.get("properties").and_then(Value::as_object)
    {
        for (key, value) in object {
            match properties.get(key) {
                Some(schema) => validate(value, schema).map_err(|why| format!("{key}: {why}"))?,
                None if schema["additionalProperties"] == false => {
                    return Err(format!("the key {key} is not in the schema"));
                }
                None => {}
            }
        }
        for key in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !object.contains_key(key.as_str().unwrap_or_default()) {
                return Err(format!("the key {key} is missing"));
            }
        }
    }
    Ok(())
}
