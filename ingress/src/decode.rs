//! What arrived, decided from the head alone, and read only where something needs it.

use http::HeaderMap;
use schemas::{
    Body, BodyError, Class, Context, Event, Fault, Mode,
    cloudevents::{self, Arrival, Malformed},
};

/// What a request carries.
#[derive(Debug)]
pub(crate) enum Carried {
    /// One event, or a plain request.
    One(Event),
    /// Several events in one request.
    Many(Vec<Event>),
}

/// What a request's head says of it.
#[derive(Debug)]
pub(crate) enum Announced {
    /// A plain request, or an event in binary mode whose attributes have been read.
    Head(Context),
    /// An event, or several, in the body.
    InBody(Mode),
    /// A CloudEvents format that the gateway does not read.
    Unknown(String),
}

/// Reads the head. An event in binary mode is checked here, whoever it is for: once it claims to
/// be an event it never slides into being a plain request.
///
/// # Errors
/// If it claims to be an event and is none.
pub(crate) fn announced(headers: &HeaderMap) -> Result<Announced, Fault> {
    Ok(match cloudevents::arrival(headers) {
        Arrival::Plain => Announced::Head(Context::Plain),
        Arrival::Binary => {
            let attributes = cloudevents::read_binary(headers).map_err(|bad| malformed(&bad))?;
            Announced::Head(Context::Event(Box::new(attributes), Mode::Binary))
        }
        Arrival::Structured => Announced::InBody(Mode::Structured),
        Arrival::Batch => Announced::InBody(Mode::Batch),
        Arrival::Unknown(media) => Announced::Unknown(media),
    })
}

/// Reads the events in a body, up to `limit` bytes.
///
/// # Errors
/// If the body is too large, breaks off, or is no such event.
pub(crate) async fn in_body(mode: Mode, body: Body, limit: usize) -> Result<Carried, Fault> {
    let bytes = body.collect(limit).await.map_err(|error| broken(error, "the event"))?;
    let read = match mode {
        Mode::Batch => cloudevents::read_batch(&bytes).map(Carried::Many),
        Mode::Binary | Mode::Structured => cloudevents::read_structured(&bytes).map(Carried::One),
    };
    read.map_err(|bad| malformed(&bad))
}

/// An event that breaks a rule is refused with the rule that it breaks.
pub(crate) fn malformed(bad: &Malformed) -> Fault {
    let place = match bad.index {
        Some(index) => format!("event {index} of the batch: {}", bad.what),
        None => bad.what.clone(),
    };
    Fault::new(Class::BadRequest, place).code("invalid_event")
}

/// A format that nobody here can read.
pub(crate) fn unknown(media: &str) -> Fault {
    let shown: String = media.chars().filter(|c| c.is_ascii_graphic()).take(80).collect();
    Fault::new(
        Class::UnsupportedMedia,
        format!(
            "this route needs an event, and the format {shown} is not read here; send \
             application/cloudevents+json, or binary mode"
        ),
    )
    .code("unknown_event_format")
}

/// A caller's body that did not arrive whole.
pub(crate) fn broken(error: BodyError, what: &str) -> Fault {
    match error {
        BodyError::TooLarge { limit } => {
            Fault::new(Class::TooLarge, format!("{what} is larger than {limit} bytes"))
        }
        BodyError::Idle { millis } => {
            Fault::new(Class::RequestTimeout, format!("no byte of the body came for {millis} ms"))
        }
        BodyError::Slow { .. } => slow(&error),
        BodyError::Broken(cause) => {
            Fault::new(Class::BadRequest, "the body broke off").code("body_broken").because(cause)
        }
    }
}

/// A caller's body that creeps.
pub(crate) fn slow(error: &BodyError) -> Fault {
    Fault::new(Class::RequestTimeout, error.to_string()).code("slow_body")
}
