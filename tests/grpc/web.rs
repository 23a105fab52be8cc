use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::both;

/// Puts the prefix in front of a message.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// The frames of a body: their flags and what is in them.
fn frames(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let [flags, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        all.push((*flags, rest[..length].to_vec()));
        body = &rest[length..];
    }
    assert!(body.is_empty());
    all
}

/// WatchRequest { count = 2, fail = 3 }.
const TWO: &[u8] = &[16, 2];
const ONE_THEN_FAIL: &[u8] = &[16, 1, 24, 1];

#[test]
fn a_browser_calls_methods_and_reads_streams_by_grpc_web() {
    let Some((_server, gateway)) = both() else { return };
    let ask = |media: &str, method: &str, body: &[u8]| {
        let media = format!("Content-Type: {media}");
        let answer = gateway.post(&format!("/ledger.v1.Ledger/{method}"), &[&media], body);
        assert_eq!(answer.status, 200);
        answer
    };
    let status = |frames: &[(u8, Vec<u8>)]| {
        let (flags, text) = frames.last().unwrap();
        assert_eq!(*flags, 0x80, "the trailers are the last frame");
        String::from_utf8(text.clone()).unwrap()
    };

    // TransferRequest { to = 2: "b" }, and a reply with the same in its field `request`.
    let answer = ask("application/grpc-web+proto", "Transfer", &framed(b"\x12\x01b"));
    assert!(answer.header("content-type").unwrap().starts_with("application/grpc-web"));
    assert_eq!(answer.header("x-ledger"), Some("main"));
    let all = frames(&answer.body);
    assert_eq!(all[0], (0, b"\x0a\x02t1\x12\x03\x12\x01b".to_vec()));
    let trailers = status(&all);
    assert!(trailers.contains("grpc-status: 0\r\n"), "{trailers}");
    assert!(trailers.contains("x-cost: 7\r\n"), "{trailers}");

    let answer = ask("application/grpc-web", "Watch", &framed(TWO));
    let all = frames(&answer.body);
    // Entry {}, and Entry { number = 1: 1 }.
    assert_eq!(all[..2], [(0, vec![]), (0, vec![8, 1])]);
    assert!(status(&all).contains("grpc-status: 0\r\n"));

    let text = STANDARD.encode(framed(ONE_THEN_FAIL));
    let answer = ask("application/grpc-web-text", "Watch", text.as_bytes());
    let pieces = answer.text().as_bytes().chunks(4);
    let body: Vec<u8> = pieces.flat_map(|piece| STANDARD.decode(piece).unwrap()).collect();
    let all = frames(&body);
    assert_eq!(all[0], (0, vec![]));
    let trailers = status(&all);
    assert!(trailers.contains("grpc-status: 15\r\n"), "{trailers}");
}

#[test]
fn what_the_gateway_refuses_is_a_status_to_grpc_web_too() {
    let Some((_server, gateway)) = both() else { return };
    let web = ["Content-Type: application/grpc-web+proto"];
    let answer = gateway.post("/nobody.Service/Method", &web, framed(b""));
    assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("12")));
    assert!(answer.body.is_empty());
    // The length of a message says how long it is: 4 GiB are refused by the first five bytes.
    let answer = gateway.post("/ledger.v1.Ledger/Transfer", &web, b"\x01\xFF\xFF\xFF\xFF");
    assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("8")));
    // Flags that nobody knows.
    let answer = gateway.post("/ledger.v1.Ledger/Transfer", &web, b"\x07\0\0\0\0");
    assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("3")));
}
