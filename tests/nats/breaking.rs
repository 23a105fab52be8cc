//! What is promised when the server dies: a 202 is true, and nothing needs a restart.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::gateway;
use crate::support::{Client, eventually, gateway::request, nats::Server};

#[test]
fn a_gateway_starts_without_its_server_and_finds_it_later() {
    let mut server = Server::start();
    server.kill();
    let gateway = gateway(&server, "  - { name: all, match: { path: /in }, to: bus/x }\n");
    let answer = gateway.post("/in", &[], "x");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.json()["ran"], "no");
    assert!(answer.header("retry-after").is_some(), "{:?}", answer.head);
    server.restart();
    eventually("the gateway finds the server", || {
        (gateway.post("/in", &[], "x").status == 202).then_some(())
    });
}

#[test]
fn while_the_server_is_away_the_answer_is_503_at_once_and_then_202_again() {
    let mut server = Server::start();
    let gateway = gateway(&server, "  - { name: all, match: { path: /in }, to: bus/x }\n");
    assert_eq!(gateway.post("/in", &[], "x").status, 202);
    for _ in 0..3 {
        server.kill();
        eventually("the gateway notices", || {
            (gateway.post("/in", &[], "x").status == 503).then_some(())
        });
        server.restart();
        eventually("the gateway is back", || {
            (gateway.post("/in", &[], "x").status == 202).then_some(())
        });
    }
}

#[test]
fn every_202_is_in_the_stream_although_the_server_is_killed_under_load() {
    let mut server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    let gateway =
        gateway(&server, "  - { name: all, match: { path: /in }, to: orders/orders.x }\n");
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (address, stop) = (gateway.address(), Arc::clone(&stop));
            thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut told = Vec::new();
                let (mut refused, mut count) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    let body = format!("{worker}-{count}");
                    let answer = client.round_trip(request("POST", "/in", &[], body.as_bytes()));
                    match answer.status {
                        202 => {
                            let receipt = answer.json();
                            assert_eq!(receipt["ack"], "published", "{receipt}");
                            told.push((body, receipt["receipt"]["sequence"].as_u64().unwrap()));
                        }
                        503 | 504 => {
                            refused += 1;
                            thread::sleep(Duration::from_millis(5));
                        }
                        status => panic!("{status}: {}", answer.text()),
                    }
                }
                (told, refused)
            })
        })
        .collect();
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(400));
        server.kill();
        thread::sleep(Duration::from_millis(200));
        server.restart();
    }
    thread::sleep(Duration::from_millis(400));
    stop.store(true, Ordering::Relaxed);

    let (mut told, mut refused) = (Vec::new(), 0);
    for worker in workers {
        let (mut of_one, refused_of_one) = worker.join().unwrap();
        told.append(&mut of_one);
        refused += refused_of_one;
    }
    assert!(refused > 0, "the server was away and nobody noticed");
    assert!(told.len() > 100, "only {} were taken", told.len());
    // The numbers are compared with what lies in the stream now, after the last kill.
    let stored = server.stream_bodies("ORDERS");
    for (body, sequence) in &told {
        assert_eq!(stored.get(sequence), Some(body), "a 202 was not true");
    }
}
