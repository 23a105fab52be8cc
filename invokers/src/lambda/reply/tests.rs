//! What becomes of what a function returns. Each file of `golden/` is one: first the payload, then,
//! behind a line of `=>`, the answer or why there is none, which `BLESS=1` writes anew.

use std::{fmt::Write as _, path::Path, time::Instant};

use schemas::{Context, Mode};

use super::*;

const ENVELOPE: Reading = Reading { envelope: true, event: false };

/// The answer in words.
fn told(read: Result<Reply, Fault>) -> String {
    let reply = match read {
        Ok(reply) => reply,
        Err(fault) => return format!("{} ran {:?}: {fault}\n", fault.name(), fault.ran),
    };
    let mut said = format!("{} {:?}\n", reply.head.status.as_u16(), reply.verdict);
    for (name, value) in &reply.head.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        writeln!(said, "{name}: {value}").unwrap();
    }
    let body = reply.data.whole().unwrap();
    writeln!(said, "\n{}", body.escape_ascii()).unwrap();
    said
}

#[test]
fn each_payload_becomes_the_answer_that_stands_behind_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lambda/reply/golden");
    let mut count = 0;
    let mut wrong = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let whole = std::fs::read_to_string(&path).unwrap();
        let (payload, expected) = whole.split_once("=>\n").unwrap_or((&whole, ""));
        let made = told(ENVELOPE.read(Bytes::copy_from_slice(payload.trim_end().as_bytes())));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, format!("{payload}=>\n{made}")).unwrap();
        } else if made != expected {
            write!(wrong, "\n{}\n{made}", path.display()).unwrap();
        }
        count += 1;
    }
    assert!(count > 20, "the folder has {count} files");
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_body_without_escapes_is_not_copied() {
    let payload = Bytes::from_static(br#"{"statusCode":200,"body":"plain"}"#);
    let body = ENVELOPE.read(payload.clone()).unwrap().data.whole().unwrap();
    assert!(payload.as_ptr_range().contains(&body.as_ptr()));
}

#[test]
fn what_was_sent_says_how_the_reply_is_read_unless_the_route_does() {
    let event = || Context::Event(Box::default(), Mode::Binary);
    let cases = [
        (Format::Auto, Context::Plain, Format::Auto, true, false),
        (Format::Auto, event(), Format::Auto, false, false),
        (Format::Structured, event(), Format::Alb, true, false),
        (Format::ApiGatewayV1, event(), Format::Auto, true, false),
        (Format::Auto, Context::Plain, Format::Plain, false, false),
        (Format::Plain, Context::Plain, Format::Auto, false, false),
        (Format::Auto, Context::Plain, Format::Binary, true, true),
        (Format::Auto, event(), Format::Structured, false, true),
    ];
    for (format, context, reply_format, envelope, event) in cases {
        let mut call = Call::new("f", Body::empty(), Instant::now());
        (call.format, call.event.context, call.reply_format) = (format, context, reply_format);
        assert_eq!(Reading::of(&call), Reading { envelope, event }, "{format:?} {reply_format:?}");
    }
}

#[test]
fn a_document_is_passed_on_as_it_is_and_an_event_is_known_as_one() {
    let document = Reading { envelope: false, event: false };
    for payload in ["not json", "", r#"{"statusCode":500}"#] {
        let said = told(document.read(Bytes::from_static(payload.as_bytes())));
        let body = payload.as_bytes().escape_ascii();
        assert_eq!(said, format!("200 Ok\ncontent-type: application/json\n\n{body}\n"));
    }
    let event = Reading { envelope: false, event: true };
    let payload = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    let reply = event.read(Bytes::from_static(payload.as_bytes())).unwrap();
    assert_eq!(reply.head.headers[header::CONTENT_TYPE], STRUCTURED_JSON);
    for payload in ["null", "[1]", r#"{"id":1}"#, "{"] {
        let reply = event.read(Bytes::from_static(payload.as_bytes())).unwrap();
        assert_eq!(reply.head.headers[header::CONTENT_TYPE], "application/json", "{payload}");
    }
}

#[test]
fn nothing_that_a_function_returns_makes_the_gateway_panic() {
    use proptest::prelude::*;
    let piece = "[ -~\u{e9}\u{0}]{0,20}|\"statusCode\":[0-9\"-]{0,5}|[{}\\[\\]:,\"]{0,4}|\"body\":\"[^\"]{0,8}\"|\"headers\":\\{\\}";
    let pieces = proptest::collection::vec(piece, 0..8);
    proptest!(|(pieces in pieces, event: bool)| {
        let payload = Bytes::from(pieces.concat());
        let read = Reading { envelope: true, event }.read(payload);
        prop_assert!(read.map_or_else(|fault| fault.class == Class::UpstreamProtocol, |_| true));
    });
}
