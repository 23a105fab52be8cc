//! What is read of a request's head, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test may end so")]

use bytes::BytesMut;
use http::Version;
use http1::{Framing, Limits, Refusal, RequestHead, request};

const LIMITS: Limits = Limits { head_bytes: 4096, target_bytes: 256, fields: 20 };

fn read(bytes: &[u8]) -> Result<Option<RequestHead>, Refusal> {
    request(&mut BytesMut::from(bytes), &mut 0, &LIMITS)
}

fn head(bytes: &str) -> RequestHead {
    read(bytes.as_bytes()).unwrap().unwrap()
}

/// A request with these fields behind a Host.
fn with(fields: &str) -> Result<Option<RequestHead>, Refusal> {
    read(format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n").as_bytes())
}

#[track_caller]
fn refused(bytes: &[u8]) {
    let read = read(bytes);
    assert!(read.is_err(), "{:?} was read as {read:?}", bytes.escape_ascii().to_string());
}

#[test]
fn a_head_is_taken_and_what_follows_is_left() {
    let mut bytes =
        BytesMut::from("GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-A:  1 \t\r\nx-a: 2\r\n\r\nrest");
    let head = request(&mut bytes, &mut 0, &LIMITS).unwrap().unwrap();
    assert_eq!(head.method, "GET");
    assert_eq!(head.uri, "/a?b=c");
    assert_eq!(head.version, Version::HTTP_11);
    assert_eq!(head.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(head.framing, Framing::Empty);
    assert!(head.keep_alive && !head.continues && !head.upgrade);
    assert_eq!(bytes, "rest");
}

#[test]
fn a_head_that_comes_byte_by_byte_is_the_same() {
    let whole =
        "\r\nPUT /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-Continue\r\n\r\n";
    let (mut bytes, mut scanned) = (BytesMut::new(), 0);
    let mut found = None;
    for (at, byte) in whole.bytes().enumerate() {
        assert!(found.is_none(), "complete before byte {at}");
        bytes.extend_from_slice(&[byte]);
        found = request(&mut bytes, &mut scanned, &LIMITS).unwrap();
    }
    let head = found.unwrap();
    assert_eq!((head.uri.path(), head.framing, head.continues), ("/x", Framing::Length(3), true));
    assert!(bytes.is_empty());
}

#[test]
fn the_length_is_said_in_one_way_or_the_head_is_refused() {
    assert_eq!(with("content-length: 0\r\n").unwrap().unwrap().framing, Framing::Empty);
    assert_eq!(with("content-length: 007\r\n").unwrap().unwrap().framing, Framing::Length(7));
    assert_eq!(with("Transfer-Encoding: Chunked\r\n").unwrap().unwrap().framing, Framing::Chunked);
    for fields in [
        "content-length: 1\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
        "content-length: 1\r\ncontent-length: 1\r\n",
        "content-length: 1\r\ncontent-length: 2\r\n",
        "content-length: 1, 1\r\n",
        "content-length: +1\r\n",
        "content-length: -1\r\n",
        "content-length: 0x1\r\n",
        "content-length: 1 1\r\n",
        "content-length: 1e3\r\n",
        "content-length:\r\n",
        "content-length: 18446744073709551616\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: identity, chunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: chunked;a=b\r\n",
        "transfer-encoding:\r\n",
        "transfer-encoding: \x0bchunked\r\n",
        "transfer-encoding\r\n: chunked\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding:\r\n chunked\r\n",
        "transfer-encoding: chunked\r\n \r\n",
        "content-length: 1\nx: y\r\n",
        "content-length: 1\rx: y\r\n",
    ] {
        assert!(with(fields).is_err(), "{fields:?}");
    }
    refused(b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n");
}

#[test]
fn a_field_is_a_token_a_colon_and_a_text() {
    for field in [
        " x: y",
        "\tx: y",
        "x y: z",
        "x : y",
        "x",
        ": y",
        "x\0: y",
        "x: a\0b",
        "x: a\x01b",
        "x: a\x7fb",
        "x(: y",
        "x\u{e9}: y",
        "\"x\": y",
    ] {
        assert!(with(&format!("{field}\r\n")).is_err(), "{field:?}");
    }
    let latin = b"GET / HTTP/1.1\r\nhost: a\r\nx: \xe9\tb\r\n\r\n";
    assert_eq!(read(latin).unwrap().unwrap().headers["x"].as_bytes(), b"\xe9\tb");
}

#[test]
fn lines_end_in_both_characters() {
    for bytes in [
        &b"GET / HTTP/1.1\nhost: a\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nhost: a\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n\n",
        b"GET / HTTP/1.1\r\nhost: a\n\n",
        b"\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\r\n\r\n",
        b"GET / HTTP/1.1\r\r\nhost: a\r\n\r\n",
        b"GET /\rHTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        refused(bytes);
    }
}

#[test]
fn the_request_line_is_three_words() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /",
        "GET",
        "GET / http/1.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/11",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET\t/ HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET a HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS ** HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET http:/// HTTP/1.1",
        "GET http://u@a/ HTTP/1.1",
        "GET http://a:b@c/ HTTP/1.1",
        "GET //[ HTTP/1.1x",
        "CONNECT / HTTP/1.1",
        "CONNECT http://a/ HTTP/1.1",
        "GET a:80 HTTP/1.1",
        "",
    ] {
        refused(format!("{line}\r\nhost: a\r\n\r\n").as_bytes());
    }
    assert_eq!(head("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").uri, "*");
    assert_eq!(head("CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n").uri.authority().unwrap(), "a:80");
    assert_eq!(read(b"GET / HTTP/1.2\r\nhost: a\r\n\r\n").unwrap_err(), Refusal::Version);
}

#[test]
fn there_is_one_host_and_the_targets_own_counts_more() {
    refused(b"GET / HTTP/1.1\r\n\r\n");
    refused(b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n");
    refused(b"GET http://a/ HTTP/1.1\r\n\r\n");
    for host in ["a b", "a, b", "u@a", "a/b", "a?b", "a#b", "a\\b", "\"a\"", "<a>"] {
        refused(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes());
    }
    for (target, path) in
        [("http://b:81/x?y", "/x?y"), ("HTTP://b:81", "/"), ("https://b:81?y", "/?y")]
    {
        let head = head(&format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!(head.uri, path, "{target}");
        assert_eq!(head.headers["host"], "b:81");
        assert_eq!(head.headers.get_all("host").iter().count(), 1);
    }
    assert!(head("GET / HTTP/1.0\r\n\r\n").headers.is_empty());
}

#[test]
fn the_connection_lives_on_as_both_sides_say() {
    let lives = |version: &str, field: &str| {
        head(&format!("GET / HTTP/{version}\r\nhost: a\r\n{field}\r\n")).keep_alive
    };
    assert!(lives("1.1", ""));
    assert!(!lives("1.1", "connection: x, Close\r\n"));
    assert!(!lives("1.0", ""));
    assert!(lives("1.0", "connection: Keep-Alive\r\n"));
    assert!(!lives("1.0", "connection: keep-alive\r\nconnection: close\r\n"));
}

#[test]
fn what_is_too_much_is_said_to_be_too_much() {
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(256));
    assert_eq!(read(long.as_bytes()).unwrap_err(), Refusal::TargetTooLong);
    let endless = format!("GET /{}", "a".repeat(400));
    assert_eq!(read(endless.as_bytes()).unwrap_err(), Refusal::TargetTooLong);
    assert_eq!(with(&format!("x: {}\r\n", "a".repeat(4096))).unwrap_err(), Refusal::TooLarge);
    assert_eq!(with(&"x: y\r\n".repeat(20)).unwrap_err(), Refusal::TooLarge);
    assert!(with(&"x: y\r\n".repeat(19)).is_ok());
    let unfinished = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "a".repeat(4096));
    assert_eq!(read(unfinished.as_bytes()).unwrap_err(), Refusal::TooLarge);
}

#[test]
fn another_protocol_is_refused_at_its_first_byte() {
    for bytes in [&b"\x16\x03\x01"[..], b"\0", b" ", b"(", b"\x80"] {
        refused(bytes);
    }
    assert!(read(b"").unwrap().is_none());
    assert!(read(b"G").unwrap().is_none());
}
