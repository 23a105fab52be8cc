//! What a route changes on the way, and what it answers by itself.

use crate::support::{Gateway, Peer};

fn web(peer: &Peer, base: &str, routes: &str) -> Gateway {
    let url = peer.url();
    Gateway::start(&format!(
        "upstreams:\n  web: {{ kind: http, url: {url}{base} }}\nroutes:\n{routes}"
    ))
}

#[test]
fn the_url_of_the_upstream_goes_in_front() {
    let peer = Peer::answering("ok");
    let gateway = web(&peer, "/base", "  - { name: all, match: { prefix: / }, to: web }\n");
    gateway.get("/x%20y?q=1");
    assert_eq!(peer.only().target(), "/base/x%20y?q=1");
}

#[test]
fn a_path_is_rewritten_from_what_was_matched() {
    let peer = Peer::answering("ok");
    let gateway = web(
        &peer,
        "",
        r#"  - { name: one, match: { path: "/orders/{id}" }, to: web, rewrite: { path: "/v2/{id}/show" } }
  - { name: two, match: { prefix: /shop }, to: web, rewrite: { path: "/store/{rest}", query: drop } }
"#,
    );
    gateway.get("/orders/a%3Fb?x=1");
    gateway.get("/shop/c%20d/e?x=1");
    gateway.get("/shop");
    let targets: Vec<_> = peer.seen().iter().map(|seen| seen.target().to_owned()).collect();
    assert_eq!(targets, ["/v2/a%3Fb/show?x=1", "/store/c%20d/e", "/store/"]);
}

#[test]
fn a_prefix_is_stripped() {
    let peer = Peer::answering("ok");
    let gateway =
        web(&peer, "", "  - { name: api, match: { prefix: /api }, to: web, strip_prefix: true }\n");
    for path in ["/api/v1/x?q=1", "/api", "/api/"] {
        gateway.get(path);
    }
    let targets: Vec<_> = peer.seen().iter().map(|seen| seen.target().to_owned()).collect();
    assert_eq!(targets, ["/v1/x?q=1", "/", "/"]);
}

#[test]
fn the_host_is_the_services_own_unless_it_is_to_be_kept() {
    let peer = Peer::answering("ok");
    let gateway = web(
        &peer,
        "",
        "  - { name: kept, match: { path: /kept }, to: web, preserve_host: true }
  - { name: own, match: { path: /own }, to: web }
",
    );
    gateway.get("/kept");
    gateway.get("/own");
    let hosts: Vec<_> =
        peer.seen().iter().map(|seen| seen.header("host").unwrap().to_owned()).collect();
    assert_eq!(hosts, ["gateway.test".to_owned(), peer.address().to_string()]);
}

#[test]
fn headers_are_removed_set_and_added_both_ways() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.answer(200, &["Server: secret/1.0", "X-Kept: 1", "Vary: a"], "ok");
    });
    let gateway = web(
        &peer,
        "",
        r#"  - name: all
    match: { path: "/{tenant}" }
    to: web
    headers:
      request:
        remove: [x-internal]
        set: { x-tenant: "{tenant}", x-was: "{header.x-internal:-nothing}" }
        add: { x-more: added }
      response:
        remove: [server]
        set: { x-frame-options: DENY }
        add: { vary: b }
"#,
    );
    let answer = gateway.send(
        "GET /acme HTTP/1.1\r\nHost: a.test\r\nX-Internal: 1\r\nX-Tenant: forged\r\nX-More: 1\r\n\r\n",
    );
    let seen = peer.only();
    assert_eq!(seen.header("x-internal"), None);
    assert_eq!(seen.head.all("x-tenant"), ["acme"]);
    assert_eq!(seen.head.all("x-more"), ["1", "added"]);
    assert_eq!(answer.header("server"), None);
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.head.all("vary"), ["a", "b"]);
    assert_eq!(answer.header("x-kept"), Some("1"));
}

#[test]
fn weights_share_requests_out() {
    let (most, few, none) = (Peer::answering("m"), Peer::answering("f"), Peer::answering("n"));
    let gateway = Gateway::start(&format!(
        "upstreams:
  most: {{ kind: http, url: {} }}
  few: {{ kind: http, url: {} }}
  none: {{ kind: http, url: {} }}
routes:
  - name: shared
    match: {{ prefix: / }}
    to: [{{ to: most, weight: 80 }}, {{ to: few, weight: 20 }}, {{ to: none, weight: 0 }}]
",
        most.url(),
        few.url(),
        none.url()
    ));
    let mut client = gateway.client();
    for _ in 0..500 {
        client.round_trip("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    }
    let few = few.seen().len();
    assert_eq!(most.seen().len() + few, 500);
    assert_eq!(none.seen().len(), 0);
    // 100 are expected; chance strays less than 50 from it in all but one of a million runs.
    assert!((50..=150).contains(&few), "{few} of 500");
}

#[test]
fn a_route_answers_by_itself() {
    let gateway = Gateway::start(
        r#"routes:
  - { name: ping, match: { path: /ping }, respond: { body: pong } }
  - name: teapot
    match: { path: /pot }
    respond: { status: 418, headers: { content-type: application/json, x-a: b }, body: '{"a":1}' }
  - { name: empty, match: { path: /empty }, respond: { status: 204 } }
"#,
    );
    let answer = gateway.get("/ping");
    assert_eq!((answer.status, answer.text()), (200, "pong"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let answer = gateway.get("/pot");
    assert_eq!((answer.status, answer.text()), (418, "{\"a\":1}"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-a"), Some("b"));
    assert_eq!(gateway.get("/empty").status, 204);
    let mut client = gateway.client();
    client.send("HEAD /ping HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer_to_head().header("content-length"), Some("4"));
}

#[test]
fn a_route_sends_the_caller_elsewhere() {
    let gateway = Gateway::start(
        r#"routes:
  - { name: old, match: { prefix: /old }, redirect: { to: "https://shop.example.com/{rest}", status: 308 } }
  - { name: moved, match: { path: "/a/{id}" }, redirect: { to: "/b/{id}" } }
"#,
    );
    let answer = gateway.get("/old/a%20b/c");
    assert_eq!(answer.status, 308);
    assert_eq!(answer.header("location"), Some("https://shop.example.com/a%20b/c"));
    let answer = gateway.get("/a/7");
    assert_eq!(answer.status, 307);
    assert_eq!(answer.header("location"), Some("/b/7"));
}
