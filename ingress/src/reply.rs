//! The way back: a function's reply in the form that the route wants (`reply_format`), or read away.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use policy::Policy;
use schemas::{
    Attributes, Body, Class, Fault, Format, Reply,
    cloudevents::{self, Arrival, STRUCTURED_JSON},
};

use crate::Route;

/// How much of an answer that nobody wants is read, so that its connection can be used again.
const LEFTOVER_BYTES: usize = 64 << 10;

/// Reads the rest of an answer that nobody wants, so that its connection can be used again. What
/// has been delivered stays delivered, whatever becomes of the rest.
pub(crate) async fn read_leftover(body: Body, policy: &Policy) {
    drop(tokio::time::timeout(policy.timeout, body.collect(LEFTOVER_BYTES)).await);
}

/// Puts a reply into the wanted form. A reply that is no event stays as it is, and so does a
/// failure.
///
/// # Errors
/// If the reply claims to be an event and is none, or is larger than the route's event limit.
pub(crate) async fn form(reply: Reply, wanted: Format, route: &Route) -> Result<Reply, Fault> {
    // An envelope is read by the kind that knows it.
    if wanted == Format::Auto || wanted.is_envelope() || reply.receipt.is_some() {
        return Ok(reply);
    }
    let arrival = cloudevents::arrival(&reply.head.headers);
    if !matches!(arrival, Arrival::Binary | Arrival::Structured) {
        return Ok(reply);
    }
    let Reply { mut head, data, verdict, later, receipt, upgrade, endpoint } = reply;
    let limit = route.policy.event_bytes_max;
    let (attributes, bytes) = event(&head.headers, data, &arrival, limit).await?;
    cloudevents::remove_binary(&mut head.headers);
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(header::CONTENT_TYPE);
    let data = write(&attributes, bytes, wanted, &mut head.headers);
    Ok(Reply { head, data: Body::from(data), verdict, later, receipt, upgrade, endpoint })
}

/// Reads the event that a reply is.
///
/// # Errors
/// If it is none, or larger than the limit.
pub(crate) async fn event(
    headers: &HeaderMap,
    data: Body,
    arrival: &Arrival,
    limit: usize,
) -> Result<(Attributes, Bytes), Fault> {
    let bytes = data
        .collect(limit)
        .await
        .map_err(|error| broken("the reply's event is too large or broke off").because(error))?;
    let refuse =
        |bad: cloudevents::Malformed| broken("the reply is no valid event").because(Why(bad.what));
    if *arrival != Arrival::Structured {
        return Ok((cloudevents::read_binary(headers).map_err(refuse)?, bytes));
    }
    let event = cloudevents::read_structured(&bytes).map_err(refuse)?;
    let attributes = event.attributes().cloned().unwrap_or_default();
    Ok((attributes, event.data.whole().unwrap_or_default()))
}

fn write(attributes: &Attributes, data: Bytes, wanted: Format, headers: &mut HeaderMap) -> Bytes {
    match wanted {
        Format::Structured => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED_JSON));
            cloudevents::write_structured(attributes, &data)
        }
        Format::Binary => {
            cloudevents::write_binary(attributes, headers);
            data
        }
        Format::Plain
        | Format::Message
        | Format::Auto
        | Format::ApiGatewayV2
        | Format::ApiGatewayV1
        | Format::Alb => {
            let media = attributes.datacontenttype.as_deref();
            if let Some(media) = media.and_then(|media| HeaderValue::from_str(media).ok()) {
                headers.insert(header::CONTENT_TYPE, media);
            }
            data
        }
    }
}

fn broken(what: &'static str) -> Fault {
    Fault::new(Class::UpstreamProtocol, what).code("bad_reply_event").maybe()
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Why(String);
