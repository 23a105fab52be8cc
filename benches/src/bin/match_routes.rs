//! What it costs to find a request's route, with 10 routes and with 10,000: nanoseconds a match,
//! captures included, for several ways in which routes differ. Asks in two ways: for all routes in
//! turn, so that the memory's caches take part, and for the same ten over and over.

#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::{collections::BTreeMap, hint::black_box, sync::Arc, time::Instant};

use http::{HeaderMap, Method, StatusCode};
use ingress::{
    Action, Route,
    routes::{Doors, Seen},
    table::{EventMatch, HeaderRules, Match, PathMatch, TypeMatch},
};
use schemas::Attributes;

/// Short rounds and many of them, so that some are run without a break on a busy machine.
const MATCHES: usize = 10_000;
const ROUNDS: usize = 300;

/// One way in which routes differ.
struct Shape {
    name: &'static str,
    matching: fn(usize) -> Match,
    host: fn(usize) -> String,
    path: fn(usize) -> String,
    event: Option<fn(usize) -> String>,
}

fn main() {
    let shapes = [
        Shape {
            name: "literal path",
            matching: |n| path(&format!("/svc{n}/orders/new")),
            host: |_| "example.com".to_owned(),
            path: |n| format!("/svc{n}/orders/new"),
            event: None,
        },
        Shape {
            name: "path with a parameter",
            matching: |n| path(&format!("/svc{n}/orders/{{id}}")),
            host: |_| "example.com".to_owned(),
            path: |n| format!("/svc{n}/orders/4711"),
            event: None,
        },
        Shape {
            name: "prefix",
            matching: |n| Match { path: PathMatch::Prefix(format!("/svc{n}")), ..Match::default() },
            host: |_| "example.com".to_owned(),
            path: |n| format!("/svc{n}/orders/4711"),
            event: None,
        },
        Shape {
            name: "host",
            matching: |n| Match {
                hosts: vec![format!("t{n}.example.com").parse().expect("it is a host")],
                ..path("/orders/{id}")
            },
            host: |n| format!("t{n}.example.com:8080"),
            path: |_| "/orders/4711".to_owned(),
            event: None,
        },
        Shape {
            name: "event type",
            matching: |n| Match {
                event: Some(EventMatch {
                    kind: Some(TypeMatch::Exact(format!("com.acme.t{n}"))),
                    filters: Vec::new(),
                }),
                ..path("/events")
            },
            host: |_| "example.com".to_owned(),
            path: |_| "/events".to_owned(),
            event: Some(|n| format!("com.acme.t{n}")),
        },
    ];
    println!(
        "{:<22} {:>10} {:>10} {:>7} {:>10} {:>7}",
        "ns a match", "10", "10,000", "", "ten of", ""
    );
    for shape in shapes {
        let few = measure(&shape, 10, 10);
        let many = measure(&shape, 10_000, 10_000);
        let warm = measure(&shape, 10_000, 10);
        println!(
            "{:<22} {few:>10.1} {many:>10.1} {:>6.2}x {warm:>10.1} {:>6.2}x",
            shape.name,
            many / few,
            warm / few
        );
    }
}

/// Nanoseconds a match with so many routes, of which so many are asked for. The best round counts:
/// what else the machine does only ever adds.
fn measure(shape: &Shape, routes: usize, asked: usize) -> f64 {
    let table: Vec<Arc<Route>> = (0..routes).map(|n| route(n, (shape.matching)(n))).collect();
    let doors = Doors::build(&table).expect("the routes are disjoint");
    // A step that shares no factor with the number of routes visits them all, out of order. The
    // requests lie one behind the other, as a caller's bytes are new and in the caches.
    let mut text = String::new();
    let mut requests = Vec::new();
    for n in (0..asked).map(|n| n * 7919 % routes) {
        let start = text.len();
        text.push_str(&(shape.host)(n));
        let middle = text.len();
        text.push_str(&(shape.path)(n));
        let event = shape.event.map(|kind| event(kind(n)));
        requests.push((start..middle, middle..text.len(), event));
    }
    let headers = HeaderMap::new();
    let round = || {
        let start = Instant::now();
        for (host, path, event) in requests.iter().cycle().take(MATCHES) {
            let seen = Seen {
                listener: "default",
                host: text.get(host.clone()),
                path: text.get(path.clone()).unwrap_or_default(),
                query: None,
                method: &Method::GET,
                headers: &headers,
            };
            let door = doors.open(black_box(&seen)).expect("a route is there");
            black_box(door.choose(event.as_ref()).expect("a route fits"));
        }
        start.elapsed().as_secs_f64() * 1e9 / MATCHES as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn path(pattern: &str) -> Match {
    let pattern = pattern.parse().expect("it is a pattern");
    Match { path: PathMatch::Pattern(pattern), ..Match::default() }
}

fn event(kind: String) -> Attributes {
    Attributes { id: "1".to_owned(), source: "/bench".to_owned(), kind, ..Attributes::default() }
}

fn route(index: usize, matching: Match) -> Arc<Route> {
    let name = format!("r{index}");
    Arc::new(Route {
        label: name.as_str().into(),
        name: name.parse().expect("it is a name"),
        index,
        matching,
        policy: policy::Policy::default(),
        policy_from: BTreeMap::new(),
        limits: None,
        action: Action::Respond {
            status: StatusCode::OK,
            headers: Vec::new(),
            body: bytes::Bytes::new(),
        },
        headers: HeaderRules::default(),
        set_event: Vec::new(),
        forward_headers: Vec::new(),
        webhook: None,
        stored: None,
        mirror: None,
        place: String::new(),
    })
}
