//! No more calls at once than the upstream gets.

use std::{
    sync::{Mutex, mpsc},
    thread,
};

use super::guarded;
use crate::support::{Gateway, PATIENCE, Peer, eventually};

/// Answers each request once it is told to.
fn patient() -> (mpsc::Sender<()>, Peer) {
    let (go_on, told) = mpsc::channel();
    let told = Mutex::new(told);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        if told.lock().unwrap().recv_timeout(PATIENCE).is_ok() {
            exchange.answer(200, &[], "done");
        }
    });
    (go_on, peer)
}

fn await_seen(peer: &Peer, count: usize) {
    eventually("the service is asked", || (peer.seen().len() >= count).then_some(()));
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[test]
fn what_is_over_the_limit_waits_and_what_is_over_the_queue_is_shed() {
    let (go_on, peer) = patient();
    let gateway = guarded(&peer.url(), "concurrency: { max: 1, queue: 1 }", "");
    let mut first = gateway.client();
    first.send(GET);
    await_seen(&peer, 1);
    // Of two more one waits, and the other is told at once.
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        for _ in 0..2 {
            let (tell, gateway) = (tell.clone(), &gateway);
            scope.spawn(move || tell.send(gateway.get("/")).unwrap());
        }
        let shed = told.recv_timeout(PATIENCE).unwrap();
        let problem = shed.problem(503, "overloaded");
        assert_eq!((&problem["ran"], &problem["retry"]), (&"no".into(), &"safe".into()));
        assert_eq!(shed.header("retry-after"), Some("1"));
        assert_eq!(peer.seen().len(), 1);
        go_on.send(()).unwrap();
        assert_eq!(first.answer().text(), "done");
        go_on.send(()).unwrap();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap().text(), "done");
    });
    assert_eq!(peer.seen().len(), 2);
}

#[test]
fn a_permit_is_held_until_the_last_byte_of_the_answer() {
    let (go_on, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        if told.lock().unwrap().recv_timeout(PATIENCE).is_ok() {
            exchange.send("-last");
        }
    });
    let gateway = guarded(&peer.url(), "concurrency: { max: 1, queue: 0 }", "");
    let mut first = gateway.client();
    first.send(GET);
    let head = first.head();
    assert_eq!(first.exactly(5).unwrap(), b"first");
    for _ in 0..5 {
        gateway.get("/").problem(503, "overloaded");
    }
    go_on.send(()).unwrap();
    assert_eq!((head.status(), first.exactly(5).unwrap()), (200, b"-last".to_vec()));
    go_on.send(()).unwrap();
    eventually("the permit is free again", || {
        let answer = gateway.get("/");
        (answer.status == 200).then(|| assert_eq!(answer.text(), "first-last"))
    });
}

#[test]
fn a_caller_who_leaves_gives_the_permit_back() {
    let peer = Peer::start(|exchange| {
        let seen = exchange.read();
        if seen.target() == "/stuck" {
            exchange.await_leaving();
        } else {
            exchange.answer(200, &[], "ok");
        }
    });
    let gateway = guarded(&peer.url(), "concurrency: { max: 1, queue: 0 }", "");
    for round in 1..4 {
        let mut stuck = gateway.client();
        stuck.send("GET /stuck HTTP/1.1\r\nHost: a.test\r\n\r\n");
        eventually("the service is asked", || {
            let asked = peer.seen().iter().filter(|seen| seen.target() == "/stuck").count();
            (asked == round).then_some(())
        });
        gateway.get("/").problem(503, "overloaded");
        drop(stuck);
        eventually("the permit is free again", || (gateway.get("/").status == 200).then_some(()));
    }
}

#[test]
fn whoever_waits_gives_up_when_its_time_is_up() {
    let (go_on, peer) = patient();
    let gateway = Gateway::start(&format!(
        "upstreams:
  web: {{ kind: http, url: {}, concurrency: 1 }}
routes:
  - {{ name: slow, match: {{ path: / }}, to: web }}
  - {{ name: quick, match: {{ path: /quick }}, to: web, policy: {{ timeout: 200ms }} }}
",
        peer.url()
    ));
    let mut first = gateway.client();
    first.send(GET);
    await_seen(&peer, 1);
    let problem = gateway.get("/quick").problem(503, "overloaded");
    assert_eq!(problem["ran"], "no");
    go_on.send(()).unwrap();
    assert_eq!(first.answer().text(), "done");
    assert_eq!(peer.seen().len(), 1);
}
