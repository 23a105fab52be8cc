//! What dies, and what is lost by it: nothing that was acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    Arrived, ORDERED, STORES, await_all, config, gateway, offer, ready, server, sink, store,
};
use crate::support::{Gateway, Peer, eventually};

#[test]
fn what_a_gateway_was_delivering_when_it_was_killed_another_delivers() {
    let Some(server) = server() else { return };
    let hangs = Arc::new(AtomicBool::new(true));
    let arrived = Arrived::default();
    let (is_hanging, into) = (Arc::clone(&hangs), Arc::clone(&arrived));
    let peer = Peer::start(move |exchange| {
        let seen = exchange.read();
        if is_hanging.load(Ordering::Relaxed) {
            // Until the gateway is gone.
            return exchange.await_leaving();
        }
        into.lock().unwrap().push((String::new(), String::from_utf8(seen.body).unwrap()));
        exchange.answer(200, &[], "");
    });
    let first = gateway(&server, &peer.url(), STORES);
    let ids: BTreeSet<String> = (0..20).map(|n| n.to_string()).collect();
    for id in &ids {
        store(&first, id, id);
    }
    eventually("deliveries are under way", || (!peer.seen().is_empty()).then_some(()));
    first.crash();
    hangs.store(false, Ordering::Relaxed);
    let _second = gateway(&server, &peer.url(), STORES);
    await_all(&arrived, &ids);
}

#[test]
fn one_key_keeps_its_order_over_two_gateways_of_which_one_is_killed() {
    let Some(server) = server() else { return };
    let (peer, arrived) = sink();
    let mut one = gateway(&server, &peer.url(), ORDERED);
    let two = gateway(&server, &peer.url(), ORDERED);
    let mut ids = BTreeSet::new();
    for n in 0..300_u32 {
        let (key, id) = (format!("k{}", n % 7), format!("{n:04}"));
        if n == 150 {
            let folder = one.crash();
            one = Gateway::run_in(folder, &["-c", "gateway.yaml"]);
            ready(&one);
        }
        let by = if n % 2 == 0 { &one } else { &two };
        store(by, &key, &id);
        ids.insert(id);
    }
    await_all(&arrived, &ids);
    // The first arrivals of a key: what came twice came after itself.
    let mut first: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, id) in arrived.lock().unwrap().iter() {
        let of_key = first.entry(key.clone()).or_default();
        if !of_key.contains(id) {
            of_key.push(id.clone());
        }
    }
    for (key, ids) in first {
        assert!(ids.is_sorted(), "{key}: {ids:?}");
    }
}

#[test]
fn a_gateway_that_stood_still_delivers_nothing_that_another_has_by_now() {
    let Some(server) = server() else { return };
    let (peer, arrived) = sink();
    let one = gateway(&server, &peer.url(), ORDERED);
    store(&one, "a", "0");
    await_all(&arrived, &["0".to_owned()].into());
    eventually("the server has heard that it has arrived", || {
        (server.stream_length("GUSSET_OUTBOX") == 0).then_some(())
    });
    crate::support::shell::signal("STOP", one.id());
    let two = gateway(&server, &peer.url(), ORDERED);
    let ids: BTreeSet<String> = (1..40).map(|n| format!("{n:02}")).collect();
    for id in &ids {
        store(&two, "a", id);
    }
    await_all(&arrived, &ids);
    crate::support::shell::signal("CONT", one.id());
    let later: BTreeSet<String> = (40..60).map(|n| n.to_string()).collect();
    for id in &later {
        store(&two, "a", id);
    }
    await_all(&arrived, &later);
    let arrived = arrived.lock().unwrap();
    let of_key: Vec<_> = arrived.iter().map(|(_, id)| id.as_str()).collect();
    assert!(of_key.is_sorted() && of_key.len() == 60, "{of_key:?}");
}

#[test]
fn the_servers_death_under_load_loses_nothing_that_was_acknowledged() {
    let Some(mut server) = server() else { return };
    let (peer, arrived) = sink();
    let gateway = Arc::new(gateway(&server, &peer.url(), STORES));
    let over = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let (gateway, over) = (Arc::clone(&gateway), Arc::clone(&over));
            let count = Arc::clone(&count);
            thread::spawn(move || {
                let mut stored = BTreeSet::new();
                let mut refused = 0;
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let id = format!("{sender}-{n}");
                    // As a sender does: the same again until it is taken.
                    loop {
                        let answer = offer(&gateway, &id, &id, &id);
                        match answer.status {
                            202 => {
                                stored.insert(id);
                                count.fetch_add(1, Ordering::Relaxed);
                                break;
                            }
                            503 => {
                                let code = answer.json()["code"].as_str().unwrap().to_owned();
                                assert!(
                                    ["outbox_away", "outbox_unanswered"].contains(&&*code),
                                    "{code}"
                                );
                                assert!(answer.header("retry-after").is_some());
                                refused += 1;
                                thread::sleep(Duration::from_millis(20));
                            }
                            other => panic!("{other}: {}", answer.text()),
                        }
                    }
                }
                (stored, refused)
            })
        })
        .collect();
    let more = |than: usize| {
        let enough = || (count.load(Ordering::Relaxed) >= than + 30).then_some(());
        eventually("more are stored", enough);
    };
    for _ in 0..3 {
        more(count.load(Ordering::Relaxed));
        server.kill();
        thread::sleep(Duration::from_millis(200));
        server.restart();
    }
    more(count.load(Ordering::Relaxed));
    over.store(true, Ordering::Relaxed);
    let mut all = BTreeSet::new();
    let mut refusals = 0;
    for sender in senders {
        let (stored, refused) = sender.join().unwrap();
        all.extend(stored);
        refusals += refused;
    }
    assert!(all.len() > 100 && refusals > 0, "{} stored, {refusals} refused", all.len());
    await_all(&arrived, &all);
}

#[test]
fn a_gateway_starts_without_its_server_and_stores_once_it_is_there() {
    let Some(mut server) = server() else { return };
    let (peer, arrived) = sink();
    server.kill();
    let gateway = Gateway::start(&config(&server, &peer.url(), STORES));
    let answer = offer(&gateway, "k", "1", "1");
    assert_eq!((answer.status, &answer.json()["code"]), (503, &"outbox_away".into()));
    assert!(answer.header("retry-after").is_some());
    server.restart();
    ready(&gateway);
    store(&gateway, "k", "1");
    await_all(&arrived, &["1".to_owned()].into());
}

#[test]
fn a_full_stream_refuses_and_takes_again_once_it_has_drained() {
    let Some(server) = server() else { return };
    let takes = Arc::new(AtomicBool::new(false));
    let is_taking = Arc::clone(&takes);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        exchange.answer(if is_taking.load(Ordering::Relaxed) { 200 } else { 503 }, &[], "");
    });
    let text = config(&server, &peer.url(), STORES)
        .replace("max_size: 64MiB", "max_size: 16MiB, per_target: 100%");
    let gateway = Gateway::start(&text);
    ready(&gateway);
    let large = "x".repeat(900_000);
    let full = (0..40).find_map(|n| {
        let answer = offer(&gateway, "k", &format!("large {n}"), &large);
        (answer.status != 202).then_some(answer)
    });
    let full = full.expect("it is full");
    assert_eq!((full.status, &full.json()["code"]), (503, &"outbox_full".into()));
    assert!(full.header("retry-after").is_some());
    takes.store(true, Ordering::Relaxed);
    eventually("it takes again", || {
        (offer(&gateway, "k", "later", &large).status == 202).then_some(())
    });
}
