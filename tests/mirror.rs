//! The second target of a route: it gets a copy, and the caller notices nothing of it.

use std::time::{Duration, Instant};

use crate::support::{Gateway, Peer, eventually, nats::Server};

fn mirrored(web: &Peer, shadow: &Peer, route: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams:
  web: {{ kind: http, url: {} }}
  shadow: {{ kind: http, url: {} }}
routes:
  - {{ name: shop, match: {{ prefix: / }}, to: web, {route} }}
",
        web.url(),
        shadow.url()
    ))
}

/// What the metric says of the copies with this outcome.
fn copies(gateway: &Gateway, outcome: &str) -> u64 {
    let said = gateway.ask_admin("/metrics");
    let end = format!(",outcome=\"{outcome}\"}} ");
    let line = said.text().lines().find_map(|line| {
        line.starts_with("gusset_mirrored_total{").then(|| line.split_once(&end))?
    });
    line.map_or(0, |(_, count)| count.parse().unwrap())
}

#[test]
fn a_copy_has_all_that_the_request_has_and_a_mark() {
    let (web, shadow) = (Peer::answering("web"), Peer::answering("shadow"));
    let gateway = mirrored(&web, &shadow, "mirror: { to: shadow }");
    let answer = gateway.post("/a/b?c=d", &["X-Tenant: acme"], "the body");
    assert_eq!(answer.text(), "web");
    let copy = eventually("the copy is there", || shadow.seen().pop());
    let own = web.only();
    assert_eq!(copy.target(), own.target());
    assert_eq!(copy.body, b"the body");
    assert_eq!(copy.header("x-tenant"), Some("acme"));
    assert_eq!(copy.header("x-request-id"), own.header("x-request-id"));
    assert_eq!(copy.header("gusset-mirror"), Some("shop"));
    assert_eq!(own.header("gusset-mirror"), None);
    eventually("it is counted", || (copies(&gateway, "sent") == 1).then_some(()));
    let requests = gateway.ask_admin("/metrics");
    let shop = "gusset_requests_total{route=\"shop\",upstream=\"shadow\"";
    assert!(!requests.text().contains(shop), "a copy is no request");
}

#[test]
fn a_body_in_pieces_is_copied_whole() {
    let (web, shadow) = (Peer::echo(), Peer::answering("shadow"));
    let gateway = mirrored(&web, &shadow, "mirror: { to: shadow }");
    let mut client = gateway.client();
    client.send("POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in ["5\r\nhello\r\n", "1\r\n \r\n", "5\r\nworld\r\n", "0\r\n\r\n"] {
        client.send(piece);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(client.answer().text(), "hello world");
    let copy = eventually("the copy is there", || shadow.seen().pop());
    assert_eq!(copy.body, b"hello world");
}

#[test]
fn a_mirror_that_hangs_fails_or_is_not_there_costs_the_caller_nothing() {
    let web = Peer::answering("web");
    let hanging = Peer::start(|exchange| {
        exchange.read();
        std::thread::sleep(Duration::from_secs(3));
        exchange.close();
    });
    let failing = Peer::start(|exchange| {
        exchange.read();
        exchange.answer(500, &[], "no");
    });
    let gateway = Gateway::start(&format!(
        "upstreams:
  web: {{ kind: http, url: {} }}
  hanging: {{ kind: http, url: {} }}
  failing: {{ kind: http, url: {} }}
  gone: {{ kind: http, url: http://127.0.0.1:1 }}
routes:
  - {{ name: hanging, match: {{ path: /hanging }}, to: web, mirror: {{ to: hanging }} }}
  - {{ name: failing, match: {{ path: /failing }}, to: web, mirror: {{ to: failing }} }}
  - {{ name: gone, match: {{ path: /gone }}, to: web, mirror: {{ to: gone }} }}
",
        web.url(),
        hanging.url(),
        failing.url()
    ));
    for path in ["/hanging", "/failing", "/gone"] {
        let began = Instant::now();
        let answer = gateway.post(path, &[], "x");
        assert_eq!((answer.status, answer.text()), (200, "web"), "{path}");
        assert!(began.elapsed() < Duration::from_secs(2), "{path} took {:?}", began.elapsed());
    }
    for outcome in ["function_failed", "connect_failed"] {
        eventually("a failed copy is counted", || (copies(&gateway, outcome) == 1).then_some(()));
    }
}

#[test]
fn every_run_of_requests_has_its_share_of_copies() {
    let (web, shadow) = (Peer::answering("web"), Peer::answering("shadow"));
    let gateway = mirrored(&web, &shadow, "mirror: { to: shadow, percent: 12.5 }");
    for _ in 0..80 {
        gateway.get("/");
    }
    eventually("the copies are counted", || (copies(&gateway, "sent") == 10).then_some(()));
    assert_eq!(shadow.seen().len(), 10);
}

#[test]
fn what_is_too_large_is_served_and_not_copied() {
    let (web, shadow) = (Peer::echo(), Peer::answering("shadow"));
    let policy = "policy: { limits: { event: 1KiB } }";
    let gateway = mirrored(&web, &shadow, &format!("mirror: {{ to: shadow }}, {policy}"));
    let body = vec![b'x'; 5000];
    assert_eq!(gateway.post("/", &[], &body).body, body);
    eventually("it is counted", || (copies(&gateway, "too_large") == 1).then_some(()));
    assert!(shadow.seen().is_empty());
}

#[test]
fn mirrors_of_each_other_come_to_an_end() {
    let web = Peer::answering("web");
    let gateway = Gateway::start(&format!(
        "upstreams:
  web: {{ kind: http, url: {} }}
routes:
  - {{ name: shop, match: {{ prefix: / }}, to: web, mirror: {{ to: web }} }}
",
        web.url()
    ));
    gateway.send("GET / HTTP/1.1\r\nHost: a.test\r\nGusset-Mirror: other\r\n\r\n");
    gateway.get("/");
    eventually("a copy is there", || (web.seen().len() == 3).then_some(()));
    assert_eq!(copies(&gateway, "sent"), 1);
}

#[test]
fn events_are_copied_to_a_broker_as_events() {
    let server = Server::start();
    let mut wire = server.connect();
    wire.subscribe("copies.>");
    let web = Peer::answering("web");
    let gateway = Gateway::start(&format!(
        "upstreams:
  web: {{ kind: http, url: {} }}
  bus: {{ kind: nats, url: {:?} }}
routes:
  - {{ name: all, match: {{ event: {{}} }}, to: web, mirror: {{ to: \"bus/copies.{{event.type}}\" }} }}
",
        web.url(),
        server.url()
    ));
    let answer = gateway.post(
        "/events",
        &["ce-specversion: 1.0", "ce-id: 1", "ce-source: /s", "ce-type: paid"],
        "data",
    );
    assert_eq!(answer.text(), "web");
    let copy = wire.next();
    assert_eq!(copy.subject, "copies.paid");
    assert_eq!((copy.header("ce-id"), copy.text()), (Some("1"), "data"));
}
