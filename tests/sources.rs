//! Sources that consume what a real nats-server has: every message is moved into the outbox before
//! the server is told, so that whoever dies in between loses nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use serde_json::Value;

use crate::support::{Gateway, Peer, all_of, eventually, gateway::FILE, nats::Server};

/// A source of these subjects, whose events go to this service.
fn config(server: &Server, web: &Peer, source: &str, rest: &str) -> String {
    format!(
        "upstreams:
  web: {{ kind: http, url: \"{}\" }}
  js: {{ kind: nats, url: \"{url}\", jetstream: true }}
  bus: {{ kind: nats, url: \"{url}\" }}
sources:
  work: {{ {source} }}
routes:
  - {{ name: work, match: {{ source: work }}, to: web, delivery: {{ backoff: {{ base: 20ms, max: 200ms }} }} }}
{rest}",
        web.url(),
        url = server.url(),
    )
}

const ORDERS: &str = "from: \"js/orders.>\"";

/// What the server says of the source's consumer.
fn consumer(server: &Server, name: &str) -> Value {
    let subject = format!("$JS.API.CONSUMER.INFO.ORDERS.{name}");
    serde_json::from_slice(&server.connect().request(&subject, "").body).unwrap()
}

fn publish(server: &Server, numbers: std::ops::Range<u32>) {
    let mut wire = server.connect();
    for number in numbers {
        wire.publish(&format!("orders.{}", number % 3), number.to_string());
    }
}

#[test]
fn the_same_routes_move_from_the_gateways_own_topics_to_a_stream() {
    let server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    for upstream in [
        "{ kind: embedded }".to_owned(),
        format!("{{ kind: nats, url: \"{}\", jetstream: true }}", server.url()),
    ] {
        let peer = Peer::answering("x");
        let gateway = Gateway::start(&format!(
            "upstreams:
  web: {{ kind: http, url: \"{}\" }}
  events: {upstream}
sources:
  work: {{ from: \"events/orders.*\", concurrency: 4 }}
routes:
  - {{ name: publish, match: {{ path: \"/orders/{{topic}}\" }}, to: \"events/orders.{{topic}}\" }}
  - {{ name: paid, match: {{ source: work, event: {{ type: com.acme.paid }} }}, to: web, rewrite: {{ path: /paid }} }}
  - {{ name: rest, match: {{ source: work }}, to: web, rewrite: {{ path: /rest }} }}
",
            peer.url()
        ));
        let event = [
            "ce-specversion: 1.0",
            "ce-id: 1",
            "ce-source: /shop",
            "ce-type: com.acme.paid",
            "content-type: text/plain",
        ];
        assert_eq!(gateway.post("/orders/new", &event, "paid").status, 202);
        assert_eq!(gateway.post("/orders/new?a=b", &[], "plain").status, 202);
        eventually("both are delivered", || (peer.seen().len() == 2).then_some(()));
        let seen = peer.seen();
        let of = |path: &str| {
            let found = seen.iter().find(|seen| seen.target().starts_with(path));
            found.unwrap_or_else(|| panic!("{upstream}: nothing came to {path}"))
        };
        assert_eq!((of("/paid").header("ce-id"), &of("/paid").body[..]), (Some("1"), &b"paid"[..]));
        assert_eq!(of("/paid").header("content-type"), Some("text/plain"));
        assert_eq!(of("/rest").header("ce-type"), Some("http.request.post"));
        assert_eq!(of("/rest").header("ce-subject"), Some("/orders/new"));
        assert_eq!(gateway.post("/paid", &event, "x").status, 404, "a source's route is no door");
    }
}

#[test]
fn what_was_published_before_the_start_is_consumed_and_the_server_hears_of_it() {
    let server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    publish(&server, 0..50);
    let peer = Peer::answering("x");
    let gateway = Gateway::start(&config(&server, &peer, ORDERS, ""));
    eventually("all are delivered", || (peer.bodies() == all_of(0..50)).then_some(()));
    eventually("the server has heard of all", || {
        let said = consumer(&server, "gusset-work");
        (said["num_ack_pending"] == 0 && said["num_pending"] == 0).then_some(())
    });
    let stored = "gusset_source_events_total{source=\"work\",outcome=\"stored\"}";
    assert_eq!(gateway.metric(stored), 50);
    assert_eq!(gateway.metric("gusset_source_up{source=\"work\"}"), 1);
    let seen = peer.seen();
    let one = &seen[0];
    assert_eq!(one.header("ce-type"), Some("nats.message"));
    let source = one.header("ce-source").unwrap();
    assert!(source.starts_with("//js/orders."), "{source}");
}

#[test]
fn a_gateway_that_is_killed_in_between_loses_nothing() {
    let server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    let peer = Peer::answering("x");
    let config = format!(
        "version: 1\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{}",
        config(&server, &peer, "from: \"js/orders.>\", concurrency: 8", "")
    );
    let mut folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), config).unwrap();
    for round in 0..4 {
        let gateway = Gateway::run_silent(folder, &["-c", FILE]);
        publish(&server, round * 300..round * 300 + 300);
        let most = u64::from(round) * 300 + 40;
        eventually("some are delivered", || (peer.seen().len() as u64 >= most).then_some(()));
        folder = gateway.crash();
    }
    let gateway = Gateway::run_silent(folder, &["-c", FILE]);
    eventually("all are delivered", || (peer.bodies() == all_of(0..1200)).then_some(()));
    // What was under way when it was killed may come twice, and nothing else.
    assert!(peer.seen().len() < 1200 + 4 * 64 * 2, "{} deliveries", peer.seen().len());
    drop(gateway);
}

#[test]
fn a_server_that_is_killed_is_consumed_from_again_once_it_is_back() {
    let mut server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    let peer = Peer::answering("x");
    let gateway = Gateway::start(&config(&server, &peer, ORDERS, ""));
    publish(&server, 0..20);
    eventually("the first are delivered", || (peer.bodies() == all_of(0..20)).then_some(()));
    server.stop();
    server.restart();
    publish(&server, 20..40);
    eventually("the rest is delivered", || (peer.bodies() == all_of(0..40)).then_some(()));
    drop(gateway);
}

#[test]
fn a_full_outbox_leaves_the_rest_with_the_server_and_goes_on_when_it_has_room() {
    let server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    let well = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&well);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        exchange.answer(if up.load(Relaxed) { 200 } else { 503 }, &[], "");
    });
    let small = "outbox: { path: small, max_size: 16MiB, per_target: 10% }\n";
    let gateway = Gateway::start(&config(&server, &peer, ORDERS, small));
    let mut wire = server.connect();
    for number in 0..60_u32 {
        let mut data = vec![b'x'; 60_000];
        data.extend_from_slice(number.to_string().as_bytes());
        wire.publish("orders.large", &data);
    }
    eventually("the source waits", || {
        gateway.stderr().iter().any(|line| line.contains("waiting for room")).then_some(())
    });
    let stored = "gusset_source_events_total{source=\"work\",outcome=\"stored\"}";
    assert!(gateway.metric(stored) < 60);
    well.store(true, Relaxed);
    eventually("all are stored", || (gateway.metric(stored) == 60).then_some(()));
    eventually("all are delivered", || {
        let delivered = "gusset_deliveries_total{target=\"source:work\",outcome=\"delivered\"}";
        (gateway.metric(delivered) >= 60).then_some(())
    });
}

#[test]
fn a_stream_that_is_not_there_yet_is_waited_for() {
    let server = Server::start();
    let peer = Peer::answering("x");
    let gateway = Gateway::start(&config(&server, &peer, ORDERS, ""));
    eventually("it says what is missing", || {
        let said = gateway.stderr();
        said.iter().any(|line| line.contains("source `work`: failed")).then_some(())
    });
    assert_eq!(gateway.metric("gusset_source_up{source=\"work\"}"), 0);
    server.add_stream("ORDERS", &["orders.>"]);
    publish(&server, 0..3);
    eventually("all are delivered", || (peer.bodies() == all_of(0..3)).then_some(()));
}

#[test]
fn a_consumer_of_another_is_left_alone() {
    let server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    let theirs = serde_json::json!({ "stream_name": "ORDERS", "config": {
        "durable_name": "theirs", "filter_subject": "orders.1", "ack_policy": "explicit",
    }});
    let subject = "$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.theirs";
    let made = server.connect().request(subject, theirs.to_string());
    assert!(!made.text().contains("\"error\""), "{}", made.text());
    let peer = Peer::answering("x");
    let source = "from: \"js/orders.>\", durable: theirs";
    let gateway = Gateway::start(&config(&server, &peer, source, ""));
    eventually("it says so", || {
        let said = gateway.stderr();
        said.iter().any(|line| line.contains("is another one")).then_some(())
    });
    assert_eq!(consumer(&server, "theirs")["config"]["filter_subject"], "orders.1");
}

#[test]
fn a_source_that_is_taken_out_stops_and_one_that_stays_goes_on() {
    let server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    let peer = Peer::answering("x");
    let before = config(&server, &peer, ORDERS, "");
    let gateway = Gateway::start(&before);
    publish(&server, 0..5);
    eventually("the first are delivered", || (peer.bodies() == all_of(0..5)).then_some(()));
    let second = "  - { name: other, match: { path: /other }, to: web }\n";
    gateway.edit(&format!("{before}{second}"));
    publish(&server, 5..10);
    eventually("it goes on", || (peer.bodies() == all_of(0..10)).then_some(()));
    let (upstreams, _) = before.split_once("sources:").unwrap();
    gateway.edit(&format!("{upstreams}routes:\n{second}"));
    eventually("nobody waits for messages", || {
        (consumer(&server, "gusset-work")["num_waiting"] == 0).then_some(())
    });
    publish(&server, 10..12);
    gateway.edit(&before);
    eventually("it comes back to what it missed", || {
        (peer.bodies() == all_of(0..12)).then_some(())
    });
}

#[test]
fn core_nats_is_consumed_too_and_check_says_what_it_does_not_promise() {
    let server = Server::start();
    let peer = Peer::answering("x");
    let gateway = Gateway::start(&config(&server, &peer, "from: \"bus/orders.>\"", ""));
    eventually("it consumes", || {
        (gateway.metric("gusset_source_up{source=\"work\"}") == 1).then_some(())
    });
    publish(&server, 0..10);
    eventually("all are delivered", || (peer.bodies() == all_of(0..10)).then_some(()));
    let checked = gateway.gusset(&["check", "-c", FILE]);
    assert!(checked.out.contains("is core NATS: what is published while nobody listens"));
}

#[test]
fn what_core_nats_sends_to_a_full_outbox_waits_in_bounds_and_each_that_is_lost_is_counted() {
    let server = Server::start();
    let well = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&well);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        exchange.answer(if up.load(Relaxed) { 200 } else { 503 }, &[], "");
    });
    let small = "outbox: { path: small, max_size: 16MiB, per_target: 20% }\n";
    let gateway = Gateway::start(&config(&server, &peer, "from: \"bus/orders.>\"", small));
    eventually("it consumes", || {
        (gateway.metric("gusset_source_up{source=\"work\"}") == 1).then_some(())
    });
    let mut wire = server.connect();
    wire.publish("orders.huge", vec![b'x'; 900_000]);
    for _ in 0..500 {
        wire.publish("orders.large", vec![b'x'; 200_000]);
    }
    let count = |outcome: &str| {
        gateway
            .metric(&format!("gusset_source_events_total{{source=\"work\",outcome=\"{outcome}\"}}"))
    };
    eventually("what finds no room is counted", || (count("lost") > 1).then_some(()));
    well.store(true, Relaxed);
    eventually("each was stored or counted", || {
        (count("stored") + count("lost") == 501).then_some(())
    });
    // 64 MiB are 335 of them, and some are in the outbox or on their way there.
    assert!((335..450).contains(&count("stored")), "{}", count("stored"));
    eventually("it is told", || {
        gateway.stderr().iter().any(|line| line.contains("messages were lost")).then_some(())
    });
    let huge = "a message of orders.huge is lost, as its broker keeps none";
    assert!(gateway.stderr().iter().any(|line| line.contains(huge)));
}
