//! Sources that consume queues of a real RabbitMQ: every message is moved into the outbox before the
//! broker is told, so that whoever dies in between loses nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use lapin::{BasicProperties, options::BasicPublishOptions, types::FieldTable};

use super::Client;
use crate::support::{
    Gateway, Peer, all_of, eventually,
    gateway::FILE,
    rabbit::{self, PASSWORD, Rabbit, USER, breakable},
};

/// A source of this queue, whose events go to this service.
fn config(rabbit: &Rabbit, web: &Peer, queue: &str, rest: &str) -> String {
    format!(
        "version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstreams:
  web: {{ kind: http, url: \"{}\" }}
  rabbit: {{ kind: amqp, url: {}, username: {USER}, password: {{ file: secret }} }}
sources:
  work: {{ from: rabbit//{queue} }}
routes:
  - {{ name: work, match: {{ source: work }}, to: web, delivery: {{ backoff: {{ base: 20ms, max: 200ms }} }} }}
{rest}",
        web.url(),
        rabbit.url(),
    )
}

fn run(config: &str) -> Gateway {
    Gateway::run_with(config, |folder| {
        std::fs::write(folder.join("secret"), format!("{PASSWORD}\n")).unwrap();
    })
}

impl Client {
    /// Publishes to a queue.
    fn publish(&self, queue: &str, properties: BasicProperties, body: &[u8]) {
        let options = BasicPublishOptions::default();
        let properties = properties.with_delivery_mode(2);
        let sent = self.channel.basic_publish("".into(), queue.into(), options, body, properties);
        drop(self.runtime.block_on(sent).unwrap());
    }

    /// Publishes numbers, each with itself as its message id.
    fn publish_all(&self, queue: &str, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let text = number.to_string();
            let properties = BasicProperties::default().with_message_id(text.as_str().into());
            self.publish(queue, properties, text.as_bytes());
        }
    }
}

const STORED: &str = "gusset_source_events_total{source=\"work\",outcome=\"stored\"}";

#[test]
fn messages_of_a_queue_go_to_the_route_of_its_source_and_out_of_the_queue() {
    let rabbit = rabbit::shared();
    let client = Client::connect(rabbit);
    client.queue("consumed");
    let mut table = FieldTable::default();
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/shop"),
        ("ce-type", "com.acme.paid"),
    ] {
        table.insert(name.into(), lapin::types::AMQPValue::LongString(value.into()));
    }
    let event =
        BasicProperties::default().with_headers(table).with_content_type("text/plain".into());
    client.publish("consumed", event, b"an event");
    let plain = BasicProperties::default().with_message_id("m-1".into());
    client.publish("consumed", plain.clone(), b"\xff\x00 plain");
    let peer = Peer::answering("x");
    let gateway = run(&config(rabbit, &peer, "consumed", ""));
    eventually("both are delivered", || (peer.seen().len() == 2).then_some(()));
    let seen = peer.seen();
    let of = |kind: &str| seen.iter().find(|one| one.header("ce-type") == Some(kind)).unwrap();
    let event = of("com.acme.paid");
    assert_eq!((event.header("ce-id"), &event.body[..]), (Some("7"), &b"an event"[..]));
    assert_eq!(event.header("content-type"), Some("text/plain"));
    let message = of("amqp.message");
    assert_eq!((message.header("ce-id"), &message.body[..]), (Some("m-1"), &b"\xff\x00 plain"[..]));
    assert_eq!(message.header("ce-source"), Some("//rabbit//consumed"));
    // The same message once more, as a publisher sends it that was told nothing.
    client.publish("consumed", plain, b"\xff\x00 plain");
    let repeated = "gusset_source_events_total{source=\"work\",outcome=\"repeated\"}";
    eventually("it is known again", || (gateway.metric(repeated) == 1).then_some(()));
    let checked = gateway.gusset(&["check", "-c", FILE, "--live"]);
    assert!(
        checked.out.contains("rabbit (amqp) queue consumed: 0 wait, 1 consume them"),
        "{}",
        checked.out
    );
    drop(gateway);
    assert!(client.get("consumed").is_none(), "all were acknowledged");
    assert_eq!(peer.seen().len(), 2);
}

#[test]
fn a_gateway_that_is_killed_in_between_loses_nothing() {
    let rabbit = rabbit::shared();
    let client = Client::connect(rabbit);
    client.queue("killed");
    let peer = Peer::answering("x");
    let mut folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), config(rabbit, &peer, "killed", "")).unwrap();
    std::fs::write(folder.path().join("secret"), format!("{PASSWORD}\n")).unwrap();
    for round in 0..4 {
        let gateway = Gateway::run_silent(folder, &["-c", FILE]);
        client.publish_all("killed", round * 300..round * 300 + 300);
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
fn a_broker_that_is_killed_is_consumed_from_again_once_it_is_back() {
    let mut rabbit = breakable();
    let peer = Peer::answering("x");
    let client = Client::connect(&rabbit);
    client.queue("broken");
    let gateway = run(&config(&rabbit, &peer, "broken", ""));
    client.publish_all("broken", 0..20);
    eventually("the first are delivered", || (peer.bodies() == all_of(0..20)).then_some(()));
    rabbit.kill();
    eventually("the source says that it failed", || {
        (gateway.metric("gusset_source_up{source=\"work\"}") == 0).then_some(())
    });
    rabbit.restart();
    let client = Client::connect(&rabbit);
    // The broker writes behind which queues there are, and may have forgotten one of moments ago.
    client.queue("broken");
    client.publish_all("broken", 20..40);
    eventually("the rest is delivered", || (peer.bodies() == all_of(0..40)).then_some(()));
}

#[test]
fn a_full_outbox_leaves_the_rest_with_the_broker_and_goes_on_when_it_has_room() {
    let rabbit = rabbit::shared();
    let client = Client::connect(rabbit);
    client.queue("waiting");
    let well = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&well);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        exchange.answer(if up.load(Relaxed) { 200 } else { 503 }, &[], "");
    });
    let small = "outbox: { path: small, max_size: 16MiB, per_target: 10% }\n";
    let gateway = run(&config(rabbit, &peer, "waiting", small));
    for _ in 0..100 {
        client.publish("waiting", BasicProperties::default(), &[b'x'; 60_000]);
    }
    eventually("the source waits", || {
        gateway.stderr().iter().any(|line| line.contains("waiting for room")).then_some(())
    });
    assert!(gateway.metric(STORED) < 100);
    well.store(true, Relaxed);
    eventually("all are stored", || (gateway.metric(STORED) == 100).then_some(()));
}

#[test]
fn a_queue_that_is_not_there_yet_is_waited_for() {
    let rabbit = rabbit::shared();
    let client = Client::connect(rabbit);
    let peer = Peer::answering("x");
    let gateway = run(&config(rabbit, &peer, "later", ""));
    eventually("it says what is missing", || {
        let said = gateway.stderr();
        said.iter().any(|line| line.contains("has no queue \"later\"")).then_some(())
    });
    let checked = gateway.gusset(&["check", "-c", FILE, "--live"]);
    assert!(checked.out.contains("queue later: failed: "), "{}", checked.out);
    client.queue("later");
    client.publish_all("later", 0..3);
    eventually("all are delivered", || (peer.bodies() == all_of(0..3)).then_some(()));
}
