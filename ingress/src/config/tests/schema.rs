//! The JSON Schema: it is the committed one, and it and the loader agree on what is good.

use serde_json::Value;

use super::{file, load, offer};
use crate::config::{node, parse, schema, yaml};

#[test]
fn the_committed_schema_is_the_one_that_the_types_make() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/config.schema.json");
    let made = format!("{:#}\n", schema());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(made == committed, "schemas/config.schema.json is old; BLESS=1 writes it anew");
}

#[test]
fn a_good_file_is_good_by_the_schema_too() {
    let text = include_str!("complete.yaml");
    assert!(load(text).is_ok());
    let errors: Vec<String> = validator()
        .iter_errors(&json(text))
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(errors, [""; 0]);
}

#[test]
fn what_the_schema_refuses_is_refused_by_the_loader() {
    let validator = validator();
    for entry in std::fs::read_dir(super::bad::folder()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        if let Some(json) = try_json(&text)
            && !validator.is_valid(&json)
        {
            assert!(parse(&[file("bad.yaml", &text)], &offer()).is_err(), "{text}");
        }
    }
    for wrong in [
        "listener: 0.0.0.0:8080",
        "upstreams: { a: { kind: http, url: http://127.0.0.1:1, health: {} } }",
        "upstreams: { a: { kind: http, url: http://127.0.0.1:1, breaker: [] } }",
        "upstreams: { a: { kind: http, url: http://127.0.0.1:1, concurrency: 0 } }",
        "policies: { a: { breaker: {} } }",
        "policies: { a: { rate_limit: [{ burst: 5 }] } }",
        "upstreams: { a: { kind: lambda } }",
        "upstreams: { A: { kind: http, url: http://127.0.0.1:1 } }",
        "routes: [{ name: a, to_all: a }]",
        "routes: [{ name: a, to: a, ack: kept }]",
        "outbox: { kind: elsewhere }",
        "routes: [{ name: a, match: { method: GET }, respond: {} }]",
        "policies: { a: { auth: jwt } }",
    ] {
        let text = format!("version: 1\n{wrong}\n");
        assert!(!validator.is_valid(&json(&text)), "by the schema: {wrong}");
        assert!(load(&text).is_err(), "by the loader: {wrong}");
    }
}

#[test]
fn every_field_has_a_description() {
    fn walk(value: &Value, path: &str, bare: &mut Vec<String>) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            for (name, field) in properties {
                // A field whose type has one shows that, and so does the only field of a form.
                let shown = field.get("$ref").is_some()
                    || properties.len() == 1 && value.get("description").is_some();
                if field.get("description").is_none() && !shown {
                    bare.push(format!("{path}/{name}"));
                }
            }
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    walk(value, &format!("{path}/{name}"), bare);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, path, bare)),
            _ => {}
        }
    }
    let mut bare = Vec::new();
    walk(&schema(), "", &mut bare);
    assert_eq!(bare, [""; 0]);
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// The file as JSON, as an editor sees it.
fn json(text: &str) -> Value {
    try_json(text).expect("the file is YAML")
}

fn try_json(text: &str) -> Option<Value> {
    let mut problems = Vec::new();
    let root = yaml::read(&file("x.yaml", text), &mut 0, &mut problems).ok()??;
    problems.is_empty().then(|| of_node(&root))
}

fn of_node(node: &node::Node) -> Value {
    match &node.kind {
        node::Kind::Map(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), of_node(&entry.value))).collect()
        }
        node::Kind::List(items) => items.iter().map(of_node).collect(),
        node::Kind::Scalar { text, plain: false } => Value::from(text.as_str()),
        node::Kind::Scalar { text, plain: true } => match node::core(text) {
            node::Core::Null => Value::Null,
            node::Core::Bool(value) => Value::from(value),
            node::Core::Int(value) => Value::from(i64::try_from(value).unwrap_or(i64::MAX)),
            node::Core::Float(value) => Value::from(value),
            node::Core::Text => Value::from(text.as_str()),
        },
    }
}
