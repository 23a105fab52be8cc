//! The same ledger by a server of another make.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::Duration,
};

use serde_json::json;

use super::{ROUTES, in_front_of};
use crate::support::{Client, Gateway, eventually, tonic::Tonic};

fn both() -> (Tonic, Gateway) {
    let server = Tonic::start();
    let gateway = in_front_of(&server.written(), ROUTES);
    (server, gateway)
}

/// A conversation with `Chat`, a line for a line.
struct Chat(Client);

impl Chat {
    fn begin(gateway: &Gateway) -> Self {
        let mut client = gateway.client();
        client.send(
            "POST /chat HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\
             Content-Type: application/x-ndjson\r\n\r\n",
        );
        let mut chat = Self(client);
        chat.send(1);
        assert_eq!(chat.0.head().status(), 200);
        chat.hear(1);
        chat
    }

    fn send(&mut self, number: u32) {
        let line = format!("{{\"number\":{number}}}\n");
        self.0.send(format!("{:x}\r\n{line}\r\n", line.len()));
    }

    fn hear(&mut self, number: u32) {
        let line = format!("{{\"number\":\"{number}\"}}\n");
        assert_eq!(self.0.chunk().unwrap().unwrap(), line.as_bytes());
    }

    fn end(mut self) {
        self.0.send("0\r\n\r\n");
        assert_eq!(self.0.chunk().unwrap(), None);
    }
}

#[test]
fn its_methods_are_known_by_reflection_v1() {
    let (_server, gateway) = both();
    let upstreams = gateway.ask_admin("/api/v1/upstreams").json();
    let ledger = upstreams.as_array().unwrap().iter().find(|one| one["name"] == "ledger").unwrap();
    // It does not tell the files of google/ that its own import, and says so by ending the stream.
    let expected = json!({ "from": "reflection v1", "services": 2, "methods": 10 });
    assert_eq!(ledger["descriptors"], expected);
}

#[test]
fn json_comes_and_goes_by_its_rules() {
    let (_server, gateway) = both();
    let body = r#"{"to":"b","amountCents":"12345678901","kind":"KIND_FAST","tags":["x","y"]}"#;
    let answer = gateway.post("/v1/accounts/a/transfers", &[], body);
    assert_eq!(answer.header("x-ledger"), Some("main"));
    let request = json!({
        "from": "a",
        "to": "b",
        "amountCents": "12345678901",
        "kind": "KIND_FAST",
        "tags": ["x", "y"],
    });
    assert_eq!(answer.json(), json!({ "id": "t1", "request": request }));

    let answer = gateway.get("/v1/accounts/a/entries?count=2");
    assert_eq!(answer.text(), "{}\n{\"number\":\"1\"}\n");
    let ndjson = ["Content-Type: application/x-ndjson"];
    let body = "{\"number\":1}\n{\"number\":2}\n{\"number\":3}";
    assert_eq!(gateway.post("/sum", &ndjson, body).json(), json!({ "sum": "6" }));
    let mut chat = Chat::begin(&gateway);
    chat.send(2);
    chat.hear(2);
    chat.end();
}

#[test]
fn its_statuses_keep_their_details() {
    let (_server, gateway) = both();
    let answer = gateway.get("/v1/fail/5");
    assert_eq!(answer.status, 404);
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ASKED_FOR",
        "domain": "ledger.test",
    });
    assert_eq!(answer.header("grpc-trailer-x-cost"), Some("7"));
    let expected = json!({ "code": 5, "message": "as asked: café", "details": [info] });
    assert_eq!(answer.json(), expected);
    let answer = gateway.get("/v1/accounts/a/entries?count=1&fail=true");
    let last = answer.text().lines().last().unwrap();
    assert_eq!(last, r#"{"error":{"code":15,"message":"the page is torn","details":[]}}"#);
}

#[test]
fn a_message_over_the_limit_of_either_side_is_told() {
    let server = Tonic::start();
    let ledger = format!("{}, max_message: 6MiB", server.written());
    let gateway = in_front_of(&ledger, ROUTES);
    // The server's own limit is 4 MiB.
    let note = "A".repeat(7 << 20);
    let answer = gateway.post("/move/a", &[], format!(r#"{{"note":"{note}"}}"#));
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(11)), "{}", answer.text());
    gateway.get("/watch?count=1&size=7000000").problem(502, "upstream_protocol");
    assert_eq!(gateway.get("/watch?count=1&size=6000000").status, 200);
}

#[test]
fn a_server_that_ends_gracefully_costs_no_call() {
    let (mut first, second) = (Tonic::start(), Tonic::start());
    let ledger = format!("endpoints: [\"{}\", \"{}\"]", first.url(), second.url());
    let gateway = in_front_of(&ledger, ROUTES);
    // More than the gateway has cores, so that each server has some.
    let mut chats: Vec<_> = (0..16).map(|_| Chat::begin(&gateway)).collect();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let (mut client, mut calls) = (gateway.client(), 0);
            while !over.load(SeqCst) {
                let answer =
                    client.round_trip("GET /v1/accounts/a/transfers/b HTTP/1.1\r\nHost: a\r\n\r\n");
                assert_eq!(answer.status, 200, "{}", answer.text());
                calls += 1;
            }
            calls
        });
        first.shut_down();
        for chat in &mut chats {
            chat.send(2);
            chat.hear(2);
        }
        over.store(true, SeqCst);
        assert!(calls.join().unwrap() > 0);
    });
    assert!(!first.ended(), "it waits for its conversations");
    chats.into_iter().for_each(Chat::end);
    eventually("it has ended", || first.ended().then_some(()));
}

#[test]
fn a_stream_that_is_quiet_answers_the_servers_pings() {
    const PATIENCE: Duration = Duration::from_secs(1);
    let server = Tonic::with(|server| {
        let server = server.http2_keepalive_interval(Some(PATIENCE / 10));
        server.http2_keepalive_timeout(Some(PATIENCE))
    });
    let gateway = in_front_of(&server.written(), ROUTES);
    let mut chat = Chat::begin(&gateway);
    let connections = server.connections();
    // Nothing shows that there are pings but that the connection lives on.
    thread::sleep(2 * PATIENCE);
    chat.send(2);
    chat.hear(2);
    chat.end();
    assert_eq!(server.connections(), connections);
}
