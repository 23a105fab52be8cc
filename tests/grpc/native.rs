use serde_json::{Value, json};

use super::{ROUTES, both, in_front_of};
use crate::support::{Gateway, grpc::Server, tonic::Tonic};

/// What the native client sees.
fn seen(client: &Server, gateway: &Gateway) -> Value {
    let mut seen = client.native(&gateway.address().to_string());
    // In the words of either side.
    let large = seen["large"].take();
    assert_eq!(large[0], "RESOURCE_EXHAUSTED", "{large}");
    seen
}

/// What it should see, whoever made the server; their own words are `unknown` and `trailing`.
fn expected(unknown: &str, trailing: Option<&str>) -> Value {
    json!({
        "unary": "b",
        "initial": "main",
        "trailing": trailing,
        "metadata": "me",
        "remaining": null,
        "unbounded": false,
        "watch": [0, 1, 2],
        "sum": 9,
        "chat": [1, 2],
        "fail": ["NOT_FOUND", "as asked: café"],
        "torn": ["DATA_LOSS", "the page is torn"],
        "large": null,
        "unknown": ["UNIMPLEMENTED", unknown],
        "no_route": ["UNIMPLEMENTED", "no route serves this host and path"],
        "down": ["UNAVAILABLE", "no connection to the upstream could be made"],
    })
}

#[test]
fn a_native_client_passes_through_on_the_same_routes() {
    let Some((server, gateway)) = both() else { return };
    let mut seen = seen(&server, &gateway);
    // The caller gives it three seconds, rounded up on the wire, and the route fifteen.
    let remaining = seen["remaining"].take();
    let remaining: u32 = remaining.as_u64().unwrap().try_into().unwrap();
    assert!((1..=4000).contains(&remaining), "{remaining}");
    assert_eq!(seen, expected("Method not found!", Some("7")));
}

#[test]
fn a_native_client_passes_through_to_a_server_of_another_make() {
    // The client is made of this one's code.
    let Some(client) = Server::start() else { return };
    let server = Tonic::start();
    let gateway = in_front_of(&server.written(), ROUTES);
    let mut seen = seen(&client, &gateway);
    seen["remaining"].take();
    // tonic sends trailers with what fails only.
    assert_eq!(seen, expected("there is no such method", None));
}
