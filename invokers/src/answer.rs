//! A service's reply over a broker, as the answer of an HTTP function: the status and the headers
//! that it names, the attributes of an event, and the data.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use schemas::{Body, Class, Fault, Ran, Reply, Verdict, cloudevents};

/// What is about the connection, not about the answer (RFC 9110, section 7.6.1), and what frames
/// it. A service does not write these.
const NOT_OF_THE_ANSWER: [&str; 10] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Makes the answer of a reply's headers, attributes among them as `ce-` headers with encoded
/// values, and its data. `failed` is what the service says of its failure outside of `http-status`.
pub(crate) fn of(
    headers: &[(String, String)],
    data: Bytes,
    failed: Option<StatusCode>,
) -> Result<Reply, Fault> {
    let written = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("http-status"));
    let status = match written {
        Some((_, status)) => status_of(status, 200)
            .ok_or_else(|| odd("its http-status is not a number from 200 to 599".to_owned()))?,
        None => failed.unwrap_or(StatusCode::OK),
    };
    let mut reply = Reply::ok(status, answer_headers(headers)?, Body::from(data));
    reply.verdict = classify(status, failed.is_some());
    Ok(reply)
}

/// Whether the service did what it was asked.
fn classify(status: StatusCode, failed: bool) -> Verdict {
    let (class, ran) = match status.as_u16() {
        429 => (Class::Throttled, Ran::No),
        500.. => (Class::FunctionFailed, Ran::Maybe),
        _ if failed => (Class::FunctionFailed, Ran::Maybe),
        _ => return Verdict::Ok,
    };
    Verdict::Failed { class, ran, retry_after_ms: None }
}

/// The headers of the answer: those that the service names, the attributes of an event, and the
/// type of the data.
fn answer_headers(headers: &[(String, String)]) -> Result<HeaderMap, Fault> {
    let mut out = HeaderMap::new();
    let mut kind = None;
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        let target = match lower.strip_prefix("http-header-") {
            Some(name) => name,
            None if lower == "content-type" => {
                kind = Some(value.clone());
                continue;
            }
            None if lower == "ce-datacontenttype" => {
                let decoded = cloudevents::decode_value(value.as_bytes())
                    .map_err(|_| odd("its ce-datacontenttype is not percent-encoded".to_owned()))?;
                kind.get_or_insert(decoded.into_owned());
                continue;
            }
            None if lower.starts_with("ce-") => lower.as_str(),
            None => continue,
        };
        if NOT_OF_THE_ANSWER.contains(&target) {
            continue;
        }
        let name: HeaderName =
            target.parse().map_err(|_| odd(format!("{name:?} names no HTTP header")))?;
        out.append(name, value_of(&lower, value)?);
    }
    if let Some(kind) = kind
        && !out.contains_key(CONTENT_TYPE)
    {
        out.insert(CONTENT_TYPE, value_of("content-type", &kind)?);
    }
    Ok(out)
}

fn value_of(name: &str, value: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(value).map_err(|_| odd(format!("its {name} is no HTTP header value")))
}

/// A status that an answer may have, `least` or more.
pub(crate) fn status_of(text: &str, least: u16) -> Option<StatusCode> {
    let number = text.trim().parse().ok().filter(|number| (least..=599).contains(number))?;
    StatusCode::from_u16(number).ok()
}

/// The service has run, and its reply cannot be made an answer. The reason is for the log.
fn odd(why: String) -> Fault {
    Fault::new(
        Class::UpstreamProtocol,
        "the service's reply cannot be made an answer: its http-status or http-header- headers are \
         not valid",
    )
    .code("bad_reply")
    .because(why)
    .maybe()
}
