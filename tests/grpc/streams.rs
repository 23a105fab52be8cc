use serde_json::{Value, json};

use super::both;
use crate::support::eventually;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_stream_of_answers_is_lines_events_or_an_array() {
    let Some((_server, gateway)) = both() else { return };
    let path = "/v1/accounts/a/entries?count=2";
    let answer = gateway.get(path);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(lines(answer.text()), [json!({}), json!({ "number": "1" })]);
    let ask = |accept: &str, query: &str| {
        let request =
            format!("GET {path}{query} HTTP/1.1\r\nHost: gateway.test\r\nAccept: {accept}\r\n\r\n");
        gateway.send(request)
    };
    let answer = ask("text/event-stream", "");
    assert_eq!(answer.text(), "data: {}\n\ndata: {\"number\":\"1\"}\n\n");
    let answer = ask("application/json", "");
    assert_eq!(answer.json(), json!([{}, { "number": "1" }]));

    // A failure in mid-stream is the last record, and is marked.
    let answer = ask("*/*", "&fail=true");
    assert_eq!(answer.status, 200);
    let last = lines(answer.text()).pop().unwrap();
    let error = json!({ "error": { "code": 15, "message": "the page is torn", "details": [] } });
    assert_eq!(last, error);
    let answer = ask("text/event-stream", "&fail=true");
    assert!(answer.text().contains("\n\nevent: error\ndata: {\"code\":15"), "{}", answer.text());
    let answer = ask("application/json", "&fail=true");
    assert_eq!(answer.json().as_array().unwrap().last(), Some(&error));
    let record = gateway.record(answer.header("x-request-id").unwrap());
    assert_eq!(record["class"], "function_failed");

    // One before the first message has a status of its own.
    let answer = gateway.get("/v1/accounts/a/entries?fail=true");
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("grpc-trailer-x-cost"), Some("7"));
}

#[test]
fn a_stream_of_requests_is_lines() {
    let Some((_server, gateway)) = both() else { return };
    let ndjson = ["Content-Type: application/x-ndjson"];
    let body = "{\"number\":\"1\"}\n\n{\"number\":2}\r\n{\"number\":3}";
    assert_eq!(gateway.post("/sum", &ndjson, body).json(), json!({ "sum": "6" }));
    let answer = gateway.post("/chat", &ndjson, body);
    let numbers: Vec<_> = lines(answer.text()).iter().map(|one| one["number"].clone()).collect();
    assert_eq!(numbers, ["1", "2", "3"]);

    let answer = gateway.post("/sum", &ndjson, "{\"number\":1}\n{\"number\":}\n");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(answer.json()["violations"][0]["line"], 2);
}

#[test]
fn both_sides_may_talk_at_once() {
    let Some((_server, gateway)) = both() else { return };
    let mut client = gateway.client();
    let chunk = |line: &str| format!("{:x}\r\n{line}\r\n", line.len());
    client.send(
        "POST /chat HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: application/x-ndjson\r\n\r\n",
    );
    client.send(chunk("{\"number\":1}\n"));
    assert_eq!(client.head().status(), 200);
    for number in 1..=3 {
        let line = format!("{{\"number\":\"{number}\"}}\n");
        assert_eq!(client.chunk().unwrap().unwrap(), line.as_bytes());
        if number < 3 {
            client.send(chunk(&format!("{{\"number\":{}}}\n", number + 1)));
        }
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk().unwrap(), None);
}

#[test]
fn a_gibibyte_of_messages_passes_in_bounded_memory() {
    const COUNT: usize = 1 << 14;
    let Some((_server, gateway)) = both() else { return };
    let before = gateway.memory();
    let mut client = gateway.client();
    client.send(format!("GET /watch?count={COUNT}&size=65536 HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(client.head().status(), 200);
    let (mut messages, mut grown) = (0, 0);
    while let Some(chunk) = client.chunk().unwrap() {
        let here = chunk.iter().filter(|byte| **byte == b'\n').count();
        messages += here;
        if messages % 256 < here {
            grown = grown.max(gateway.memory().saturating_sub(before));
        }
    }
    assert_eq!(messages, COUNT);
    assert!(grown < 32 << 20, "it grew by {grown} bytes");
}

#[test]
fn a_reader_that_does_not_read_stalls_the_server_and_one_that_leaves_ends_the_call() {
    let Some((_server, gateway)) = both() else { return };
    let seen = |field: &str| {
        let seen = gateway.get("/seen").json();
        seen[field].as_str().map_or_else(|| seen[field].as_u64(), |text| text.parse().ok())
    };
    let before = gateway.memory();
    let mut slow = gateway.client();
    slow.send("GET /watch?count=1000000&size=65536 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(slow.head().status(), 200);
    // Once it has told nothing new for ten looks, it is not slow: it is stalled.
    let (mut told, mut looks) = (0, 0);
    eventually("the server is stalled", || {
        let now = seen("told").unwrap_or(0);
        looks = if now > 0 && now == told { looks + 1 } else { 0 };
        told = now;
        (looks == 10).then_some(())
    });
    assert!(told < 512, "the server has told {told} messages of 64 KiB to a reader of none");
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "it grew by {grown} bytes");
    assert_eq!(seen("left"), None);
    drop(slow);
    eventually("the server knows that its caller has left", || seen("left"));
}
