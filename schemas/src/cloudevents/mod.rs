//! The CloudEvents formats.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::Attributes;

/// The media type of one event in JSON.
pub const STRUCTURED_JSON: &str = "application/cloudevents+json";

/// Writes the attributes into headers.
pub fn write_binary(attributes: &Attributes, headers: &mut HeaderMap) {
    let pairs = [
        ("ce-specversion", "1.0"),
        ("ce-id", &attributes.id),
        ("ce-source", &attributes.source),
        ("ce-type", &attributes.kind),
    ];
    for (name, value) in pairs {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    if let Some(Ok(value)) = attributes.datacontenttype.as_deref().map(HeaderValue::from_str) {
        headers.insert("content-type", value);
    }
}

/// Removes every attribute from headers.
pub fn remove_binary(headers: &mut HeaderMap) {
    for name in ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject"] {
        headers.remove(name);
    }
}

/// Writes one event as JSON.
#[must_use]
pub fn write_structured(attributes: &Attributes, data: &Bytes) -> Bytes {
    let event = serde_json::json!({
        "specversion": "1.0", "id": attributes.id, "source": attributes.source,
        "type": attributes.kind, "data": String::from_utf8_lossy(data),
    });
    Bytes::from(event.to_string())
}
