//! What functions get, and what becomes of what they return.

use serde_json::{Value, json};

use super::{gateway, mirror, route};
use crate::support::{
    Gateway,
    gateway::request,
    lambda::{Lambda, Outcome},
};

#[test]
fn a_plain_request_goes_in_an_envelope_and_its_answer_comes_out_of_one() {
    let lambda = Lambda::start(|invocation| {
        assert_eq!(invocation.qualifier.as_deref(), Some("prod"));
        Some(mirror(invocation))
    });
    let gateway = gateway(&lambda, "", &route("orders:prod", ""));
    let headers = ["Content-Type: application/json", "Cookie: a=1; b=2", "X-Tag: 1", "X-Tag: 2"];
    let answer = gateway.post("/in/a%20b?x=1&x=2&y=%C3%A9", &headers, r#"{"n":1.10}"#);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("gusset-ack"), Some("replied"));
    let event = answer.json();
    for (pointer, expected) in [
        ("/version", json!("2.0")),
        ("/rawPath", json!("/in/a%20b")),
        ("/rawQueryString", json!("x=1&x=2&y=%C3%A9")),
        ("/queryStringParameters", json!({"x": "1,2", "y": "é"})),
        ("/cookies", json!(["a=1", "b=2"])),
        ("/headers/x-tag", json!("1,2")),
        ("/headers/content-type", json!("application/json")),
        ("/headers/host", json!("gateway.test")),
        ("/requestContext/http/method", json!("POST")),
        ("/requestContext/http/sourceIp", json!("127.0.0.1")),
        ("/body", json!(r#"{"n":1.10}"#)),
        ("/isBase64Encoded", json!(false)),
    ] {
        assert_eq!(event.pointer(pointer), Some(&expected), "{pointer} of {event:#}");
    }
    let seen = lambda.seen();
    assert_eq!(seen.len(), 1);
    let target = "/2015-03-31/functions/orders/invocations?Qualifier=prod";
    assert_eq!((seen[0].method(), seen[0].target()), ("POST", target));
    assert_eq!(seen[0].header("x-amz-invocation-type"), Some("RequestResponse"));
    assert_eq!(seen[0].header("cookie"), None, "what the caller said is in the document alone");
    assert_eq!(lambda.refused(), 0);
}

#[test]
fn binary_bodies_cookies_and_redirects_survive_both_ways() {
    let lambda = Lambda::start(|invocation| {
        let event = invocation.json();
        assert_eq!(event["isBase64Encoded"], true);
        Some(Outcome::json(&json!({
            "statusCode": 302,
            "headers": {"Location": "https://example.com/next?a=b"},
            "multiValueHeaders": {"X-Tag": ["1", "2"]},
            "cookies": ["a=1; Path=/", "b=2; Path=/"],
            "body": event["body"],
            "isBase64Encoded": true,
        })))
    });
    let gateway = gateway(&lambda, "", &route("orders", ", format: api-gateway-v1"));
    let body = [0, 159, 146, 150, 255, 10, 13];
    let answer = gateway.post("/", &["Content-Type: image/png"], body);
    assert_eq!(answer.status, 302);
    assert_eq!(answer.body, body);
    assert_eq!(answer.head.all("set-cookie"), ["a=1; Path=/", "b=2; Path=/"]);
    assert_eq!(answer.head.all("x-tag"), ["1", "2"]);
    assert_eq!(answer.header("location"), Some("https://example.com/next?a=b"));
}

#[test]
fn an_event_goes_as_one_document_in_whichever_mode_it_came() {
    let lambda = Lambda::start(|invocation| Some(Outcome::json(&invocation.json())));
    let gateway = gateway(&lambda, "", &route("orders", ""));
    let expected = json!({
        "specversion": "1.0", "id": "1", "source": "/s", "type": "made", "traceid": "t",
        "datacontenttype": "application/json", "data": {"n": 1.10},
    });
    let binary = [
        "ce-specversion: 1.0",
        "ce-id: 1",
        "ce-source: /s",
        "ce-type: made",
        "ce-traceid: t",
        "Content-Type: application/json",
    ];
    let answers = [
        gateway.post("/", &binary, r#"{"n":1.10}"#),
        gateway.post("/", &["Content-Type: application/cloudevents+json"], expected.to_string()),
    ];
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.json(), expected);
    }
    let half = gateway.post("/", &["ce-specversion: 1.0", "ce-id: 1"], "{}");
    half.problem(400, "invalid_event");
    let batch = format!("[{expected}]");
    let batch = gateway.post("/", &["Content-Type: application/cloudevents-batch+json"], batch);
    batch.problem(415, "batch_needs_async");
    assert_eq!(lambda.seen().len(), 2);
}

#[test]
fn the_way_back_has_one_value_that_says_how_it_is_read() {
    let event =
        json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"a": 1}});
    let returned = event.clone();
    let lambda = Lambda::start(move |invocation| {
        Some(match invocation.function.as_str() {
            "event" => Outcome::json(&returned),
            _ => Outcome::json(&json!({"statusCode": 201, "body": "made"})),
        })
    });
    let routes = "
  - { name: a, match: { path: /plain }, to: aws/answer, reply_format: plain }
  - { name: b, match: { path: /alb }, to: aws/answer, format: plain, reply_format: alb }
  - { name: c, match: { path: /binary }, to: aws/event, format: plain, reply_format: binary }
  - { name: d, match: { path: /structured }, to: aws/event, reply_format: structured }
