use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::{Attributes, event};
use serde_json::{Value, json};

use super::{Filter, cesql::Expression, written::DEPTH_MAX, yaml::Yaml};

fn event() -> Attributes {
    Attributes {
        id: "1".to_owned(),
        source: "/shop".to_owned(),
        kind: "com.acme.paid".to_owned(),
        subject: Some("order-7".to_owned()),
        time: Some("2026-01-02T03:04:05+02:00".to_owned()),
        datacontenttype: Some("application/json".to_owned()),
        dataschema: None,
        extensions: vec![
            ("priority".to_owned(), event::Value::Integer(-12)),
            ("urgent".to_owned(), event::Value::Boolean(true)),
            ("tenant".to_owned(), event::Value::String("ACME".to_owned())),
        ],
    }
}

fn holds(filter: Value) -> bool {
    serde_json::from_value::<Filter>(filter).unwrap().holds(&event())
}

fn refused(filter: &Value) -> String {
    // From text, as from a file; a `Value` cannot name one key twice.
    serde_json::from_str::<Filter>(&filter.to_string()).expect_err("it is refused").to_string()
}

#[test]
fn exact_prefix_and_suffix_compare_canonical_strings() {
    assert!(holds(json!({ "exact": { "type": "com.acme.paid", "subject": "order-7" } })));
    assert!(holds(json!({ "exact": { "specversion": "1.0" } })));
    assert!(holds(json!({ "exact": { "priority": "-12", "urgent": "true" } })));
    assert!(holds(json!({ "exact": { "time": "2026-01-02T03:04:05+02:00" } })));
    assert!(holds(json!({ "prefix": { "type": "com.acme.", "priority": "-1", "urgent": "t" } })));
    assert!(holds(
        json!({ "suffix": { "type": ".paid", "priority": "2", "datacontenttype": "n" } })
    ));
    assert!(!holds(json!({ "exact": { "type": "com.acme.paid", "subject": "order-8" } })));
    assert!(!holds(json!({ "prefix": { "type": "acme" } })));
    assert!(!holds(json!({ "suffix": { "type": "com" } })));
}

#[test]
fn letter_case_matters() {
    assert!(!holds(json!({ "exact": { "tenant": "acme" } })));
    assert!(!holds(json!({ "prefix": { "type": "COM." } })));
    assert!(!holds(json!({ "suffix": { "type": ".PAID" } })));
}

#[test]
fn a_missing_attribute_and_an_error_are_a_no() {
    for filter in [
        json!({ "exact": { "dataschema": "x" } }),
        json!({ "prefix": { "other": "x" } }),
        json!({ "suffix": { "type": ".paid", "other": "x" } }),
        json!({ "sql": "other = 'x'" }),
        json!({ "sql": "other != 'x'" }),
        json!({ "sql": "1 / 0 = 0" }),
        json!({ "sql": "priority + 1" }),
    ] {
        assert!(!holds(filter.clone()), "{filter}");
        assert!(holds(json!({ "not": filter })), "{filter}");
    }
}

#[test]
fn filters_combine() {
    let yes = json!({ "exact": { "id": "1" } });
    let no = json!({ "exact": { "id": "2" } });
    let sql = json!({ "sql": "type LIKE 'com.%' AND EXISTS subject" });
    assert!(holds(json!({ "all": [yes, sql] })));
    assert!(!holds(json!({ "all": [yes, no] })));
    assert!(holds(json!({ "any": [no, yes] })));
    assert!(!holds(json!({ "any": [no, no] })));
    assert!(holds(json!({ "not": { "any": [no, { "not": yes }] } })));
}

