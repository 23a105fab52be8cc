use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue as Value};
use schemas::{Class, Format, Verdict};

use super::*;

fn frame(kind: &'static str, event: &'static str, payload: impl Into<Bytes>) -> Vec<u8> {
    let header = |name, value: &'static str| Header::new(name, Value::String(value.into()));
    let headers = vec![header(":message-type", kind), header(":event-type", event)];
    let mut out = Vec::new();
    write_message_to(&Message::new_from_parts(headers, payload), &mut out).unwrap();
    out
}

fn piece(payload: &'static [u8]) -> Vec<u8> {
    frame("event", "PayloadChunk", payload)
}

fn end() -> Vec<u8> {
    frame("event", "InvokeComplete", "{}")
}

/// Comes so many bytes at a time.
#[derive(Debug)]
struct Bits(Vec<u8>, usize);

impl http_body::Body for Bits {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let at_once = self.1.min(self.0.len());
        let bits: Vec<u8> = self.0.drain(..at_once).collect();
        Poll::Ready((!bits.is_empty()).then(|| Ok(Frame::data(bits.into()))))
    }
}

async fn read_of(frames: &[Vec<u8>], media: &'static str, at_once: usize) -> Result<Reply, Fault> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    let body = Body::boxed(Bits(frames.concat(), at_once));
    let answered = Answered { status: StatusCode::OK, headers, body, tunnel: None };
    let mut call = schemas::Call::new("f", Body::empty(), std::time::Instant::now());
    call.format = Format::Auto;
    read(answered, Reading::of(&call)).await
}

async fn told(frames: &[Vec<u8>], media: &'static str, at_once: usize) -> (u16, String, String) {
    let reply = read_of(frames, media, at_once).await.unwrap();
    let media = reply.head.headers.get(header::CONTENT_TYPE);
    let media = media.map(|media| media.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = reply.data.collect(1 << 20).await.unwrap();
    (reply.head.status.as_u16(), media, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn status_and_headers_come_before_the_body_however_the_bytes_fall() {
    let frames = [
        piece(br#"{"statusCode":201,"headers":{"content-type":"text/"#),
        piece(b"plain\"}}\0\0\0"),
        piece(b"\0\0\0\0\0hel"),
        piece(b"lo"),
        end(),
    ];
    for at_once in [1, 7, 64, 10_000] {
        for media in [EVENT_STREAM, INTEGRATION] {
            let expected = (201, "text/plain".to_owned(), "hello".to_owned());
            assert_eq!(told(&frames, media, at_once).await, expected);
        }
    }
}

#[tokio::test]
async fn a_stream_without_a_head_is_a_body() {
    let frames = [piece(b"one\n"), piece(b"two\n"), end()];
    let octets = "application/octet-stream".to_owned();
    assert_eq!(told(&frames, EVENT_STREAM, 9).await, (200, octets, "one\ntwo\n".to_owned()));
    let own = "text/event-stream".to_owned();
    assert_eq!(told(&frames, "text/event-stream", 9).await, (200, own, "one\ntwo\n".to_owned()));
}

#[tokio::test]
async fn a_value_that_a_function_returns_whole_is_read_as_any_other() {
    let frames = [piece(br#"{"statusCode":404,"body":"no tea"}"#), end()];
    assert_eq!(told(&frames, EVENT_STREAM, 5).await, (404, String::new(), "no tea".to_owned()));
    let frames = [piece(br#"{"a":1}"#), end()];
    let json = "application/json".to_owned();
    assert_eq!(told(&frames, EVENT_STREAM, 5).await, (200, json, r#"{"a":1}"#.to_owned()));
}

#[tokio::test]
async fn a_long_text_that_begins_like_a_head_is_a_body_in_the_end() {
    let long: &'static [u8] = format!("{{{}", "x".repeat(40_000)).leak().as_bytes();
    let (status, _, body) = told(&[piece(long), piece(b"!"), end()], EVENT_STREAM, 4096).await;
    assert_eq!((status, body.len()), (200, long.len() + 1));
}

#[tokio::test]
async fn a_function_that_fails_before_its_answer_begins_is_a_failure() {
    let complete = |text: &'static str| [frame("event", "InvokeComplete", text)];
    let reply = read_of(
        &complete(r#"{"ErrorCode":"Unhandled","ErrorDetails":"{\"errorType\":\"E\",\"errorMessage\":\"m\",\"stackTrace\":[1]}"}"#),
        EVENT_STREAM,
        50,
    )
    .await
    .unwrap();
    assert_eq!(reply.head.status, 502);
    assert_eq!(reply.data.whole().unwrap(), r#"{"errorType":"E","errorMessage":"m"}"#);
    let reply = read_of(
        &complete(r#"{"ErrorCode":"Sandbox.Timedout","ErrorDetails":"Task timed out after 3.00 seconds"}"#),
        EVENT_STREAM,
        50,
    )
    .await
    .unwrap();
    assert_eq!(reply.head.status, 504);
    assert!(matches!(reply.verdict, Verdict::Failed { class: Class::Timeout, .. }));
}

#[tokio::test]
async fn a_failure_once_the_answer_has_begun_breaks_it_off() {
    let failed = frame("event", "InvokeComplete", r#"{"ErrorCode":"Unhandled"}"#);
    for last in [failed, frame("exception", "", "{}"), Vec::new(), vec![0, 0, 0, 1], vec![255; 20]]
    {
        let reply = read_of(&[piece(b"begun"), last], EVENT_STREAM, 1000).await;
        let body = match reply {
            Ok(reply) => reply.data.collect(100).await,
            Err(fault) => panic!("{fault:?}"),
        };
        assert!(matches!(body, Err(BodyError::Broken(_))), "{body:?}");
    }
}

#[tokio::test]
async fn what_is_no_stream_is_a_bad_answer() {
    let mut wrong = piece(b"hello");
    wrong[20] ^= 1;
    let ended = vec![piece(br#"{"statusCode":200}"#)];
    for frames in [vec![wrong], vec![b"{\"statusCode\":200}".to_vec()], vec![Vec::new()], ended] {
        let fault = read_of(&frames, EVENT_STREAM, 1000).await.unwrap_err();
        assert_eq!((fault.class, fault.name()), (Class::UpstreamProtocol, "bad_reply"));
    }
    let fault = read_of(&[piece(b"x"), end()], INTEGRATION, 1000).await.unwrap_err();
    assert_eq!(fault.name(), "bad_reply");
}

#[test]
fn the_formats_that_the_lane_knows_are_all_there_are() {
    assert!(
        [Format::ApiGatewayV2, Format::ApiGatewayV1, Format::Alb].iter().all(|f| f.is_envelope())
    );
}
