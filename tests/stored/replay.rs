//! Replaying dead letters.

use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    admin::{ROUTE, json, nobody, numbers, refusing},
    await_metric, gateway, start, store,
};
use crate::support::{Gateway, Peer, eventually, gusset, shell};

/// A gateway with dead letters for `web`, of these bodies, and another upstream.
fn with_dead(bodies: &[&str], other: &Peer) -> (Peer, Gateway) {
    let peer = refusing();
    let gateway = start(&format!(
        "upstreams:\n  web: {{ kind: http, url: {} }}\n  other: {{ kind: http, url: {} }}\nroutes:\n\
         {ROUTE}",
        peer.url(),
        other.url()
    ));
    for (id, body) in bodies.iter().enumerate() {
        store(&gateway, "/in", &id.to_string(), body);
    }
    await_metric(&gateway, "gusset_outbox_dead_letters", bodies.len() as u64);
    (peer, gateway)
}

#[test]
fn dead_letters_arrive_elsewhere_byte_for_byte_with_a_mark_and_become_replayed() {
    let other = Peer::answering("x");
    let (peer, gateway) = with_dead(&["bad \u{fc} 1", "bad 2"], &other);
    let dry = gateway.gusset(&["replay", "--to", "other", "--dry-run"]).ends(0);
    assert!(dry.out.contains("2 dead letters with 13 bytes"), "{}", dry.out);
    assert_eq!(numbers(&gateway, &["--state", "dead"]).len(), 2);
    let ran = gateway.gusset(&["replay", "--to", "other", "--where", "id = '0'"]).ends(0);
    assert!(ran.out.contains("replayed 1 dead letter"), "{}", ran.out);
    eventually("it arrives", || (other.seen().len() == 1).then_some(()));
    let seen = other.only();
    assert_eq!(seen.body, "bad \u{fc} 1".as_bytes());
    for (name, value) in [("ce-id", "0"), ("ce-type", "com.acme.paid"), ("ce-gussetreplay", "1")] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!(numbers(&gateway, &["--state", "replayed"]).len(), 1);
    // The rest, and only the rest.
    let ran = gateway.gusset(&["replay", "--to", "other"]).ends(0);
    assert!(ran.out.contains("replayed 1 dead letter"), "{}", ran.out);
    eventually("the other arrives", || (other.seen().len() == 2).then_some(()));
    await_metric(&gateway, "gusset_outbox_dead_letters", 0);
    assert_eq!(peer.seen().len(), 2);
    let none = gateway.gusset(&["replay", "--to", "other"]).ends(0);
    assert!(none.out.contains("0 dead letters"), "{}", none.out);
}

#[test]
fn what_fails_again_is_a_dead_letter_again_and_is_not_replayed_twice_in_one_go() {
    let other = Peer::answering("x");
    let (peer, gateway) = with_dead(&["bad"], &other);
    let ran = gateway.gusset(&["replay", "--to", "web"]).ends(0);
    assert!(ran.out.contains("replayed 1 dead letter"), "{}", ran.out);
    await_metric(&gateway, "gusset_deliveries_total{target=\"web\",outcome=\"dead\"}", 2);
    assert_eq!(peer.seen()[1].header("ce-gussetreplay"), Some("1"));
    let dead = numbers(&gateway, &["--state", "dead"]);
    let told = json(&gateway, &["outbox", "show", &dead[0].to_string(), "-o", "json"]);
    assert_eq!((dead.len(), &told["replay"]), (1, &1.into()));
}

#[test]
fn a_replay_frees_the_key_that_waited_for_its_dead_letter() {
    let healed = Arc::new(AtomicBool::new(false));
    let is_healed = Arc::clone(&healed);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        exchange.answer(if is_healed.load(Ordering::Relaxed) { 200 } else { 400 }, &[], "");
    });
    let gateway = gateway(
        &peer.url(),
        "  - { name: in, match: { path: \"/in/{key}\" }, to: web, ack: stored, order_by: \"{key}\", \
         delivery: { on_poison: park } }\n",
    );
    store(&gateway, "/in/a", "1", "x");
    await_metric(&gateway, "gusset_outbox_dead_letters", 1);
    store(&gateway, "/in/a", "2", "x");
    await_metric(&gateway, "gusset_outbox_parked{target=\"web\"}", 1);
    healed.store(true, Ordering::Relaxed);
    gateway.gusset(&["replay", "--to", "web"]).ends(0);
    eventually("both are delivered", || (peer.seen().len() == 3).then_some(()));
    await_metric(&gateway, "gusset_outbox_dead_letters", 0);
    await_metric(&gateway, "gusset_outbox_pending{target=\"web\"}", 0);
}

