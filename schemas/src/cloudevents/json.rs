//! The JSON format, of one event and of batches.
//!
//! The envelope is scanned, not parsed into a tree: JSON data is the slice of the input that holds
//! it, with its numbers, its order of keys and its blanks. The scan does not recurse, so that depth
//! costs no stack, and its memory is bounded by the input's size.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::{
    Malformed,
    attributes::{Gathered, no_name_twice},
    check,
};
use crate::{Attributes, Body, Context, Event, Mode, Value};

/// Reads one event in the JSON format.
///
/// # Errors
/// [`Malformed`] says what is wrong: the JSON, an attribute, or the data.
pub fn read_structured(bytes: &Bytes) -> Result<Event, Malformed> {
    let envelope: Envelope<'_> =
        serde_json::from_str(text(bytes)?).map_err(|why| not(&why, "object"))?;
    envelope.event(bytes, Mode::Structured)
}

/// Reads a batch in the JSON format. It may be empty.
///
/// # Errors
/// [`Malformed`] says what is wrong, and at which index.
pub fn read_batch(bytes: &Bytes) -> Result<Vec<Event>, Malformed> {
    let elements: Vec<&RawValue> =
        serde_json::from_str(text(bytes)?).map_err(|why| not(&why, "array of events"))?;
    let read = |(index, element): (usize, &RawValue)| {
        let envelope: Result<Envelope<'_>, _> = serde_json::from_str(element.get());
        envelope
            .map_err(|why| not(&why, "object"))
            .and_then(|envelope| envelope.event(bytes, Mode::Batch))
            .map_err(|malformed| malformed.at(index))
    };
    elements.into_iter().enumerate().map(read).collect()
}

/// Writes one event, whose attributes are checked, in the JSON format. Data is embedded as `data` if
/// its content type is JSON and it is valid UTF-8 JSON without blanks around it, else as
/// `data_base64`: reading gives the same bytes.
#[must_use]
pub fn write_structured(attributes: &Attributes, data: &Bytes) -> Bytes {
    let mut out = Vec::with_capacity(256 + data.len().div_ceil(3) * 4);
    put_event(attributes, data, &mut out);
    out.into()
}

/// Writes a batch in the JSON format, each event as [`write_structured`] does.
#[must_use]
pub fn write_batch(events: &[(&Attributes, &Bytes)]) -> Bytes {
    let mut out = vec![b'['];
    for (index, (attributes, data)) in events.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put_event(attributes, data, &mut out);
    }
    out.push(b']');
    out.into()
}

/// The members of a JSON object in their order, those with the same name too.
struct Envelope<'j>(SmallVec<[(Cow<'j, str>, &'j RawValue); 12]>);

/// A member's name, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'j>(#[serde(borrow)] Cow<'j, str>);

impl Envelope<'_> {
    fn event(&self, whole: &Bytes, mode: Mode) -> Result<Event, Malformed> {
        let mut names: SmallVec<[&str; 12]> = self.0.iter().map(|(name, _)| &**name).collect();
        no_name_twice(&mut names)?;

        let (mut data, mut base64) = (None, None);
        let mut gathered = Gathered::default();
        for (name, raw) in &self.0 {
            match &**name {
                "data" => data = Some(*raw),
                "data_base64" => base64 = Some(*raw).filter(|raw| !is_null(raw)),
                name if !check::name(name) => return Err(Malformed::name(name)),
                name => {
                    if let Some(value) = attribute(name, raw)? {
                        gathered.put(name, value)?;
                    }
                }
            }
        }
        // What has no content type is JSON, unless it is bytes, of which nothing is known.
        if data.is_some() && !gathered.has("datacontenttype") {
            gathered.put("datacontenttype", Value::String("application/json".to_owned()))?;
        }
        let attributes = gathered.done()?;
        let data = match (data, base64) {
            (Some(_), Some(_)) => {
                return Err(Malformed::new("an event has `data` or `data_base64`, not both"));
            }
            (Some(raw), None) => embedded(raw, attributes.datacontenttype.as_deref(), whole)?,
            (None, Some(raw)) => encoded(raw)?,
            (None, None) => Bytes::new(),
        };
        Ok(Event { context: Context::Event(Box::new(attributes), mode), data: Body::from(data) })
    }
}

