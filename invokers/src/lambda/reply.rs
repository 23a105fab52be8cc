//! What a function has returned, as an answer.
//!
//! After an envelope it is read as API Gateway reads it: an object with a `statusCode` is an answer
//! by itself, any other value is the body of a 200. Headers, `multiValueHeaders` and `cookies` are
//! all taken, whichever version of the envelope was sent.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http1::hop;
use schemas::{
    Body, BodyError, Call, Class, Fault, Format, Ran, Reply, Verdict, cloudevents::STRUCTURED_JSON,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::http::incoming;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How what a function returns is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// As an answer with status and headers, if it is one.
    pub(super) envelope: bool,
    /// As a CloudEvent, if it is one.
    event: bool,
}

impl Reading {
    /// By what is wanted, or else by what was sent.
    pub(super) fn of(call: &Call) -> Self {
        let sent = match call.format {
            Format::Auto => matches!(call.event.context, schemas::Context::Plain),
            format => format.is_envelope(),
        };
        let wanted = call.reply_format;
        Self {
            envelope: wanted.is_envelope() || (sent && wanted != Format::Plain),
            event: matches!(wanted, Format::Structured | Format::Binary),
        }
    }

    /// Makes the answer.
    ///
    /// # Errors
    /// If it is to be read as an answer and cannot be: the function has run.
    pub(super) fn read(self, payload: Bytes) -> Result<Reply, Fault> {
        if self == (Self { envelope: false, event: false }) {
            return Ok(document(payload, JSON));
        }
        if payload.is_empty() {
            return Ok(Reply::ok(StatusCode::OK, HeaderMap::new(), Body::empty()));
        }
        let object = payload.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        if !object {
            // JSON of any other kind is a body; what is no JSON is nobody's answer.
            if self.envelope {
                serde_json::from_slice::<IgnoredAny>(&payload).map_err(no_json)?;
            }
            return Ok(document(payload, JSON));
        }
        let written: Written<'_> = match serde_json::from_slice(&payload) {
            Ok(written) => written,
            Err(_) if !self.envelope => return Ok(document(payload, JSON)),
            Err(error) => return Err(no_json(error)),
        };
        if self.event && written.specversion.is_some() && written.status_code.is_none() {
            return Ok(document(payload, HeaderValue::from_static(STRUCTURED_JSON)));
        }
        let Some(status) = written.status_code.filter(|_| self.envelope) else {
            return Ok(document(payload, JSON));
        };
        let status = status_of(status)?;
        let headers = headers(&written)?;
        let body = written.body(&payload)?;
        Ok(answer(status, headers, body))
    }
}

/// Reads what a streamed answer begins with.
///
/// # Errors
/// If it is no status with headers.
pub(super) fn prelude(text: &[u8]) -> Result<(StatusCode, HeaderMap), Fault> {
    let written: Written<'_> = serde_json::from_slice(text).map_err(no_json)?;
    let status = written.status_code.map_or(Ok(StatusCode::OK), status_of)?;
    Ok((status, headers(&written)?))
}

/// The value that a function has returned, as it is.
pub(super) fn document(payload: Bytes, media: HeaderValue) -> Reply {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CONTENT_TYPE, media);
    Reply::ok(StatusCode::OK, headers, Body::from(payload))
}

/// An answer with a status of the function's own.
pub(super) fn answer(status: StatusCode, headers: HeaderMap, body: Bytes) -> Reply {
    // These have no body (RFC 9110, sections 15.3.5 and 15.4.5).
    let none = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = if none { Bytes::new() } else { body };
    let verdict = verdict(status, &headers);
    Reply { verdict, ..Reply::ok(status, headers, Body::from(body)) }
}

/// The function has run, whatever it says.
fn verdict(status: StatusCode, headers: &HeaderMap) -> Verdict {
    let class = match status.as_u16() {
        429 => Class::Throttled,
        500.. => Class::FunctionFailed,
        _ => return Verdict::Ok,
    };
    let wait = incoming::retry_after(headers);
    let retry_after_ms = wait.map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
    Verdict::Failed { class, ran: Ran::Maybe, retry_after_ms }
}

/// An answer as a function writes it. Each part is read by itself, so that the reason names it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(borrow)]
    status_code: Option<&'a RawValue>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    #[serde(borrow)]
    multi_value_headers: Option<&'a RawValue>,
    #[serde(borrow)]
    cookies: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    is_base64_encoded: Option<&'a RawValue>,
    #[serde(borrow)]
    specversion: Option<&'a RawValue>,
}

