//! A request as one JSON document, as API Gateway and load balancers make it for functions.
//!
//! Paths and the raw query stay as they came; what has a name of its own is decoded. A body that is
//! UTF-8 is text, any other is base64 with the flag, so that its bytes never change.

mod parts;
mod v1;
mod v2;

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderValue;
use schemas::{Call, Class, Fault, Format};

use self::parts::Parts;

/// Writes the envelope of a call. `media` takes the place of the content type that came.
///
/// # Errors
/// None that is known: what it is made of can always be written.
pub(super) fn write(
    format: Format,
    call: &Call,
    media: Option<&HeaderValue>,
    data: &[u8],
) -> Result<Bytes, Fault> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_millis()).unwrap_or_default();
    written(format, &Parts::of(call, media, data, now)).map(Bytes::from).map_err(|error| {
        Fault::new(Class::Internal, "the request could not be put into a document").because(error)
    })
}

fn written(format: Format, parts: &Parts<'_>) -> serde_json::Result<Vec<u8>> {
    // Escapes take room; the body and a half is nearly always enough.
    let length = parts.body.length();
    let mut out = Vec::with_capacity(1024 + length + length / 2);
    match format {
        Format::ApiGatewayV1 => serde_json::to_writer(&mut out, &v1::gateway(parts))?,
        Format::Alb => serde_json::to_writer(&mut out, &v1::balancer(parts))?,
        _ => serde_json::to_writer(&mut out, &v2::of(parts))?,
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
