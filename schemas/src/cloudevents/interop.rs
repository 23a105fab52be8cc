//! The official SDK's event type, both ways, for programs that have it: feature `interop`.
//!
//! The way there and back is not always the same: the SDK keeps a time only as UTC, writes a schema's
//! address in its own normal form, and forgets the order of extensions. Data keeps its bytes.

use bytes::Bytes;
use cloudevents::{
    AttributesReader, AttributesWriter, Data, EventBuilder, EventBuilderV10,
    event::{ExtensionValue, SpecVersion, TryIntoUrl},
};

use super::{Malformed, check};
use crate::{Attributes, Body, Context, Event, Mode, Value};

impl TryFrom<cloudevents::Event> for Event {
    type Error = Malformed;

    /// Checks the SDK's event, which may break the specification, and takes it over.
    fn try_from(mut event: cloudevents::Event) -> Result<Self, Malformed> {
        if event.specversion() != SpecVersion::V10 {
            return Err(Malformed::of(
                "specversion",
                "is not supported; convert the event to 1.0 first",
            ));
        }
        let mut extensions = Vec::new();
        for (name, value) in event.iter_extensions() {
            let value = match value {
                ExtensionValue::String(text) => Value::String(text.clone()),
                ExtensionValue::Boolean(truth) => Value::Boolean(*truth),
                ExtensionValue::Integer(number) => Value::Integer(
                    i32::try_from(*number)
                        .map_err(|_| Malformed::of(name, "is not a whole number of 32 bits"))?,
                ),
            };
            extensions.push((name.to_owned(), value));
        }
        // The SDK's map has no order; a sorted one is at least always the same.
        extensions.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut attributes = Attributes {
            id: event.id().to_owned(),
            source: event.source().clone(),
            kind: event.ty().to_owned(),
            subject: event.subject().map(str::to_owned),
            time: event.time().map(|time| time.to_rfc3339().replace("+00:00", "Z")),
            datacontenttype: event.datacontenttype().map(str::to_owned),
            dataschema: event.dataschema().map(ToString::to_string),
            extensions,
        };
        let (_, _, data) = event.take_data();
        let data = match data {
            Some(Data::Binary(bytes)) => bytes.into(),
            Some(Data::String(text)) => text.into(),
            Some(Data::Json(value)) => {
                let json = || "application/json".to_owned();
                attributes.datacontenttype.get_or_insert_with(json);
                Bytes::from(value.to_string())
            }
            None => Bytes::new(),
        };
        attributes.check()?;
        let context = Context::Event(Box::new(attributes), Mode::Binary);
        Ok(Self { context, data: Body::from(data) })
    }
}

impl TryFrom<Event> for cloudevents::Event {
    type Error = Malformed;

    /// Makes the SDK's event of this one, whose data must be in memory. JSON whose bytes the SDK
    /// would change, and text that is no UTF-8, become binary data.
    fn try_from(event: Event) -> Result<Self, Malformed> {
        let Context::Event(attributes, _) = event.context else {
            return Err(Malformed::new("this has no attributes yet"));
        };
        let Some(data) = event.data.whole() else {
            return Err(Malformed::new("the data is a stream; collect it first"));
        };
        let mut builder =
            EventBuilderV10::new().id(attributes.id).source(attributes.source).ty(attributes.kind);
        if let Some(subject) = attributes.subject {
            builder = builder.subject(subject);
        }
        if let Some(time) = attributes.time {
            builder = builder.time(time);
        }
        for (name, value) in attributes.extensions {
            builder = match value {
                Value::String(text) => builder.extension(&name, text),
                Value::Integer(number) => builder.extension(&name, i64::from(number)),
                Value::Boolean(truth) => builder.extension(&name, truth),
            };
        }
        let mut made = builder
            .build()
            .map_err(|_| Malformed::new("the SDK cannot hold an attribute of this event"))?;
        if let Some(schema) = attributes.dataschema {
            let url = schema.into_url();
            let url =
                url.map_err(|_| Malformed::of("dataschema", "is no URL that the SDK can hold"))?;
            made.set_dataschema(Some(url));
        }
        if !data.is_empty() {
            made.set_data_unchecked(sdk_data(attributes.datacontenttype.as_deref(), &data));
        }
        made.set_datacontenttype(attributes.datacontenttype);
        Ok(made)
    }
}

/// The SDK's form of the data from which the same bytes come back.
fn sdk_data(media_type: Option<&str>, data: &[u8]) -> Data {
    let json = media_type.is_some_and(check::is_json);
    if json
        && let Ok(value) = serde_json::from_slice::<serde_json::Value>(data)
        && value.to_string().as_bytes() == data
    {
        return Data::Json(value);
    }
    match str::from_utf8(data) {
        Ok(text) if media_type.is_some() && !json => Data::String(text.to_owned()),
        _ => Data::Binary(data.to_vec()),
    }
}
