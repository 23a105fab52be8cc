//! The CloudEvents formats.

use bytes::Bytes;

use crate::{Attributes, Value};

/// The media type of one event in the JSON format.
pub const STRUCTURED_JSON: &str = "application/cloudevents+json";

/// Why something is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// A sentence for the caller.
    pub what: String,
    /// The attribute.
    pub attribute: Option<String>,
    /// The place in a batch.
    pub index: Option<usize>,
}

/// The attributes as headers of a message.
#[must_use]
pub fn message_headers(attributes: &Attributes) -> Vec<(String, String)> {
    let mut out = vec![
        ("ce-specversion".to_owned(), "1.0".to_owned()),
        ("ce-id".to_owned(), encode_value(&attributes.id)),
        ("ce-source".to_owned(), encode_value(&attributes.source)),
        ("ce-type".to_owned(), encode_value(&attributes.kind)),
    ];
    for (name, value) in [
        ("subject", &attributes.subject),
        ("time", &attributes.time),
        ("datacontenttype", &attributes.datacontenttype),
        ("dataschema", &attributes.dataschema),
    ] {
        if let Some(value) = value {
            out.push((format!("ce-{name}"), encode_value(value)));
        }
    }
    for (name, value) in &attributes.extensions {
        let value = match value {
            Value::String(text) => encode_value(text),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(yes) => yes.to_string(),
        };
        out.push((format!("ce-{name}"), value));
    }
    out
}

/// The attributes of a message's headers.
///
/// # Errors
/// If they are no event's.
pub fn read_message<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Option<Attributes>, Malformed> {
    let mut found = false;
    let mut attributes = Attributes::default();
    for (name, value) in headers {
        let Some(name) = name.to_ascii_lowercase().strip_prefix("ce-").map(str::to_owned) else {
            continue;
        };
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
        match name.as_str() {
            "specversion" => found = true,
            "id" => attributes.id = value,
            "source" => attributes.source = value,
            "type" => attributes.kind = value,
            "subject" => attributes.subject = Some(value),
            "time" => attributes.time = Some(value),
            "datacontenttype" => attributes.datacontenttype = Some(value),
            "dataschema" => attributes.dataschema = Some(value),
            _ => attributes.extensions.push((name, Value::String(value))),
        }
    }
    Ok(found.then_some(attributes))
}

/// One event as a JSON document.
#[must_use]
pub fn write_structured(attributes: &Attributes, data: &Bytes) -> Bytes {
    let mut out = serde_json::json!({
        "specversion": "1.0", "id": attributes.id, "source": attributes.source,
        "type": attributes.kind,
    });
    if let Ok(data) = serde_json::from_slice::<serde_json::Value>(data) {
        out["data"] = data;
    }
    out.to_string().into()
}

/// A header value, percent-encoded.
#[must_use]
pub fn encode_value(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, VALUE).to_string()
}

const VALUE: &percent_encoding::AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'%');
