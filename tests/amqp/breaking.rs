//! What is promised when the broker goes away: a 202 is true, and nothing needs a restart.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Client, gateway};
use crate::support::{
    Client as Caller, Gateway, eventually,
    gateway::request,
    rabbit::{Rabbit, breakable},
};

/// A gateway with a route to a queue that no other test of the same broker uses.
fn gateway_to(rabbit: &Rabbit, queue: &str) -> Gateway {
    let route = format!(
        "  - {{ name: all, match: {{ path: /in }}, to: rabbit//{queue}, policy: {{ timeout: 5s }} }}\n"
    );
    gateway(rabbit, &format!("queues: [{{ name: {queue} }}]"), &route)
}

/// What publishers have met so far.
#[derive(Default)]
struct Met {
    taken: AtomicUsize,
    refused: AtomicUsize,
    enough: AtomicBool,
}

/// Publishes until it has been enough; gives back each body that was taken.
fn publish_all(gateway: &Gateway, worker: usize, met: &Met) -> Vec<String> {
    let mut client = Caller::connect(gateway.address());
    let mut told = Vec::new();
    for count in 0.. {
        if met.enough.load(Ordering::Relaxed) {
            break;
        }
        let body = format!("{worker}-{count}");
        let answer = client.round_trip(request("POST", "/in", &[], body.as_bytes()));
        match answer.status {
            202 => {
                assert_eq!(answer.json()["guarantee"], "broker-disk");
                told.push(body);
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

#[test]
fn every_202_is_in_the_queue_although_the_broker_is_stopped_and_killed_under_load() {
    let mut rabbit = breakable();
    let gateway = gateway_to(&rabbit, "g-kept");
    let met = Met::default();
    let told: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let (gateway, met) = (&gateway, &met);
                scope.spawn(move || publish_all(gateway, worker, met))
            })
            .collect();
        let more = |count: &AtomicUsize, what: &str| {
            // Each of those who are refused has tried again, a second later.
            let wanted = count.load(Ordering::Relaxed) + 16;
            eventually(what, || (count.load(Ordering::Relaxed) >= wanted).then_some(()));
        };
        for goes_away in [Rabbit::stop, Rabbit::kill] {
            more(&met.taken, "events are taken");
            goes_away(&mut rabbit);
            more(&met.refused, "somebody notices that the broker is away");
            rabbit.restart();
        }
        more(&met.taken, "events are taken again");
        met.enough.store(true, Ordering::Relaxed);
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let client = Client::connect(&rabbit);
    let mut there = HashMap::new();
    while let Some(message) = client.get("g-kept") {
        let body = String::from_utf8(message.data).unwrap();
        let number = message.properties.correlation_id().clone().unwrap();
        // Who was refused did not try again, and neither does the gateway after a `maybe`. The
        // numbers say whether it has published twice, or the broker has made two of one.
        let first = there.insert(body.clone(), number.clone());
        assert!(first.is_none(), "{body} is there twice: {first:?} and {number:?}");
    }
    let lost: Vec<_> = told.iter().filter(|body| !there.contains_key(*body)).collect();
    assert!(lost.is_empty(), "a 202 was not true: {lost:?}");
}

#[test]
fn a_broker_that_is_short_of_memory_is_503_at_once_and_then_202_again() {
    let rabbit = breakable();
    let gateway = gateway_to(&rabbit, "g-memory");
    assert_eq!(gateway.post("/in", &[], "x").status, 202);
    rabbit.short_of_memory(true);
    // Each core is told with the first message that it sends, which the broker may take later.
    let answer = eventually("all cores know that the broker takes no more", || {
        let began = Instant::now();
        let answer = gateway.post("/in", &[], "x");
        assert!(began.elapsed() < Duration::from_secs(4), "it was waited for");
        (answer.status == 503 && answer.json()["ran"] == "no").then_some(answer)
    });
    assert!(answer.header("retry-after").is_some(), "{:?}", answer.head);
    answer.problem(503, "broker_blocked");
    rabbit.short_of_memory(false);
    eventually("the broker takes again", || {
        (gateway.post("/in", &[], "x").status == 202).then_some(())
    });
}
