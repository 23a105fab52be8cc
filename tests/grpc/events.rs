use serde_json::json;

use super::{both, in_front_of};
use crate::support::{eventually, grpc::Server};

const HEADERS: [&str; 5] = [
    "ce-specversion: 1.0",
    "ce-id: 1",
    "ce-source: /test",
    "ce-type: com.acme.moved",
    "Content-Type: application/json",
];

#[test]
fn an_event_is_a_message_and_its_attributes_are_metadata() {
    let Some((_server, gateway)) = both() else { return };
    let binary = gateway.post("/events", &HEADERS, r#"{"account":"a"}"#);
    assert_eq!(binary.status, 200, "{}", binary.text());
    assert_eq!(binary.json()["metadata"]["ce-type"], "com.acme.moved");
    let event = r#"{"specversion":"1.0","id":"2","source":"/test","type":"com.acme.moved","data":{"account":"a"}}"#;
    let structured =
        gateway.post("/events", &["Content-Type: application/cloudevents+json"], event);
    assert_eq!(structured.json()["metadata"]["ce-id"], "2", "{}", structured.text());
    let no_message = gateway.post("/events", &HEADERS, r#"{"nothing":1}"#);
    assert_eq!((no_message.status, &no_message.json()["code"]), (400, &json!("invalid_message")));
}

#[test]
fn attributes_are_fields_where_the_target_says_so() {
    let Some((_server, gateway)) = both() else { return };
    let mut headers = HEADERS;
    headers[3] = "ce-type: com.acme.paid";
    let answer = gateway.post("/events", &headers, r#"{"to":"b","text":"mine"}"#);
    let expected = json!({ "to": "b", "text": "com.acme.paid", "tags": ["1"] });
    assert_eq!(answer.json()["request"], expected, "{}", answer.text());
}

#[test]
fn an_event_is_the_message_of_a_method_that_takes_events() {
    let Some((_server, gateway)) = both() else { return };
    let mut headers = HEADERS.to_vec();
    headers[3] = "ce-type: com.acme.whole";
    headers.extend(["ce-tenant: a", "ce-time: 2024-02-29T12:00:00Z"]);
    let answer = gateway.post("/events", &headers, r#"{"account":"a"}"#);
    let expected = json!({
        "id": "1",
        "source": "/test",
        "specVersion": "1.0",
        "type": "com.acme.whole",
        "attributes": {
            "datacontenttype": { "ceString": "application/json" },
            "tenant": { "ceString": "a" },
            "time": { "ceTimestamp": "2024-02-29T12:00:00Z" },
        },
        "textData": r#"{"account":"a"}"#,
    });
    assert_eq!(answer.json(), expected);

    // A plain request becomes an event first.
    let answer = gateway.post("/take", &["Content-Type: text/plain"], "hello");
    let said = answer.json();
    assert_eq!((&said["textData"], &said["specVersion"]), (&json!("hello"), &json!("1.0")));

    headers[3] = "ce-type: com.acme.misled";
    let answer = gateway.post("/events", &headers, "{}");
    answer.problem(422, "method_takes_no_event");
}

#[test]
fn a_stored_call_has_what_its_path_brought() {
    let Some(server) = Server::start() else { return };
    let route = "
  - { name: kept, match: { path: \"/kept/{from}\" }, ack: stored, wait: 10s, to: ledger/ledger.v1.Ledger/Transfer }
outbox: { max_size: 16MiB }
";
    let gateway = in_front_of(&server.written(), route);
    eventually("its outbox is ready", || {
        let metrics = gateway.ask_admin("/metrics");
        metrics.text().contains("gusset_outbox_ready 1").then_some(())
    });
    let answer = gateway.post("/kept/a", &["Idempotency-Key: 1"], r#"{"to":"b"}"#);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["request"], json!({ "from": "a", "to": "b" }));
}