/// A string without its quotes and escapes; it has bytes of its own only where there are escapes.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a header may be: functions write numbers and flags, too.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Flag(bool),
    Null(()),
}

impl Scalar {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(number) => Some(number.to_string()),
            Self::Flag(flag) => Some(flag.to_string()),
            Self::Null(()) => None,
        }
    }
}

impl Written<'_> {
    fn body(&self, payload: &Bytes) -> Result<Bytes, Fault> {
        let Some(body) = self.body else { return Ok(Bytes::new()) };
        let what = "its `body` is no string: the function must write JSON as a string, too";
        let text: Option<Text<'_>> =
            serde_json::from_str(body.get()).map_err(|_| odd(what.to_owned()))?;
        let Some(Text(text)) = text else { return Ok(Bytes::new()) };
        let encoded = match self.is_base64_encoded {
            None => false,
            Some(flag) => serde_json::from_str::<Option<bool>>(flag.get())
                .map_err(|_| odd("its `isBase64Encoded` is neither true nor false".to_owned()))?
                .unwrap_or_default(),
        };
        if encoded {
            let decoded = STANDARD.decode(text.as_bytes());
            return decoded
                .map(Bytes::from)
                .map_err(|_| odd("its `body` is not the base64 that it says it is".to_owned()));
        }
        Ok(match text {
            Cow::Borrowed(text) => payload.slice_ref(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        })
    }
}

/// The status: a number, or a string of one.
fn status_of(written: &RawValue) -> Result<StatusCode, Fault> {
    let text = written.get().trim_matches('"');
    let number = text.parse().ok().filter(|number| (200..=599).contains(number));
    number
        .and_then(|number| StatusCode::from_u16(number).ok())
        .ok_or_else(|| odd("its `statusCode` is no number from 200 to 599".to_owned()))
}

/// All headers that it names. What stands in `multiValueHeaders` wins over the same value in
/// `headers`, as API Gateway has it.
fn headers(written: &Written<'_>) -> Result<HeaderMap, Fault> {
    let mut all = HeaderMap::with_capacity(8);
    let multi: BTreeMap<String, Vec<Scalar>> =
        part(written.multi_value_headers, "multiValueHeaders", "an object of lists")?;
    for (name, values) in multi {
        for value in values {
            put(&mut all, &name, value)?;
        }
    }
    let single: BTreeMap<String, Scalar> =
        part(written.headers, "headers", "an object of strings")?;
    for (name, value) in single {
        put(&mut all, &name, value)?;
    }
    let cookies: Vec<String> = part(written.cookies, "cookies", "a list of strings")?;
    for cookie in cookies {
        put(&mut all, header::SET_COOKIE.as_str(), Scalar::Text(cookie))?;
    }
    Ok(all)
}

fn part<T: Default + serde::de::DeserializeOwned>(
    written: Option<&RawValue>,
    name: &str,
    what: &str,
) -> Result<T, Fault> {
    let Some(written) = written else { return Ok(T::default()) };
    let read: Option<T> = serde_json::from_str(written.get())
        .map_err(|_| odd(format!("its `{name}` is not {what}")))?;
    Ok(read.unwrap_or_default())
}

/// Adds a header, unless it is there with the same value, or is about the connection.
fn put(all: &mut HeaderMap, name: &str, value: Scalar) -> Result<(), Fault> {
    let Some(value) = value.text() else { return Ok(()) };
    let name: HeaderName =
        name.parse().map_err(|_| odd("one of its headers has a name that is none".to_owned()))?;
    if hop::is_hop_by_hop(name.as_str()) || name == header::CONTENT_LENGTH {
        return Ok(());
    }
    let value = HeaderValue::try_from(value)
        .map_err(|_| odd(format!("its header `{name}` has a value that is none")))?;
    if !all.get_all(&name).iter().any(|known| known == value) {
        all.append(name, value);
    }
    Ok(())
}

fn no_json(error: serde_json::Error) -> Fault {
    // The place of the mistake is in the log; what stands there is the function's.
    odd("it is not one JSON document".to_owned()).because(error)
}

/// Why an answer did not arrive whole, for the log. In words, because a body's error that is a cause
/// speaks of the caller's body.
pub(super) fn cut(error: &BodyError) -> String {
    match error {
        BodyError::Broken(cause) => format!("{error}: {cause}"),
        error => error.to_string(),
    }
}

/// The function has run, and what it returned is no answer.
pub(super) fn odd(why: String) -> Fault {
    Fault::new(
        Class::UpstreamProtocol,
        format!("what the function returned cannot be made an answer: {why}"),
    )
    .code("bad_reply")
    .maybe()
}

#[cfg(test)]
mod tests;
