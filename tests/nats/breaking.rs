//! What is promised when the server goes away: a 202 is true, and nothing needs a restart.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
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

/// What publishers have met so far.
#[derive(Default)]
struct Met {
    taken: AtomicUsize,
    refused: AtomicUsize,
    enough: AtomicBool,
}

/// Publishes until it has been enough; gives back each body that was taken, with its number.
fn publish_all(address: SocketAddr, worker: usize, met: &Met) -> Vec<(String, u64)> {
    let mut client = Client::connect(address);
    let mut told = Vec::new();
    for count in 0.. {
        if met.enough.load(Ordering::Relaxed) {
            break;
        }
        let body = format!("{worker}-{count}");
        let answer = client.round_trip(request("POST", "/in", &[], body.as_bytes()));
        match answer.status {
            202 => {
                let receipt = answer.json();
                assert_eq!(receipt["ack"], "published", "{receipt}");
                told.push((body, receipt["receipt"]["sequence"].as_u64().unwrap()));
                met.taken.fetch_add(1, Ordering::Relaxed);
            }
            503 | 504 => {
                met.refused.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
            status => panic!("{status}: {}", answer.text()),
        }
    }
    told
}

/// Has the server go away three times under load, and shows that every 202 was true.
fn every_202_is_true_although(goes_away: fn(&mut Server)) {
    let mut server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    let gateway =
        gateway(&server, "  - { name: all, match: { path: /in }, to: orders/orders.x }\n");
    let met = Arc::new(Met::default());
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (address, met) = (gateway.address(), Arc::clone(&met));
            thread::spawn(move || publish_all(address, worker, &met))
        })
        .collect();
    let more = |count: &AtomicUsize, what: &str| {
        let wanted = count.load(Ordering::Relaxed) + 50;
        eventually(what, || (count.load(Ordering::Relaxed) >= wanted).then_some(()));
    };
    for _ in 0..3 {
        more(&met.taken, "events are taken");
        goes_away(&mut server);
        more(&met.refused, "somebody notices that the server is away");
        server.restart();
    }
    more(&met.taken, "events are taken again");
    met.enough.store(true, Ordering::Relaxed);

    let told: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    let stored = server.stream_bodies("ORDERS");
    for (body, sequence) in &told {
        assert_eq!(stored.get(sequence), Some(body), "a 202 was not true");
    }
}

#[test]
fn every_202_is_in_the_stream_although_the_server_is_stopped_under_load() {
    every_202_is_true_although(Server::stop);
}

#[test]
fn every_202_is_in_the_stream_although_the_server_is_killed_under_load() {
    if Server::version() < (2, 10, 23) {
        println!(
            "skipped: a kill may lose what this nats-server has acknowledged; 2.10.23 or newer"
        );
        return;
    }
    every_202_is_true_although(Server::kill);
}
