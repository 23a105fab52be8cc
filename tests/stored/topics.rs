//! Topics of the gateway's own outbox, and the routes that take their events.

use super::{await_metric, event, start};
use crate::support::{Peer, eventually};

fn config(web: &str, rest: &str) -> String {
    format!(
        "upstreams:\n  web: {{ kind: http, url: \"{web}\" }}\n  local: {{ kind: embedded }}\n{rest}"
    )
}

const PUBLISH: &str =
    "  - { name: publish, match: { path: \"/publish/{topic}\" }, to: \"local/{topic}\" }\n";

#[test]
fn an_event_of_a_topic_goes_to_the_route_of_its_source_and_no_request_does() {
    let peer = Peer::answering("x");
    let rest = format!(
        "sources:\n  work: {{ from: local/orders }}\nroutes:\n{PUBLISH}  - {{ name: paid, match: {{ \
         source: work, event: {{ type: com.acme.paid }} }}, to: web, rewrite: {{ path: /paid }} }}\n  \
         - {{ name: rest, match: {{ source: work }}, to: web, rewrite: {{ path: /rest }} }}\n"
    );
    let gateway = start(&config(&peer.url(), &rest));
    let headers = event("1");
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let answer = gateway.post("/publish/orders", &headers, "x");
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.json()["ack"], "stored");
    assert_eq!(gateway.post("/publish/orders", &[], "plain").status, 202);
    eventually("both are delivered", || (peer.seen().len() == 2).then_some(()));
    let seen = peer.seen();
    let of = |path: &str| seen.iter().find(|seen| seen.target() == path).unwrap();
    assert_eq!(of("/paid").header("ce-id"), Some("1"));
    assert_eq!(of("/paid").body, b"x");
    assert_eq!(of("/rest").header("ce-type"), Some("http.request.post"));
    for path in ["/", "/events", "/paid"] {
        assert_eq!(gateway.post(path, &headers, "x").status, 404, "{path}");
    }
}

#[test]
fn every_source_of_a_topic_gets_every_event_and_tries_on_its_own() {
    let (good, bad) = (
        Peer::answering("x"),
        Peer::start(|exchange| {
            exchange.read();
            exchange.answer(400, &[], "no");
        }),
    );
    let rest = format!(
        "  bad: {{ kind: http, url: \"{}\" }}\nsources:\n  one: {{ from: \"local/*\" }}\n  two: \
         {{ from: local/made, concurrency: 1 }}\nroutes:\n{PUBLISH}  - {{ name: a, match: {{ \
         source: one }}, to: web }}\n  - {{ name: b, match: {{ source: two }}, to: bad }}\n",
        bad.url()
    );
    let gateway = start(&config(&good.url(), &rest));
    for _ in 0..5 {
        assert_eq!(gateway.post("/publish/made", &[], "x").status, 202);
    }
    eventually("one has all", || (good.seen().len() == 5).then_some(()));
    await_metric(&gateway, "gusset_outbox_dead_letters", 5);
    assert_eq!(bad.seen().len(), 5);
}

#[test]
fn what_nobody_consumes_waits_for_a_source() {
    let peer = Peer::answering("x");
    let gateway = start(&config(&peer.url(), &format!("routes:\n{PUBLISH}")));
    for _ in 0..3 {
        assert_eq!(gateway.post("/publish/later", &[], "x").status, 202);
    }
    await_metric(&gateway, "gusset_outbox_parked{target=\"local/{topic}\"}", 3);
    gateway.edit(&config(
        &peer.url(),
        &format!(
            "sources:\n  late: {{ from: local/later }}\nroutes:\n{PUBLISH}  - {{ name: a, match: {{ \
             source: late }}, to: web }}\n"
        ),
    ));
    eventually("all are delivered", || (peer.seen().len() == 3).then_some(()));
    assert_eq!(gateway.metric("gusset_outbox_parked{target=\"local/{topic}\"}"), 0);
}

#[test]
fn an_event_that_no_route_of_its_source_takes_is_a_dead_letter() {
    let peer = Peer::answering("x");
    let rest = format!(
        "sources:\n  work: {{ from: local/orders }}\nroutes:\n{PUBLISH}  - {{ name: paid, match: {{ \
         source: work, event: {{ type: com.acme.paid }} }}, to: web }}\n"
    );
    let gateway = start(&config(&peer.url(), &rest));
    assert_eq!(gateway.post("/publish/orders", &[], "plain").status, 202);
    await_metric(&gateway, "gusset_outbox_dead_letters", 1);
    assert!(peer.seen().is_empty());
}

#[test]
fn a_topic_is_followed_while_its_events_are_stored() {
    let peer = Peer::answering("x");
    let gateway = start(&config(&peer.url(), &format!("routes:\n{PUBLISH}")));
    let address = gateway.admin();
    let mut follower = crate::support::Client::connect(address);
    follower.send(format!(
        "GET /api/v1/topics/hello/events?upstream=local HTTP/1.1\r\nHost: {address}\r\n\r\n"
    ));
    let head = follower.try_head().unwrap();
    assert!(head.start.contains(" 200 "), "{head:?}");
    assert_eq!(gateway.post("/publish/hello", &[], "heard").status, 202);
    let mut heard = String::new();
    while !heard.contains("heard") {
        let chunk = follower.chunk().unwrap().unwrap();
        heard.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(heard.contains("hello"), "{heard}");
}