";
    let gateway = gateway(&lambda, "", routes);
    let answer = gateway.post("/plain", &[], "");
    assert_eq!((answer.status, answer.json()["statusCode"].as_u64()), (200, Some(201)));
    let answer = gateway.post("/alb", &[], "{}");
    assert_eq!((answer.status, answer.text()), (201, "made"));
    let answer = gateway.post("/binary", &[], "{}");
    assert_eq!(answer.header("ce-type"), Some("t"));
    assert_eq!(answer.text(), r#"{"a":1}"#);
    let answer = gateway.post("/structured", &[], "{}");
    assert_eq!(answer.header("content-type"), Some("application/cloudevents+json"));
    assert_eq!((&answer.json()["id"], &answer.json()["data"]), (&event["id"], &event["data"]));
}

#[test]
fn an_asynchronous_call_is_queued_and_says_no_more_than_that() {
    let lambda = Lambda::start(|_| Some(Outcome::json(&Value::Null)));
    let gateway = gateway(&lambda, "", &route("orders", ", ack: published"));
    let answer = gateway.post(
        "/in",
        &["ce-id: 7", "ce-source: /s", "ce-type: t", "ce-specversion: 1.0"],
        "x",
    );
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.header("gusset-ack"), Some("published"));
    let receipt = answer.json();
    assert_eq!(receipt["guarantee"], "broker-memory");
    assert_eq!(receipt["id"], "7");
    assert_eq!(receipt["receipt"], json!({"function": "orders", "request_id": "request-1"}));
    let seen = lambda.seen();
    assert_eq!(seen[0].header("x-amz-invocation-type"), Some("Event"));

    // Each event of a batch is a call of its own.
    let one =
        |id: u8| json!({"specversion": "1.0", "id": id.to_string(), "source": "/s", "type": "t"});
    let batch = json!([one(1), one(2)]).to_string();
    let answer = gateway.post("/in", &["Content-Type: application/cloudevents-batch+json"], batch);
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(lambda.seen().len(), 3);
}

