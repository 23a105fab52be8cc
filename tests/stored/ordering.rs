//! Order by key.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{await_metric, gateway, store};
use crate::support::{Peer, eventually};

fn keyed(rest: &str) -> String {
    format!(
        "  - {{ name: in, match: {{ path: \"/in/{{key}}\" }}, to: web, ack: stored, order_by: \
         \"{{key}}\", delivery: {{ backoff: {{ base: 10ms, max: 20ms }}{rest} }} }}\n"
    )
}

#[test]
fn one_key_is_delivered_one_at_a_time_and_in_order_while_others_move_on() {
    let under_way = Arc::new(Mutex::new(Vec::<String>::new()));
    let watching = Arc::clone(&under_way);
    let peer = Peer::start(move |exchange| {
        let seen = exchange.read();
        let key = seen.target().to_owned();
        {
            let mut under_way = watching.lock().unwrap();
            assert!(!under_way.contains(&key), "two of {key} at once");
            under_way.push(key.clone());
        }
        std::thread::sleep(Duration::from_millis(2));
        watching.lock().unwrap().retain(|one| *one != key);
        exchange.answer(200, &[], "");
    });
    let gateway = gateway(&peer.url(), &keyed(""));
    for n in 0..40 {
        store(&gateway, &format!("/in/{}", n % 4), &n.to_string(), &n.to_string());
    }
    eventually("all are delivered", || (peer.seen().len() == 40).then_some(()));
    for key in 0..4 {
        let path = format!("/in/{key}");
        let of_key: Vec<u32> = peer
            .seen()
            .iter()
            .filter(|seen| seen.target() == path)
            .map(|seen| String::from_utf8_lossy(&seen.body).parse().unwrap())
            .collect();
        assert!(of_key.is_sorted(), "{of_key:?}");
        assert_eq!(of_key.len(), 10);
    }
}

fn poison() -> Peer {
    Peer::start(|exchange| {
        let seen = exchange.read();
        exchange.answer(if seen.body == b"poison" { 400 } else { 200 }, &[], "");
    })
}

#[test]
fn those_behind_a_poison_event_go_on_and_are_marked() {
    let peer = poison();
    let gateway = gateway(&peer.url(), &keyed(""));
    // While the first is under way the others stand behind it.
    for (id, body) in [("1", "poison"), ("2", "good")] {
        store(&gateway, "/in/a", id, body);
    }
    store(&gateway, "/in/b", "3", "good");
    await_metric(&gateway, "gusset_outbox_dead_letters", 1);
    eventually("the others are delivered", || (peer.seen().len() == 3).then_some(()));
    let seen = peer.seen();
    let of = |id: &str| seen.iter().find(|seen| seen.header("ce-id") == Some(id)).unwrap();
    assert_eq!(of("3").header("ce-gussetafterpoison"), None);
}

#[test]
fn those_behind_a_poison_event_wait_where_the_key_is_parked() {
    let peer = poison();
    let gateway = gateway(&peer.url(), &keyed(", on_poison: park"));
    store(&gateway, "/in/a", "1", "poison");
    await_metric(&gateway, "gusset_outbox_dead_letters", 1);
    store(&gateway, "/in/a", "2", "good");
    store(&gateway, "/in/b", "3", "good");
    eventually("another key moves on", || {
        peer.seen().iter().any(|seen| seen.header("ce-id") == Some("3")).then_some(())
    });
    await_metric(&gateway, "gusset_outbox_parked{target=\"web\"}", 1);
    assert!(!peer.seen().iter().any(|seen| seen.header("ce-id") == Some("2")));
}
