//! The official conformance vectors. They are no part of this repository: `GUSSET_VECTORS` names the
//! folder that holds `cloudevents-conformance`. Without it the tests say so and return.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use saphyr_parser::{Event as Yaml, Parser};

use super::structured;
use crate::{
    Attributes, Value,
    cloudevents::{
        Arrival, STRUCTURED_JSON, arrival, attributes::Gathered, read_binary, write_binary,
        write_structured,
    },
};

/// The text of a vector file, if the vectors are here.
fn vector(path: &str) -> Option<String> {
    let Some(root) = std::env::var_os("GUSSET_VECTORS").map(PathBuf::from) else {
        println!("skipped: set GUSSET_VECTORS");
        return None;
    };
    let file = root.join("cloudevents-conformance").join(path);
    Some(fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display())))
}

/// The events of a YAML file: attributes by name, and the data.
fn events(text: &str) -> Vec<(Vec<(String, String)>, String)> {
    let mut events = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut key: Option<String> = None;
    for event in Parser::new_from_str(text) {
        match event.unwrap().0 {
            Yaml::DocumentStart(_) => events.push((Vec::new(), String::new())),
            Yaml::MappingStart(..) => path.push(key.take().unwrap_or_default()),
            Yaml::MappingEnd => drop(path.pop()),
            Yaml::Scalar(text, ..) => match key.take() {
                None => key = Some(text.into_owned()),
                Some(name) => {
                    let (attributes, data) = events.last_mut().unwrap();
                    match path.last().map(String::as_str) {
                        // The block's last line break is YAML's, not the value's: no attribute
                        // could hold it.
                        Some("ContextAttributes" | "Extensions") => {
                            attributes.push((name, text.trim_end().to_owned()));
                        }
                        _ if name == "Data" => *data = text.into_owned(),
                        _ => {}
                    }
                }
            },
            _ => {}
        }
    }
    events
}

fn gathered(attributes: &[(String, String)]) -> Attributes {
    let mut gathered = Gathered::default();
    for (name, value) in attributes {
        gathered.put(name, Value::String(value.clone())).unwrap();
    }
    gathered.done().unwrap()
}

#[test]
fn the_events_of_the_suite_pass_through_both_modes() {
    let mut count = 0;
    for file in ["yaml/v1.yaml", "yaml/v1.0/v1_minimum.yaml"] {
        let Some(text) = vector(file) else { return };
        for (attributes, data) in events(&text) {
            let (attributes, data) = (gathered(&attributes), Bytes::from(data));
            let mut headers = HeaderMap::new();
            write_binary(&attributes, &mut headers);
            assert_eq!(read_binary(&headers).unwrap(), attributes);
            let written = write_structured(&attributes, &data);
            assert_eq!(structured(written).unwrap(), (attributes, data));
            count += 1;
        }
    }
    assert_eq!(count, 8);
}

#[test]
fn the_events_of_another_version_are_refused() {
    let mut count = 0;
    for file in ["yaml/v03.yaml", "yaml/v0.3/v03_minimum.yaml"] {
        let Some(text) = vector(file) else { return };
        for (attributes, _) in events(&text) {
            let mut headers = HeaderMap::new();
            for (name, value) in attributes.iter().filter(|(name, _)| name != "datacontenttype") {
                let name = HeaderName::try_from(format!("ce-{name}")).unwrap();
                headers.insert(name, HeaderValue::from_str(&value.replace('"', "%22")).unwrap());
            }
            assert_eq!(arrival(&headers), Arrival::Binary);
            let malformed = read_binary(&headers).unwrap_err();
            assert_eq!(malformed.attribute.as_deref(), Some("specversion"));
            count += 1;
        }
    }
    assert_eq!(count, 7);
}

#[test]
fn the_scenarios_of_the_http_binding_hold() {
    let Some(text) = vector("features/http-protocol-binding.feature") else { return };
    let mut count = 0;
    for scenario in text.split("Scenario Outline:").skip(1) {
        let (steps, examples) = scenario.split_once("Examples:").unwrap();
        for example in examples.lines().filter_map(cells).skip(1) {
            let steps = steps.replace("<contentType>", &example[0]);
            let mut blocks = steps.split("\"\"\"").skip(1).step_by(2);
            let (headers, body) = request(blocks.next().unwrap());
            let expected: Vec<_> = steps.lines().filter_map(cells).skip(1).collect();
            let expected_data: serde_json::Value =
                serde_json::from_str(blocks.next().unwrap()).unwrap();

            let (attributes, data) = match arrival(&headers) {
                Arrival::Binary => (read_binary(&headers).unwrap(), body),
                Arrival::Structured => structured(body).unwrap(),
                other => panic!("{other:?}"),
            };
            let expected: Vec<_> =
                expected.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
            assert_eq!(attributes, gathered(&expected));
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&data).unwrap(), expected_data);
            count += 1;
        }
    }
    assert_eq!(count, 4);
    assert!(text.contains(STRUCTURED_JSON));
}

/// The cells of a table's row.
fn cells(line: &str) -> Option<Vec<String>> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(row.split('|').map(|cell| cell.trim().to_owned()).collect())
}

/// The headers and body of an indented request.
fn request(text: &str) -> (HeaderMap, Bytes) {
    let mut lines = text.lines().map(str::trim).skip(2);
    let mut headers = HeaderMap::new();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    (headers, lines.collect::<Vec<_>>().join("\n").into())
}