#[test]
fn what_is_wrong_is_refused_with_what_to_write() {
    for (filter, wanted) in [
        (json!({}), "a filter is empty; write exact, prefix, suffix, all, any, not or sql"),
        (
            json!({ "like": {} }),
            "unknown filter dialect \"like\"; write exact, prefix, suffix, all, any, not or sql",
        ),
        (
            json!({ "Exact": { "id": "1" } }),
            "unknown filter dialect \"Exact\"; write exact, prefix, suffix, all, any, not or sql",
        ),
        (
            json!({ "exact": { "id": "1" }, "sql": "TRUE" }),
            "a filter has one dialect, and here are `exact` and `sql`; \
             write all: [{ exact: .. }, { sql: .. }]",
        ),
        (
            json!({ "exact": {} }),
            "no attribute is named; write at least one, such as { type: com.acme.paid }",
        ),
        (
            json!({ "exact": { "": "a" } }),
            "the name of an attribute is empty; write one, such as `type`",
        ),
        (
            json!({ "prefix": { "subject": "" } }),
            "the text for `subject` is empty; write one, or { sql: \"EXISTS subject\" } \
             if any value will do",
        ),
        (
            json!({ "suffix": { "dataType": "a" } }),
            "no event has an attribute \"dataType\"; write lower-case letters and digits, \
             such as `type`",
        ),
        (
            json!({ "exact": { "data": "a" } }),
            "`data` is not an attribute, and filters see attributes only; write one, \
             such as `type`",
        ),
        (
            json!({ "exact": { "sequence": 5 } }),
            "invalid type: integer `5`, expected a text; write a number, true or false in quotes",
        ),
        (
            json!({ "exact": "type" }),
            "invalid type: string \"type\", expected attributes and their texts, \
             such as { type: com.acme.paid }",
        ),
        (json!({ "all": [] }), "`all` has no filter in it; write at least one"),
        (json!({ "any": [] }), "`any` has no filter in it; write at least one"),
        (
            json!({ "any": { "exact": { "id": "1" } } }),
            "invalid type: map, expected a list of filters, \
             such as any: [{ prefix: { type: com. } }]",
        ),
        (
            json!({ "not": [] }),
            "invalid type: sequence, expected a filter, such as { exact: { type: com.acme.paid } }",
        ),
        (
            json!({ "sql": "type LIKE 5" }),
            "at character 11, `5`: the pattern of LIKE is a text in quotes; write one",
        ),
        (json!({ "sql": "" }), "at the end of the expression: a value is missing; write one"),
        (
            json!({ "any": [{ "not": { "sql": "(" } }] }),
            "at the end of the expression: a value is missing; write one",
        ),
    ] {
        let said = refused(&filter);
        assert!(said.starts_with(wanted), "{filter}: {said}");
    }
    let twice = serde_json::from_str::<Filter>(r#"{ "exact": { "id": "1", "id": "2" } }"#);
    let said = twice.expect_err("it is refused").to_string();
    assert!(said.starts_with("`id` is named twice; write any: [..]"), "{said}");
}

#[test]
fn depth_is_bounded() {
    let deep = |levels| {
        (1..levels).fold(json!({ "exact": { "id": "1" } }), |filter, level| {
            if level % 2 == 0 { json!({ "not": filter }) } else { json!({ "any": [filter] }) }
        })
    };
    assert!(serde_json::from_value::<Filter>(deep(DEPTH_MAX)).is_ok());
    assert!(refused(&deep(DEPTH_MAX + 1)).starts_with("filters stand in each other more than 32"));
}

#[test]
fn the_schema_refers_to_itself_and_knows_every_dialect() {
    let schema = schemars::schema_for!(Filter).to_value();
    let properties = schema["properties"].as_object().unwrap();
    let dialects: Vec<_> = properties.keys().map(String::as_str).collect();
    assert_eq!(dialects, ["exact", "prefix", "suffix", "all", "any", "not", "sql"]);
    assert!(properties.values().all(|property| property["description"].is_string()));
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["all"]["items"]["$ref"], "#");
    assert_eq!(schema["properties"]["not"]["allOf"][0]["$ref"], "#");
}

#[test]
fn the_guide_shows_filters_that_load() {
    let guide = include_str!("../../../docs/filters.md");
    let blocks = |language: &str| {
        let open = format!("```{language}\n");
        let blocks = guide.split(&open).skip(1).map(|block| block.split("```").next().unwrap());
        blocks.collect::<Vec<_>>()
    };
    let mut shown = 0;
    for block in blocks("yaml") {
        let block = Yaml::parse(block);
        let mut lists = Vec::new();
        block.every("filters", &mut lists);
        for list in lists {
            let filters: Vec<Filter> = serde_json::from_value(list.json()).unwrap();
            shown += filters.len();
        }
    }
    for expression in blocks("sql").iter().flat_map(|block| block.lines()) {
        Expression::for_filter(expression).unwrap();
        shown += 1;
    }
    assert!(shown > 15, "{shown}");
}

const NAMES: [&str; 8] =
    ["type", "subject", "source", "id", "priority", "urgent", "tenant", "specversion"];

fn texts() -> impl Strategy<Value = String> {
    // Few letters, so that texts often meet.
    prop_oneof!["[ab]{1,3}", "-?[12]{1,2}", Just("true".to_owned()), Just("1.0".to_owned())]
}

fn conditions() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(prop::sample::select(NAMES.to_vec()), texts(), 1..3)
        .prop_map(|map| json!(map))
}

