//! Requests that pass through to an HTTP service.

mod failing;
mod h2;
mod passing;
mod retrying;
mod shaping;
mod streaming;
mod tls;
mod upgrade;

use crate::support::{Gateway, Peer};

/// A gateway that leads everything to one service.
fn through(peer: &Peer) -> Gateway {
    through_with(&[&peer.url()], "")
}

/// A gateway that leads everything to a service of these endpoints by a route that says more.
fn through_with(endpoints: &[&str], route: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams:
  web: {{ kind: http, endpoints: [{}] }}
routes:
  - name: all
    match: {{ prefix: / }}
    to: web
{route}",
        endpoints.join(", ")
    ))
}
