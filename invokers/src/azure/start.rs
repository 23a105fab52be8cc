//! A function that is started by the host's own API: `POST /admin/functions/NAME` with a document in
//! which its input stands as a text, whatever triggers it otherwise.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header::CONTENT_TYPE};
use schemas::{Ack, Body, BodyError, Call, Class, Context, Fault, Format, Mode, cloudevents};

/// Bytes that are gathered to be written as a text.
const INPUT_BYTES_MAX: usize = 16 << 20;

/// The fields that go along with what starts a function: it gets none of them, and its host's traces
/// know these.
const KEPT: [&str; 2] = ["traceparent", "tracestate"];

/// Gathers the input: the body as it came, or the event as one document. The call's data is left whole
/// in it, so that a call that was not sent comes back ready for another try.
///
/// # Errors
/// If it is no text or too large: nothing has been sent.
pub(super) async fn input(call: &mut Call) -> Result<String, Fault> {
    let data = std::mem::take(&mut call.event.data).collect(INPUT_BYTES_MAX).await;
    let data = data.map_err(broken)?;
    call.event.data = Body::from(data.clone());
    let text = match (call.format, &call.event.context) {
        (_, Context::Opaque(Mode::Batch)) => {
            let what = "a function is started with one event; send those of the batch one by one";
            return Err(Fault::new(Class::UnsupportedMedia, what));
        }
        (Format::Auto | Format::Structured, Context::Event(event, _)) => {
            cloudevents::write_structured(event, &data)
        }
        _ => data,
    };
    String::from_utf8(Vec::from(text)).map_err(|_| {
        let what = "a function is started with a text, and the body is none; send UTF-8";
        Fault::new(Class::UnsupportedMedia, what)
    })
}

/// What starts the function of a call with this input.
pub(super) fn call(call: &Call, input: &str) -> Call {
    let document = serde_json::json!({ "input": input }).to_string();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for name in KEPT {
        headers.extend(call.head.headers.get(name).map(|value| {
            let name = http::HeaderName::from_static(name);
            (name, value.clone())
        }));
    }
    let data = Body::from(Bytes::from(document));
    let mut starts = Call::new(std::sync::Arc::clone(&call.function), data, call.deadline);
    starts.head = schemas::Head { method: Method::POST, uri: Uri::from_static("/"), headers };
    starts.ack = Ack::Published;
    starts.attempt = call.attempt;
    starts.avoid = call.avoid;
    starts
}

fn broken(error: BodyError) -> Fault {
    let fault = match &error {
        BodyError::TooLarge { limit } => {
            let what = format!("a function is started with at most {limit} bytes; send less");
            Fault::new(Class::TooLarge, what)
        }
        _ => return crate::client::body_failed(error),
    };
    fault.because(error)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use schemas::Attributes;

    use super::*;

    fn started(context: Context, data: &'static [u8]) -> Call {
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut call = Call::new("nightly", Body::from(Bytes::from_static(data)), deadline);
        call.event.context = context;
        call
    }

    fn event(mode: Mode) -> Context {
        let attributes = Attributes {
            id: "1".to_owned(),
            source: "/s".to_owned(),
            kind: "t".to_owned(),
            ..Attributes::default()
        };
        Context::Event(Box::new(attributes), mode)
    }

    #[tokio::test]
    async fn the_input_is_the_body_as_a_text_or_the_event_as_one() {
        for (context, data, expected) in [
            (Context::Plain, &b""[..], ""),
            (Context::Plain, b"{\"a\": 1.50}\n", "{\"a\": 1.50}\n"),
            (Context::Opaque(Mode::Structured), b"{\"id\":\"1\"}", "{\"id\":\"1\"}"),
            (
                event(Mode::Binary),
                b"\xff",
                r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"/w=="}"#,
            ),
        ] {
            let mut call = started(context, data);
            assert_eq!(input(&mut call).await.unwrap(), expected);
            assert_eq!(call.event.data.whole().unwrap(), data, "it can be sent again");
        }
        let mut plain = started(event(Mode::Structured), b"hi");
        plain.format = Format::Plain;
        assert_eq!(input(&mut plain).await.unwrap(), "hi");
    }

    #[tokio::test]
    async fn what_is_no_text_and_what_is_several_events_are_refused_by_name() {
        for (context, data) in
            [(Context::Plain, &b"\xff\xfe"[..]), (Context::Opaque(Mode::Batch), b"[]")]
        {
            let refused = input(&mut started(context, data)).await.unwrap_err();
            assert_eq!(refused.class, Class::UnsupportedMedia);
        }
    }

    #[test]
    fn what_starts_a_function_is_its_input_in_json_and_nothing_of_the_caller() {
        let mut called = started(Context::Plain, b"");
        called.head.headers.insert("authorization", HeaderValue::from_static("Bearer own"));
        called.head.headers.insert("traceparent", HeaderValue::from_static("00-1-2-01"));
        called.head.uri = Uri::from_static("/deep?a=b");
        let starts = call(&called, "a \"b\"\n");
        assert_eq!(starts.event.data.whole().unwrap(), r#"{"input":"a \"b\"\n"}"#);
        assert_eq!(starts.head.uri, "/");
        let names: Vec<_> = starts.head.headers.keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["content-type", "traceparent"]);
    }
}