fn filters() -> impl Strategy<Value = Value> {
    let leaf = (prop::sample::select(vec!["exact", "prefix", "suffix"]), conditions())
        .prop_map(|(dialect, conditions)| json!({ dialect: conditions }));
    leaf.prop_recursive(5, 40, 4, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            several.clone().prop_map(|filters| json!({ "all": filters })),
            several.prop_map(|filters| json!({ "any": filters })),
            inner.prop_map(|filter| json!({ "not": filter })),
        ]
    })
}

fn events() -> impl Strategy<Value = Attributes> {
    let extension = prop_oneof![
        texts().prop_map(event::Value::String),
        (-22..23).prop_map(event::Value::Integer),
        any::<bool>().prop_map(event::Value::Boolean),
    ];
    let names = prop::sample::subsequence(vec!["priority", "urgent", "tenant"], 0..=3);
    let strings = (texts(), texts(), texts(), prop::option::of(texts()));
    (strings, names, prop::collection::vec(extension, 3)).prop_map(
        |((id, source, kind, subject), names, values)| Attributes {
            id,
            source,
            kind,
            subject,
            extensions: names.into_iter().map(str::to_owned).zip(values).collect(),
            ..Attributes::default()
        },
    )
}

/// An event as names and canonical strings.
fn canonical(event: &Attributes) -> BTreeMap<&str, String> {
    let mut map = BTreeMap::from([
        ("specversion", "1.0".to_owned()),
        ("id", event.id.clone()),
        ("source", event.source.clone()),
        ("type", event.kind.clone()),
    ]);
    map.extend(event.subject.clone().map(|subject| ("subject", subject)));
    map.extend(event.extensions.iter().map(|(name, value)| {
        let text = match value {
            event::Value::String(text) => text.clone(),
            event::Value::Integer(number) => number.to_string(),
            event::Value::Boolean(truth) => truth.to_string(),
        };
        (name.as_str(), text)
    }));
    map
}

/// A filter read straight from what is written.
fn naive(filter: &Value, event: &BTreeMap<&str, String>) -> bool {
    let (dialect, inside) = filter.as_object().unwrap().iter().next().unwrap();
    let each = |fits: fn(&str, &str) -> bool| {
        inside.as_object().unwrap().iter().all(|(name, wanted)| match event.get(name.as_str()) {
            Some(found) => fits(found, wanted.as_str().unwrap()),
            None => false,
        })
    };
    match dialect.as_str() {
        "exact" => each(|found, wanted| found == wanted),
        "prefix" => each(|found, wanted| found.starts_with(wanted)),
        "suffix" => each(|found, wanted| found.ends_with(wanted)),
        "all" => inside.as_array().unwrap().iter().all(|filter| naive(filter, event)),
        "any" => inside.as_array().unwrap().iter().any(|filter| naive(filter, event)),
        "not" => !naive(inside, event),
        other => panic!("{other}"),
    }
}

/// The same filter as an expression. Missing attributes are asked for first, as an error anywhere
/// would be a no for the whole.
fn in_sql(filter: &Value) -> String {
    let (dialect, inside) = filter.as_object().unwrap().iter().next().unwrap();
    let joined = |word: &str| {
        let parts: Vec<_> = inside.as_array().unwrap().iter().map(in_sql).collect();
        format!("({})", parts.join(word))
    };
    let each = |before: &str, after: &str| {
        let parts = inside.as_object().unwrap().iter().map(|(name, wanted)| {
            format!("EXISTS {name} AND {name} {before}{}{after}", wanted.as_str().unwrap())
        });
        format!("({})", parts.collect::<Vec<_>>().join(" AND "))
    };
    match dialect.as_str() {
        "exact" => each("= '", "'"),
        "prefix" => each("LIKE '", "%'"),
        "suffix" => each("LIKE '%", "'"),
        "all" => joined(" AND "),
        "any" => joined(" OR "),
        _ => format!("(NOT {})", in_sql(inside)),
    }
}

proptest! {
    #[test]
    fn a_filter_agrees_with_a_naive_reading_and_with_sql(written in filters(), event in events()) {
        let filter: Filter = serde_json::from_value(written.clone()).unwrap();
        let wanted = naive(&written, &canonical(&event));
        prop_assert_eq!(filter.holds(&event), wanted);
        let sql: Filter = serde_json::from_value(json!({ "sql": in_sql(&written) })).unwrap();
        prop_assert_eq!(sql.holds(&event), wanted, "{}", in_sql(&written));
    }

    #[test]
    fn a_filter_prints_what_was_written(written in filters()) {
        let filter: Filter = serde_json::from_value(written.clone()).unwrap();
        prop_assert_eq!(serde_json::to_value(&filter).unwrap(), written);
    }
}

#[test]
fn an_expression_prints_as_it_was_written() {
    let written = json!({ "sql": " type  like 'a%'" });
    let filter: Filter = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&filter).unwrap(), written);
}
