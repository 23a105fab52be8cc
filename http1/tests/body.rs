//! Bodies in their framings.

use bytes::BytesMut;
use http::{HeaderMap, Method};
use http1::{
    Decoder, Framing, Limits, Malformed, Step, chunk_end, chunk_size, last_chunk, response,
};
use proptest::prelude::*;

/// A body, its trailers and what is left behind it.
type Decoded = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

/// Decodes all of `bytes`, which come in pieces of `size`.
fn decode(framing: Framing, bytes: &[u8], size: usize) -> Result<Decoded, Malformed> {
    let mut decoder = Decoder::new(framing);
    let (mut at_hand, mut body, mut trailers) = (BytesMut::new(), Vec::new(), None);
    let mut pieces = bytes.chunks(size);
    loop {
        match decoder.step(&mut at_hand)? {
            Step::Data(data) => {
                assert!(!data.is_empty());
                body.extend_from_slice(&data);
            }
            Step::Trailers(map) => trailers = Some(map),
            Step::End => break,
            Step::More => match pieces.next() {
                Some(piece) => at_hand.extend_from_slice(piece),
                None => {
                    decoder.close()?;
                    break;
                }
            },
        }
        if decoder.ended() {
            break;
        }
    }
    let rest = pieces.flatten().copied();
    Ok((body, trailers, at_hand.iter().copied().chain(rest).collect()))
}

#[test]
fn chunks_are_joined_and_what_follows_is_left() {
    let coded = b"5;x=\"y\"\r\nhello\r\n00A\r\n, world!!!\r\n0\r\n\r\nGET";
    for size in [1, 2, 3, 7, 1000] {
        let (body, trailers, rest) = decode(Framing::Chunked, coded, size).unwrap();
        assert_eq!(body, b"hello, world!!!");
        assert!(trailers.is_none());
        assert_eq!(rest, b"GET");
    }
}

#[test]
fn trailers_are_read_and_what_may_not_stand_there_is_dropped() {
    let coded =
        b"0\r\nX-Sum: 1\r\nHost: b\r\nContent-Length: 5\r\nAuthorization: c\r\nCookie: d\r\n\
        Connection: e\r\nTransfer-Encoding: chunked\r\n\r\nrest";
    assert!(decode(Framing::Chunked, coded, 1).is_err(), "a length beside a coding");
    let coded =
        b"0\r\nX-Sum: 1\r\nHost: b\r\nContent-Length: 5\r\nAuthorization: c\r\nSet-Cookie: d\r\n\
        Connection: e\r\n\r\nrest";
    for size in [1, 5, 1000] {
        let (body, trailers, rest) = decode(Framing::Chunked, coded, size).unwrap();
        assert!(body.is_empty());
        assert_eq!(
            trailers.unwrap(),
            HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())])
        );
        assert_eq!(rest, b"rest");
    }
    let (_, trailers, _) = decode(Framing::Chunked, b"0\r\nhost: a\r\n\r\n", 1000).unwrap();
    assert!(trailers.is_none());
}

#[test]
fn whatever_else_a_chunk_may_look_like_is_refused() {
    for coded in [
        "+1\r\na\r\n0\r\n\r\n",
        "-1\r\na\r\n",
        "0x1\r\na\r\n",
        "1_0\r\na\r\n",
        " 1\r\na\r\n",
        "1 \r\na\r\n",
        "1 ;x\r\na\r\n",
        "\r\na\r\n",
        "g\r\n",
        "10000000000000000\r\na",
        "fffffffffffffffff\r\na",
        "1\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1;x\ny\r\na\r\n",
        "1;x\ry\r\na\r\n",
        "1;\0\r\na\r\n",
        "0\r\n\n",
        "0\r\nx\r\n\r\n",
        "0\r\n x: y\r\n\r\n",
        "0\r\nx: y\n\r\n",
        "1\r\na",
        "1\r\n",
        "1",
        "0\r\n",
        "0\r\nx: y\r\n",
    ] {
        for size in [1, 1000] {
            assert!(decode(Framing::Chunked, coded.as_bytes(), size).is_err(), "{coded:?}");
        }
    }
    let endless = format!("1;{}", "x".repeat(300));
    assert!(decode(Framing::Chunked, endless.as_bytes(), 1000).is_err());
    let endless = format!("0\r\n{}", "x: y\r\n".repeat(2000));
    assert!(decode(Framing::Chunked, endless.as_bytes(), 1000).is_err());
}

