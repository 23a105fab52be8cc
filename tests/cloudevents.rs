//! CloudEvents over HTTP: every mode in, every refusal, every format out. The property tests of the
//! format itself stand beside its code.

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Peer};

const HEAD: [&str; 4] =
    ["ce-specversion: 1.0", "ce-id: 7", "ce-source: /shop", "ce-type: com.acme.paid"];

/// A route to a service that takes events in this format.
fn events(peer: &Peer, route: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams:
  web: {{ kind: http, url: {} }}
routes:
  - name: events
    match: {{ path: /in }}
    to: web
{route}",
        peer.url()
    ))
}

fn structured(gateway: &Gateway, event: &str) -> Answer {
    gateway.post("/in", &["Content-Type: application/cloudevents+json; charset=utf-8"], event)
}

#[test]
fn an_event_passes_through_in_the_mode_it_came_in() {
    let peer = Peer::answering("ok");
    let gateway = events(&peer, "");
    let mut head = HEAD.to_vec();
    head.extend(["Content-Type: text/xml", "ce-subject: J%C3%BCrgen %22x%22", "ce-extra: 1"]);
    gateway.post("/in", &head, "<a/>");
    let document =
        r#" {"specversion":"1.0","id":"7","source":"/s","type":"t","data":{"n":1.50e3}} "#;
    structured(&gateway, document);
    let seen = peer.seen();
    assert_eq!(seen[0].header("ce-subject"), Some("J%C3%BCrgen %22x%22"));
    assert_eq!(seen[0].header("ce-extra"), Some("1"));
    assert_eq!(seen[0].header("content-type"), Some("text/xml"));
    assert_eq!(seen[0].body, b"<a/>");
    assert_eq!(seen[1].body, document.as_bytes(), "not a byte may change");
}

