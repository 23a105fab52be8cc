use serde_json::json;

use super::both;

#[test]
fn a_native_client_passes_through_on_the_same_routes() {
    let Some((server, gateway)) = both() else { return };
    let mut seen = server.native(&gateway.address().to_string());
    let large = seen["large"].take();
    assert_eq!(large[0], "RESOURCE_EXHAUSTED", "{large}");
    let expected = json!({
        "unary": "b",
        "initial": "main",
        "trailing": "7",
        "metadata": "me",
        "watch": [0, 1, 2],
        "sum": 9,
        "chat": [1, 2],
        "fail": ["NOT_FOUND", "as asked: café"],
        "torn": ["DATA_LOSS", "the page is torn"],
        "large": null,
        "unknown": ["UNIMPLEMENTED", "Method not found!"],
        "no_route": ["UNIMPLEMENTED", "no route serves this host and path"],
        "down": ["UNAVAILABLE", "no connection to the upstream could be made"],
    });
    assert_eq!(seen, expected);
}
