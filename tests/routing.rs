//! Which route serves a request, seen through the wire. The rules themselves are proven beside the
//! code, against a naive matcher.

use crate::support::{Client, Gateway, gateway::request};

/// A route that answers with its own name.
fn answering(name: &str, conditions: &str) -> String {
    format!("  - {{ name: {name}, match: {{ {conditions} }}, respond: {{ body: {name} }} }}\n")
}

fn gateway(routes: &[(&str, &str)]) -> Gateway {
    let routes: String = routes.iter().map(|(name, when)| answering(name, when)).collect();
    Gateway::start(&format!("routes:\n{routes}"))
}

#[test]
fn the_most_particular_path_wins_whatever_the_order_in_the_file() {
    let gateway = gateway(&[
        ("rest", "prefix: /"),
        ("shop", "prefix: /shop"),
        ("item", r#"path: "/shop/{id}""#),
        ("cart", "path: /shop/cart"),
        ("tail", r#"path: "/files/{path*}""#),
    ]);
    for (path, route) in [
        ("/", "rest"),
        ("/shop", "shop"),
        ("/shop/", "shop"),
        ("/shop/7", "item"),
        ("/shop/cart", "cart"),
        ("/shop/7/x", "shop"),
        ("/shopping", "rest"),
        ("/files/a/b/c", "tail"),
        ("/shop/7?x=/shop/cart", "item"),
    ] {
        assert_eq!(gateway.get(path).text(), route, "{path}");
    }
}

#[test]
fn the_host_decides_before_the_path() {
    let gateway = gateway(&[
        ("exact", "hosts: [shop.test], prefix: /"),
        ("wild", r#"hosts: ["*.shop.test"], prefix: /"#),
        ("any", "path: /deep/er"),
    ]);
    for (host, route) in [
        ("shop.test", "exact"),
        ("SHOP.test:8080", "exact"),
        ("a.shop.test", "wild"),
        ("other.test", "any"),
    ] {
        let answer = gateway.send(format!("GET /deep/er HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.text(), route, "{host}");
    }
}

#[test]
fn nobody_serves_it_is_404_and_not_with_this_method_is_405() {
    let gateway = gateway(&[
        ("read", "path: /things, methods: [GET]"),
        ("write", "path: /things, methods: [POST, PUT]"),
    ]);
    gateway.get("/nothing").problem(404, "no_route");
    let answer = gateway.send(request("DELETE", "/things", &[], b""));
    answer.problem(405, "method_not_allowed");
    let mut allow: Vec<_> = answer.header("allow").unwrap().split(", ").collect();
    allow.sort_unstable();
    assert_eq!(allow, ["GET", "HEAD", "POST", "PUT"], "who serves GET serves HEAD");
    assert_eq!(gateway.send("HEAD /things HTTP/1.1\r\nHost: a.test\r\n\r\n").status, 200);
    assert_eq!(gateway.post("/things", &[], "").text(), "write");
}

#[test]
fn conditions_on_headers_and_the_query_are_more_particular() {
    let gateway = gateway(&[
        ("plain", "path: /x"),
        ("beta", r#"path: /x, headers: { x-beta: "1" }"#),
        ("both", r#"path: /x, headers: { x-beta: "1" }, query: { q: { prefix: a } }"#),
    ]);
    let ask = |target: &str, header: &str| {
        gateway
            .send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{header}\r\n"))
            .text()
            .to_owned()
    };
    assert_eq!(ask("/x", ""), "plain");
    assert_eq!(ask("/x?q=abc", ""), "plain");
    assert_eq!(ask("/x", "X-Beta: 1\r\n"), "beta");
    assert_eq!(ask("/x?q=abc", "X-Beta: 1\r\n"), "both");
    assert_eq!(ask("/x?q=%61", "X-Beta: 1\r\n"), "both");
    assert_eq!(ask("/x?q=b", "X-Beta: 1\r\n"), "beta");
}

#[test]
fn an_event_is_routed_by_its_type_in_every_mode() {
    let gateway = gateway(&[
        ("orders", r#"event: { type: "com.acme.order.*" }"#),
        ("created", "event: { type: com.acme.order.created }"),
    ]);
    let binary = |kind: &str| {
        let kind = format!("ce-type: {kind}");
        gateway.post("/events", &["ce-specversion: 1.0", "ce-id: 1", "ce-source: /s", &kind], "x")
    };
    assert_eq!(binary("com.acme.order.created").text(), "created");
    assert_eq!(binary("com.acme.order.paid").text(), "orders");
    binary("com.acme.user.created").problem(404, "no_route_for_event");

    let structured = gateway.post(
        "/events",
        &["Content-Type: application/cloudevents+json"],
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"com.acme.order.created"}"#,
    );
    assert_eq!(structured.text(), "created");
    // A plain request is no event, so that no event condition can hold.
    gateway.post("/events", &[], "x").problem(404, "no_route_for_event");
}

#[test]
fn each_listener_has_the_routes_that_name_it() {
    let gateway = Gateway::run(
        "version: 1
listen:
  - { name: public, address: 127.0.0.1:0 }
  - { name: inner, address: 127.0.0.1:0 }
admin: 127.0.0.1:0
routes:
  - { name: both, match: { path: /both }, respond: { body: both } }
  - { name: secret, match: { path: /secret, listeners: inner }, respond: { body: secret } }
",
    );
    let ask = |listener: &str, path: &str| {
        Client::connect(gateway.listener(listener))
            .round_trip(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"))
    };
    for (listener, path, status) in [
        ("public", "/both", 200),
        ("inner", "/both", 200),
        ("inner", "/secret", 200),
        ("public", "/secret", 404),
    ] {
        assert_eq!(ask(listener, path).status, status, "{listener} {path}");
    }
}
