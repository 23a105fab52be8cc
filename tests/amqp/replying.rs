//! Request and reply over RabbitMQ: the answer of whoever reads the queue.

use std::thread;

use super::{Client, gateway};
use crate::support::{eventually, rabbit::shared};

#[test]
fn the_services_answer_is_the_callers() {
    let gateway = gateway(
        shared(),
        "queues: [{ name: g-quotes }]",
        "  - { name: quote, match: { path: /quote }, to: rabbit//g-quotes, ack: replied }\n",
    );
    let service = thread::spawn(|| {
        let client = Client::connect(shared());
        client.queue("g-quotes");
        let asked = client.next("g-quotes");
        let body = String::from_utf8(asked.data.clone()).unwrap();
        let headers = [("http-status", "404"), ("http-header-x-why", "unknown"), ("inner", "1")];
        client.reply(&asked, &headers, &format!("no {body}"));
    });
    let answer = gateway.post("/quote", &[], "such symbol");
    assert_eq!((answer.status, answer.text()), (404, "no such symbol"));
    assert_eq!((answer.header("x-why"), answer.header("inner")), (Some("unknown"), None));
    service.join().unwrap();
}

#[test]
fn a_service_that_is_late_is_504_and_its_reply_is_counted() {
    let gateway = gateway(
        shared(),
        "queues: [{ name: g-late }]",
        "  - { name: quote, match: { path: /quote }, to: rabbit//g-late, ack: replied, policy: { timeout: 500ms } }\n",
    );
    let (client, caught) = (Client::connect(shared()), Client::connect(shared()));
    caught.queue("g-late");
    let service = thread::spawn(move || caught.next("g-late"));
    let problem = gateway.get("/quote").problem(504, "timeout");
    assert_eq!(problem["ran"], "maybe");
    client.reply(&service.join().unwrap(), &[], "late");
    eventually("the late reply is counted", || {
        gateway.ask_admin("/metrics").text().contains("gusset_late_replies_total 1\n").then_some(())
    });
}

#[test]
fn a_question_that_no_queue_takes_is_502_at_once() {
    let gateway = gateway(
        shared(),
        "",
        "  - { name: quote, match: { path: /quote }, to: rabbit//g-nobody, ack: replied }\n",
    );
    assert_eq!(gateway.get("/quote").problem(502, "unroutable")["ran"], "no");
}
