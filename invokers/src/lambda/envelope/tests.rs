//! What a function gets of a request. Each case is a request; the three documents of it are golden
//! files in `golden/`, which `BLESS=1` writes anew.

use std::{fmt::Write as _, path::Path, time::Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use schemas::{Body, Call};

use super::*;

/// 2026-11-28, 06:00:00.123 UTC.
const NOW: i64 = 1_795_845_600_123;

fn call(method: Method, uri: &str, headers: &[(&str, &[u8])], data: &'static [u8]) -> Call {
    let mut call = Call::new("orders", Body::from(Bytes::from_static(data)), Instant::now());
    call.head.method = method;
    call.head.uri = uri.parse().unwrap();
    call.client = Some("192.0.2.7".parse().unwrap());
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        call.head.headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    call
}

/// Compares all three documents of a request with the golden file.
fn golden(name: &str, call: &Call) {
    let data = call.event.data.whole().unwrap();
    let mut made = String::new();
    for (title, format) in [
        ("api-gateway-v2", Format::ApiGatewayV2),
        ("api-gateway-v1", Format::ApiGatewayV1),
        ("alb", Format::Alb),
    ] {
        let written = written(format, &Parts::of(call, None, &data, NOW)).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&written).unwrap();
        writeln!(made, "# {title}\n{value:#}").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/lambda/envelope/golden")
        .join(format!("{name}.txt"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(made, expected, "{name}.txt differs; BLESS=1 writes it anew");
}

#[test]
fn a_request_is_put_into_each_envelope() {
    let headers: &[(&str, &[u8])] = &[
        ("x-forwarded-host", b"shop.example.com"),
        ("content-type", b"application/json"),
        ("user-agent", b"curl/8"),
        ("x-request-id", b"r-1"),
        ("x-forwarded-for", b"192.0.2.7"),
    ];
    golden("json", &call(Method::POST, "/orders/1?state=new", headers, br#"{"item":"tea \" \\"}"#));
}

#[test]
fn repeated_keys_headers_and_cookies_survive() {
    let headers: &[(&str, &[u8])] = &[
        ("host", b"shop.example.com:8080"),
        ("accept", b"text/html"),
        ("accept", b"application/json"),
        ("cookie", b"a=1; b=2"),
        ("cookie", b"c=3"),
        ("connection", b"keep-alive"),
        ("te", b"trailers"),
        ("expect", b"100-continue"),
    ];
    let uri = "/a%2Fb/%C3%A9?x=1&y=a+b&x=%26&z&x=1&=e&%C3%A9=%C3%BC";
    golden("repeated", &call(Method::GET, uri, headers, b""));
}

#[test]
fn a_binary_body_is_base64_and_says_so() {
    golden(
        "binary",
        &call(Method::PUT, "/", &[("content-type", b"image/png")], b"\x89PNG\r\n\x00\xff"),
    );
}

#[test]
fn text_is_text_whatever_it_is_of() {
    let headers: &[(&str, &[u8])] = &[("x-latin", b"caf\xe9"), ("x-utf8", "café".as_bytes())];
    golden("text", &call(Method::POST, "/?", headers, "Grüße \0 \u{1F375}\n".as_bytes()));
}

#[test]
fn nothing_that_is_there_is_nothing_in_the_document() {
    let mut bare = call(Method::DELETE, "/", &[], b"");
    bare.client = None;
    golden("bare", &bare);
}

#[test]
fn many_keys_cost_no_more_than_their_number() {
    let query: String = (0..20_000).fold(String::from("/?"), |all, n| all + &format!("k{n}&"));
    let call = call(Method::GET, &query.chars().take(60_000).collect::<String>(), &[], b"");
    let before = Instant::now();
    written(Format::ApiGatewayV1, &Parts::of(&call, None, b"", NOW)).unwrap();
    assert!(before.elapsed().as_secs() < 2, "{:?}", before.elapsed());
}
