//! Request-reply over NATS: the answer of whoever listens on the subject.

use std::thread;

use super::gateway;
use crate::support::{
    Gateway,
    nats::{Message, Server},
};

const ROUTES: &str = r#"  - { name: quote, match: { path: "/quote/{symbol}" }, to: "bus/quotes.{symbol}", ack: replied }
"#;

/// The headers and the body of an answer.
type Said = (Vec<(&'static str, &'static str)>, String);

/// A service that answers one request after the other with these headers and this body.
fn service(
    server: &Server,
    subject: &str,
    count: usize,
    answer: fn(&Message) -> Said,
) -> thread::JoinHandle<()> {
    let mut wire = server.connect();
    wire.subscribe(subject);
    thread::spawn(move || {
        for _ in 0..count {
            let message = wire.next();
            let (headers, body) = answer(&message);
            wire.publish_with(message.reply.as_deref().unwrap(), &headers, body.as_bytes());
        }
    })
}

#[test]
fn the_services_answer_is_the_callers() {
    let server = Server::start();
    let gateway = gateway(&server, ROUTES);
    let service = service(&server, "quotes.*", 2, |asked| {
        (Vec::new(), format!("{} {}", asked.subject, asked.text()))
    });
    for symbol in ["acme", "ibm"] {
        let answer = gateway.post(&format!("/quote/{symbol}"), &[], "how much");
        assert_eq!(
            (answer.status, answer.text()),
            (200, format!("quotes.{symbol} how much").as_str())
        );
    }
    service.join().unwrap();
}

#[test]
fn the_service_decides_status_and_headers() {
    let server = Server::start();
    let gateway = gateway(&server, ROUTES);
    let service = service(&server, "quotes.*", 1, |_| {
        let headers = vec![
            ("http-status", "404"),
            ("http-header-x-why", "unknown symbol"),
            ("http-header-content-type", "text/plain"),
            ("inner", "1"),
        ];
        (headers, "no such symbol".to_owned())
    });
    let answer = gateway.get("/quote/x");
    assert_eq!((answer.status, answer.text()), (404, "no such symbol"));
    assert_eq!(answer.header("x-why"), Some("unknown symbol"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("inner"), None);
    service.join().unwrap();
}

#[test]
fn an_error_of_the_service_is_not_a_success() {
    let server = Server::start();
    let gateway = gateway(&server, ROUTES);
    let service = service(&server, "quotes.*", 1, |_| {
        (vec![("Nats-Service-Error", "broken"), ("Nats-Service-Error-Code", "500")], String::new())
    });
    let answer = gateway.get("/quote/x");
    assert!(answer.status >= 500, "{} {}", answer.status, answer.text());
    service.join().unwrap();
}

#[test]
fn nobody_listening_is_503_at_once() {
    let server = Server::start();
    let gateway = gateway(&server, ROUTES);
    let problem = gateway.get("/quote/x").problem(503, "no_responders");
    assert_eq!(problem["ran"], "no");
}

#[test]
fn a_service_that_does_not_answer_in_time_is_504() {
    let server = Server::start();
    let gateway =
        gateway(&server, &ROUTES.replace("replied", "replied, policy: { timeout: 300ms }"));
    let mut silent = server.connect();
    silent.subscribe("quotes.*");
    let problem = gateway.get("/quote/x").problem(504, "timeout");
    assert_eq!(problem["ran"], "maybe");
}

#[test]
fn a_stream_that_captures_the_request_is_502() {
    let server = Server::start();
    server.add_stream("QUOTES", &["quotes.>"]);
    let gateway: Gateway = gateway(&server, ROUTES);
    let problem = gateway.get("/quote/x").problem(502, "stream_captured_request");
    assert!(problem["detail"].as_str().unwrap().contains("stream"), "{problem}");
}
