//! The handshake by which a webhook asks whether it may deliver (CloudEvents HTTP webhooks,
//! section 4), through the wire.

use crate::support::{Answer, Gateway, Peer};

fn gateway(peer: &Peer) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{ web: {{ kind: http, url: {} }} }}
routes:
  - name: hooks
    match: {{ path: /hooks, methods: [POST] }}
    webhook: {{ origins: [eventgrid.azure.net], rate: 120 }}
    to: web
  - {{ name: open, match: {{ path: /open }}, webhook: {{ origins: [\"*\"] }}, to: web }}
  - {{ name: plain, match: {{ path: /plain }}, to: web }}
  - name: paid
    match: {{ event: {{ type: paid }} }}
    webhook: {{ origins: [pay.example.com] }}
    to: web
  - name: sent
    match: {{ event: {{ type: sent }} }}
    webhook: {{ origins: [post.example.com], rate: 7 }}
    to: web
  - {{ name: other, match: {{ event: {{ type: other }} }}, to: web }}
",
        peer.url()
    ))
}

fn ask(gateway: &Gateway, path: &str, headers: &[&str]) -> Answer {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    gateway.send(format!("OPTIONS {path} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"))
}

/// What the sender is granted: its origin and its rate.
fn grant(answer: &Answer) -> Option<(&str, &str)> {
    answer.header("webhook-allowed-origin").zip(answer.header("webhook-allowed-rate"))
}

#[test]
fn a_sender_that_is_listed_is_granted_and_its_service_is_not_asked() {
    let peer = Peer::answering("ok");
    let gateway = gateway(&peer);
    let from = "WebHook-Request-Origin: eventgrid.azure.net";
    let answer = ask(&gateway, "/hooks", &[from, "WebHook-Request-Rate: 500"]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(grant(&answer), Some(("eventgrid.azure.net", "120")));
    assert_eq!(answer.header("allow"), Some("POST"));
    let anybody = ask(&gateway, "/open", &["WebHook-Request-Origin: any.test"]);
    assert_eq!(grant(&anybody), Some(("any.test", "*")));
    assert!(peer.seen().is_empty());
}

#[test]
fn all_others_are_told_no_by_silence() {
    let peer = Peer::answering("ok");
    let gateway = gateway(&peer);
    for origin in ["evil.test", "eventgrid.azure.net.evil.test", "EVENTGRID.azure.net", "*"] {
        let asked = [&*format!("WebHook-Request-Origin: {origin}")];
        assert_eq!(grant(&ask(&gateway, "/hooks", &asked)), None, "{origin}");
    }
    let twice =
        ["WebHook-Request-Origin: eventgrid.azure.net", "WebHook-Request-Origin: evil.test"];
    assert_eq!(grant(&ask(&gateway, "/hooks", &twice)), None);
    assert!(peer.seen().is_empty(), "a service was asked, perhaps at an address of the sender's");
}

#[test]
fn where_no_webhook_is_configured_the_question_is_a_request_like_any_other() {
    let peer = Peer::answering("its own words");
    let gateway = gateway(&peer);
    let answer = ask(&gateway, "/plain", &["WebHook-Request-Origin: eventgrid.azure.net"]);
    assert_eq!((answer.text(), grant(&answer)), ("its own words", None));
    assert_eq!(peer.only().header("webhook-request-origin"), Some("eventgrid.azure.net"));
    // Neither is an OPTIONS request without an origin a handshake.
    assert_eq!(ask(&gateway, "/open", &[]).text(), "its own words");
    ask(&gateway, "/hooks", &[]).problem(405, "method_not_allowed");
}

#[test]
fn behind_one_door_each_route_allows_its_own_senders() {
    let peer = Peer::answering("ok");
    let gateway = gateway(&peer);
    for (origin, rate) in [("pay.example.com", "*"), ("post.example.com", "7")] {
        let answer = ask(&gateway, "/events", &[&format!("WebHook-Request-Origin: {origin}")]);
        assert_eq!(grant(&answer), Some((origin, rate)));
    }
    let other = ask(&gateway, "/events", &["WebHook-Request-Origin: other.example.com"]);
    assert_eq!((other.status, grant(&other)), (200, None));
}

#[test]
fn the_delivery_that_follows_takes_the_same_route() {
    let peer = Peer::answering("taken");
    let gateway = gateway(&peer);
    let head = ["ce-specversion: 1.0", "ce-id: 1", "ce-source: /s", "ce-type: sent"];
    assert_eq!(gateway.post("/hooks", &head, "x").text(), "taken");
    assert_eq!(gateway.post("/events", &head, "x").text(), "taken");
    assert_eq!(peer.seen().len(), 2);
}
