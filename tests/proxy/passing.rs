//! What goes in comes out: status, headers and every byte of the body, both ways.

use super::through;
use crate::support::{Gateway, Peer, gateway::request, noise};

#[test]
fn status_headers_and_body_come_back_as_the_service_sent_them() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.answer(
            418,
            &["X-One: first", "X-One: second", "Content-Type: text/tea", "ETag: \"a b\""],
            "short and stout",
        );
    });
    let gateway = through(&peer);
    let answer = gateway.get("/pot?size=1");
    assert_eq!(answer.status, 418);
    assert_eq!(answer.head.all("x-one"), ["first", "second"]);
    assert_eq!(answer.header("content-type"), Some("text/tea"));
    assert_eq!(answer.header("etag"), Some("\"a b\""));
    assert_eq!(answer.header("content-length"), Some("15"));
    assert_eq!(answer.text(), "short and stout");
}

#[test]
fn the_request_line_and_headers_arrive_as_they_were_sent() {
    let peer = Peer::answering("ok");
    let gateway = through(&peer);
    gateway.send(
        "PATCH /a%3Fb/c%c3%a9;p?q=%7B&q=+ HTTP/1.1\r\nHost: shop.test\r\nX-Twice: 1\r\nX-Twice: 2\r\n\
         Accept-Encoding: br\r\nContent-Length: 0\r\n\r\n",
    );
    let seen = peer.only();
    assert_eq!(seen.method(), "PATCH");
    assert_eq!(seen.target(), "/a%3Fb/c%c3%a9;p?q=%7B&q=+");
    assert_eq!(seen.head.all("x-twice"), ["1", "2"]);
    assert_eq!(seen.header("accept-encoding"), Some("br"));
    assert_eq!(seen.header("host"), Some(peer.address().to_string().as_str()));
}

#[test]
fn what_belongs_to_one_connection_is_not_handed_on() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.answer(200, &["Connection: X-Mine", "X-Mine: 1", "Keep-Alive: timeout=5"], "ok");
    });
    let gateway = through(&peer);
    let answer = gateway.send(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, X-Yours\r\nX-Yours: 1\r\n\
         Keep-Alive: 5\r\nTE: gzip\r\nProxy-Connection: keep-alive\r\nX-Kept: 1\r\n\r\n",
    );
    let seen = peer.only();
    for gone in ["x-yours", "keep-alive", "te", "proxy-connection", "upgrade"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    assert_eq!(seen.header("x-kept"), Some("1"));
    assert_eq!(answer.header("x-mine"), None);
    assert_eq!(answer.header("keep-alive"), None);
}

#[test]
fn a_body_with_a_length_and_a_chunked_one_arrive_whole() {
    let peer = Peer::echo();
    let gateway = through(&peer);
    let body = noise(100_000);
    assert_eq!(gateway.post("/", &[], &body).body, body);

    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in body.chunks(7_001) {
        client.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.answer().body, body);

    let seen = peer.seen();
    assert_eq!(seen[0].header("content-length"), Some("100000"));
    assert_eq!(seen[0].header("transfer-encoding"), None);
    assert_eq!(seen[1].header("content-length"), None);
    assert_eq!(seen[1].header("transfer-encoding"), Some("chunked"));
}

#[test]
fn a_chunked_answer_arrives_whole() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        exchange.send("5\r\nhello\r\n1;extension=1\r\n,\r\n6\r\n world\r\n0\r\n\r\n");
    });
    assert_eq!(through(&peer).get("/").text(), "hello, world");
}

#[test]
fn an_answer_that_ends_with_its_connection_arrives_whole() {
    let body = noise(300_000);
    let sent = body.clone();
    let peer = Peer::start(move |exchange| {
        exchange.read();
        exchange.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n");
        exchange.send(&sent);
        exchange.close();
    });
    let gateway = through(&peer);
    assert_eq!(gateway.get("/").body, body);
    assert_eq!(gateway.get("/").body, body);
}

#[test]
fn many_megabytes_arrive_unchanged_both_ways() {
    let peer = Peer::echo();
    let gateway = Gateway::start(&format!(
        "upstreams:
  web: {{ kind: http, url: {} }}
routes:
  - {{ name: all, match: {{ prefix: / }}, to: web, policy: {{ limits: {{ body: 64MiB }} }} }}
",
        peer.url()
    ));
    let body = noise(24 << 20);
    let answer = gateway.post("/", &[], &body);
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
    assert!(peer.only().body == body);
}

#[test]
fn a_head_request_gets_the_headers_of_a_body_and_none() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange.answer(200, &["Content-Type: text/plain"], "twelve bytes");
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    for _ in 0..2 {
        client.send("HEAD /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let answer = client.answer_to_head();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-length"), Some("12"));
    }
    client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().text(), "twelve bytes");
}

#[test]
fn answers_without_a_body_leave_the_connection_usable() {
    let peer = Peer::start(|exchange| {
        let seen = exchange.read();
        match seen.target() {
            "/204" => exchange.send("HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
            "/304" => {
                exchange
                    .send("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 9\r\n\r\n");
            }
            _ => exchange.answer(200, &[], "body"),
        }
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    for (path, status) in [("/204", 204), ("/304", 304), ("/", 200), ("/204", 204)] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("transfer-encoding"), None);
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let peer = Peer::echo();
    let gateway = through(&peer);
    let mut client = gateway.client();
    let all: Vec<u8> = ["one", "two", "three"]
        .iter()
        .flat_map(|body| request("POST", "/", &[], body.as_bytes()))
        .collect();
    client.send(all);
    for body in ["one", "two", "three"] {
        assert_eq!(client.answer().text(), body);
    }
}

#[test]
fn requests_one_after_the_other_share_a_connection_to_the_service() {
    let peer = Peer::answering("ok");
    let gateway = through(&peer);
    let mut client = gateway.client();
    for _ in 0..20 {
        assert_eq!(client.round_trip("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").status, 200);
    }
    assert_eq!(peer.connections(), 1);
}

#[test]
fn every_answer_carries_a_request_id_and_its_record_tells_what_happened() {
    let peer = Peer::answering("ok");
    // The test is its own proxy; tests/edge/ has what strangers say.
    let gateway = Gateway::start(&format!(
        "trusted_proxies: [127.0.0.1]
upstreams: {{ web: {{ kind: http, url: {} }} }}
routes: [{{ name: all, match: {{ prefix: / }}, to: web }}]
",
        peer.url()
    ));
    let answer =
        gateway.send("GET /a?secret=1 HTTP/1.1\r\nHost: a.test\r\nX-Request-Id: abc-1\r\n\r\n");
    assert_eq!(answer.header("x-request-id"), Some("abc-1"));
    assert_eq!(peer.only().header("x-request-id"), Some("abc-1"));
    let record = gateway.record("abc-1");
    assert_eq!(record["route"], "all", "{record}");
    assert_eq!(record["status"], 200, "{record}");
    assert!(!record.to_string().contains("secret"), "a query may hold secrets: {record}");
    let made = gateway.get("/").header("x-request-id").unwrap().to_owned();
    assert_eq!(gateway.record(&made)["method"], "GET");
}
