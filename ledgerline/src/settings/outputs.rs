//! Settings as Terraform gives them: `terraform output -json > ledgerline.json`.
//!
//! Each output of the deployment that has the name of a setting holds its value. The output `deployment` is for
//! people and scripts. What Terraform leaves out it writes as `null`.

use serde_json::{Map, Value};

/// What is not a setting.
const OTHERS: &str = "deployment";

/// The settings among the outputs; `None` when the text is not what `terraform output -json` writes.
pub(super) fn settings(text: &str) -> Option<Value> {
    let outputs: Map<String, Value> = serde_json::from_str(text).ok()?;
    let mut settings = Map::new();
    for (name, output) in outputs.into_iter().filter(|(name, _)| name != OTHERS) {
        let mut value = output.get("value")?.clone();
        drop_nulls(&mut value);
        if !value.is_null() {
            settings.insert(name, value);
        }
    }
    Some(Value::Object(settings))
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_become_settings() {
        let text = r#"{
          "aws": {"sensitive": false, "type": "x", "value": {"stream": "s", "region": null, "endpoints": null}},
          "limits": {"value": null},
          "source": {"value": [{"name": "a", "url": null}]},
          "deployment": {"value": {"url": "https://x"}}
        }"#;
        let expected = serde_json::json!({ "aws": { "stream": "s" }, "source": [{ "name": "a" }] });
        assert_eq!(settings(text), Some(expected));
        assert_eq!(settings(r#"{"aws": 5}"#), None);
        assert_eq!(settings("[]"), None);
    }
}
