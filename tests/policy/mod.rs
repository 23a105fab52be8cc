//! What guards functions and routes: breakers, permits, retry budgets, rate limits.

mod breaking;
mod limiting;
mod permits;

use crate::support::Gateway;

/// A gateway that leads everything to one service, whose upstream and route say more.
fn guarded(url: &str, upstream: &str, route: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams:
  web: {{ kind: http, url: {url}, {upstream} }}
routes:
  - name: all
    match: {{ prefix: / }}
    to: web
{route}"
    ))
}
