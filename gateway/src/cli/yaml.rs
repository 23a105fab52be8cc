//! JSON as block YAML, for `-o yaml`.

use serde_json::Value;

/// Writes a document, without a line break at its end.
pub(crate) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    put(value, 0, &mut out);
    out.trim().to_owned()
}

fn put(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                out.push_str(&format!("\n{indent}{}:", text(name)));
                put(value, depth + 1, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                out.push_str(&format!("\n{indent}-"));
                let mut inner = String::new();
                put(item, depth + 1, &mut inner);
                // The first field of an item stands beside its dash.
                match inner.strip_prefix('\n') {
                    Some(block) => {
                        out.push(' ');
                        out.push_str(block.trim_start());
                    }
                    None => out.push_str(&inner),
                }
            }
        }
        Value::String(said) => {
            out.push(' ');
            out.push_str(&text(said));
        }
        // Numbers, truths, null, and what is empty are the same in both.
        plain => {
            out.push(' ');
            out.push_str(&plain.to_string());
        }
    }
}

/// A text as it is where no reader can take it for anything else, and quoted where one could.
fn text(said: &str) -> String {
    let plain = said.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && said.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&said.to_ascii_lowercase().as_str());
    if plain { said.to_owned() } else { Value::from(said).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_written_in_blocks() {
        let document = json!([
            {"name": "a", "to": [{"x": 1, "z": "no"}, {}], "none": []},
            {"name": "b: c", "deep": {"er": null}},
            "word",
        ]);
        assert_eq!(
            yaml(&document),
            "\
- name: a
  to:
    - x: 1
      z: \"no\"
    - {}
  none: []
- name: \"b: c\"
  deep:
    er: null
- word"
        );
    }
}
