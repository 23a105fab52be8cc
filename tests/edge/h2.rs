//! Case 16: what is malformed in HTTP/2 ends its stream or its connection, and goes nowhere.

use super::through;
use crate::support::{
    Strict,
    frames::{
        DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2, PROTOCOL_ERROR, RST_STREAM, block,
        frame, request,
    },
};

/// What a request of these frames came to.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// An answer that is neither 400 nor 431.
    Answered,
    Refused,
    Reset(u32),
}

fn send(gateway: &crate::support::Gateway, frames: &[u8]) -> Came {
    let mut client = Http2::connect(gateway.address());
    client.send(frames);
    let error = |code: &[u8]| u32::from_be_bytes(code.try_into().unwrap());
    loop {
        let Some(frame) = client.next() else { panic!("the connection ended without a word") };
        match frame.kind {
            // The status comes first: 400 and 500 have no place of their own behind 200's.
            HEADERS if frame.payload.first() == Some(&0x8C) => return Came::Refused,
            HEADERS => return Came::Answered,
            RST_STREAM => return Came::Reset(error(&frame.payload)),
            GOAWAY => return Came::Reset(error(&frame.payload[4..8])),
            _ => {}
        }
    }
}

fn get(more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("GET", "/x", more))
}

#[test]
fn a_malformed_request_is_reset_or_refused_and_never_sent_on() {
    let service = Strict::start();
    let gateway = through(&service.url());
    assert_eq!(send(&gateway, &get(&[("accept", "*/*")])), Came::Answered);
    let sent = service.heard().len();
    let headers: [&[(&str, &str)]; 16] = [
        &[("x-a", "b\r\nhost: evil")],
        &[("x-a", "b\nc")],
        &[("x-a", "b\rc")],
        &[("x-a", "b\0c")],
        &[("X-Upper", "b")],
        &[("x a", "b")],
        &[("", "b")],
        &[("x-a:", "b")],
        &[("connection", "close")],
        &[("keep-alive", "5")],
        &[("proxy-connection", "close")],
        &[("transfer-encoding", "chunked")],
        &[("upgrade", "h2c")],
        &[("te", "gzip")],
        &[(":path", "/y")],
        &[("accept", "a"), (":unknown", "b")],
    ];
    for more in headers {
        match send(&gateway, &get(more)) {
            Came::Reset(error) => assert_eq!(error, PROTOCOL_ERROR, "{more:?}"),
            Came::Refused => {}
            Came::Answered => panic!("{more:?} was answered"),
        }
    }
    let heads: [&[(&str, &str)]; 5] = [
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a.test")],
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "")],
        &[(":scheme", "http"), (":authority", "a.test"), (":path", "/x")],
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a b"), (":path", "/x")],
        &[(":method", "GET"), (":scheme", "http"), (":authority", "u@a.test"), (":path", "/x")],
    ];
    for head in heads {
        let came = send(&gateway, &frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(head)));
        assert_ne!(came, Came::Answered, "{head:?}");
    }
    for path in ["/x y", "/x\r\nhost: evil", "/x\0", "x", "http://a.test/x y", "/x%2fy", "/x%00"] {
        let head = request("GET", path, &[]);
        let came = send(&gateway, &frame(HEADERS, END_HEADERS | END_STREAM, 1, &head));
        assert_ne!(came, Came::Answered, "{path:?}");
    }
    assert_eq!(service.heard().len(), sent, "{:?}", service.heard());
    assert_eq!(service.faults(), [""; 0]);
}

#[test]
fn a_length_that_is_not_the_bodys_is_an_error() {
    let service = Strict::start();
    let gateway = through(&service.url());
    for (length, data) in
        [("5", &b"hi"[..]), ("1", b"hi"), ("2, 2", b"hi"), ("+2", b"hi"), ("", b"hi")]
    {
        let open =
            frame(HEADERS, END_HEADERS, 1, &request("POST", "/x", &[("content-length", length)]));
        let came = send(&gateway, &[open, frame(DATA, END_STREAM, 1, data)].concat());
        assert_ne!(came, Came::Answered, "{length:?}");
    }
    let open = frame(HEADERS, END_HEADERS, 1, &request("POST", "/x", &[("content-length", "2")]));
    let came = send(&gateway, &[open, frame(DATA, END_STREAM, 1, b"hi")].concat());
    assert_eq!(came, Came::Answered);
    assert_eq!(service.heard().last().unwrap().body, b"hi");
    assert!(service.heard().iter().all(|heard| heard.body == b"hi"));
}

#[test]
fn the_authority_is_told_as_the_host_that_was_asked_for() {
    let service = Strict::start();
    let gateway = super::through_with(&service.url(), "", "    preserve_host: true\n");
    assert_eq!(send(&gateway, &get(&[("host", "other.test")])), Came::Answered);
    let heard = service.heard().remove(0);
    assert_eq!(heard.all("host"), ["a.test"]);
    assert_eq!(heard.all("x-forwarded-host"), ["a.test"]);
}
