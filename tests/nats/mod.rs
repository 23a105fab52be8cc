//! Events and requests on a real NATS server.

mod breaking;
mod publishing;
mod replying;
mod secured;

use crate::support::{Gateway, nats::Server};

/// A gateway with the server as `bus` (core) and `js` (JetStream), and these routes.
fn gateway(server: &Server, routes: &str) -> Gateway {
    let url = server.url();
    Gateway::start(&format!(
        "upstreams:
  bus: {{ kind: nats, url: {url} }}
  js: {{ kind: nats, url: {url}, jetstream: true }}
  orders: {{ kind: nats, url: {url}, jetstream: {{ stream: ORDERS }} }}
routes:
{routes}"
    ))
}

/// The headers of a binary event with this id.
fn event(id: &str) -> [String; 4] {
    ["ce-specversion: 1.0", "ce-source: /shop", "ce-type: com.acme.paid", &format!("ce-id: {id}")]
        .map(str::to_owned)
}
