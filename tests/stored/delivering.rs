//! That what was stored arrives, or is a dead letter.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{await_metric, gateway, start, store};
use crate::support::{Peer, eventually};

#[test]
fn credentials_and_cookies_reach_neither_the_disk_nor_the_target() {
    let peer = Peer::answering("x");
    let gateway =
        gateway(&peer.url(), "  - { name: in, match: { path: /in }, to: web, ack: stored }\n");
    let headers = ["Authorization: Bearer geheim", "Cookie: a=geheim", "X-Tenant: t1"];
    assert_eq!(gateway.post("/in?q=1", &headers, "x").status, 202);
    eventually("it is delivered", || (!peer.seen().is_empty()).then_some(()));
    let seen = peer.only();
    assert_eq!((seen.method(), seen.target()), ("POST", "/in?q=1"));
    assert_eq!(seen.header("x-tenant"), Some("t1"));
    assert_eq!((seen.header("authorization"), seen.header("cookie")), (None, None));
    let folder = gateway.folder().join("data/outbox");
    let mut files = 0;
    for entry in walk(&folder) {
        let bytes = std::fs::read(&entry).unwrap();
        assert!(!bytes.windows(6).any(|part| part == b"geheim"), "{}", entry.display());
        files += 1;
    }
    assert!(files > 0, "nothing is in {}", folder.display());
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(walk(&entry.path())),
            false => all.push(entry.path()),
        }
    }
    all
}

#[test]
fn a_target_that_fails_is_tried_again_until_it_takes_the_event() {
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        let status = if counting.fetch_add(1, Ordering::Relaxed) < 3 { 503 } else { 204 };
        exchange.answer(status, &[], "");
    });
    let gateway = gateway(
        &peer.url(),
        "  - { name: in, match: { path: /in }, to: web, ack: stored, delivery: { backoff: { base: \
         10ms, max: 20ms } } }\n",
    );
    store(&gateway, "/in", "1", "x");
    await_metric(&gateway, "gusset_deliveries_total{target=\"web\",outcome=\"delivered\"}", 1);
    assert_eq!(count.load(Ordering::Relaxed), 4);
    assert_eq!(gateway.metric("gusset_deliveries_total{target=\"web\",outcome=\"failed\"}"), 3);
    assert_eq!(gateway.metric("gusset_outbox_dead_letters"), 0);
}

#[test]
fn what_is_refused_for_good_is_a_dead_letter_with_a_copy_that_says_why() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.answer(422, &[], "no");
    });
    let dlq = Peer::answering("x");
    let gateway = start(&format!(
        "upstreams:\n  web: {{ kind: http, url: {} }}\n  dlq: {{ kind: http, url: {} }}\nroutes:\n  \
         - {{ name: in, match: {{ path: /in }}, to: web, ack: stored, dead_letter: dlq }}\n",
        peer.url(),
        dlq.url()
    ));
    store(&gateway, "/in", "1", "x");
    await_metric(&gateway, "gusset_outbox_dead_letters", 1);
    eventually("the copy arrives", || (!dlq.seen().is_empty()).then_some(()));
    let copy = dlq.only();
    assert_eq!(copy.body, b"x");
    for (name, value) in [
        ("ce-id", "1"),
        ("ce-gussetroute", "in"),
        ("ce-gussettarget", "web"),
        ("ce-gussetclass", "function_failed"),
        ("ce-gussetattempts", "1"),
    ] {
        assert_eq!(copy.header(name), Some(value), "{name}");
    }
    assert_eq!(peer.seen().len(), 1);
    let said = gateway.stderr();
    let line = said.iter().find(|line| line.contains("given up for web: ")).expect("a line for it");
    assert!(line.contains(" of route in, after 1 try: "), "{line}");
}

#[test]
fn many_that_are_given_up_are_told_in_few_lines() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.answer(422, &[], "no");
    });
    let gateway =
        gateway(&peer.url(), "  - { name: in, match: { path: /in }, to: web, ack: stored }\n");
    for id in 0..30 {
        store(&gateway, "/in", &id.to_string(), "x");
    }
    await_metric(&gateway, "gusset_outbox_dead_letters", 30);
    let lines = || {
        let all = gateway.stderr().into_iter();
        all.filter(|line| line.contains("given up for web: ")).collect::<Vec<_>>()
    };
    // The first at once, all others together after a while.
    eventually("the others are told", || (lines().len() == 2).then_some(()));
    assert!(lines()[1].contains(" (and 28 more)"), "{:?}", lines());
}

#[test]
fn a_target_that_is_down_takes_nothing_from_another() {
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = Peer::answering("x");
    let gateway = start(&format!(
        "upstreams:\n  down: {{ kind: http, url: \"http://{down}\" }}\n  web: {{ kind: http, url: {} \
         }}\nroutes:\n  - {{ name: all, match: {{ path: /in }}, to_all: [down, web] }}\n",
        peer.url()
    ));
    for id in 0..50 {
        store(&gateway, "/in", &id.to_string(), "x");
    }
    eventually("the one that is up has all", || (peer.seen().len() == 50).then_some(()));
    assert_eq!(gateway.metric("gusset_outbox_pending{target=\"down\"}"), 50);
    let tried = gateway.metric("gusset_deliveries_total{target=\"down\",outcome=\"failed\"}");
    assert!(tried < 200, "a target that is down was tried {tried} times");
}

#[test]
fn an_event_whose_target_is_gone_waits_for_it() {
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = Peer::answering("x");
    let route = "  - { name: in, match: { path: /in }, to: late, ack: stored, delivery: { backoff: { \
                 max: 1s } } }\n";
    let file = |url: &str| {
        format!("upstreams:\n  late: {{ kind: http, url: \"{url}\" }}\nroutes:\n{route}")
    };
    let gateway = start(&file(&format!("http://{down}")));
    store(&gateway, "/in", "1", "x");
    gateway.edit("routes: [{ name: none, respond: {} }]\n");
    gateway.await_generation(2);
    await_metric(&gateway, "gusset_outbox_parked{target=\"late\"}", 1);
    gateway.edit(&file(&peer.url()));
    eventually("it is delivered", || (peer.seen().len() == 1).then_some(()));
}
