//! docs/configuration.md: every block of YAML in it loads, and its tables name exactly the fields
//! that there are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{lines, load};
use crate::config::schema;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md"));

/// What the page says that its examples leave out.
const LEFT_OUT: &str = "upstreams:
  web: { kind: http, url: http://127.0.0.1:9000 }
  new: { kind: http, url: http://127.0.0.1:9001 }
  bus: { kind: nats, url: nats://127.0.0.1:4222 }
";

#[test]
fn every_example_of_the_page_loads() {
    let mut count = 0;
    for block in PAGE.split("```yaml\n").skip(1) {
        let (block, _) = block.split_once("```").expect("a block has an end");
        let has = |section: &str| block.lines().any(|line| line.starts_with(section));
        let mut whole = block.to_owned();
        if !has("version:") {
            whole.insert_str(0, "version: 1\n");
        }
        if !has("upstreams:") {
            whole.push_str(LEFT_OUT);
        }
        if let Err(problems) = load(&whole) {
            panic!("{}\n{whole}", lines(&problems).join("\n"));
        }
        count += 1;
    }
    assert!(count > 12, "the page has {count} examples");
}

#[test]
fn the_tables_of_the_page_name_exactly_the_fields_that_there_are() {
    assert_eq!(of_the_page(), of_the_schema());
}

/// The first column of the table behind each `<!-- fields of X -->`.
fn of_the_page() -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for part in PAGE.split("<!-- fields of ").skip(1) {
        let (name, rest) = part.split_once(" -->").expect("a comment has an end");
        let rows = rest.lines().skip_while(|line| !line.starts_with('|'));
        let fields: BTreeSet<String> = rows
            .take_while(|line| line.starts_with('|'))
            .filter_map(|row| row.strip_prefix("| `")?.split_once('`'))
            .map(|(field, _)| field.to_owned())
            .collect();
        assert!(!fields.is_empty(), "no table behind {name}");
        assert!(all.insert(name.to_owned(), fields).is_none(), "two tables of {name}");
    }
    all
}

/// The fields of everything that the schema has a name for.
fn of_the_schema() -> BTreeMap<String, BTreeSet<String>> {
    let schema = schema();
    let mut all = BTreeMap::from([("the file".to_owned(), fields(&schema))]);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        if name == "Upstream" {
            for kind in definition["oneOf"].as_array().unwrap() {
                let name = kind["properties"]["kind"]["const"].as_str().unwrap();
                all.insert(format!("kind {name}"), fields(kind));
            }
        } else if !fields(definition).is_empty() {
            all.insert(name.clone(), fields(definition));
        }
    }
    all
}

fn fields(schema: &Value) -> BTreeSet<String> {
    let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let forms = ["oneOf", "anyOf"].into_iter().filter_map(|form| schema[form].as_array()).flatten();
    own.chain(forms.flat_map(fields)).collect()
}
