//! What the caller is told when the service does not do its part.

use std::{net::TcpListener, sync::mpsc};

use super::{through, through_with};
use crate::support::{Gateway, PATIENCE, Peer, free_port, noise};

#[test]
fn a_service_that_is_not_there_is_502_and_safe_to_repeat() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let gateway = through_with(&[&nobody], "");
    let problem = gateway.get("/").problem(502, "connect_failed");
    assert_eq!(problem["ran"], "no");
    assert_eq!(problem["retry"], "safe");
    assert!(!problem.to_string().contains(&nobody), "an inner address was told: {problem}");
}

#[test]
fn a_service_that_does_not_answer_in_time_is_504() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.await_leaving();
    });
    let gateway = through_with(&[&peer.url()], "    policy: { timeout: 300ms }\n");
    let problem = gateway.post("/", &[], "x").problem(504, "timeout");
    assert_eq!(problem["ran"], "maybe");
    peer.await_cancelled(1);
}

#[test]
fn a_service_that_accepts_and_says_nothing_is_504_too() {
    // The kernel completes connections up to the backlog although nobody accepts them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let gateway = through_with(&[&url], "    policy: { timeout: 300ms }\n");
    gateway.get("/").problem(504, "timeout");
}

#[test]
fn a_service_that_answers_nonsense_or_closes_at_once_is_502() {
    for said in ["", "nonsense\r\n\r\n", "HTTP/1.1 2000 X\r\n\r\n"] {
        let peer = Peer::start(move |exchange| {
            exchange.read();
            exchange.send(said);
            exchange.close();
        });
        let gateway = through(&peer);
        let problem = gateway.post("/", &[], "x").problem(502, "upstream_protocol");
        assert_eq!(problem["ran"], "maybe", "{said:?}");
    }
}

#[test]
fn an_error_of_the_service_is_its_own_answer() {
    for status in [400, 401, 404, 429, 500, 502, 503, 504] {
        let peer = Peer::start(move |exchange| {
            exchange.read();
            exchange.answer(status, &["X-Own: 1", "Retry-After: 7"], "its own words");
        });
        let answer =
            through_with(&[&peer.url()], "    policy: { retry: { attempts: 1 } }\n").get("/");
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-own"), Some("1"));
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.text(), "its own words");
    }
}

#[test]
fn an_early_answer_leaves_the_next_request_intact() {
    let peer = Peer::start(|exchange| {
        if exchange.head.start.starts_with("POST") {
            // Answers without a look at the body.
            exchange.remember_head();
            exchange.answer(401, &["Connection: close"], "no");
            exchange.close();
        } else {
            exchange.read();
            exchange.answer(200, &[], "next");
        }
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    let body = noise(256 << 10);
    client
        .send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body[..1024]);
    assert_eq!(client.answer().status, 401);
    // The rest of the body is either read and dropped, or the connection is closed. Never is a
    // byte of it taken for a request.
    let alive = client.try_send(&body[1024..])
        && client.try_send("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
    if alive && let Some(head) = client.try_head() {
        assert_eq!(head.status(), 200);
        assert_eq!(client.answer_below(head).text(), "next");
    }
    let seen = peer.seen();
    assert!(seen.iter().all(|seen| matches!(seen.target(), "/" | "/next")), "{seen:?}");
}

#[test]
fn a_body_over_the_limit_is_413_whether_or_not_its_length_is_told() {
    let peer = Peer::echo();
    let gateway = through_with(&[&peer.url()], "    policy: { limits: { body: 1KiB } }\n");
    gateway
        .send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1025\r\n\r\n")
        .problem(413, "too_large");
    assert!(peer.seen().is_empty(), "the service was asked although the length was known");
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send([b"401\r\n", &*noise(1025), b"\r\n0\r\n\r\n"].concat());
    client.answer().problem(413, "too_large");
    assert_eq!(gateway.post("/", &[], noise(1024)).body.len(), 1024);
}

#[test]
fn headers_over_the_limit_are_431() {
    let peer = Peer::answering("ok");
    let gateway = through_with(&[&peer.url()], "    policy: { limits: { headers: 1KiB } }\n");
    let long = "x".repeat(2000);
    let answer = gateway.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Long: {long}\r\n\r\n"));
    assert_eq!(answer.status, 431, "{}", answer.text());
    assert!(peer.seen().is_empty());
}

#[test]
fn a_gateway_whose_service_was_away_finds_it_again() {
    let port = free_port();
    let gateway = through_with(
        &[&format!("http://127.0.0.1:{port}")],
        "    policy: { retry: { attempts: 1 } }\n",
    );
    gateway.get("/").problem(502, "connect_failed");
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let service = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut wire = crate::support::Client::over(socket);
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback");
    });
    assert_eq!(gateway.get("/").text(), "back");
    service.join().unwrap();
}

#[test]
fn a_pooled_connection_that_died_is_no_failure_of_the_next_request() {
    let (noticed, notice) = mpsc::sync_channel(1);
    let peer = Peer::start(move |exchange| {
        let seen = exchange.read();
        exchange.answer(200, &[], seen.body);
        // Says that the connection lives on, ends it, and sees the gateway end its side. The race
        // of the two is not what is tested.
        exchange.wire.finish();
        exchange.wire.rest();
        exchange.close();
        noticed.send(()).unwrap();
    });
    let gateway: Gateway = through_with(&[&peer.url()], "    policy: { retry: { attempts: 1 } }\n");
    let mut client = gateway.client();
    for round in 0..10 {
        let body = format!("round {round}");
        let request = crate::support::gateway::request("POST", "/", &[], body.as_bytes());
        assert_eq!(client.round_trip(request).text(), body);
        notice.recv_timeout(PATIENCE).expect("the gateway ends its side too");
    }
    assert_eq!(peer.connections(), 10);
}
