//! Stored events on JetStream, through whole gateways and a real nats-server: several gateways share
//! the work, and any of them may die, or the server.

mod checking;
mod cluster;
mod dying;
mod looking;

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::{Gateway, Peer, eventually, nats::Server};

/// A server that is new enough, if there is one: that of the system may not be.
fn server() -> Option<Server> {
    server_with("")
}

fn server_with(config: &str) -> Option<Server> {
    server_is_new().then(|| Server::start_with(config))
}

/// Whether the program is new enough; says so if it is not.
fn server_is_new() -> bool {
    let new = Server::version() >= (2, 12, 0);
    if !new {
        println!("SKIPPED: the outbox on JetStream needs nats-server 2.12 or newer");
    }
    new
}

/// A configuration with the outbox on this server, an upstream `web`, and these routes.
fn config(server: &Server, web: &str, routes: &str) -> String {
    format!(
        "outbox: {{ kind: jetstream, url: \"{}\", max_size: 64MiB }}
upstreams:
  web: {{ kind: http, url: \"{web}\" }}
routes:
{routes}",
        server.url()
    )
}

/// A route that stores, and tries again soon.
const STORES: &str = "  - name: in
    match: { path: \"/in/{key}\" }
    to: web
    ack: stored
    delivery: { backoff: { base: 20ms, max: 200ms } }
";

/// The same, in order of the key.
const ORDERED: &str = "  - name: in
    match: { path: \"/in/{key}\" }
    to: web
    ack: stored
    order_by: \"{key}\"
    delivery: { backoff: { base: 20ms, max: 200ms } }
";

/// A gateway that is ready to store.
fn gateway(server: &Server, web: &str, routes: &str) -> Gateway {
    let gateway = Gateway::start(&config(server, web, routes));
    ready(&gateway);
    gateway
}

fn ready(gateway: &Gateway) {
    eventually("the outbox is ready", || {
        (gateway.metric("gusset_outbox_ready") == 1).then_some(())
    });
}

/// The headers of an event with this id.
fn event(id: &str) -> Vec<String> {
    ["ce-specversion: 1.0", "ce-source: /s", "ce-type: com.acme.paid", &format!("ce-id: {id}")]
        .map(str::to_owned)
        .to_vec()
}

/// Stores an event and gives back its receipt.
#[track_caller]
fn store(gateway: &Gateway, key: &str, id: &str) -> Value {
    let answer = offer(gateway, key, id, id);
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()
}

/// Offers an event with this data.
fn offer(gateway: &Gateway, key: &str, id: &str, data: &str) -> crate::support::Answer {
    let headers = event(id);
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    gateway.post(&format!("/in/{key}"), &headers, data)
}

/// What a service has got: the key and the id of each event, in the order of their arrival.
type Arrived = Arc<Mutex<Vec<(String, String)>>>;

/// A service that writes down what arrives, and takes a moment for each.
fn sink() -> (Peer, Arrived) {
    let arrived = Arrived::default();
    let into = Arc::clone(&arrived);
    let peer = Peer::start(move |exchange| {
        let seen = exchange.read();
        let key = seen.target().rsplit('/').next().unwrap().to_owned();
        let id = String::from_utf8(seen.body.clone()).unwrap();
        into.lock().unwrap().push((key, id));
        std::thread::sleep(std::time::Duration::from_millis(2));
        exchange.answer(200, &[], "");
    });
    (peer, arrived)
}

/// Waits until all of these have arrived.
fn await_all(arrived: &Arrived, ids: &std::collections::BTreeSet<String>) {
    eventually("all have arrived", || {
        let arrived = arrived.lock().unwrap();
        let seen: std::collections::BTreeSet<String> =
            arrived.iter().map(|(_, id)| id.clone()).collect();
        ids.is_subset(&seen).then_some(())
    });
}

#[test]
fn two_gateways_share_the_work_of_one_outbox() {
    let Some(server) = server() else { return };
    let (peer, arrived) = sink();
    let one = gateway(&server, &peer.url(), STORES);
    let two = gateway(&server, &peer.url(), STORES);
    let mut ids = std::collections::BTreeSet::new();
    let delivered = "gusset_deliveries_total{target=\"web\",outcome=\"delivered\"}";
    let mut sent = 0;
    eventually("both have delivered", || {
        for gateway in [&one, &two] {
            let id = sent.to_string();
            let receipt = store(gateway, &id, &id);
            assert_eq!(receipt["guarantee"], "broker-disk");
            assert_eq!(receipt["receipt"]["sync"], "unknown");
            ids.insert(id);
            sent += 1;
        }
        (one.metric(delivered) > 0 && two.metric(delivered) > 0).then_some(())
    });
    await_all(&arrived, &ids);
    let all = arrived.lock().unwrap().len();
    assert_eq!(all, ids.len(), "some came twice, and nothing has died");
    eventually("the stream is empty", || {
        (server.stream_length("GUSSET_OUTBOX") == 0).then_some(())
    });
}

#[test]
fn an_event_that_comes_twice_is_stored_once_by_whichever_gateway() {
    let Some(server) = server() else { return };
    let (peer, arrived) = sink();
    let one = gateway(&server, &peer.url(), STORES);
    let two = gateway(&server, &peer.url(), STORES);
    let first = store(&one, "k", "1");
    assert_eq!(first["duplicate"], false);
    let again = store(&two, "k", "1");
    assert_eq!((&again["duplicate"], &again["receipt"]), (&true.into(), &first["receipt"]));
    let other = offer(&two, "k", "1", "other data");
    assert_eq!(other.status, 422, "{}", other.text());
    assert_eq!(other.json()["code"], "idempotency_conflict");
    await_all(&arrived, &["1".to_owned()].into());
    assert_eq!(arrived.lock().unwrap().len(), 1);
}

#[test]
fn all_targets_of_an_event_get_it_or_none_has_stored_it() {
    let Some(server) = server() else { return };
    let ((web, web_arrived), (audit, audit_arrived)) = (sink(), sink());
    let routes = "  - { name: in, match: { path: \"/in/{key}\" }, to_all: [web, audit] }\n";
    let text = config(&server, &web.url(), routes).replace(
        "routes:",
        &format!("  audit: {{ kind: http, url: \"{}\" }}\nroutes:", audit.url()),
    );
    let gateway = Gateway::start(&text);
    ready(&gateway);
    let receipt = store(&gateway, "k", "1");
    assert_eq!(receipt["receipt"]["targets"].as_array().unwrap().len(), 2);
    for arrived in [&web_arrived, &audit_arrived] {
        await_all(arrived, &["1".to_owned()].into());
    }
    let again = store(&gateway, "k", "1");
    assert_eq!(again["duplicate"], true);
}
