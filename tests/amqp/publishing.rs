//! What is answered when an event or a plain request is published, and what the queue gets.

use serde_json::json;

use super::{Client, gateway, header};
use crate::support::{
    rabbit::{MESSAGE_MAX, shared},
    shell::gusset_run,
};

#[test]
fn a_plain_request_is_published_as_an_event_with_what_it_was() {
    let gateway = gateway(
        shared(),
        "queues: [{ name: g-plain }]",
        "  - { name: all, match: { prefix: /in }, to: rabbit//g-plain, forward_headers: [x-tenant] }\n",
    );
    let headers = ["Content-Type: text/plain", "X-Tenant: acme", "Authorization: secret"];
    let answer = gateway.post("/in/a?b=c", &headers, "hello");
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.header("gusset-ack"), Some("published"));
    let receipt = answer.json();
    assert_eq!(
        (&receipt["ack"], &receipt["guarantee"]),
        (&json!("published"), &json!("broker-disk"))
    );
    assert_eq!(receipt["receipt"], json!({"exchange": "", "key": "g-plain"}));

    let message = Client::connect(shared()).next("g-plain");
    assert_eq!(message.data, b"hello");
    let kind = message.properties.content_type().as_ref().unwrap();
    assert_eq!(kind.as_str(), "text/plain");
    for (name, value) in [
        ("ce-type", "http.request.post"),
        ("ce-id", receipt["id"].as_str().unwrap()),
        ("http-method", "POST"),
        ("http-path", "/in/a"),
        ("http-query", "b=c"),
        ("x-tenant", "acme"),
    ] {
        assert_eq!(header(&message, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(header(&message, "authorization"), None);
}

#[test]
fn an_event_with_an_identity_is_published_with_the_same_message_id_each_time() {
    let gateway = gateway(
        shared(),
        "queues: [{ name: g-identity }]",
        "  - { name: all, match: { path: /in }, to: rabbit//g-identity }\n",
    );
    let client = Client::connect(shared());
    let id_of = |headers: &[&str]| {
        assert_eq!(gateway.post("/in", headers, "x").status, 202);
        let message = client.next("g-identity");
        message.properties.message_id().as_ref().map(ToString::to_string)
    };
    let first = id_of(&["Idempotency-Key: 1"]);
    assert!(first.is_some());
    assert_eq!(id_of(&["Idempotency-Key: 1"]), first);
    assert_ne!(id_of(&["Idempotency-Key: 2"]), first);
    assert_eq!(id_of(&[]), None, "what has no identity gets none");
}

#[test]
fn what_no_queue_takes_is_502_and_names_exchange_and_key() {
    let gateway = gateway(
        shared(),
        "",
        "  - { name: lost, match: { path: /lost }, to: rabbit/amq.topic/nobody/listens }
  - { name: none, match: { path: /none }, to: { upstream: rabbit, exchange: no-such, key: k } }
",
    );
    let problem = gateway.post("/lost", &[], "x").problem(502, "unroutable");
    assert_eq!(problem["ran"], "no");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("amq.topic") && detail.contains("nobody/listens"), "{detail}");
    let problem = gateway.post("/none", &[], "x").problem(502, "no_exchange");
    assert!(problem["detail"].as_str().unwrap().contains("no-such"), "{problem}");
}

#[test]
fn placeholders_fill_one_word_and_nothing_else() {
    let gateway = gateway(
        shared(),
        "queues: [{ name: g-words }], bindings: [{ exchange: amq.topic, queue: g-words, key: \"g.#\" }]",
        r#"  - { name: word, match: { path: "/word/{w}" }, to: "rabbit/amq.topic/g.{w}.x" }
  - { name: tail, match: { path: "/tail/{w*}" }, to: "rabbit/amq.topic/g.{w*}" }
  - { name: query, match: { path: /query }, to: "rabbit/amq.topic/g.{query.x:-none}" }
  - { name: queue, match: { path: "/queue/{w*}" }, to: "rabbit//{w*}" }
"#,
    );
    let client = Client::connect(shared());
    for (path, key) in [
        ("/word/a-1", "g.a-1.x"),
        ("/tail/a/b", "g.a.b"),
        ("/query?x=a/b", "g.a/b"),
        ("/query", "g.none"),
    ] {
        let answer = gateway.post(path, &[], "x");
        assert_eq!(answer.status, 202, "{path} {}", answer.text());
        assert_eq!(client.next("g-words").routing_key.as_str(), key);
    }
    for path in ["/word/a.b", "/word/*", "/word/%23", "/word/a%20b", "/queue/amq/rabbitmq/reply-to"]
    {
        gateway.post(path, &[], "x").problem(400, "placeholder_invalid");
    }
    gateway
        .post(&format!("/word/{}", "k".repeat(252)), &[], "x")
        .problem(400, "placeholder_invalid");
    assert!(client.get("g-words").is_none(), "a refused request was published");
}

#[test]
fn a_batch_of_which_some_were_taken_is_207_and_says_which() {
    let gateway = gateway(
        shared(),
        "queues: [{ name: g-batch }]",
        "  - { name: kept, match: { event: { type: kept } }, to: rabbit//g-batch }
  - { name: lost, match: { event: { type: lost } }, to: rabbit//g-nowhere }
",
    );
    let one = |id: &str, kind: &str| json!({"specversion": "1.0", "id": id, "source": "/s", "type": kind, "data": id});
    let body = json!([one("1", "kept"), one("2", "lost"), one("3", "kept")]).to_string();
    let headers = ["Content-Type: application/cloudevents-batch+json"];
    let answer = gateway.post("/events", &headers, body);
    assert_eq!(answer.status, 207, "{}", answer.text());
    let results = answer.json()["results"].clone();
    assert_eq!(
        (&results[0]["ack"], &results[2]["ack"]),
        (&json!("published"), &json!("published"))
    );
    assert_eq!(results[1]["problem"]["code"], "unroutable", "{results}");
    let client = Client::connect(shared());
    let mut bodies = [client.next("g-batch").data, client.next("g-batch").data];
    bodies.sort();
    assert_eq!(bodies, [b"\"1\"".to_vec(), b"\"3\"".to_vec()]);
    assert!(client.get("g-batch").is_none());
}

#[test]
fn a_message_over_the_brokers_limit_is_413_and_is_not_sent() {
    let gateway = gateway(
        shared(),
        "queues: [{ name: g-large }]",
        "  - { name: all, match: { path: /in }, to: rabbit//g-large, policy: { limits: { event: 2MiB } } }\n",
    );
    let problem = gateway.post("/in", &[], "x".repeat(MESSAGE_MAX + 1)).problem(413, "too_large");
    assert_eq!(problem["ran"], "no");
    assert_eq!(gateway.post("/in", &[], "x").status, 202, "the connection was lost over it");
}

#[test]
fn a_queue_is_not_listened_to_and_the_refusal_says_what_to_write() {
    let gateway = gateway(
        shared(),
        "queues: [{ name: g-work }]",
        "  - { name: all, match: { path: /in }, to: rabbit//g-work }\n",
    );
    let admin = format!("http://{}", gateway.admin());
    let ran = gusset_run(&["subscribe", "rabbit//g-work", "-n", "1", "--admin", &admin]).ends(1);
    assert!(ran.err.contains("rabbit/exchange/key"), "{}", ran.err);
}