#[test]
fn a_binary_event_becomes_a_structured_one_and_back() {
    let peer = Peer::answering("ok");
    let gateway = events(&peer, "    format: structured\n");
    let mut head = HEAD.to_vec();
    head.extend(["Content-Type: application/json", "ce-subject: J%C3%BCrgen"]);
    gateway.post("/in", &head, r#"{"n":1.50e3}"#);
    let seen = peer.only();
    assert!(seen.header("content-type").unwrap().starts_with("application/cloudevents+json"));
    assert_eq!(seen.header("ce-id"), None);
    let text = String::from_utf8(seen.body.clone()).unwrap();
    assert!(text.contains(r#"{"n":1.50e3}"#), "a number was rewritten: {text}");
    let event: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(event["subject"], "Jürgen");
    assert_eq!(event["datacontenttype"], "application/json");

    let back = Peer::answering("ok");
    let gateway = events(&back, "    format: binary\n");
    structured(&gateway, &text);
    let seen = back.only();
    assert_eq!(seen.body, br#"{"n":1.50e3}"#);
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("ce-subject"), Some("J%C3%BCrgen"));
    assert_eq!(seen.header("ce-type"), Some("com.acme.paid"));
}

#[test]
fn data_that_is_not_json_travels_as_base64() {
    let peer = Peer::answering("ok");
    let gateway = events(&peer, "    format: structured\n");
    let mut head = HEAD.to_vec();
    head.push("Content-Type: application/octet-stream");
    gateway.post("/in", &head, [0xff, 0x00, 0xfe]);
    let event: Value = serde_json::from_slice(&peer.only().body).unwrap();
    assert_eq!(event["data_base64"], "/wD+");
    assert!(event.get("data").is_none());

    let back = Peer::answering("ok");
    let gateway = events(&back, "    format: plain\n");
    structured(&gateway, &event.to_string());
    let seen = back.only();
    assert_eq!(seen.body, [0xff, 0x00, 0xfe]);
    assert_eq!(seen.header("content-type"), Some("application/octet-stream"));
    assert!(seen.head.headers.iter().all(|(name, _)| !name.to_lowercase().starts_with("ce-")));
}

#[test]
fn a_plain_request_becomes_an_event_that_says_where_it_is_from() {
    let peer = Peer::answering("ok");
    let gateway = events(&peer, "    format: binary\n");
    gateway.post("/in?q=1", &["Content-Type: text/plain", "Idempotency-Key: key-1"], "hello");
    gateway.post("/in", &[], "hello");
    let seen = peer.seen();
    assert_eq!(seen[0].header("ce-specversion"), Some("1.0"));
    assert_eq!(seen[0].header("ce-id"), Some("key-1"));
    assert_eq!(seen[0].header("ce-type"), Some("http.request.post"));
    assert_eq!(seen[0].header("ce-source"), Some("//gateway.test/events"));
    assert_eq!(seen[0].header("ce-subject"), Some("/in"));
    assert!(seen[0].header("ce-time").is_some());
    assert_eq!(seen[0].header("content-type"), Some("text/plain"));
    assert_eq!(seen[0].body, b"hello");
    let id = seen[1].header("ce-id").unwrap();
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'), "a UUIDv7: {id}");
}

#[test]
fn a_route_says_what_a_plain_requests_event_is() {
    let peer = Peer::answering("ok");
    let gateway = events(
        &peer,
        r#"    format: binary
    set_event: { type: com.acme.hook, subject: "{query.who}", source: /hooks, tenant: "{header.x-tenant}" }
"#,
    );
    gateway.post("/in?who=me", &["X-Tenant: acme"], "x");
    let seen = peer.only();
    assert_eq!(seen.header("ce-type"), Some("com.acme.hook"));
    assert_eq!(seen.header("ce-subject"), Some("me"));
    assert_eq!(seen.header("ce-source"), Some("/hooks"));
    assert_eq!(seen.header("ce-tenant"), Some("acme"));
}

#[test]
fn a_malformed_event_is_400_in_binary_mode_and_never_plain() {
    let peer = Peer::answering("ok");
    let gateway = events(&peer, "    format: structured\n");
    let without = |left_out: &str| -> Vec<&str> {
        HEAD.into_iter().filter(|line| !line.starts_with(left_out)).collect()
    };
    let with = |line: &'static str| {
        let mut head = HEAD.to_vec();
        head.push(line);
        head
    };
    for head in [
        without("ce-specversion"),
        without("ce-id"),
        without("ce-source"),
        without("ce-type"),
        vec!["ce-specversion: 0.3", "ce-id: 1", "ce-source: /s", "ce-type: t"],
        vec!["ce-specversion: 1.0", "ce-id:", "ce-source: /s", "ce-type: t"],
        with("ce-time: yesterday"),
        with("ce-subject:"),
        with("ce-dataschema: relative"),
        with("ce-id: 8"),
        with("ce-bad-name: 1"),
        with("ce-data: 1"),
    ] {
        let problem = gateway.post("/in", &head, "x").problem(400, "invalid_event");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{head:?}");
    }
    assert!(peer.seen().is_empty(), "{:?}", peer.seen());
}

#[test]
fn a_malformed_event_is_400_in_structured_mode() {
    let peer = Peer::answering("ok");
    let gateway = events(&peer, "    format: binary\n");
    let event = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"});
    let with = |name: &str, value: Value| {
        let mut event = event.clone();
        event[name] = value;
        event.to_string()
    };
    let cases = [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        format!("{event}x"),
        with("specversion", json!("0.3")),
        with("id", json!("")),
        with("id", json!(1)),
        with("source", Value::Null),
        with("time", json!("yesterday")),
        with("extra", json!({"not": "simple"})),
        with("extra", json!(1.5)),
        with("Bad", json!("1")),
        with("data_base64", json!("not base64!")),
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1,"data_base64":"MQ=="}"#
            .to_owned(),
        r#"{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"t"}"#.to_owned(),
    ];
    for case in cases {
        let answer = structured(&gateway, &case);
        assert_eq!(answer.status, 400, "{case}: {}", answer.text());
    }
    assert!(peer.seen().is_empty(), "{:?}", peer.seen());
}

#[test]
fn a_format_that_is_not_read_here_is_415() {
    let peer = Peer::answering("ok");
    let gateway = events(&peer, "    format: binary\n");
    for kind in ["application/cloudevents+avro", "application/cloudevents-batch+protobuf"] {
        let answer = gateway.post("/in", &[&format!("Content-Type: {kind}")], "x");
        assert_eq!(answer.status, 415, "{kind}: {}", answer.text());
    }
    assert!(peer.seen().is_empty());
}

#[test]
fn a_batch_for_a_function_that_answers_itself_is_415() {
    let peer = Peer::answering("ok");
    let gateway = events(&peer, "    format: binary\n");
    let answer = gateway.post(
        "/in",
        &["Content-Type: application/cloudevents-batch+json"],
        r#"[{"specversion":"1.0","id":"1","source":"/s","type":"t"}]"#,
    );
    answer.problem(415, "batch_needs_async");
    assert!(peer.seen().is_empty());
}

#[test]
fn an_event_over_the_limit_is_413() {
    let peer = Peer::answering("ok");
    let gateway = events(&peer, "    format: binary\n    policy: { limits: { event: 1KiB } }\n");
    let long = "x".repeat(2000);
    let event = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": long});
    structured(&gateway, &event.to_string()).problem(413, "too_large");
    assert!(peer.seen().is_empty());
}

#[test]
fn each_route_of_a_door_keeps_the_limits_that_are_its_own() {
    let peer = Peer::echo();
    let gateway = Gateway::start(&format!(
        "upstreams: {{ web: {{ kind: http, url: {} }} }}
routes:
  - {{ name: a, match: {{ event: {{ type: narrow }} }}, to: web, policy: {{ limits: {{ event: 1KiB, headers: 1KiB }} }} }}
  - {{ name: b, match: {{ event: {{ type: wide }} }}, to: web }}
  - {{ name: c, match: {{ event: {{ type: also-narrow }} }}, to: web, policy: {{ limits: {{ event: 1KiB, headers: 1KiB }} }} }}
",
        peer.url()
    ));
    let (data, long) = ("x".repeat(2000), format!("X-Long: {}", "x".repeat(2000)));
    for kind in ["narrow", "also-narrow"] {
        let of_type = format!("ce-type: {kind}");
        let head = [HEAD[0], HEAD[1], HEAD[2], &of_type];
        gateway.post("/events", &head, &data).problem(413, "too_large");
        gateway
            .post("/events", &[&head[..], &[&long]].concat(), "")
            .problem(431, "headers_too_large");
        let event =
            json!({"specversion": "1.0", "id": "1", "source": "/s", "type": kind, "data": data});
        let structured = ["Content-Type: application/cloudevents+json"];
        gateway.post("/events", &structured, event.to_string()).problem(413, "too_large");
    }
    assert!(peer.seen().is_empty(), "{:?}", peer.seen());
    let head = [HEAD[0], HEAD[1], HEAD[2], "ce-type: wide", &long];
    assert_eq!(gateway.post("/events", &head, &data).body.len(), 2000);
}

#[test]
fn an_answer_that_is_an_event_comes_back_in_the_format_of_the_route() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        let head = [
            "ce-specversion: 1.0",
            "ce-id: 9",
            "ce-source: /f",
            "ce-type: done",
            "Content-Type: application/json",
        ];
        exchange.answer(200, &head, r#"{"ok":true}"#);
    });
    let answer = events(&peer, "    reply_format: structured\n").post("/in", &[], "x");
    assert!(answer.header("content-type").unwrap().starts_with("application/cloudevents+json"));
    assert_eq!(answer.json()["data"], json!({"ok": true}));
    assert_eq!(answer.json()["id"], "9");
    let answer = events(&peer, "    reply_format: plain\n").post("/in", &[], "x");
    assert_eq!(answer.header("ce-id"), None);
    assert_eq!(answer.text(), r#"{"ok":true}"#);
}

#[test]
fn a_reply_that_only_looks_like_an_event_is_502_where_the_route_has_to_read_it() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.answer(200, &["ce-specversion: 1.0", "ce-id: 9"], "half an event");
    });
    assert_eq!(events(&peer, "").post("/in", &[], "x").text(), "half an event");
    let answer = events(&peer, "    reply_format: structured\n").post("/in", &[], "x");
    assert_eq!(answer.problem(502, "bad_reply_event")["ran"], "maybe");
}
