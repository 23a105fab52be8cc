//! An event as a message: `io.cloudevents.v1.CloudEvent` (CloudEvents Protobuf Event Format 1.0).

use jiff::Timestamp;
use schemas::{Attributes, Value};

use super::wire::{put, put_number};

/// The message that a method takes which is given events.
pub(super) const CLOUD_EVENT: &str = "io.cloudevents.v1.CloudEvent";

/// Fields of CloudEvent.
const ID: u64 = 1;
const SOURCE: u64 = 2;
const SPEC_VERSION: u64 = 3;
const TYPE: u64 = 4;
const ATTRIBUTES: u64 = 5;
const BINARY_DATA: u64 = 6;
const TEXT_DATA: u64 = 7;
/// Fields of CloudEvent.CloudEventAttributeValue.
const CE_BOOLEAN: u64 = 1;
const CE_INTEGER: u64 = 2;
const CE_STRING: u64 = 3;
const CE_URI: u64 = 5;
const CE_TIMESTAMP: u64 = 7;

/// The message of an event. Data is text where it is UTF-8 of a media type that is text, so that it
/// comes out byte for byte either way.
pub(super) fn message(attributes: &Attributes, data: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(data.len() + 256);
    put(&mut message, ID, attributes.id.as_bytes());
    put(&mut message, SOURCE, attributes.source.as_bytes());
    put(&mut message, SPEC_VERSION, b"1.0");
    put(&mut message, TYPE, attributes.kind.as_bytes());
    let mut attribute = |name: &str, value: &[u8]| {
        let mut entry = Vec::with_capacity(name.len() + value.len() + 4);
        put(&mut entry, 1, name.as_bytes());
        put(&mut entry, 2, value);
        put(&mut message, ATTRIBUTES, &entry);
    };
    if let Some(media) = &attributes.datacontenttype {
        attribute("datacontenttype", &text(CE_STRING, media));
    }
    if let Some(schema) = &attributes.dataschema {
        attribute("dataschema", &text(CE_URI, schema));
    }
    if let Some(subject) = &attributes.subject {
        attribute("subject", &text(CE_STRING, subject));
    }
    if let Some(time) = &attributes.time {
        attribute("time", &timestamp(time));
    }
    for (name, value) in &attributes.extensions {
        attribute(name, &extension(value));
    }
    if !data.is_empty() {
        let is_text = attributes.datacontenttype.as_deref().is_none_or(is_text);
        let is_text = is_text && std::str::from_utf8(data).is_ok();
        put(&mut message, if is_text { TEXT_DATA } else { BINARY_DATA }, data);
    }
    message
}

/// Without a media type the data of an event is JSON.
fn is_text(media: &str) -> bool {
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.starts_with("text/")
        || ["json", "xml"]
            .iter()
            .any(|kind| media.strip_suffix(kind).is_some_and(|front| front.ends_with(['/', '+'])))
}

fn text(number: u64, text: &str) -> Vec<u8> {
    let mut value = Vec::with_capacity(text.len() + 4);
    put(&mut value, number, text.as_bytes());
    value
}

/// A `google.protobuf.Timestamp { seconds = 1, nanos = 2 }`; as text if it is out of its range, as
/// the second 60 is.
fn timestamp(time: &str) -> Vec<u8> {
    let Ok(instant) = time.parse::<Timestamp>() else { return text(CE_STRING, time) };
    let at = instant.as_nanosecond();
    let seconds = at.div_euclid(1_000_000_000);
    let nanos = at.rem_euclid(1_000_000_000);
    let mut inner = Vec::with_capacity(16);
    // A negative number is its two's complement on the wire.
    put_number(&mut inner, 1, i64::try_from(seconds).unwrap_or_default().cast_unsigned());
    put_number(&mut inner, 2, u64::try_from(nanos).unwrap_or_default());
    let mut value = Vec::with_capacity(inner.len() + 2);
    put(&mut value, CE_TIMESTAMP, &inner);
    value
}

