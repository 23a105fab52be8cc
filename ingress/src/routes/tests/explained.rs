//! What `explain` says.

use super::*;

/// The explanation, one line a route.
fn lines(doors: &Doors, ask: &Ask) -> Vec<String> {
    let explanation = explain(doors, ask);
    explanation.routes.iter().map(|reason| format!("{}: {}", reason.route, reason.why)).collect()
}

fn routes() -> Doors {
    build([
        rule("orders").host("shop.example.com").path("/orders/{id}").method("POST"),
        rule("api").host("api.example.com"),
        rule("wild").host("*.example.com").host("*.example.org").path("/orders/{id}"),
        rule("new").host("shop.example.com").path("/orders/new").method("POST"),
        rule("below").host("shop.example.com").prefix("/orders"),
        rule("get").host("shop.example.com").path("/orders/new").method("GET"),
        rule("tenant").path("/orders/new").header("x-tenant", exact("acme")),
        rule("debug").path("/orders/new").query("debug", Condition::Present).priority(1),
        rule("secure").listener("tls"),
        rule("plain").host("shop.example.com").path("/orders/new"),
    ])
    .unwrap()
}

#[test]
fn every_route_has_a_reason() {
    let found = lines(&routes(), &ask("POST shop.example.com/orders/new"));
    let expected = [
        "orders: path: path /orders/{id} is less specific than path /orders/new, which `new` has",
        "api: host shop.example.com is not api.example.com",
        "wild: host: host *.example.com is less specific than host shop.example.com, which `new` has",
        "new: serves it by: host shop.example.com, path /orders/new, no condition on the event, method POST, no condition on headers and query, priority 0",
        "below: path: prefix /orders is less specific than path /orders/new, which `new` has",
        "get: method POST is not GET",
        "tenant: header x-tenant is not \"acme\"",
        "debug: query parameter debug is missing",
        "secure: listener default is not tls",
        "plain: method: any method is less specific than method POST, which `new` has",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_first_thing_that_does_not_hold_is_told() {
    let doors = routes();
    let found = lines(&doors, &ask("DELETE /elsewhere"));
    assert_eq!(found[0], "orders: the request names no host, and so not shop.example.com");
    assert_eq!(found[6], "tenant: path /elsewhere does not fit path /orders/new");
    let found = lines(&doors, &ask("DELETE a:b/x"));
    assert_eq!(
        found[2],
        "wild: host \"a:b\" is no host's name, and not *.example.com or *.example.org"
    );
    let found = lines(&doors, &ask("GET shop.example.com/orders/../x"));
    assert_eq!(found[4], "below: path /orders/../x has a segment . or .., which fits no route");
}

#[test]
fn events_are_told_apart() {
    let doors = build([
        rule("paid").path("/e").event("com.paid"),
        rule("com").path("/e").event("com.*"),
        rule("all").path("/e").any_event().method("POST"),
        rule("low").path("/e").event("com.paid").priority(-1),
        rule("about")
            .path("/e")
            .event("com.paid")
            .filter(serde_json::json!({ "exact": { "subject": "x" } })),
        rule("lower").prefix("/"),
    ])
    .unwrap();
    let expected = [
        "paid: serves it by: any host, path /e, event type com.paid, any method, no condition on headers and query, priority 0",
        "com: event: event type com.* is less specific than event type com.paid, which `paid` has",
        "all: event: any event is less specific than event type com.paid, which `paid` has",
        "low: priority: -1 is lower than 0 of `paid`",
        "about: the event does not pass the filters",
    ];
    let paid = ask("POST /e").event("com.paid");
    assert_eq!(lines(&doors, &paid)[..5], expected);
    let other = lines(&doors, &ask("POST /e").event("org.x"));
    assert_eq!(other[0], "paid: event type org.x is not com.paid");
    assert_eq!(other[1], "com: event type org.x does not start with com.");
    let none = explain(&doors, &ask("GET /e"));
    assert_eq!(none.route, None);
    assert_eq!(none.refusal, Some(crate::routes::Refused::NoRouteForEvent));
    assert_eq!(none.routes[0].why, "the request is no event");
    assert!(none.routes[5].why.starts_with("path: prefix / is less specific than path /e"));
}

#[test]
fn conditions_and_expressions_are_told_apart() {
    let doors = build([
        rule("two").path("/x").query("a", Condition::Present).query("b", Condition::Present),
        rule("one").path("/x").query("a", Condition::Present),
        rule("first").regex("/r.*").priority(2),
        rule("second").regex("/.*r").priority(1),
    ])
    .unwrap();
    let found = lines(&doors, &ask("GET /x?a&b"));
    assert_eq!(found[1], "one: conditions on headers and query: it has 1, and `two` has 2");
    let found = lines(&doors, &ask("GET /rr"));
    assert_eq!(
        found[3],
        "second: path: regex /.*r has priority 1, and regex /r.* of `first` has 2"
    );
}

#[test]
fn a_refusal_is_written_as_json() {
    let doors = build([rule("get").path("/x").method("GET")]).unwrap();
    let json = |ask: &Ask| serde_json::to_value(explain(&doors, ask)).unwrap();
    assert_eq!(
        json(&ask("PUT /x")),
        serde_json::json!({
            "refusal": { "code": "method_not_allowed", "allow": ["GET", "HEAD"] },
            "routes": [{ "route": "get", "chosen": false, "why": "method PUT is not GET" }],
        })
    );
    assert_eq!(json(&ask("GET /y"))["refusal"], serde_json::json!({ "code": "no_route" }));
    assert_eq!(json(&ask("GET /x"))["route"], "get");
    assert_eq!(json(&ask("GET /x"))["routes"][0]["chosen"], true);
}
