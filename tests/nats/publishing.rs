//! What is answered when an event or a plain request is published, and what the subscriber gets.

use std::thread;

use serde_json::json;

use super::{event, gateway};
use crate::support::{Gateway, nats::Server};

fn post(gateway: &Gateway, path: &str, headers: &[String], body: &str) -> crate::support::Answer {
    let headers: Vec<_> = headers.iter().map(String::as_str).collect();
    gateway.post(path, &headers, body)
}

#[test]
fn a_plain_request_is_published_as_an_event_with_what_it_was() {
    let server = Server::start();
    let gateway = gateway(
        &server,
        "  - name: all
    match: { prefix: /in }
    to: bus/plain
    forward_headers: [x-tenant]
",
    );
    let mut subscriber = server.connect();
    subscriber.subscribe("plain");
    let answer = gateway.post(
        "/in/a?b=c",
        &["Content-Type: text/plain", "X-Tenant: acme", "Authorization: secret"],
        "hello",
    );
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.header("gusset-ack"), Some("published"));
    let receipt = answer.json();
    assert_eq!(receipt["ack"], "published");
    assert_eq!(receipt["guarantee"], "none", "core NATS keeps nothing, and this says so");
    assert_eq!(receipt["receipt"]["subject"], "plain");

    let message = subscriber.next();
    assert_eq!(message.text(), "hello");
    assert_eq!(message.header("ce-specversion"), Some("1.0"));
    assert_eq!(message.header("ce-type"), Some("http.request.post"));
    assert_eq!(message.header("ce-id"), receipt["id"].as_str());
    assert_eq!(message.header("ce-source"), receipt["source"].as_str());
    assert_eq!(message.header("ce-datacontenttype"), Some("text/plain"));
    assert_eq!(message.header("http-method"), Some("POST"));
    assert_eq!(message.header("http-path"), Some("/in/a"));
    assert_eq!(message.header("http-query"), Some("b=c"));
    assert_eq!(message.header("x-tenant"), Some("acme"));
    let names: Vec<_> = message.headers.iter().map(|(name, _)| name.to_lowercase()).collect();
    assert!(!names.contains(&"authorization".to_owned()), "{names:?}");
}

