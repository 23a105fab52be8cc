//! Nothing is held back: bytes go on as they come, both ways, and trailers behind them.

use std::{sync::mpsc, thread, time::Duration};

use super::{through, through_with};
use crate::support::{PATIENCE, Peer, noise};

/// Sends every chunk back as it comes.
fn mirror() -> Peer {
    Peer::start(|exchange| {
        exchange.remember_head();
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while let Some(Some(chunk)) = exchange.wire.chunk() {
            exchange.send([format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat());
        }
        exchange.send("0\r\n\r\n");
        exchange.close();
    })
}

const CHUNKED_POST: &str = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn the_first_chunk_comes_back_before_the_second_is_sent() {
    let peer = mirror();
    let gateway = through(&peer);
    let mut client = gateway.client();
    client.send(CHUNKED_POST);
    client.send("5\r\nfirst\r\n");
    let head = client.head();
    assert_eq!(head.status(), 200);
    assert_eq!(client.chunk().unwrap().unwrap(), b"first");
    // Nothing of this was sent before the first had come back.
    client.send("6\r\nsecond\r\n");
    assert_eq!(client.chunk().unwrap().unwrap(), b"second");
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk(), Some(None));
}

#[test]
fn a_request_of_which_one_byte_is_here_reaches_the_service() {
    let (saw, seen) = mpsc::sync_channel(1);
    let peer = Peer::start(move |exchange| {
        let first = exchange.wire.exactly(1).unwrap();
        saw.send(first).unwrap();
        exchange.wire.exactly(2).unwrap();
        exchange.answer(200, &[], "ok");
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\na");
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), b"a");
    client.send("bc");
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn trailers_go_both_ways() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
        );
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\n\
         Transfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n3\r\nabc\r\n0\r\nX-Check: 9\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.trailers, [("X-Sum".to_lowercase(), "7".to_owned())].map(lower));
    let trailers: Vec<_> = peer.only().trailers.into_iter().map(lower).collect();
    assert_eq!(trailers, [("x-check".to_owned(), "9".to_owned())]);
}

fn lower((name, value): (String, String)) -> (String, String) {
    (name.to_lowercase(), value)
}

#[test]
fn a_reader_that_stands_still_holds_the_service_back() {
    let (wrote, written) = mpsc::channel();
    let peer = Peer::start(move |exchange| {
        exchange.read();
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = noise(64 << 10);
        for _ in 0..1024 {
            let taken = exchange.wire.try_send([b"10000\r\n", &*chunk, b"\r\n"].concat());
            if !taken || wrote.send(chunk.len()).is_err() {
                return exchange.close();
            }
        }
        exchange.send("0\r\n\r\n");
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    // The service writes until every buffer on the way is full; then it stands still too.
    let mut sent = 0;
    while let Ok(length) = written.recv_timeout(Duration::from_millis(500)) {
        sent += length;
    }
    assert!(sent < 32 << 20, "{sent} bytes went somewhere although nobody reads");
}

#[test]
fn a_caller_that_waits_for_the_go_ahead_gets_it_once_the_request_is_under_way() {
    let (saw, seen) = mpsc::sync_channel(1);
    let peer = Peer::start(move |exchange| {
        saw.send(exchange.head.clone()).unwrap();
        let seen = exchange.read();
        exchange.answer(200, &[], seen.body);
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    assert_eq!(client.head().status(), 100);
    let head = seen.recv_timeout(PATIENCE).expect("the service has the head before the body");
    assert_eq!(head.header("expect"), None, "nobody would wait for the service's go-ahead");
    client.send("hello");
    assert_eq!(client.answer().text(), "hello");
}

#[test]
fn a_caller_that_waits_for_the_go_ahead_and_is_refused_gets_none() {
    let peer = Peer::echo();
    let gateway = through_with(&[&peer.url()], "    policy: { limits: { body: 1KiB } }\n");
    let mut client = gateway.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n",
    );
    let head = client.head();
    assert_eq!(head.status(), 413);
    client.answer_below(head).problem(413, "too_large");
}

#[test]
fn a_client_that_leaves_ends_the_call_at_the_service() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.await_leaving();
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    client.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    crate::support::eventually("the service is asked", || (peer.seen().len() == 1).then_some(()));
    drop(client);
    peer.await_cancelled(1);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_an_answer_ends_it_at_the_service() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
        exchange.await_leaving();
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.head();
    assert_eq!(client.chunk().unwrap().unwrap(), b"ok");
    drop(client);
    peer.await_cancelled(1);
}

#[test]
fn a_body_that_stands_still_too_long_is_cut_off() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
        exchange.await_leaving();
    });
    let gateway = through_with(&[&peer.url()], "    policy: { idle_timeout: 200ms }\n");
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    assert_eq!(client.chunk().unwrap().unwrap(), b"ok");
    assert_eq!(client.chunk(), None, "a body that was cut off must not look complete");
    peer.await_cancelled(1);
}

#[test]
fn an_answer_that_breaks_off_at_the_service_breaks_off_at_the_client() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        exchange.close();
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let head = client.head();
    assert_eq!(head.status(), 200);
    assert!(client.body(&head).is_none(), "a body that was cut off must not look complete");
}

#[test]
fn many_streams_at_once_do_not_mix() {
    let peer = mirror();
    let gateway = through(&peer);
    let address = gateway.address();
    let workers: Vec<_> = (0..16_u8)
        .map(|n| {
            thread::spawn(move || {
                let mut client = crate::support::Client::connect(address);
                client.send(CHUNKED_POST);
                for round in 0..50_u8 {
                    client.send([b"2\r\n", &[n, round][..], b"\r\n"].concat());
                    if round == 0 {
                        assert_eq!(client.head().status(), 200);
                    }
                    assert_eq!(client.chunk().unwrap().unwrap(), [n, round]);
                }
                client.send("0\r\n\r\n");
                assert_eq!(client.chunk(), Some(None));
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}
