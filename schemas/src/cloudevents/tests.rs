//! What holds over the whole codec: the JSON format's own cases, every way through every mode, the
//! official conformance vectors, and the official SDK beside ours.

mod differential;
mod format;
mod round_trip;
mod vectors;

use bytes::Bytes;

use super::Malformed;
use crate::{Attributes, Context, Event};

/// An event's attributes and bytes.
fn parts(event: Event) -> (Attributes, Bytes) {
    let data = event.data.whole().expect("a decoded event is in memory");
    match event.context {
        Context::Event(attributes, _) => (*attributes, data),
        Context::Plain | Context::Opaque(_) => panic!("a decoded event has attributes"),
    }
}

/// Reads a structured event.
fn structured(json: impl Into<Bytes>) -> Result<(Attributes, Bytes), Malformed> {
    super::read_structured(&json.into()).map(parts)
}

/// A structured event with the required attributes and these members.
fn envelope(members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{comma}{members}}}"#)
}
