//! Cases 17 and 18: floods of HTTP/2 frames end with GOAWAY, and a good client is served meanwhile.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::through;
use crate::support::{
    Gateway, Peer,
    frames::{
        CALM, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Http2, PING, PRIORITY,
        RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, request,
    },
};

/// Floods a gateway with what `burst` makes for each round, until it hangs up; a good client asks
/// all the while. Says with which error it hung up.
fn flood(opening: &[u8], rounds: u32, burst: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    let peer = Peer::answering("ok");
    let gateway = through(&peer.url());
    flood_at(&gateway, opening, rounds, burst)
}

fn flood_at(
    gateway: &Gateway,
    opening: &[u8],
    rounds: u32,
    burst: impl Fn(u32) -> Vec<u8>,
) -> Option<u32> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let good = scope.spawn(|| {
            let mut asked = 0;
            let mut client = gateway.client();
            while !over.load(Relaxed) || asked < 5 {
                let answer = client.round_trip("GET /good HTTP/1.1\r\nHost: a.test\r\n\r\n");
                assert_eq!(answer.status, 200);
                asked += 1;
            }
        });
        // However this ends, the good client stops: a scope waits for its threads.
        let _ends = Ends(&over);
        let mut bad = Http2::connect(gateway.address());
        let mut reader = bad.reader();
        let reading = scope.spawn(move || reader.farewell());
        bad.send(opening);
        for round in 0..rounds {
            if !bad.send(&burst(round)) {
                break;
            }
        }
        let said = reading.join();
        over.store(true, Relaxed);
        good.join().unwrap();
        said.unwrap()
    })
}

/// Says that it is over, by its own end.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn many(one: Vec<u8>) -> impl Fn(u32) -> Vec<u8> {
    move |_| one.repeat(100)
}

#[test]
fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let peer = Peer::answering("ok");
    let gateway = through(&peer.url());
    let said = flood_at(&gateway, &[], 100_000, |round| {
        let stream = round * 2 + 1;
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", "/bad", &[]));
        [open, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    assert_eq!(said, Some(CALM));
    let bad = peer.seen().iter().filter(|seen| seen.target() == "/bad").count();
    assert!(bad <= 500, "{bad} of the requests went on");
}

#[test]
fn a_flood_of_settings_ends_the_connection() {
    let one = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    assert_eq!(flood(&[], 10_000, many(one)), Some(CALM));
}

#[test]
fn a_flood_of_pings_ends_the_connection() {
    assert_eq!(flood(&[], 10_000, many(frame(PING, 0, 0, &[0; 8]))), Some(CALM));
}

#[test]
fn a_flood_of_priorities_and_unknown_frames_ends_the_connection() {
    let priority = frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]);
    assert_eq!(flood(&[], 10_000, many(priority)), Some(CALM));
    assert_eq!(flood(&[], 10_000, many(frame(0x77, 0, 0, b"x"))), Some(CALM));
}

#[test]
fn a_flood_of_window_updates_ends_the_connection() {
    let one = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    assert_eq!(flood(&[], 10_000, many(one)), Some(CALM));
}

#[test]
fn a_flood_of_empty_data_ends_the_connection() {
    let open = frame(HEADERS, END_HEADERS, 1, &request("POST", "/bad", &[]));
    assert_eq!(flood(&open, 10_000, many(frame(DATA, 0, 1, &[]))), Some(CALM));
}

#[test]
fn a_flood_of_tiny_data_ends_the_connection_or_the_request() {
    let open = frame(HEADERS, END_HEADERS, 1, &request("POST", "/bad", &[]));
    // What a service reads as it comes is no flood. This one reads nothing of it, so that whoever
    // sends on has broken a rule of flow control.
    let (over, wait) = std::sync::mpsc::sync_channel::<()>(0);
    let wait = std::sync::Mutex::new(wait);
    let peer = Peer::start(move |exchange| {
        if exchange.head.start.contains("/bad") {
            wait.lock().unwrap().recv().unwrap_err();
            exchange.close();
        } else {
            exchange.read();
            exchange.answer(200, &[], "ok");
        }
    });
    let gateway = through(&peer.url());
    let said = flood_at(&gateway, &open, 20_000, many(frame(DATA, 0, 1, b"x")));
    drop(over);
    assert!(said.is_some_and(|error| error != 0), "{said:?}");
}

#[test]
fn a_block_of_headers_without_end_ends_the_connection() {
    for piece in [frame(CONTINUATION, 0, 1, &[]), frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y'])]
    {
        let open = frame(HEADERS, END_STREAM, 1, &request("GET", "/bad", &[]));
        assert_eq!(flood(&open, 10_000, many(piece)), Some(CALM));
    }
}

#[test]
fn a_small_block_that_unpacks_to_large_headers_is_refused() {
    let peer = Peer::answering("ok");
    let gateway = through(&peer.url());
    // One header of 4000 bytes goes into the table, and is named 10,000 times in a byte each.
    let mut bomb = request("GET", "/bad", &[]);
    bomb.extend_from_slice(&[0x40, 1, b'x', 0x7F]);
    bomb.extend_from_slice(&[0xA1, 30]); // 127 + 33 + 30 * 128 = 4000
    bomb.extend_from_slice(&[b'y'; 4000]);
    let block = [bomb, vec![0xBE; 10_000]].concat();
    let mut client = Http2::connect(gateway.address());
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
    let mut refused = false;
    while let Some(frame) = client.next() {
        match frame.kind {
            // 431 in a literal, however it is packed, or no stream, or no connection any more.
            HEADERS => {
                refused = frame.payload.first() != Some(&0x88);
                break;
            }
            RST_STREAM | 7 => {
                refused = true;
                break;
            }
            _ => {}
        }
    }
    assert!(refused, "the headers were taken");
    assert!(peer.seen().is_empty());
    assert_eq!(gateway.get("/good").status, 200);
}

#[test]
fn a_block_of_headers_that_stands_still_ends_the_connection() {
    let peer = Peer::answering("ok");
    let gateway = through(&peer.url());
    let whole = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("GET", "/bad", &[]));
    let halves = [
        frame(HEADERS, END_STREAM, 1, &request("GET", "/bad", &[])), // without its end
        whole[..whole.len() - 1].to_vec(),                           // without its last byte
        whole[..4].to_vec(),
    ];
    thread::scope(|scope| {
        for half in &halves {
            scope.spawn(|| {
                let mut client = Http2::connect(gateway.address());
                client.patience(Duration::from_secs(20));
                client.send(half);
                assert_eq!(client.farewell(), Some(CALM));
            });
        }
    });
    assert!(peer.seen().is_empty());
}
