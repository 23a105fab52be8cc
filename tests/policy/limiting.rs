//! Callers over their rate are refused before anything is done for them.

use crate::support::{Answer, Gateway, Peer};

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.header(name).unwrap_or_else(|| panic!("{name} is missing: {:?}", answer.head))
}

#[test]
fn a_caller_over_its_rate_is_told_what_the_limit_is_and_when_to_come_again() {
    let peer = Peer::answering("ok");
    let limit = "    policy: { rate_limit: [{ rate: 2/h, key: address }] }\n";
    let gateway = super::guarded(&peer.url(), "retry_budget: 20%", limit);
    for (left, next) in [(1, 1800), (0, 1800)] {
        let answer = gateway.get("/");
        assert_eq!(answer.text(), "ok");
        assert_eq!(header(&answer, "ratelimit-policy"), "\"2/h\";q=2;w=3600");
        assert_eq!(header(&answer, "ratelimit"), format!("\"2/h\";r={left};t={next}"));
    }
    // The head alone: whoever waited for the body would wait for ever.
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\n");
    let answer = client.answer();
    let problem = answer.problem(429, "rate_limited");
    assert_eq!((&problem["ran"], &problem["retry"]), (&"no".into(), &"safe".into()));
    let wait: u32 = header(&answer, "retry-after").parse().unwrap();
    assert!((1_790..=1_800).contains(&wait), "{wait}");
    assert_eq!(header(&answer, "ratelimit-policy"), "\"2/h\";q=2;w=3600");
    assert!(header(&answer, "ratelimit").starts_with("\"2/h\";r=0;t="));
    assert_eq!(peer.seen().len(), 2);
    let record = gateway.record(header(&answer, "x-request-id"));
    assert_eq!((&record["route"], &record["class"]), (&"all".into(), &"rate_limited".into()));
}

#[test]
fn each_tenant_has_a_limit_of_its_own_and_whoever_names_none_is_refused() {
    let peer = Peer::answering("ok");
    let limit = "    policy: { rate_limit: [{ rate: 1/h, key: \"{header.x-tenant}\" }, { rate: 1000/s }] }\n";
    let gateway = super::guarded(&peer.url(), "retry_budget: 20%", limit);
    let ask = |tenant: &str| {
        gateway.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Tenant: {tenant}\r\n\r\n"))
    };
    for tenant in ["a", "b", "c"] {
        assert_eq!(ask(tenant).status, 200);
    }
    ask("a").problem(429, "rate_limited");
    ask("c").problem(429, "rate_limited");
    assert_eq!(ask("d").status, 200);
    gateway.get("/").problem(400, "placeholder_missing");
    assert_eq!(peer.seen().len(), 4);
}

#[test]
fn limits_count_over_all_connections_and_routes_have_their_own() {
    let gateway = Gateway::start(
        "routes:
  - { name: a, match: { path: /a }, respond: { body: a } }
  - { name: b, match: { path: /b }, respond: { body: b } }
policies:
  default: { rate_limit: [{ rate: 20/h, burst: 20 }] }
",
    );
    // Each on a connection of its own, so that every core gets some.
    let statuses: Vec<u16> = (0..40).map(|_| gateway.get("/a").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 20, "{statuses:?}");
    assert_eq!(gateway.get("/b").text(), "b");
}

#[test]
fn events_are_limited_by_what_they_are() {
    let gateway = Gateway::start(
        "routes:
  - name: orders
    match: { event: { type: order } }
    policy: { rate_limit: [{ rate: 1/h, key: \"{event.source}\" }, { rate: 4/h, key: address }] }
    respond: { status: 202 }
",
    );
    let send = |source: &str| {
        let event = format!(
            r#"{{"specversion":"1.0","id":"1","type":"order","source":"{source}","data":1}}"#
        );
        gateway.post("/events", &["Content-Type: application/cloudevents+json"], event)
    };
    assert_eq!(send("/a").status, 202);
    assert_eq!(send("/b").status, 202);
    let answer = send("/a");
    answer.problem(429, "rate_limited");
    assert!(header(&answer, "ratelimit").starts_with("\"1/h\";r=0"));
    assert_eq!(send("/c").status, 202);
    // The limit by address is empty: no event can pass, so that none is read.
    let mut client = gateway.client();
    client.send(
        "POST /events HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/cloudevents+json\r\nContent-Length: 1000\r\n\r\n",
    );
    let answer = client.answer();
    answer.problem(429, "rate_limited");
    assert!(header(&answer, "ratelimit").starts_with("\"4/h\";r=0"));
}

#[test]
fn each_event_of_a_batch_counts_and_a_batch_over_the_limit_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(
        &file,
        "version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstreams: { local: { kind: embedded } }
routes:
  - name: orders
    match: { path: /orders }
    to: local/orders
    policy: { rate_limit: [{ rate: 4/h }] }
",
    )
    .unwrap();
    let gateway = Gateway::dev(&["-c", file.to_str().unwrap()]);
    let send = |count: usize| {
        let events: Vec<_> = (0..count)
            .map(|id| format!(r#"{{"specversion":"1.0","id":"{id}","type":"a","source":"/b"}}"#))
            .collect();
        let kind = "Content-Type: application/cloudevents-batch+json";
        gateway.post("/orders", &[kind], format!("[{}]", events.join(",")))
    };
    assert_eq!(send(3).status, 202);
    send(3).problem(429, "rate_limited");
    send(2).problem(429, "rate_limited");
    assert_eq!(send(1).status, 202);
    send(1).problem(429, "rate_limited");
}
