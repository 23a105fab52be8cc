//! When a call is sent again, and when never.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::through_with;
use crate::support::{Peer, free_port, gateway::request, noise};

/// Fails with a status the first `times`, then echoes.
fn failing(status: u16, times: usize) -> Peer {
    let count = AtomicUsize::new(0);
    Peer::start(move |exchange| {
        let seen = exchange.read();
        if count.fetch_add(1, Ordering::Relaxed) < times {
            exchange.answer(status, &[], "not now");
        } else {
            exchange.answer(200, &[], seen.body);
        }
    })
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_avoided_by_the_second_try() {
    let peer = Peer::answering("here");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let gateway = through_with(&[&nobody, &peer.url()], "");
    for _ in 0..10 {
        assert_eq!(gateway.post("/", &[], "x").text(), "here");
    }
    assert_eq!(peer.seen().len(), 10);
}

#[test]
fn endpoints_take_turns() {
    let (one, two) = (Peer::answering("1"), Peer::answering("2"));
    let gateway = through_with(&[&one.url(), &two.url()], "");
    let mut client = gateway.client();
    for _ in 0..20 {
        client.round_trip("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    }
    assert_eq!((one.seen().len(), two.seen().len()), (10, 10));
}

#[test]
fn what_may_have_run_is_sent_again_only_if_it_is_idempotent() {
    let on_failed =
        "    policy: { retry: { attempts: 3, on: [failed], backoff: { base: 1ms } } }\n";
    let peer = failing(503, 2);
    let gateway = through_with(&[&peer.url()], on_failed);
    let answer = gateway.send(request("PUT", "/", &[], b"again"));
    assert_eq!((answer.status, answer.text()), (200, "again"));
    assert_eq!(peer.seen().len(), 3);

    let peer = failing(503, 2);
    let gateway = through_with(&[&peer.url()], on_failed);
    assert_eq!(gateway.post("/", &[], "once").status, 503);
    assert_eq!(peer.seen().len(), 1, "a POST that may have run was sent again");

    let peer = failing(503, 2);
    let idempotent = "    policy: { idempotent: true, retry: { attempts: 3, on: [503], backoff: { base: 1ms } } }\n";
    let gateway = through_with(&[&peer.url()], idempotent);
    assert_eq!(gateway.post("/", &[], "three times").text(), "three times");
    assert_eq!(peer.seen().len(), 3);
}

#[test]
fn a_throttle_is_worth_another_try_and_the_last_answer_is_the_callers() {
    let peer = failing(429, 1);
    let gateway = through_with(&[&peer.url()], "");
    assert_eq!(gateway.post("/", &[], "x").text(), "x");
    assert_eq!(peer.seen().len(), 2);

    let peer = failing(429, usize::MAX);
    let gateway = through_with(&[&peer.url()], "");
    let answer = gateway.post("/", &[], "x");
    assert_eq!((answer.status, answer.text()), (429, "not now"));
    assert_eq!(peer.seen().len(), 2, "two attempts are the default");
}

#[test]
fn a_body_over_the_buffer_is_sent_once() {
    let peer = failing(429, 1);
    let gateway = through_with(&[&peer.url()], "    policy: { retry: { buffer: 1KiB } }\n");
    assert_eq!(gateway.post("/", &[], noise(2000)).status, 429);
    assert_eq!(peer.seen().len(), 1);
    assert_eq!(peer.only().body, noise(2000));
}

#[test]
fn a_try_that_takes_too_long_is_given_up_for_another() {
    let slow = Peer::start(|exchange| {
        exchange.read();
        exchange.await_leaving();
    });
    let quick = Peer::answering("quick");
    let gateway = through_with(
        &[&slow.url(), &quick.url()],
        "    policy: { try_timeout: 200ms, retry: { attempts: 2, on: [timeout] } }\n",
    );
    for _ in 0..4 {
        assert_eq!(gateway.get("/").text(), "quick");
    }
    assert!(!slow.seen().is_empty(), "the slow endpoint was never tried");
}
