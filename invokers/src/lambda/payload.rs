//! What the function gets: the request in an envelope, a CloudEvent as one document, or data alone.

use bytes::Bytes;
use http::HeaderValue;
use schemas::{
    Body, BodyError, Call, Class, Context, Fault, Format, Mode,
    cloudevents::{self, STRUCTURED_JSON},
};

use super::envelope;

/// Gathers the payload. The call's data is left whole in it, so that a call that was not sent comes
/// back ready for another try.
///
/// # Errors
/// If it is over the limit or cannot be made: nothing has been sent.
pub(super) async fn of(call: &mut Call, limit: usize) -> Result<Bytes, Fault> {
    let data = std::mem::take(&mut call.event.data).collect(limit).await;
    let data = data.map_err(|error| broken(error, limit))?;
    call.event.data = Body::from(data.clone());
    let payload = written(call, data)?;
    if payload.len() > limit { Err(too_large(limit)) } else { Ok(payload) }
}

/// What a plain request and what an event become.
fn written(call: &Call, data: Bytes) -> Result<Bytes, Fault> {
    match (call.format, &call.event.context) {
        (Format::Auto, Context::Plain) => envelope::write(Format::ApiGatewayV2, call, None, &data),
        (Format::Auto | Format::Structured, Context::Event(event, _)) => {
            Ok(cloudevents::write_structured(event, &data))
        }
        (Format::Auto | Format::Structured, Context::Opaque(Mode::Structured))
        | (Format::Plain, Context::Plain | Context::Event(..)) => Ok(data),
        (_, Context::Opaque(Mode::Batch)) if !call.format.is_envelope() => Err(Fault::new(
            Class::UnsupportedMedia,
            "a function takes one event; send the events of the batch one by one",
        )),
        (format, Context::Event(event, Mode::Structured)) if format.is_envelope() => {
            let document = cloudevents::write_structured(event, &data);
            let media = HeaderValue::from_static(STRUCTURED_JSON);
            envelope::write(format, call, Some(&media), &document)
        }
        (format, _) if format.is_envelope() => envelope::write(format, call, None, &data),
        _ => Err(Fault::new(
            Class::Internal,
            "the event was not read before it was to be written in another form",
        )),
    }
}

fn too_large(limit: usize) -> Fault {
    let what = format!("a function takes at most {limit} bytes with what is written around them");
    Fault::new(Class::TooLarge, what)
}

fn broken(error: BodyError, limit: usize) -> Fault {
    match &error {
        BodyError::TooLarge { .. } => too_large(limit),
        BodyError::Idle { .. } => {
            Fault::new(Class::RequestTimeout, "the body of the request stopped arriving")
                .because(error)
        }
        BodyError::Slow { .. } => {
            Fault::new(Class::RequestTimeout, error.to_string()).because(error)
        }
        BodyError::Broken(_) => {
            Fault::new(Class::Cancelled, "the body of the request broke off").because(error)
        }
    }
}
