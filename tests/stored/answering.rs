//! What the caller is told.

use super::{event, gateway, start, store};
use crate::support::{Peer, eventually};

#[test]
fn a_stored_event_is_answered_with_a_receipt_before_its_target_answers() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.await_leaving();
    });
    let gateway =
        gateway(&peer.url(), "  - { name: in, match: { path: /in }, to: web, ack: stored }\n");
    let receipt = store(&gateway, "/in", "1", "x");
    assert_eq!(receipt["ack"], "stored");
    assert_eq!((&receipt["id"], &receipt["source"]), (&"1".into(), &"/orders".into()));
    assert_eq!(receipt["guarantee"], "disk-synced");
    assert_eq!(receipt["duplicate"], false);
    assert!(receipt["receipt"]["stored"].is_u64(), "{receipt}");
    eventually("it is delivered", || (peer.seen().len() == 1).then_some(()));
}

#[test]
fn every_target_of_to_all_gets_the_event_and_the_receipt_names_each() {
    let (a, b) = (Peer::answering("a"), Peer::answering("b"));
    let gateway = start(&format!(
        "upstreams:\n  a: {{ kind: http, url: {} }}\n  b: {{ kind: http, url: {} }}\nroutes:\n  \
         - {{ name: all, match: {{ path: /in }}, to_all: [a, {{ to: b, format: structured }}] }}\n",
        a.url(),
        b.url()
    ));
    let receipt = store(&gateway, "/in", "7", "hello");
    let targets = receipt["receipt"]["targets"].as_array().unwrap();
    assert_eq!((&targets[0]["to"], &targets[1]["to"]), (&"a".into(), &"b".into()));
    eventually("both have it", || (a.seen().len() == 1 && b.seen().len() == 1).then_some(()));
    assert_eq!(a.only().header("ce-id"), Some("7"));
    assert_eq!(a.only().body, b"hello");
    assert_eq!(b.only().header("content-type"), Some("application/cloudevents+json"));
}

#[test]
fn what_is_wrong_is_refused_and_not_stored() {
    let peer = Peer::answering("x");
    let gateway = gateway(
        &peer.url(),
        "  - { name: in, match: { path: /in }, to: web, ack: stored, order_by: \"{header.x-key}\", \
         policy: { limits: { event: 1KiB } } }\n",
    );
    let refused = |headers: &[&str], body: &[u8], status: u16, code: &str| {
        let answer = gateway.post("/in", headers, body);
        assert_eq!((answer.status, &answer.json()["code"]), (status, &code.into()));
        assert_eq!(answer.json()["ran"], "no");
    };
    refused(&["x-key: 1"], &[b'x'; 1025], 413, "too_large");
    refused(&[], b"x", 400, "placeholder_missing");
    refused(&["x-key: 1", "ce-id: 1"], b"x", 400, "invalid_event");
    let batch = ["x-key: 1", "content-type: application/cloudevents-batch+json"];
    let good = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1}"#;
    refused(&batch, format!("[{good},{{\"id\":\"2\"}}]").as_bytes(), 400, "invalid_event");
    assert_eq!(gateway.post("/in", &["x-key: 1"], "good").status, 202);
    eventually("the good one is delivered", || (!peer.seen().is_empty()).then_some(()));
    assert_eq!(peer.only().body, b"good");
}

#[test]
fn a_batch_is_stored_whole_and_each_event_has_its_receipt() {
    let peer = Peer::answering("x");
    let gateway =
        gateway(&peer.url(), "  - { name: in, match: { path: /in }, to: web, ack: stored }\n");
    let one = |id: u32| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t","data":{id}}}"#)
    };
    let batch = format!("[{},{},{}]", one(1), one(2), one(3));
    let headers = ["content-type: application/cloudevents-batch+json"];
    let answer = gateway.post("/in", &headers, batch);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let json = answer.json();
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    assert!(results.iter().all(|one| one["ack"] == "stored"), "{json}");
    eventually("all are delivered", || (peer.seen().len() == 3).then_some(()));
}

#[test]
fn a_repetition_gets_the_first_receipt_and_other_data_is_a_conflict() {
    let peer = Peer::answering("x");
    let gateway = gateway(
        &peer.url(),
        "  - { name: in, match: { path: /in }, to: web, ack: stored }\n  - { name: other, match: { \
         path: /other }, to: web, ack: stored }\n",
    );
    let first = store(&gateway, "/in", "1", "x");
    let again = store(&gateway, "/in", "1", "x");
    assert_eq!(again["duplicate"], true);
    assert_eq!(again["receipt"], first["receipt"]);
    let headers = event("1");
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let other = gateway.post("/in", &headers, "y");
    assert_eq!((other.status, &other.json()["code"]), (422, &"idempotency_conflict".into()));
    assert_eq!(store(&gateway, "/other", "1", "x")["duplicate"], false, "another route");
    // A plain request is known again by its key alone.
    let key = ["Idempotency-Key: k1"];
    assert_eq!(gateway.post("/in", &key, "p").json()["duplicate"], false);
    assert_eq!(gateway.post("/in", &key, "p").json()["duplicate"], true);
    assert_eq!(gateway.post("/in", &[], "p").json()["duplicate"], false);
    eventually("four are delivered", || (peer.seen().len() == 4).then_some(()));
}