#[test]
fn what_waits_for_a_target_that_is_gone_can_be_moved_to_another() {
    let peer = Peer::answering("x");
    let file = |name: &str, url: &str| {
        format!(
            "upstreams:\n  {name}: {{ kind: http, url: \"{url}\" }}\nroutes:\n  - {{ name: in, match: {{ \
             path: /in }}, to: {name}, ack: stored, delivery: {{ backoff: {{ max: 1s }} }} }}\n"
        )
    };
    let gateway = start(&file("old", &nobody()));
    store(&gateway, "/in", "1", "x");
    gateway.edit(&file("new", &peer.url()));
    gateway.await_generation(2);
    await_metric(&gateway, "gusset_outbox_parked{target=\"old\"}", 1);
    let args = ["replay", "--state", "parked", "--target", "old", "--to", "new"];
    gateway.gusset(&args).ends(0);
    eventually("it arrives", || (peer.seen().len() == 1).then_some(()));
    eventually("nothing is left", || numbers(&gateway, &[]).is_empty().then_some(()));
}

#[test]
fn a_replay_keeps_to_its_rate_and_goes_on_where_ctrl_c_has_stopped_it() {
    let other = Peer::answering("x");
    let (_peer, gateway) = with_dead(&["bad"; 12], &other);
    let began = Instant::now();
    let ran = gateway.gusset(&["replay", "--to", "other", "--rate", "5/s", "--id", "0"]).ends(0);
    assert!(ran.out.contains("replayed 1"), "{}", ran.out);
    let child = Command::new(gusset())
        .args(["replay", "--to", "other", "--rate", "2/s"])
        .env("GUSSET_ADMIN", format!("http://{}", gateway.admin()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("some are replayed", || (other.seen().len() >= 3).then_some(()));
    shell::signal("INT", child.id());
    let output = child.wait_with_output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(130), "{out}{err}");
    assert!(err.contains("of 11 were replayed, up to number"), "{err}");
    let left = numbers(&gateway, &["--state", "dead"]).len();
    assert!(left >= 5, "{left} were left");
    // Two steps at least were waited for.
    assert!(began.elapsed() >= Duration::from_millis(500));
    let ran = gateway.gusset(&["replay", "--to", "other", "--rate", "1000/s"]).ends(0);
    assert!(ran.out.contains(&format!("replayed {left} dead letter")), "{}", ran.out);
    eventually("each arrives", || (other.seen().len() == 12).then_some(()));
    let mut ids: Vec<u32> =
        other.seen().iter().map(|seen| seen.header("ce-id").unwrap().parse().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..12).collect::<Vec<_>>());
}

#[test]
fn what_is_more_than_the_outbox_takes_at_once_is_replayed_all_the_same() {
    let (peer, other) = (refusing(), Peer::answering("x"));
    let gateway = start(&format!(
        "outbox: {{ max_size: 16MiB }}\nupstreams:\n  web: {{ kind: http, url: {} }}\n  other: {{ \
         kind: http, url: {} }}\nroutes:\n{ROUTE}",
        peer.url(),
        other.url()
    ));
    let body = format!("bad {}", "x".repeat(100_000));
    for id in 0..6 {
        store(&gateway, "/in", &id.to_string(), &body);
    }
    await_metric(&gateway, "gusset_outbox_dead_letters", 6);
    let ran = gateway.gusset(&["replay", "--to", "other", "--rate", "1000/s"]).ends(0);
    assert!(ran.out.contains("replayed 6 dead letters"), "{}", ran.out);
    eventually("all arrive", || (other.seen().len() == 6).then_some(()));
    assert!(other.seen().iter().all(|seen| seen.body == body.as_bytes()));
    await_metric(&gateway, "gusset_outbox_dead_letters", 0);
}

#[test]
fn a_replay_to_nobody_is_refused_before_anything_is_sent() {
    let other = Peer::answering("x");
    let (_peer, gateway) = with_dead(&["bad"], &other);
    for (args, part) in [
        (&["--to", "nope"][..], "there is no upstream `nope`; there is: other, web"),
        (&["--to", "web/x"], "write `web` alone"),
        (&["--to", "other", "--where", "?"], "where: "),
        (&["--to", "other", "--state", "pending"], "delivered anyhow"),
        (&["--to", "nope", "--dry-run"], "there is no upstream"),
    ] {
        let ran = gateway.gusset(&[&["replay"], args].concat()).ends(1);
        assert!(ran.err.contains(part), "{args:?}: {}", ran.err);
    }
    assert_eq!(numbers(&gateway, &["--state", "dead"]).len(), 1);
    assert!(other.seen().is_empty());
}
