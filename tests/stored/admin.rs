//! Looking at what is stored, and dropping it, as whoever runs a gateway does.

use serde_json::Value;

use super::{await_metric, gateway, start, store};
use crate::support::{Gateway, Peer, eventually, shell};

/// A peer that refuses what says so for good.
pub(super) fn refusing() -> Peer {
    Peer::start(|exchange| {
        let seen = exchange.read();
        exchange.answer(if seen.body.starts_with(b"bad") { 400 } else { 200 }, &[], "");
    })
}

pub(super) const ROUTE: &str = "  - { name: in, match: { path: /in }, to: web, ack: stored }\n";

/// A URL where nobody listens.
pub(super) fn nobody() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{free}")
}

/// What a command prints as JSON.
#[track_caller]
pub(super) fn json(gateway: &Gateway, args: &[&str]) -> Value {
    let ran = gateway.gusset(args).ends(0);
    serde_json::from_str(&ran.out).unwrap_or_else(|fault| panic!("{fault}: {}", ran.out))
}

/// The numbers of the records that a list finds.
#[track_caller]
pub(super) fn numbers(gateway: &Gateway, filters: &[&str]) -> Vec<u64> {
    let listed = json(gateway, &[&["outbox", "list", "-o", "json"], filters].concat());
    listed.as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect()
}

#[test]
fn a_dead_letter_is_listed_and_shown_with_why_and_without_credentials() {
    let peer = refusing();
    let gateway = gateway(&peer.url(), ROUTE);
    let headers = [
        "ce-specversion: 1.0",
        "ce-source: /orders",
        "ce-type: com.acme.paid",
        "ce-id: 1",
        "X-Tenant: t1",
        "Authorization: Bearer geheim",
        "Cookie: a=geheim",
        "X-Api-Key: geheim",
        "X-Own-Token: geheim",
    ];
    assert_eq!(gateway.post("/in?access_token=geheim&a=1", &headers, "bad one").status, 202);
    await_metric(&gateway, "gusset_outbox_dead_letters", 1);
    let number = numbers(&gateway, &["--state", "dead"])[0];
    let listed = gateway.gusset(&["outbox", "list"]).ends(0);
    assert!(listed.out.contains("com.acme.paid"), "{}", listed.out);
    assert!(listed.out.contains("the target answered 400"), "{}", listed.out);
    let number = number.to_string();
    let shown = gateway.gusset(&["outbox", "show", &number]).ends(0);
    for part in
        ["state     dead", "x-tenant", "t1", "bad one", "1 failed try", "refused it for good"]
    {
        assert!(shown.out.contains(part), "{part} is missing in\n{}", shown.out);
    }
    let told = json(&gateway, &["outbox", "show", &number, "-o", "json"]);
    assert_eq!(
        (&told["tries"][0]["class"], &told["path"]),
        (&"function_failed".into(), &"/in?access_token=(hidden)&a=1".into())
    );
    let listed = gateway.gusset(&["outbox", "list", "-o", "yaml"]).ends(0);
    for said in [listed.out, shown.out, told.to_string()] {
        assert!(!said.contains("geheim"), "{said}");
    }
    let sums = gateway.gusset(&["outbox"]).ends(0);
    assert!(sums.out.contains("1 dead letter"), "{}", sums.out);
}

