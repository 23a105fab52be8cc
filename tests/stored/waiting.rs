//! Stored first, and the function's answer if it comes in time.

use std::time::Duration;

use super::gateway;
use crate::support::{Gateway, Peer, eventually};

const ROUTE: &str = "  - { name: in, match: { path: /in }, to: web, ack: stored, wait: 5s }\n";

fn outcome(gateway: &Gateway, location: &str, state: &str) -> serde_json::Value {
    eventually(state, || {
        let answer = gateway.get(location);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let told = answer.json();
        (told["state"] == state).then_some(told)
    })
}

#[test]
fn an_answer_that_comes_in_time_is_the_answer() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.answer(201, &["X-Made: yes"], "made");
    });
    let gateway = gateway(&peer.url(), ROUTE);
    let answer = gateway.post("/in", &[], "x");
    assert_eq!((answer.status, answer.text()), (201, "made"));
    assert_eq!(answer.header("x-made"), Some("yes"));
    assert_eq!(answer.header("gusset-ack"), Some("replied"));
}

#[test]
fn who_cannot_wait_is_told_where_to_ask() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        std::thread::sleep(Duration::from_millis(300));
        exchange.answer(200, &["Content-Type: application/json"], "{\"a\":1.10}");
    });
    let gateway = gateway(&peer.url(), ROUTE);
    for prefer in ["Prefer: respond-async", "Prefer: respond-async, wait=0"] {
        let answer = gateway.post("/in", &[prefer], "x");
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert_eq!(answer.json()["ack"], "stored");
        let location = answer.header("location").unwrap().to_owned();
        assert!(location.starts_with("/_gusset/events/"), "{location}");
        let told = outcome(&gateway, &location, "delivered");
        assert_eq!(told["reply"]["status"], 200);
        assert!(gateway.get(&location).text().contains("{\"a\":1.10}"), "byte for byte");
    }
}

#[test]
fn an_outcome_is_told_to_nobody_who_has_to_guess() {
    let peer = Peer::answering("x");
    let gateway = gateway(&peer.url(), ROUTE);
    let answer = gateway.post("/in", &["Prefer: respond-async"], "x");
    let location = answer.header("location").unwrap().to_owned();
    let (number, token) = location.rsplit_once('-').unwrap();
    assert_eq!(token.len(), 32);
    for wrong in [
        format!("{number}-{}", "0".repeat(32)),
        format!("{number}-"),
        number.to_owned(),
        "/_gusset/events/".to_owned(),
        "/_gusset/events/x-y".to_owned(),
    ] {
        assert_eq!(gateway.get(&wrong).status, 404, "{wrong}");
    }
    assert_eq!(gateway.post(&location, &[], "").status, 405);
}

#[test]
fn an_event_that_is_given_up_in_time_is_told_so() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.answer(400, &[], "no");
    });
    let gateway = gateway(&peer.url(), ROUTE);
    let answer = gateway.post("/in", &[], "x");
    assert_eq!((answer.status, &answer.json()["code"]), (502, &"dead_letter".into()));
    let answer = gateway.post("/in", &["Prefer: respond-async"], "x");
    let told = outcome(&gateway, answer.header("location").unwrap(), "dead");
    assert!(told["why"].as_str().unwrap().contains("refused"), "{told}");
}