#[test]
fn a_length_is_kept_to_and_a_cut_is_noticed() {
    for size in [1, 2, 1000] {
        let (body, _, rest) = decode(Framing::Length(3), b"abcdef", size).unwrap();
        assert_eq!((&body[..], &rest[..]), (&b"abc"[..], &b"def"[..]));
    }
    assert!(decode(Framing::Length(3), b"ab", 1).is_err());
    let (body, _, _) = decode(Framing::UntilClose, b"abc", 2).unwrap();
    assert_eq!(body, b"abc");
    assert!(Decoder::new(Framing::Empty).ended());
}

const LIMITS: Limits = Limits { head_bytes: 4096, target_bytes: 0, fields: 20 };

fn answered(bytes: &str, method: &Method) -> Result<(u16, Framing, bool), &'static str> {
    let head = response(&mut BytesMut::from(bytes), &mut 0, &LIMITS, method)?;
    let head = head.ok_or("incomplete")?;
    Ok((head.status.as_u16(), head.framing, head.keep_alive))
}

#[test]
fn the_end_of_a_response_is_found_by_its_head_and_its_request() {
    let get = |text: &str| answered(&format!("HTTP/1.1 {text}\r\n\r\n"), &Method::GET).unwrap();
    assert_eq!(get("200 OK\r\ncontent-length: 5"), (200, Framing::Length(5), true));
    assert_eq!(get("200\r\ntransfer-encoding: chunked"), (200, Framing::Chunked, true));
    assert_eq!(get("200 "), (200, Framing::UntilClose, false));
    assert_eq!(get("204 No Content\r\ncontent-length: 5"), (204, Framing::Empty, true));
    assert_eq!(get("304 Not Modified\r\ncontent-length: 5"), (304, Framing::Empty, true));
    assert!(!get("200 OK\r\ncontent-length: 5\r\nconnection: close").2);
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(answered(head, &Method::HEAD).unwrap(), (200, Framing::Empty, true));
    let old = "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(answered(old, &Method::GET).unwrap(), (200, Framing::Length(5), false));
}

#[test]
fn a_response_that_can_be_read_in_two_ways_is_none() {
    for text in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked",
        "HTTP/1.1 200 OK\r\nx: a\nb: c",
        "HTTP/1.1 200 OK\r\nx: a\rb: c",
        "HTTP/1.1 200 OK\r\nx: a\0",
        "HTTP/1.1 200 OK\r\n x: a",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 600 OK",
        "HTTP/2 200 OK",
        "200 OK",
        "HTTP/1.1 200\tOK",
    ] {
        assert!(answered(&format!("{text}\r\n\r\n"), &Method::GET).is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn what_is_coded_in_chunks_is_decoded(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..100), 0..10),
        size in 1_usize..50,
    ) {
        let mut coded = Vec::new();
        for chunk in &chunks {
            chunk_size(chunk.len(), &mut coded);
            coded.extend_from_slice(chunk);
            chunk_end(&mut coded);
        }
        last_chunk(None, &mut coded);
        coded.extend_from_slice(b"next");
        let (body, trailers, rest) = decode(Framing::Chunked, &coded, size).unwrap();
        prop_assert_eq!(body, chunks.concat());
        prop_assert!(trailers.is_none());
        prop_assert_eq!(rest, b"next");
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1_usize..9) {
        drop(decode(Framing::Chunked, &bytes, size));
        drop(http1::request(&mut BytesMut::from(&bytes[..]), &mut 0, &LIMITS));
        drop(response(&mut BytesMut::from(&bytes[..]), &mut 0, &LIMITS, &Method::GET));
    }

    #[test]
    fn sizes_are_written_as_they_are_read(size in 1_usize..usize::MAX >> 8) {
        let mut line = Vec::new();
        chunk_size(size, &mut line);
        prop_assert_eq!(line, format!("{size:x}\r\n").into_bytes());
    }
}
