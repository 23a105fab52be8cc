//! Where a caller asks what became of its event: `/_gusset/events/<number>-<token>`. Whoever knows
//! the token, which nobody can guess, is who stored the event.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use outbox::{
    Id, NotStored, Outbox, State,
    outcomes::{Answer as Kept, Outcome},
};
use schemas::{Body, Class, Fault};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::answer::Answer;

/// Where outcomes are asked for; a number and a token follow.
pub(crate) const PATH: &str = "/_gusset/events/";

/// What became of an event.
#[derive(Serialize)]
struct Told<'a> {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Reply<'a>>,
}

/// A function's answer. Its body is `data` if it is JSON, else `data_base64`.
#[derive(Serialize)]
struct Reply<'a> {
    status: u16,
    headers: Vec<(&'a str, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

/// Answers what became of an event.
///
/// # Errors
/// If nothing is known of it.
pub(crate) async fn ask(outbox: &Outbox, method: &Method, path: &str) -> Result<Answer, Fault> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Fault::new(Class::MethodNotAllowed, "an outcome is asked for by GET"));
    }
    let place = path.strip_prefix(PATH).and_then(|place| place.split_once('-'));
    let Some((number, token)) = place else { return Err(unknown()) };
    let Ok(number) = number.parse() else { return Err(unknown()) };
    match outbox.outcomes.ask(token) {
        Some(Outcome::Delivered(kept)) => return Ok(delivered(&kept)),
        Some(Outcome::Dead { why }) => return Ok(told("dead", Some(&*why))),
        None => {}
    }
    let letter = outbox.show(Id(number)).await.map_err(|error| match error {
        NotStored::Recovering => super::not_stored(&error),
        _ => Fault::new(Class::Unavailable, "the outbox cannot be read now").because(error),
    })?;
    // The numbers can be guessed, the tokens cannot.
    let letter = letter.filter(|letter| letter.record.head.token.as_deref() == Some(token));
    let Some(letter) = letter else { return Err(unknown()) };
    let state = match letter.state {
        State::Pending => "pending",
        State::Delivering => "delivering",
        State::Parked => "parked",
        State::Dead => "dead",
        State::Replayed => "replayed",
    };
    Ok(told(state, letter.why.as_deref()))
}

fn unknown() -> Fault {
    Fault::new(
        Class::NotFound,
        "nothing is known of this event; the outcome of one that was delivered is kept for an hour, \
         and not over a restart",
    )
    .code("no_outcome")
}

fn told(state: &'static str, why: Option<&str>) -> Answer {
    let mut answer = json(&Told { state, why, reply: None });
    if matches!(state, "pending" | "delivering") {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

fn delivered(kept: &Kept) -> Answer {
    let body = kept.body.as_deref();
    let text = body.and_then(|body| str::from_utf8(body).ok());
    let data = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    let data_base64 = body.filter(|_| data.is_none()).map(|body| BASE64_STANDARD.encode(body));
    let headers = kept.headers.iter().map(|(name, value)| {
        (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let reply =
        Reply { status: kept.status.as_u16(), headers: headers.collect(), data, data_base64 };
    json(&Told { state: "delivered", why: None, reply: Some(reply) })
}

fn json(told: &Told<'_>) -> Answer {
    let body = serde_json::to_vec(told).map_or_else(|_| Bytes::from_static(b"{}"), Bytes::from);
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
