//! What the service gets: the request as it came, a CloudEvent in one of its modes, or data alone.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use schemas::{
    Attributes, Body, Call, Class, Context, Fault, Format, Mode,
    cloudevents::{self, STRUCTURED_JSON},
};

/// What was written over, so that a call that was not sent comes back as it was. Only a structured
/// event has other bytes than its data; headers are written the same again.
#[derive(Debug)]
pub(crate) struct Written(Option<Bytes>);

impl Written {
    /// Puts the data back.
    pub(crate) fn undo(self, mut call: Call) -> Call {
        if let Some(data) = self.0 {
            call.event.data = Body::from(data);
        }
        call
    }
}

/// Writes the call in its format.
pub(crate) fn write(call: &mut Call) -> Result<Written, Fault> {
    let Call { event, head, format, .. } = call;
    let headers = &mut head.headers;
    match (*format, &event.context) {
        // Passes untouched: the attributes of a binary event are still in its headers.
        (Format::Auto, Context::Plain | Context::Opaque(_) | Context::Event(_, Mode::Binary))
        | (Format::Structured, Context::Opaque(Mode::Structured)) => {}
        (Format::Auto | Format::Structured, Context::Event(attributes, _)) => {
            let data = event.data.whole().ok_or_else(unread)?;
            cloudevents::remove_binary(headers);
            headers.remove(header::CONTENT_LENGTH);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED_JSON));
            event.data = Body::from(cloudevents::write_structured(attributes, &data));
            return Ok(Written(Some(data)));
        }
        (Format::Binary, Context::Event(attributes, mode)) => {
            cloudevents::remove_binary(headers);
            data_alone(headers, attributes, *mode);
            cloudevents::write_binary(attributes, headers);
        }
        (Format::Plain | Format::Message, Context::Event(attributes, mode)) => {
            cloudevents::remove_binary(headers);
            data_alone(headers, attributes, *mode);
        }
        (Format::Plain | Format::Message, Context::Plain) => cloudevents::remove_binary(headers),
        (Format::ApiGatewayV2 | Format::ApiGatewayV1 | Format::Alb, _)
        | (Format::Binary | Format::Structured, Context::Plain)
        | (
            Format::Binary | Format::Structured | Format::Plain | Format::Message,
            Context::Opaque(_),
        ) => {
            return Err(unread());
        }
    }
    Ok(Written(None))
}

/// Makes the headers speak of the data, where they spoke of the document that it was in.
fn data_alone(headers: &mut HeaderMap, attributes: &Attributes, mode: Mode) {
    if mode == Mode::Binary {
        return;
    }
    headers.remove(header::CONTENT_LENGTH);
    match attributes.datacontenttype.as_deref().map(HeaderValue::from_str) {
        Some(Ok(value)) => headers.insert(header::CONTENT_TYPE, value),
        Some(Err(_)) | None => headers.remove(header::CONTENT_TYPE),
    };
}

/// The steps before this one read whatever has to be written in another form.
fn unread() -> Fault {
    Fault::new(
        Class::Internal,
        "the event was not read before it was to be written in another form",
    )
}

#[cfg(test)]
mod tests;
