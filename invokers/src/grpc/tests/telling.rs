use schemas::{
    Class, FileRef, Ran, Reveal, Revealed, Secret, Verdict, secret::NoSecret, units::Size,
};
use serde_json::json;

use super::{
    super::wire,
    peer::{Peer, answer, fed, grpc, status, trailers_only},
    *,
};

const PROTO: &str = r#"
    syntax = "proto3";
    package a;
    service B {
      rpc One(Text) returns (Text);
      rpc Many(Text) returns (stream Text);
    }
    message Text { string text = 1; }
"#;

/// The one file that there is.
struct Proto;

impl Reveal for Proto {
    fn reveal(&self, _: &Secret) -> Result<Revealed, NoSecret> {
        Err(NoSecret("there is none".to_owned()))
    }

    fn read(&self, _: &FileRef) -> Result<Vec<u8>, NoSecret> {
        Ok(PROTO.into())
    }
}

fn lane(url: &str) -> Lane {
    let written = Written {
        url: Some(url.to_owned()),
        descriptors: serde_json::from_value(json!({ "proto": ["a.proto"] })).unwrap(),
        max_message: Some(Size(1000)),
        ..Written::default()
    };
    let target = Target::build(&"ledger".parse().unwrap(), written, &Catalogs::default()).unwrap();
    let tools = Tools { secrets: Arc::new(Proto), outbox: Default::default() };
    Lane::new(Arc::new(target), &tools)
}

/// A call in JSON.
fn json(method: &str) -> Call {
    let mut call = with_body("/", Body::from(Bytes::from(r#"{"text":"hi"}"#)));
    call.head.headers.clear();
    call.function = method.into();
    call
}

fn failed(class: Class, ran: Ran) -> Verdict {
    Verdict::Failed { class, ran, retry_after_ms: None }
}

/// A message in gzip, and the head that says so.
fn gzip(message: &[u8]) -> http::Response<Body> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(message).unwrap();
    let mut bytes = framed(&encoder.finish().unwrap()).to_vec();
    bytes[0] = 1;
    let mut answer = answer(bytes.into(), status("0"));
    answer.headers_mut().insert("grpc-encoding", HeaderValue::from_static("gzip"));
    answer
}

/// Text { text = 1 } of so many letters.
fn message(letters: usize) -> Vec<u8> {
    let mut message = Vec::new();
    wire::put(&mut message, 1, &vec![b'a'; letters]);
    message
}

#[tokio::test]
async fn a_stream_whose_head_is_its_end_has_its_verdict_at_once() {
    core(async {
        let peer = Peer::serve(9, async |_| trailers_only("0")).await;
        let (reply, bytes, _) = said(&lane(&peer.url), json("a.B/Many")).await;
        assert_eq!((reply.head.status.as_u16(), bytes.len()), (200, 0));
        assert_eq!(reply.later.and_then(|later| later.verdict()), Some(Verdict::Ok));
    })
    .await;
}

#[tokio::test]
async fn unavailable_has_surely_not_run_unless_a_message_came_before_it() {
    core(async {
        let peer = Peer::serve(9, async |request: http::Request<_>| {
            match request.headers().contains_key("x-late") {
                true => answer(framed(&message(3)), status("14")),
                false => trailers_only("14"),
            }
        })
        .await;
        let lane = lane(&peer.url);
        for method in ["a.B/One", "a.B/Many"] {
            let (reply, ..) = said(&lane, json(method)).await;
            assert_eq!(reply.head.status.as_u16(), 503);
            assert_eq!(reply.verdict, failed(Class::Unavailable, Ran::No), "{method}");
            let mut late = json(method);
            late.head.headers.insert("x-late", HeaderValue::from_static("1"));
            let (reply, ..) = said(&lane, late).await;
            let verdict = reply.later.and_then(|later| later.verdict());
            let verdict = verdict.unwrap_or(reply.verdict);
            assert_eq!(verdict, failed(Class::Unavailable, Ran::Maybe), "{method}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_fails_before_its_first_message_keeps_its_metadata() {
    core(async {
        let peer = Peer::serve(9, async |request: http::Request<_>| {
            let mut last = status("5");
            last.insert("x-cost", HeaderValue::from_static("7"));
            let mut response = match request.headers().contains_key("x-opened") {
                true => {
                    let (feed, body) = fed();
                    feed.try_send(http_body::Frame::trailers(last)).unwrap();
                    grpc(body)
                }
                false => {
                    let mut response = grpc(Body::empty());
                    response.headers_mut().extend(last);
                    return response;
                }
            };
            response.headers_mut().insert("x-ledger", HeaderValue::from_static("main"));
            response
        })
        .await;
        let lane = lane(&peer.url);
        for method in ["a.B/One", "a.B/Many"] {
            for opened in [true, false] {
                let mut sent = json(method);
                if opened {
                    sent.head.headers.insert("x-opened", HeaderValue::from_static("1"));
                }
                let (reply, ..) = said(&lane, sent).await;
                let headers = &reply.head.headers;
                assert_eq!(reply.head.status.as_u16(), 404);
                assert_eq!(headers["grpc-trailer-x-cost"], "7", "{method} {opened}");
                assert_eq!(headers.contains_key("x-ledger"), opened);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_may_have_run_and_is_no_answer() {
    core(async {
        let peer = Peer::serve(9, async |request: http::Request<_>| {
            match request.headers().get("x-answer").unwrap().as_bytes() {
                b"inflated" => gzip(&message(5000)),
                b"long" => answer(framed(&message(5000)), status("0")),
                b"odd" => answer(framed(b"\xFF"), status("0")),
                b"cut" => answer(framed(b"hello").slice(..7), status("0")),
                b"fit" => gzip(&message(200)),
                _ => trailers_only("0"),
            }
        })
        .await;
        let lane = lane(&peer.url);
        for method in ["a.B/One", "a.B/Many"] {
            for kind in ["inflated", "long", "odd", "cut"] {
                let mut sent = json(method);
                sent.head.headers.insert("x-answer", HeaderValue::from_static(kind));
                let fault = fault(&lane, sent).await;
                let expected = (Class::UpstreamProtocol, Ran::Maybe);
                assert_eq!((fault.class, fault.ran), expected, "{method} {kind}: {fault:?}");
            }
            let mut sent = json(method);
            sent.head.headers.insert("x-answer", HeaderValue::from_static("fit"));
            let (reply, bytes, _) = said(&lane, sent).await;
            assert_eq!((reply.head.status.as_u16(), bytes.len() > 200), (200, true));
        }
    })
    .await;
}