/// Sends what is refused, perhaps before all of it is read.
#[track_caller]
fn refused(gateway: &Gateway, path: &str, body: &[u8]) {
    let mut client = gateway.client();
    client.try_send(request("POST", path, &[], body));
    client.answer().problem(413, "too_large");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent() {
    let lambda = Lambda::start(|_| Some(Outcome::json(&json!("taken"))));
    let routes = "
  - { name: a, match: { path: /answered }, to: aws/orders, format: plain }
  - { name: b, match: { path: /queued }, to: aws/orders, format: plain, ack: published }
  - { name: c, match: { path: /wrapped }, to: aws/orders, policy: { limits: { body: 10MiB } } }
";
    let gateway = gateway(
        &lambda,
        "",
        &format!(
            "{routes}policies: {{ default: {{ limits: {{ body: 10MiB, event: 10MiB }} }} }}\n"
        ),
    );
    let text = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    assert_eq!(gateway.post("/answered", &[], text(6 << 20)).status, 200);
    refused(&gateway, "/answered", text((6 << 20) + 1).as_bytes());
    assert_eq!(gateway.post("/queued", &[], text(1 << 20)).status, 202);
    refused(&gateway, "/queued", text((1 << 20) + 1).as_bytes());
    // Base64 makes more of it than came.
    refused(&gateway, "/wrapped", &[255; 5 << 20]);
    assert_eq!(lambda.seen().len(), 2, "nothing was sent in vain");
}

#[test]
fn a_trace_goes_on_in_the_platforms_own_header() {
    let lambda = Lambda::start(|_| Some(Outcome::json(&json!(1))));
    let routes = format!("{}trusted_proxies: [127.0.0.0/8]\n", route("orders", ""));
    let gateway = gateway(&lambda, "", &routes);
    let parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(gateway.post("/", &[parent], "").status, 200);
    let told = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1";
    assert_eq!(lambda.seen()[0].header("x-amzn-trace-id"), Some(told));
}

#[test]
fn streamed_answers_pass_as_they_are_written() {
    let lambda = Lambda::start(|invocation| {
        assert!(invocation.streaming);
        let head = br#"{"statusCode":207,"headers":{"Content-Type":"text/csv"},"cookies":["a=1"]}"#;
        Some(match invocation.function.as_str() {
            "headed" => Outcome::Streams(
                "application/vnd.amazon.eventstream",
                vec![[&head[..], &[0; 8], b"one,"].concat(), b"two".to_vec()],
                json!({}),
            ),
            "bare" => Outcome::Streams("text/plain", vec![b"a".to_vec(), b"b".to_vec()], json!({})),
            "failing" => Outcome::Streams(
                "text/plain",
                vec![],
                json!({"ErrorCode": "Unhandled", "ErrorDetails": "boom"}),
            ),
            _ => Outcome::Streams(
                "text/plain",
                vec![b"begun".to_vec()],
                json!({"ErrorCode": "Unhandled", "ErrorDetails": "boom"}),
            ),
        })
    });
    let routes: String = ["headed", "bare", "failing", "breaking"]
        .iter()
        .map(|name| format!("  - {{ name: {name}, match: {{ path: /{name} }}, to: aws/{name} }}\n"))
        .collect();
    let gateway = gateway(&lambda, ", streaming: true", &routes);
    let answer = gateway.get("/headed");
    assert_eq!((answer.status, answer.text()), (207, "one,two"));
    assert_eq!(answer.header("content-type"), Some("text/csv"));
    assert_eq!(answer.head.all("set-cookie"), ["a=1"]);
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let answer = gateway.get("/bare");
    assert_eq!((answer.status, answer.text()), (200, "ab"));
    let answer = gateway.get("/failing");
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json(), json!({"errorType": "Unhandled", "errorMessage": "boom"}));
    let mut client = gateway.client();
    client.send(request("GET", "/breaking", &[], b""));
    let head = client.answer_to_head();
    assert_eq!(head.status, 200);
    let rest = client.rest();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it breaks off: {:?}", String::from_utf8_lossy(&rest));
    assert_eq!(
        lambda.seen()[0].target(),
        "/2021-11-15/functions/headed/response-streaming-invocations"
    );
}

#[test]
fn a_placeholder_names_only_what_the_route_allows() {
    let lambda = Lambda::start(|invocation| Some(Outcome::json(&json!(invocation.function))));
    let routes =
        "  - { name: a, match: { path: \"/{f}\" }, to: \"aws/{f}:prod\", allow: [order-*] }\n";
    let gateway = gateway(&lambda, "", routes);
    assert_eq!(gateway.get("/order-new").text(), "\"order-new\"");
    gateway.get("/admin").problem(400, "placeholder_invalid");
    gateway.get("/order-a%3Ab").problem(400, "placeholder_invalid");
    assert_eq!(lambda.seen().len(), 1);
    assert!(lambda.seen()[0].target().ends_with("?Qualifier=prod"));
}

#[test]
fn connections_are_used_again() {
    let lambda = Lambda::start(|invocation| Some(mirror(invocation)));
    let gateway = gateway(&lambda, "", &route("orders", ""));
    let mut client = gateway.client();
    for _ in 0..20 {
        client.send(request("POST", "/", &[], b"x"));
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(lambda.connections(), 1);
}