/// An attribute's value by the mapping of types (section 2.2); `None` for `null`, which is unset.
fn attribute(name: &str, raw: &RawValue) -> Result<Option<Value>, Malformed> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b't') => Ok(Some(Value::Boolean(true))),
        Some(b'f') => Ok(Some(Value::Boolean(false))),
        Some(b'"') => match serde_json::from_str(text) {
            Ok(text) => Ok(Some(Value::String(text))),
            Err(_) => Err(Malformed::of(name, "has half of a surrogate pair; write both or none")),
        },
        Some(b'[' | b'{') => Err(Malformed::of(
            name,
            "is an array or object; attributes are strings, whole numbers or booleans",
        )),
        _ => match text.parse() {
            Ok(number) => Ok(Some(Value::Integer(number))),
            Err(_) => Err(Malformed::of(
                name,
                "is not a whole number of 32 bits; write other numbers as strings",
            )),
        },
    }
}

/// The bytes of `data` (section 3.1.2): JSON as it stands, or what a string says.
fn embedded(raw: &RawValue, media_type: Option<&str>, whole: &Bytes) -> Result<Bytes, Malformed> {
    let media_type = media_type.unwrap_or("application/json");
    if check::is_json(media_type) {
        return Ok(whole.slice_ref(raw.get().as_bytes()));
    }
    let text: Cow<'_, str> = match serde_json::from_str(raw.get()) {
        Ok(Name(text)) => text,
        Err(_) => {
            return Err(Malformed::new(
                "`data` is not a string, though `datacontenttype` is not JSON; write a string or `data_base64`",
            ));
        }
    };
    // A JSON string holds characters, and only for UTF-8 is it certain which bytes they stand for.
    let utf8 = check::charset(media_type).is_none_or(|charset| {
        charset.eq_ignore_ascii_case("utf-8")
            || text.is_ascii() && !charset.to_ascii_lowercase().starts_with("utf-")
    });
    if !utf8 {
        return Err(Malformed::new(
            "`data` is text in another charset than UTF-8; write its bytes as `data_base64`",
        ));
    }
    Ok(match text {
        Cow::Borrowed(text) => whole.slice_ref(text.as_bytes()),
        Cow::Owned(text) => text.into(),
    })
}

/// The bytes of `data_base64` (RFC 4648, section 4).
fn encoded(raw: &RawValue) -> Result<Bytes, Malformed> {
    let Ok(Name(text)) = serde_json::from_str(raw.get()) else {
        return Err(Malformed::new("`data_base64` is not a string"));
    };
    match STANDARD.decode(&*text) {
        Ok(bytes) => Ok(bytes.into()),
        Err(_) => Err(Malformed::new(
            "`data_base64` is not base64; write the standard alphabet with padding and no line breaks",
        )),
    }
}

fn put_event(attributes: &Attributes, data: &Bytes, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, text)) in attributes.core().enumerate() {
        put_name(index, name, out);
        put_string(text, out);
    }
    for (name, value) in &attributes.extensions {
        put_name(1, name, out);
        match value {
            Value::String(text) => put_string(text, out),
            Value::Integer(_) | Value::Boolean(_) => {
                out.extend_from_slice(value.text().as_bytes());
            }
        }
    }
    if !data.is_empty() {
        if attributes.datacontenttype.as_deref().is_some_and(check::is_json) && is_bare_json(data) {
            put_name(1, "data", out);
            out.extend_from_slice(data);
        } else {
            put_name(1, "data_base64", out);
            out.push(b'"');
            let start = out.len();
            out.resize(start + data.len().div_ceil(3) * 4, 0);
            STANDARD.encode_slice(data, &mut out[start..]).expect("base64 needs 4 bytes for 3");
            out.push(b'"');
        }
    }
    out.push(b'}');
}

/// Writes a member's name; a comma stands before all but the first.
fn put_name(index: usize, name: &str, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
    put_string(name, out);
    out.push(b':');
}

fn put_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string is JSON, and memory takes it");
}

/// Whether this is UTF-8 JSON without blanks around it.
fn is_bare_json(data: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(data).is_ok_and(|raw| raw.get().len() == data.len())
}

fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    str::from_utf8(bytes).map_err(|_| Malformed::new("the body is not UTF-8, as JSON must be"))
}

/// Says where JSON is broken. The parser's own words may show data, so they are not used.
fn not(why: &serde_json::Error, what: &str) -> Malformed {
    if why.is_data() {
        return Malformed::new(format!("this is no JSON {what}"));
    }
    Malformed::new(format!("this is no JSON: line {}, column {}", why.line(), why.column()))
}

impl<'j> Deserialize<'j> for Envelope<'j> {
    fn deserialize<D: Deserializer<'j>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'j> Visitor<'j> for Members {
            type Value = Envelope<'j>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Envelope<'j>, A::Error> {
                let mut members = SmallVec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Envelope(members))
            }
        }
        from.deserialize_map(Members)
    }
}
