//! What strangers send, and what services answer, that must not get through as it is.

mod answers;
mod flood;
mod forwarded;
mod h2;
mod headers;
mod paths;
mod reader;
mod slow;
mod smuggling;

use crate::support::Gateway;

/// A gateway that leads everything to the service at this URL.
fn through(url: &str) -> Gateway {
    through_with(url, "", "")
}

/// The same, with more at the top of the file and in the route.
fn through_with(url: &str, top: &str, route: &str) -> Gateway {
    Gateway::start(&format!(
        "{top}
upstreams: {{ web: {{ kind: http, url: {url} }} }}
routes:
  - name: all
    match: {{ prefix: / }}
    to: web
{route}"
    ))
}
