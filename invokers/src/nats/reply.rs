//! A service's reply, as the answer of an HTTP function.

use async_nats::{Message, StatusCode as NatsStatus};
use http::StatusCode;
use schemas::{Class, Fault, Reply};

use super::stream::Stored;
use crate::answer;

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
    let code = first("Nats-Service-Error-Code").and_then(|code| answer::status_of(code, 400));
    let failed = failure.map(|_| code.unwrap_or(StatusCode::BAD_GATEWAY));
    let mut data = message.payload;
    if data.is_empty()
        && let Some(said) = first("Nats-Service-Error")
    {
        data = said.clone().into();
    }
    answer::of(&headers, data, failed)
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderName;
    use schemas::{Ran, Verdict};

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