#[test]
fn an_event_is_published_in_the_format_of_the_route() {
    let server = Server::start();
    let gateway = gateway(
        &server,
        "  - { name: binary, match: { path: /binary }, to: bus/e.binary }
  - { name: structured, match: { path: /structured }, to: bus/e.structured, format: structured }
  - { name: plain, match: { path: /plain }, to: bus/e.plain, format: plain }
",
    );
    let mut subscriber = server.connect();
    subscriber.subscribe("e.*");
    let mut head = event("7").to_vec();
    head.extend([
        "Content-Type: application/json".to_owned(),
        "ce-subject: J%C3%BCrgen".to_owned(),
    ]);
    for path in ["/binary", "/structured", "/plain"] {
        assert_eq!(post(&gateway, path, &head, r#"{"n":1.0}"#).status, 202);
    }
    let binary = subscriber.next();
    assert_eq!((binary.subject.as_str(), binary.text()), ("e.binary", r#"{"n":1.0}"#));
    assert_eq!(binary.header("ce-id"), Some("7"));
    assert_eq!(binary.header("ce-subject"), Some("J%C3%BCrgen"));
    let structured = subscriber.next();
    let document: serde_json::Value = serde_json::from_slice(&structured.body).unwrap();
    assert_eq!(document["id"], "7");
    assert!(structured.text().contains(r#""data":{"n":1.0}"#), "{}", structured.text());
    let plain = subscriber.next();
    assert_eq!(plain.text(), r#"{"n":1.0}"#);
    assert!(plain.headers.iter().all(|(name, _)| !name.starts_with("ce-")), "{plain:?}");
}

#[test]
fn jetstream_says_where_the_message_is() {
    let server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    let gateway = gateway(
        &server,
        "  - { name: found, match: { path: /found }, to: js/orders.found }
  - { name: named, match: { path: /named }, to: orders/orders.named }
",
    );
    for (path, sequence) in [("/found", 1), ("/named", 2)] {
        let answer = gateway.post(path, &[], "x");
        assert_eq!(answer.status, 202, "{}", answer.text());
        let receipt = answer.json();
        assert_eq!(receipt["receipt"]["stream"], "ORDERS", "{receipt}");
        assert_eq!(receipt["receipt"]["sequence"], sequence, "{receipt}");
        assert!(["broker-memory", "broker-disk"].contains(&receipt["guarantee"].as_str().unwrap()));
    }
    assert_eq!(server.stream_length("ORDERS"), 2);
}

#[test]
fn the_same_event_twice_is_stored_once_and_said_to_be_a_duplicate() {
    let server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    let gateway = gateway(&server, "  - { name: all, match: { path: /in }, to: js/orders.x }\n");
    let first = post(&gateway, "/in", &event("same"), "x").json();
    let second = post(&gateway, "/in", &event("same"), "x").json();
    assert_eq!((&first["duplicate"], &second["duplicate"]), (&json!(false), &json!(true)));
    let key = ["Idempotency-Key: 1".to_owned()];
    assert_eq!(post(&gateway, "/in", &key, "x").json()["duplicate"], false);
    assert_eq!(post(&gateway, "/in", &key, "x").json()["duplicate"], true);
    // Without an identity nothing is a repeat.
    for _ in 0..2 {
        assert_eq!(gateway.post("/in", &[], "x").json()["duplicate"], false);
    }
    assert_eq!(server.stream_length("ORDERS"), 4);
}

#[test]
fn a_subject_that_no_stream_takes_is_503_and_safe_to_repeat() {
    let server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    server.add_stream("OTHERS", &["others.>"]);
    let gateway = gateway(
        &server,
        "  - { name: none, match: { path: /none }, to: js/nowhere }
  - { name: wrong, match: { path: /wrong }, to: orders/others.x }
",
    );
    let problem = gateway.post("/none", &[], "x").problem(503, "no_responders");
    assert_eq!(problem["ran"], "no");
    let answer = gateway.post("/wrong", &[], "x");
    assert!(answer.status >= 500, "{}", answer.text());
    assert_eq!(answer.json()["ran"], "no", "{}", answer.text());
    assert_eq!(server.stream_length("OTHERS"), 0, "it went into another stream");
}

#[test]
fn placeholders_fill_one_token_and_nothing_else() {
    let server = Server::start();
    let gateway = gateway(
        &server,
        r#"  - { name: hooks, match: { path: "/hooks/{topic}" }, to: "bus/hooks.{topic}.x" }
  - { name: tail, match: { path: "/tail/{topic*}" }, to: "bus/tail.{topic*}" }
  - { name: typed, match: { path: /typed }, to: "bus/{event.type}" }
  - { name: query, match: { path: /query }, to: "bus/q.{query.x:-none}" }
"#,
    );
    let mut subscriber = server.connect();
    subscriber.subscribe(">");
    for (path, subject) in [
        ("/hooks/a-1", "hooks.a-1.x"),
        ("/tail/a/b", "tail.a.b"),
        ("/query?x=1", "q.1"),
        ("/query", "q.none"),
    ] {
        assert_eq!(gateway.post(path, &[], "x").status, 202, "{path}");
        assert_eq!(subscriber.next().subject, subject);
    }
    assert_eq!(post(&gateway, "/typed", &event("1"), "x").status, 202);
    assert_eq!(subscriber.next().subject, "com.acme.paid");

    for path in ["/hooks/a.b", "/hooks/*", "/hooks/%3E", "/hooks/a%20b"] {
        gateway.post(path, &[], "x").problem(400, "placeholder_invalid");
    }
    for path in ["/hooks/a%0D%0Ab", "/hooks/%00"] {
        gateway.post(path, &[], "x").problem(400, "bad_path");
    }
    gateway.post("/query?x=a.b", &[], "x").problem(400, "placeholder_invalid");
    let mut witness = server.connect();
    witness.publish("witness", "x");
    assert_eq!(subscriber.next().subject, "witness", "a refused request was published");
}

#[test]
fn a_batch_is_published_whole_or_told_one_by_one() {
    let server = Server::start();
    let gateway = gateway(
        &server,
        r#"  - { name: paid, match: { event: { type: paid } }, to: "bus/paid.{event.subject}" }
  - { name: sent, match: { event: { type: sent } }, to: bus/sent }
"#,
    );
    let mut subscriber = server.connect();
    subscriber.subscribe(">");
    let one = |id: &str, kind: &str, subject: &str| json!({"specversion": "1.0", "id": id, "source": "/s", "type": kind, "subject": subject, "data": id});
    let batch = |events: &[serde_json::Value]| {
        let body = json!(events).to_string();
        gateway.post("/events", &["Content-Type: application/cloudevents-batch+json"], body)
    };
    let answer = batch(&[one("1", "paid", "a"), one("2", "sent", "b")]);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let results = answer.json()["results"].clone();
    assert_eq!((&results[0]["index"], &results[1]["index"]), (&json!(0), &json!(1)));
    assert_eq!((&results[0]["id"], &results[1]["ack"]), (&json!("1"), &json!("published")));
    let mut subjects = [subscriber.next().subject, subscriber.next().subject];
    subjects.sort();
    assert_eq!(subjects, ["paid.a", "sent"]);

    // One element without a route refuses all of them before anything is sent.
    let answer = batch(&[one("3", "paid", "a"), one("4", "unknown", "b")]);
    answer.problem(404, "no_route_for_event");
    assert_eq!(batch(&[one("5", "paid", "a"), json!({"specversion": "1.0"})]).status, 400);
    let mut witness = server.connect();
    witness.publish("witness", "x");
    assert_eq!(subscriber.next().subject, "witness", "half a batch was published");
    assert_eq!(batch(&[]).status, 202, "a batch without events is a valid one");
}

#[test]
fn a_batch_of_which_some_were_taken_is_207_and_says_which() {
    let server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    let gateway = gateway(
        &server,
        "  - { name: kept, match: { event: { type: kept } }, to: js/orders.x }
  - { name: lost, match: { event: { type: lost } }, to: js/nowhere }
  - { name: asked, match: { event: { type: asked } }, to: bus/questions, ack: replied }
",
    );
    let one = |id: &str, kind: &str| json!({"specversion": "1.0", "id": id, "source": "/s", "type": kind, "data": id});
    let batch = |events: &[serde_json::Value]| {
        let body = json!(events).to_string();
        gateway.post("/events", &["Content-Type: application/cloudevents-batch+json"], body)
    };
    let answer = batch(&[one("1", "kept"), one("2", "lost"), one("3", "kept")]);
    assert_eq!(answer.status, 207, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let results = answer.json()["results"].clone();
    let taken = |index: usize| results[index]["receipt"]["receipt"]["sequence"].as_u64();
    assert_eq!((taken(0), taken(1), taken(2)), (Some(1), None, Some(2)), "{results}");
    assert_eq!(results[1]["index"], 1);
    let problem = &results[1]["problem"];
    assert_eq!((&problem["code"], &problem["status"]), (&json!("no_responders"), &json!(503)));
    assert_eq!((&problem["ran"], &problem["event"]["id"]), (&json!("no"), &json!("2")));
    assert_eq!(server.stream_length("ORDERS"), 2);

    // What nobody took is a problem, with every result in it.
    let problem = batch(&[one("4", "lost"), one("5", "lost")]).problem(503, "no_responders");
    assert_eq!(problem["results"][1]["id"], "5", "{problem}");
    assert_eq!(problem["results"][1]["problem"]["code"], "no_responders", "{problem}");

    // A function that answers has one answer, so that a batch with one event for it goes nowhere.
    batch(&[one("6", "kept"), one("7", "asked")]).problem(415, "batch_needs_async");
    assert_eq!(server.stream_length("ORDERS"), 2, "half a batch was published");
}

#[test]
fn a_message_over_the_servers_limit_is_413_and_is_not_sent() {
    let server = Server::start_with("max_payload: 2048");
    let gateway = gateway(&server, "  - { name: all, match: { path: /in }, to: bus/x }\n");
    assert_eq!(gateway.post("/in", &[], "x".repeat(1000)).status, 202);
    let problem = gateway.post("/in", &[], "x".repeat(2049)).problem(413, "too_large");
    assert_eq!(problem["ran"], "no");
    assert_eq!(gateway.post("/in", &[], "x").status, 202, "the connection was lost over it");
}

#[test]
fn many_publishers_at_once_lose_nothing() {
    let server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    let gateway = gateway(&server, "  - { name: all, match: { path: /in }, to: js/orders.x }\n");
    let address = gateway.address();
    let workers: Vec<_> = (0..16)
        .map(|_| {
            thread::spawn(move || {
                let mut client = crate::support::Client::connect(address);
                for _ in 0..50 {
                    let request = crate::support::gateway::request("POST", "/in", &[], b"x");
                    assert_eq!(client.round_trip(request).status, 202);
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert_eq!(server.stream_length("ORDERS"), 800);
}