fn extension(value: &Value) -> Vec<u8> {
    let mut written = Vec::new();
    match value {
        Value::String(said) => written = text(CE_STRING, said),
        Value::Integer(number) => {
            put_number(&mut written, CE_INTEGER, i64::from(*number).cast_unsigned());
        }
        Value::Boolean(yes) => put_number(&mut written, CE_BOOLEAN, u64::from(*yes)),
    }
    written
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};
    use transcoding::{Binding, Descriptors, Options};

    use super::*;

    /// The message as somebody reads it who has the type of the specification.
    fn read(attributes: &Attributes, data: &[u8]) -> Json {
        const PROTO: &str = include_str!("../../../tests/grpc/cloudevents.proto");
        const SERVICE: &str = r#"
            syntax = "proto3";
            import "cloudevents.proto";
            service Events { rpc Take(Nothing) returns (io.cloudevents.v1.CloudEvent); }
            message Nothing {}
        "#;
        let descriptors = Descriptors::compile(["service.proto"], |name| {
            Ok(match name {
                "service.proto" => Some(SERVICE.to_owned()),
                "cloudevents.proto" => Some(PROTO.to_owned()),
                _ => None,
            })
        });
        let descriptors = descriptors.unwrap();
        let method = descriptors.method("Events/Take").unwrap();
        let binding = Binding::of_method(&descriptors, method);
        let text = binding.response(&message(attributes, data), &Options::default()).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn attributes() -> Attributes {
        Attributes {
            id: "1".into(),
            source: "/a".into(),
            kind: "t".into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn every_attribute_is_in_the_message_with_its_type() {
        let all = Attributes {
            subject: Some("s".into()),
            time: Some("2024-02-29T12:00:00.5+01:00".into()),
            datacontenttype: Some("application/json".into()),
            dataschema: Some("https://example.com/schema".into()),
            extensions: vec![
                ("tenant".into(), Value::String("a".into())),
                ("number".into(), Value::Integer(-3)),
                ("sampled".into(), Value::Boolean(true)),
                ("off".into(), Value::Boolean(false)),
            ],
            ..attributes()
        };
        let expected = json!({
            "id": "1",
            "source": "/a",
            "specVersion": "1.0",
            "type": "t",
            "attributes": {
                "datacontenttype": { "ceString": "application/json" },
                "dataschema": { "ceUri": "https://example.com/schema" },
                "subject": { "ceString": "s" },
                "time": { "ceTimestamp": "2024-02-29T11:00:00.500Z" },
                "tenant": { "ceString": "a" },
                "number": { "ceInteger": -3 },
                "sampled": { "ceBoolean": true },
                "off": { "ceBoolean": false },
            },
            "textData": r#"{"a":1}"#,
        });
        assert_eq!(read(&all, br#"{"a":1}"#), expected);
    }

    #[test]
    fn data_is_text_only_where_its_media_type_and_its_bytes_are() {
        for (media, data, field) in [
            (None, &b"{}"[..], Some("textData")),
            (Some("application/vnd.acme+json; charset=utf-8"), b"{}", Some("textData")),
            (Some("text/plain"), b"hello", Some("textData")),
            (Some("text/plain"), b"\xFF", Some("binaryData")),
            (Some("application/octet-stream"), b"hello", Some("binaryData")),
            (Some("application/json"), b"", None),
        ] {
            let all = Attributes { datacontenttype: media.map(str::to_owned), ..attributes() };
            let read = read(&all, data);
            let found = ["textData", "binaryData"].into_iter().find(|name| !read[name].is_null());
            assert_eq!(found, field, "{media:?} {data:?}");
        }
    }

    #[test]
    fn a_time_before_1970_and_one_that_is_no_instant_are_kept() {
        let at = |time: &str| {
            let all = Attributes { time: Some(time.into()), ..attributes() };
            read(&all, b"")["attributes"]["time"].clone()
        };
        assert_eq!(
            at("1969-12-31T23:59:59.75Z"),
            json!({ "ceTimestamp": "1969-12-31T23:59:59.750Z" })
        );
        let beyond = at("9999-12-31T23:59:59.999-12:00");
        assert!(beyond["ceTimestamp"].is_string() || beyond["ceString"].is_string(), "{beyond}");
    }
}
