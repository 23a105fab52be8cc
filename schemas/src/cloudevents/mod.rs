//! CloudEvents 1.0 on the wire: the HTTP binding in its three modes, the JSON format, the headers
//! of broker messages and the webhook handshake. Pure: no IO, no clock.
//!
//! [`arrival`] tells from a request's head what is coming; [`read_binary`], [`read_structured`] and
//! [`read_batch`] make checked events of it; the `write_…` functions are their way back. Data is
//! bytes and stays byte for byte the same through all of them: JSON is scanned, never parsed and
//! printed anew.
//!
//! The rules come from the [specification](https://github.com/cloudevents/spec) in its version 1.0;
//! docs/decisions/0001-own-event-type.md tells why this is not the official crate.

mod attributes;
mod check;
mod headers;
#[cfg(any(test, feature = "interop"))]
mod interop;
mod json;
mod message;
mod value;
pub mod webhook;

#[cfg(test)]
mod tests;

use std::fmt;

use http::{HeaderMap, HeaderName, header::CONTENT_TYPE};

pub use headers::{read_binary, remove_binary, write_binary};
pub use json::{read_batch, read_structured, write_batch, write_structured};
pub use message::{amqp_headers, message_headers, read_message};
pub use value::{decode_value, encode_value};

/// The media type of one event in the JSON format.
pub const STRUCTURED_JSON: &str = "application/cloudevents+json";

/// The media type of a batch in the JSON format.
pub const BATCH_JSON: &str = "application/cloudevents-batch+json";

/// What a request is, told from its head alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A plain HTTP request.
    Plain,
    /// An event with its attributes in headers.
    Binary,
    /// One event as a JSON document.
    Structured,
    /// Several events as a JSON array.
    Batch,
    /// An event in a format that is not known here; its media type. HTTP's answer is 415.
    Unknown(String),
}

/// Why something is no CloudEvent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong and what to write instead: a sentence for the caller that shows no data.
    pub what: String,
    /// The attribute that is wrong, where it is one.
    pub attribute: Option<String>,
    /// Which event of a batch is wrong; the first is 0.
    pub index: Option<usize>,
}

/// Tells from the head what a request is (HTTP binding, section 3). A request with any of the four
/// required attributes is an event, so that a broken one is refused and never passes as plain.
///
/// A plain request costs five look-ups and no memory.
#[must_use]
pub fn arrival(headers: &HeaderMap) -> Arrival {
    let media = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    if let Some(arrival) = media.and_then(by_content_type) {
        return arrival;
    }
    let required = [&SPECVERSION, &ID, &SOURCE, &TYPE];
    if required.into_iter().any(|name| headers.contains_key(name)) {
        Arrival::Binary
    } else {
        Arrival::Plain
    }
}

/// What a Content-Type alone tells: an event in the body, or `None`. Media types are compared
/// without regard to case, and their parameters are not.
#[must_use]
pub fn by_content_type(value: &[u8]) -> Option<Arrival> {
    const EVENTS: &[u8] = b"application/cloudevents";
    let value = value.trim_ascii_start();
    if !value.get(..EVENTS.len())?.eq_ignore_ascii_case(EVENTS) {
        return None;
    }
    let media = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii_end();
    Some(if media.eq_ignore_ascii_case(BATCH_JSON.as_bytes()) {
        Arrival::Batch
    } else if media.eq_ignore_ascii_case(STRUCTURED_JSON.as_bytes()) {
        Arrival::Structured
    } else {
        Arrival::Unknown(String::from_utf8_lossy(media).into_owned())
    })
}

static SPECVERSION: HeaderName = HeaderName::from_static("ce-specversion");
static ID: HeaderName = HeaderName::from_static("ce-id");
static SOURCE: HeaderName = HeaderName::from_static("ce-source");
static TYPE: HeaderName = HeaderName::from_static("ce-type");

impl Malformed {
    /// Something is wrong that is no attribute's fault.
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), attribute: None, index: None }
    }

    /// This attribute is wrong; `what` goes on from its name, which is shown if it is short and
    /// printable: it may be anything that a caller wrote.
    fn of(name: &str, what: impl fmt::Display) -> Self {
        let shown = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic());
        if !shown {
            return Self::new(format!("an attribute {what}"));
        }
        let what = format!("`{name}` {what}");
        Self { what, attribute: Some(name.to_owned()), index: None }
    }

    /// This is no attribute's name.
    fn name(name: &str) -> Self {
        Self::of(
            name,
            "is no attribute's name; write lower-case letters and digits, and not `data`",
        )
    }

    /// The same, said of an event in a batch.
    fn at(self, index: usize) -> Self {
        Self { index: Some(index), ..self }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(out, "event {index} of the batch: {}", self.what),
            None => out.write_str(&self.what),
        }
    }
}

impl std::error::Error for Malformed {}
