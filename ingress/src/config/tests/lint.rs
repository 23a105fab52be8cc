//! What is said of files that are right in every part.

use super::{lines, load};

/// Upstreams and the start of the routes.
const TOP: &str = "version: 1
listen: 0.0.0.0:8080
upstreams:
  web: { kind: http, url: http://127.0.0.1:9000 }
  free: { kind: http, url: http://127.0.0.1:9000, retry_budget: none }
  self: { kind: http, endpoints: [http://10.0.0.1:9000, http://localhost:8080/x] }
routes:
";

#[track_caller]
fn said(routes: &str) -> Vec<String> {
    let loaded = load(&format!("{TOP}{routes}")).map_err(|problems| lines(&problems)).unwrap();
    let unused = |line: &&String| !line.contains("no route uses");
    lines(&loaded.warnings).iter().filter(unused).cloned().collect()
}

#[test]
fn a_route_that_another_covers_is_named_with_the_other() {
    let said = said(
        "  - { name: low, match: { path: /a, methods: [GET], headers: { x: \"1\" } }, to: web }
  - { name: high, match: { path: /a, methods: [GET, POST], headers: { x: \"1\" }, priority: 5 }, to: web }
  - { name: other, match: { path: /a, methods: [PUT], headers: { x: \"1\" } }, to: web }
",
    );
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("`low` serves no request: `high` ("), "{said:?}");
    assert!(said[0].contains("narrow the other, or leave this one out"), "{said:?}");
}

#[test]
fn what_fits_any_path_is_nothing_behind_the_root() {
    let said = said(
        "  - { name: root, match: { prefix: / }, to: web }
  - { name: rest, match: { methods: [GET] }, to: web }
  - { name: hosted, match: { hosts: [a.b], methods: [GET] }, to: web }
",
    );
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("`rest` serves no request: `root`"), "{said:?}");
}

#[test]
fn tries_that_have_no_time_are_counted() {
    let said = said(
        "  - { name: a, match: { path: /a }, to: web, policy: { timeout: 6s, retry: { attempts: 3 } } }
  - { name: b, match: { path: /b }, to: web, policy: { timeout: 5s, retry: { on: [timeout] } } }
  - { name: c, match: { path: /c }, to: web, policy: { timeout: 5s } }
  - { name: e, match: { path: /e }, to: web, policy: { timeout: 15s, try_timeout: 10s, retry: { attempts: 2 } } }
  - { name: d, match: { path: /d }, to: web, policy: { timeout: 6s, try_timeout: 2s, retry: { attempts: 3 } } }
",
    );
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("3 tries of up to 10s each, and the whole call has 6s"), "{said:?}");
    assert!(said[0].contains("write `try_timeout: 2s` or less"), "{said:?}");
    assert!(said[1].contains("one try may take 10s, and the whole call has 5s"), "{said:?}");
}

#[test]
fn a_secret_in_clear_is_pointed_at() {
    let said = said(
        "  - { name: a, match: { path: /a }, to: web, headers: { request: { set: { Authorization: Bearer abc, x-a: b } } } }
  - { name: b, match: { path: /b }, to: [{ to: web, headers: { request: { add: { x-my-token: abc } } } }] }
  - { name: c, match: { path: /c }, to: web, headers: { request: { set: { authorization: \"{header.x-auth}\" } } } }
",
    );
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().all(|line| line.contains("is a secret that stands here in clear")));
    assert!(said.iter().all(|line| !line.contains("abc")), "{said:?}");
}

#[test]
fn a_circle_is_named_with_what_it_multiplies() {
    let said = said("  - { name: a, match: { path: /a }, to: self }\n");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("`a` leads back to this gateway: http://localhost:8080/x is the listener")
    );
    assert!(said[0].contains("each of its 2 tries is tried again there"), "{said:?}");
}

#[test]
fn tries_without_a_budget_multiply_an_outage() {
    let said = said(
        "  - { name: a, match: { path: /a }, to: free }
  - { name: b, match: { path: /b }, to: free, policy: { retry: { attempts: 1 } } }
  - { name: c, match: { path: /c }, to: web }
",
    );
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains(
            "`a` tries 2 times and `free` has no retry budget: an outage is asked 2 times as often"
        ),
        "{said:?}"
    );
}

#[test]
fn a_rate_limit_of_many_gateways_is_each_gateways_own() {
    let routes =
        "  - { name: a, match: { path: /a }, to: web, policy: { rate_limit: [{ rate: 10/s }] } }
  - { name: b, match: { path: /b }, to: web }
replicas: ";
    assert_eq!(said(&format!("{routes}one\n")), [""; 0]);
    let said = said(&format!("{routes}many\n"));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("each gateway counts the rate limits of a alone"), "{said:?}");
    assert!(said[0].contains("divide the rates by the number of gateways"), "{said:?}");
}
