//! Dead letters on JetStream, over the command line.

use serde_json::Value;

use super::{STORES, config, ready, server, store};
use crate::support::{Gateway, Peer, eventually};

fn json(gateway: &Gateway, args: &[&str]) -> Value {
    serde_json::from_str(&gateway.gusset(args).ends(0).out).unwrap()
}

#[test]
fn dead_letters_are_listed_shown_dropped_and_replayed_by_any_gateway() {
    let Some(server) = server() else { return };
    let refusing = Peer::start(|exchange| {
        exchange.read();
        exchange.answer(400, &[], "no");
    });
    let other = Peer::answering("x");
    let text = config(&server, &refusing.url(), STORES).replace(
        "routes:",
        &format!("  other: {{ kind: http, url: \"{}\" }}\nroutes:", other.url()),
    );
    let one = Gateway::start(&text);
    ready(&one);
    for id in ["1", "2", "3"] {
        store(&one, "k", id);
    }
    let two = Gateway::start(&text);
    ready(&two);
    for gateway in [&one, &two] {
        eventually("they are dead", || {
            (gateway.metric("gusset_outbox_dead_letters") == 3).then_some(())
        });
    }
    let list = json(&two, &["outbox", "list", "--state", "dead", "-o", "json"]);
    let numbers: Vec<u64> =
        list.as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), 3, "{list}");
    let first = numbers[0].to_string();
    let shown = two.gusset(&["outbox", "show", &first]).ends(0).out;
    assert!(shown.contains("400") && shown.contains("com.acme.paid"), "{shown}");
    two.gusset(&["outbox", "drop", &first]).ends(0);
    let ran = one.gusset(&["replay", "--to", "other"]).ends(0);
    assert!(ran.out.contains("replayed 2 dead letters"), "{}", ran.out);
    eventually("they arrive elsewhere", || (other.seen().len() == 2).then_some(()));
    assert_eq!(other.seen()[0].header("ce-gussetreplay"), Some("1"));
    for gateway in [&one, &two] {
        eventually("none is dead", || {
            (gateway.metric("gusset_outbox_dead_letters") == 0).then_some(())
        });
    }
    let none = two.gusset(&["replay", "--to", "other"]).ends(0);
    assert!(none.out.contains("0 dead letters"), "{}", none.out);
}
