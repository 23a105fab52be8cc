//! Who an event is, where brokers and the gateway each look for repetitions.

use super::{await_metric, start, store};
use crate::support::{eventually, nats::Server};

#[test]
fn an_event_is_in_one_stream_under_two_subjects_and_its_replay_within_the_window_is_in_it_too() {
    let server = Server::start();
    server.add_stream("ORDERS", &["orders.>"]);
    let peer = super::admin::refusing();
    let gateway = start(&format!(
        "upstreams:
  web: {{ kind: http, url: \"{}\" }}
  js: {{ kind: nats, url: \"{}\", jetstream: true }}
routes:
  - {{ name: in, match: {{ path: /in }}, to_all: [web, js/orders.a, js/orders.b], ack: stored }}
",
        peer.url(),
        server.url()
    ));
    store(&gateway, "/in", "1", "bad");
    await_metric(&gateway, "gusset_outbox_dead_letters", 1);
    eventually("both subjects have it", || (server.stream_length("ORDERS") == 2).then_some(()));
    // The stream knows this event under this subject, and would take it for a repetition.
    let ran = gateway.gusset(&["replay", "--to", "js/orders.a"]).ends(0);
    assert!(ran.out.contains("replayed 1 dead letter"), "{}", ran.out);
    eventually("the replay is there", || (server.stream_length("ORDERS") == 3).then_some(()));
    assert_eq!(store(&gateway, "/in", "1", "bad")["duplicate"], true);
    // One more is behind whatever the repetition could have brought.
    store(&gateway, "/in", "2", "good");
    eventually("the next is there", || (server.stream_length("ORDERS") >= 5).then_some(()));
    assert_eq!(server.stream_length("ORDERS"), 5);
}
