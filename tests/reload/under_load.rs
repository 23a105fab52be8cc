//! Reloads while requests come in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use crate::support::{Client, Gateway, Peer, eventually};

const RELOADS: u64 = 12;

fn config(peer: &Peer, turn: u64) -> String {
    let other = if turn.is_multiple_of(2) { "200" } else { "204" };
    format!(
        "upstreams:
  stays: {{ kind: http, url: {0} }}
  changes: {{ kind: http, url: {0}, connect_timeout: {1}s }}
routes:
  - {{ name: stays, match: {{ path: /stays }}, to: stays }}
  - {{ name: changes, match: {{ path: /changes }}, to: [{{ to: changes, weight: 1 }}, {{ to: stays, weight: {1} }}] }}
  - {{ name: other-{turn}, match: {{ path: /other }}, respond: {{ status: {other} }} }}
",
        peer.url(),
        turn + 1,
    )
}

#[test]
fn no_request_fails_while_the_configuration_changes_again_and_again() {
    let peer = Peer::answering("ok");
    let gateway = Gateway::start(&config(&peer, 0));
    let address = gateway.address();
    let ends = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..6)
        .map(|worker| {
            let (ends, served) = (Arc::clone(&ends), Arc::clone(&served));
            thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut turn: usize = worker;
                while !ends.load(Relaxed) {
                    // Some keep their connection over all reloads, some come anew for each.
                    if worker % 2 == 0 {
                        client = Client::connect(address);
                    }
                    let path = ["/stays", "/changes", "/other"][turn % 3];
                    let answer =
                        client.round_trip(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
                    assert!(matches!(answer.status, 200 | 204), "{path}: {answer:?}");
                    served.fetch_add(1, Relaxed);
                    turn += 1;
                }
            })
        })
        .collect();
    for turn in 1..=RELOADS {
        let before = served.load(Relaxed);
        eventually("load goes on", || (served.load(Relaxed) > before + 50).then_some(()));
        gateway.edit(&config(&peer, turn));
        gateway.await_generation(turn + 1);
    }
    ends.store(true, Relaxed);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}
