//! A service's reply, as the answer of an HTTP function.

use async_nats::{Message, StatusCode as NatsStatus};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use schemas::{Body, Class, Fault, Ran, Reply, Verdict, cloudevents};

use super::stream::Stored;

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

/// Makes the answer of a reply.
pub(super) fn read(message: Message) -> Result<Reply, Fault> {
    if message.status == Some(NatsStatus::NO_RESPONDERS) {
        return Err(Fault::new(Class::NoResponders, "nobody listens on this subject"));
    }
    let headers: Vec<(String, String)> = pairs(message.headers.as_ref());
    if headers.is_empty() && Stored::is_ack(&message.payload) {
        return Err(Fault::new(
            Class::UpstreamProtocol,
            "a JetStream stream took the request and acknowledged it, so that no service's reply \
             can be told from that; keep the stream off this subject, or publish with `jetstream`",
        )
        .code("stream_captured_request")
        .maybe());
    }
    let first = |name: &str| {
        headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let failure = first("Nats-Service-Error").or_else(|| first("Nats-Service-Error-Code"));
    let status = match (first("http-status"), failure) {
        (Some(status), _) => status_of(status, 200)
            .ok_or_else(|| odd("its http-status is not a number from 200 to 599".to_owned()))?,
        (None, Some(_)) => first("Nats-Service-Error-Code")
            .and_then(|code| status_of(code, 400))
            .unwrap_or(StatusCode::BAD_GATEWAY),
        (None, None) => StatusCode::OK,
    };
    let mut data = message.payload;
    if data.is_empty()
        && let Some(said) = first("Nats-Service-Error")
    {
        data = said.clone().into();
    }
    let mut reply = Reply::ok(status, answer_headers(&headers)?, Body::from(data));
    reply.verdict = classify(status, failure.is_some());
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

fn status_of(text: &str, least: u16) -> Option<StatusCode> {
    let number = text.trim().parse().ok().filter(|number| (least..=599).contains(number))?;
    StatusCode::from_u16(number).ok()
}

/// All headers of a message, one pair for each value.
pub(super) fn pairs(headers: Option<&async_nats::HeaderMap>) -> Vec<(String, String)> {
    let named = headers.into_iter().flat_map(|headers| headers.iter());
    named
        .flat_map(|(name, values)| {
            values.iter().map(move |value| (name.to_string(), value.to_string()))
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn reply(headers: &[(&str, &str)], payload: &'static str) -> Result<Reply, Fault> {
        let mut map = async_nats::HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, *value);
        }
        read(Message {
            subject: "_INBOX.x.1".into(),
            reply: None,
            payload: Bytes::from_static(payload.as_bytes()),
            headers: (!headers.is_empty()).then_some(map),
            status: None,
            description: None,
            length: 0,
        })
    }

    #[tokio::test]
    async fn status_and_headers_come_from_the_reply() {
        let reply = reply(
            &[
                ("Http-Status", "201"),
                ("http-header-Location", "/x"),
                ("HTTP-Header-Connection", "close"),
                ("http-header-content-length", "999"),
                ("content-type", "text/csv"),
                ("ce-id", "7"),
                ("other", "not passed on"),
            ],
            "a,b",
        )
        .unwrap();
        assert_eq!(reply.head.status, 201);
        assert_eq!(reply.verdict, Verdict::Ok);
        let mut names: Vec<_> = reply.head.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["ce-id", "content-type", "location"]);
        assert_eq!(reply.data.collect(10).await.unwrap(), "a,b");
    }

    #[test]
    fn the_status_decides_the_verdict_and_a_service_error_fails() {
        let failed = |class, ran| Verdict::Failed { class, ran, retry_after_ms: None };
        let function_failed = failed(Class::FunctionFailed, Ran::Maybe);
        for (headers, status, verdict) in [
            (&[][..], 200, Verdict::Ok),
            (&[("http-status", "404")], 404, Verdict::Ok),
            (&[("http-status", "429")], 429, failed(Class::Throttled, Ran::No)),
            (&[("http-status", "503")], 503, function_failed),
            (&[("Nats-Service-Error-Code", "422")], 422, function_failed),
            (&[("Nats-Service-Error-Code", "7")], 502, function_failed),
            (&[("Nats-Service-Error", "broken")], 502, function_failed),
        ] {
            let reply = reply(headers, "x").unwrap();
            assert_eq!((reply.head.status.as_u16(), reply.verdict), (status, verdict));
        }
    }

    #[test]
    fn what_cannot_be_an_answer_is_a_fault() {
        for headers in [
            [("http-status", "101")],
            [("http-status", "abc")],
            [("http-header-a(b", "x")],
            [("http-header-x", "\u{1}")],
        ] {
            let fault = reply(&headers, "").unwrap_err();
            assert_eq!((fault.name(), fault.ran), ("bad_reply", Ran::Maybe), "{headers:?}");
        }
        let fault = reply(&[], r#"{"stream":"S","seq":1}"#).unwrap_err();
        assert_eq!((fault.name(), fault.ran), ("stream_captured_request", Ran::Maybe));
    }
}