#[test]
fn filters_find_what_they_say_and_a_drop_needs_yes() {
    let gateway = start(&format!(
        "upstreams:\n  down: {{ kind: http, url: {0} }}\n  other: {{ kind: http, url: {0} }}\nroutes:\n  \
         - {{ name: a, match: {{ path: /a }}, to: down, ack: stored }}\n  \
         - {{ name: b, match: {{ path: /b }}, to: other, ack: stored }}\n",
        nobody()
    ));
    for id in ["1", "2", "3"] {
        store(&gateway, "/a", id, "x");
    }
    store(&gateway, "/b", "4", "x");
    for (filters, found) in [
        (&[][..], 4),
        (&["--route", "a"], 3),
        (&["--target", "other"], 1),
        (&["--type", "com.acme.*"], 4),
        (&["--type", "com.acme"], 0),
        (&["--id", "2"], 1),
        (&["--where", "id = '1' OR id = '4'"], 2),
        (&["--since", "1h"], 4),
        (&["--until", "1h"], 0),
        (&["--state", "dead"], 0),
        (&["-n", "2"], 2),
    ] {
        assert_eq!(numbers(&gateway, filters).len(), found, "{filters:?}");
    }
    let paged = gateway.gusset(&["outbox", "list", "-n", "2"]).ends(0);
    let after = paged.err.split("--after ").nth(1).unwrap().split(',').next().unwrap();
    assert_eq!(numbers(&gateway, &["--after", after]).len(), 2);
    let wrong = gateway.gusset(&["outbox", "list", "--where", "id ="]).ends(1);
    assert!(wrong.err.contains("where: "), "{}", wrong.err);

    let asked = gateway.gusset(&["outbox", "drop", "--route", "a"]).ends(1);
    assert!(asked.err.contains("3 events") && asked.err.contains("--yes"), "{}", asked.err);
    assert_eq!(numbers(&gateway, &[]).len(), 4);
    gateway.gusset(&["outbox", "drop"]).ends(2);
    gateway.gusset(&["outbox", "drop", "1", "--route", "a"]).ends(2);
    // One of them may be on its way just now, and stays then.
    eventually("all are dropped", || {
        gateway.gusset(&["outbox", "drop", "--route", "a", "--yes"]).ends(0);
        (numbers(&gateway, &[]).len() == 1).then_some(())
    });
    let last = numbers(&gateway, &[])[0].to_string();
    eventually("the last is dropped", || {
        (gateway.gusset(&["outbox", "drop", &last]).code == Some(0)).then_some(())
    });
    let gone = gateway.gusset(&["outbox", "drop", &last]).ends(1);
    assert!(gone.err.contains("no record"), "{}", gone.err);
    let none = gateway.gusset(&["outbox", "drop", "--route", "a", "--yes"]).ends(0);
    assert!(none.out.contains("nothing"), "{}", none.out);
}

#[test]
fn what_waits_behind_a_dead_letter_moves_on_once_it_is_dropped() {
    let peer = refusing();
    let gateway = gateway(
        &peer.url(),
        "  - { name: in, match: { path: \"/in/{key}\" }, to: web, ack: stored, order_by: \"{key}\", \
         delivery: { on_poison: park } }\n",
    );
    store(&gateway, "/in/a", "1", "bad");
    await_metric(&gateway, "gusset_outbox_dead_letters", 1);
    store(&gateway, "/in/a", "2", "good");
    await_metric(&gateway, "gusset_outbox_parked{target=\"web\"}", 1);
    let dead = numbers(&gateway, &["--state", "dead"])[0].to_string();
    gateway.gusset(&["outbox", "drop", &dead]).ends(0);
    eventually("it is delivered", || (peer.seen().len() == 2).then_some(()));
    await_metric(&gateway, "gusset_outbox_dead_letters", 0);
}

#[test]
fn a_gateway_that_stores_nothing_says_what_to_write() {
    let gateway = Gateway::start("routes: [{ name: all, respond: {} }]\n");
    for args in [
        &["outbox", "list"][..],
        &["outbox", "show", "1"],
        &["outbox", "drop", "1"],
        &["outbox", "drop", "--state", "dead", "--yes"],
        &["replay", "--to", "web"],
    ] {
        let ran = gateway.gusset(args).ends(1);
        assert!(ran.err.contains("ack: stored"), "{args:?}: {}", ran.err);
    }
    let sums = gateway.gusset(&["outbox"]).ends(0);
    assert!(sums.out.contains("stores nothing"), "{}", sums.out);
    let nobody = shell::gusset_run(&["outbox", "list", "--admin", &nobody()]).ends(1);
    assert!(nobody.err.contains("gusset run"), "{}", nobody.err);
}
