//! Connections that change their protocol (RFC 9110, section 7.8).

use super::through;
use crate::support::Peer;

const ASK: &str =
    "GET /socket HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n";

#[test]
fn bytes_flow_both_ways_after_the_service_has_agreed() {
    let peer = Peer::start(|exchange| {
        exchange.remember_head();
        exchange.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\nhi",
        );
        while let Some(bytes) = exchange.wire.exactly(4) {
            exchange.send(&bytes);
        }
        exchange.close();
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    client.send(ASK);
    let head = client.head();
    assert_eq!(head.status(), 101);
    assert_eq!(head.header("upgrade"), Some("echo/1"));
    assert_eq!(client.exactly(2).unwrap(), b"hi");
    for word in ["ping", "GET ", "\r\n\r\n"] {
        client.send(word);
        assert_eq!(client.exactly(4).unwrap(), word.as_bytes());
    }
    assert_eq!(peer.seen()[0].header("upgrade"), Some("echo/1"));
    client.finish();
    assert!(client.closed(), "the end of one side is the end of the other");
}

#[test]
fn a_service_that_answers_plainly_gets_no_tunnel() {
    let peer = Peer::start(|exchange| {
        let seen = exchange.read();
        exchange.answer(200, &[], format!("plain {}", seen.target()));
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    // The second request must be parsed as one, not be carried into the first's connection.
    client.send(format!("{ASK}GET /second HTTP/1.1\r\nHost: b.test\r\n\r\n"));
    assert_eq!(client.answer().text(), "plain /socket");
    assert_eq!(client.answer().text(), "plain /second");
    let seen = peer.seen();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[1].header("host"), Some("b.test"), "the bytes went through as they were");
}

#[test]
fn a_101_that_nobody_asked_for_is_502() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        exchange
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        exchange.close();
    });
    let gateway = through(&peer);
    gateway.get("/").problem(502, "upstream_protocol");
}

#[test]
fn the_service_ending_its_side_ends_the_clients() {
    let peer = Peer::start(|exchange| {
        exchange.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\nbye",
        );
        exchange.close();
    });
    let gateway = through(&peer);
    let mut client = gateway.client();
    client.send(ASK);
    assert_eq!(client.head().status(), 101);
    assert_eq!(client.rest(), b"bye");
}
