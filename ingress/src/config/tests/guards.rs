//! Guards and rate limits: what a file makes of them, and what survives an edit.

use std::{sync::Arc, time::Duration};

use policy::{
    breaker::{Outcome, State},
    limiter::{Asker, Taken},
};
use schemas::{Values, template::Source};
use tokio::time::Instant;

use super::{File, Offer, file, lines, load, parse};
use crate::{Action, Destination, Table, explain};

fn table(text: &str, offer: &Offer) -> Table {
    let files: [File; 1] = [file("gateway.yaml", text)];
    parse(&files, offer).map_err(|problems| lines(&problems)).unwrap().table
}

fn target<'t>(table: &'t Table, route: &str) -> &'t Destination {
    let route = table.routes.iter().find(|one| one.name.as_str() == route).unwrap();
    let Action::Forward(targets) = &route.action else { panic!("it forwards") };
    &targets[0]
}

const EDITED: &str = "version: 1
upstreams:
  web: { kind: http, url: http://127.0.0.1:9000, breaker: { min_calls: 1, open: 1h }, concurrency: 5 }
routes:
  - { name: shop, match: { path: /shop }, to: web, policy: { rate_limit: [{ rate: 1/h }] } }
";

struct Nothing;

impl Values for Nothing {
    fn value(&self, _: &Source) -> Option<std::borrow::Cow<'_, str>> {
        None
    }
}

/// Whether the limits of a route let one more request pass.
fn passes(table: &Table, route: usize) -> bool {
    let asker = Asker { address: [192, 0, 2, 1].into(), values: &Nothing };
    let now = policy::nanos(Instant::now());
    let limits = table.routes[route].limits.as_ref().unwrap();
    limits.take_by_head(&asker, 1, now, &mut Taken::default()).is_ok()
}

#[test]
fn an_edit_of_another_route_leaves_a_breaker_open_and_a_bucket_empty() {
    let offer = Offer::default();
    let before = table(EDITED, &offer);
    let now = policy::nanos(Instant::now());
    let breaker = target(&before, "shop").guards.breaker.as_ref().unwrap();
    breaker.record(breaker.admit(now).unwrap(), Outcome::Bad, now);
    assert!(passes(&before, 0) && !passes(&before, 0));
    let held =
        target(&before, "shop").guards.permits.as_ref().unwrap().try_take(Default::default());

    let edited = format!("{EDITED}  - {{ name: other, match: {{ path: /other }}, to: web }}\n");
    let after = table(&edited, &offer);
    for route in ["shop", "other"] {
        let breaker = target(&after, route).guards.breaker.as_ref().unwrap();
        assert_eq!(breaker.view(now).state, State::Open, "the function is the same by any route");
    }
    assert!(!passes(&after, 0));
    assert_eq!(target(&after, "shop").guards.permits.as_ref().unwrap().view().in_use, 1);
    drop(held);

    let changed = EDITED.replace("open: 1h", "open: 30m").replace("rate: 1/h", "rate: 2/h");
    let fresh = table(&changed, &offer);
    let breaker = target(&fresh, "shop").guards.breaker.as_ref().unwrap();
    assert_eq!(breaker.view(now).state, State::Closed);
    assert!(passes(&fresh, 0));
    let another = table(EDITED, &Offer::default());
    assert!(passes(&another, 0), "a fresh registry knows nothing");
    assert_eq!(offer.registry.snapshot(now).breakers.len(), 2, "of both settings");
    drop((before, after));
    assert_eq!(offer.registry.snapshot(now).breakers.len(), 1);
}

#[test]
fn new_guards_leave_the_lanes_as_they_are() {
    let digest = |text: &str| load(text).unwrap().table.upstreams[0].digest;
    assert_eq!(digest(EDITED), digest(&EDITED.replace("concurrency: 5", "concurrency: none")));
}

#[test]
fn a_limit_in_default_has_buckets_for_each_route_and_none_removes_it() {
    let table = table(
        "version: 1
routes:
  - { name: a, match: { path: /a }, respond: {} }
  - { name: b, match: { path: /b }, respond: {} }
  - { name: c, match: { path: /c }, respond: {}, policy: { rate_limit: none } }
policies:
  default: { rate_limit: [{ rate: 1/h }] }
",
        &Offer::default(),
    );
    assert!(passes(&table, 0) && !passes(&table, 0));
    assert!(passes(&table, 1), "the other route has buckets of its own");
    assert!(table.routes[2].limits.is_none());
}

#[test]
fn every_value_says_where_it_comes_from() {
    let table = table(
        "version: 1
upstreams:
  web: { kind: http, url: http://127.0.0.1:9000, breaker: { probes: 1 }, retry_budget: none }
routes:
  - { name: a, match: { path: /a }, to: web, use: [slow] }
policies:
  default: { breaker: { failures: 10%, probes: 9 }, concurrency: { max: 7 } }
  slow: { rate_limit: [{ rate: 10/m, burst: 2, key: address }] }
",
        &Offer::default(),
    );
    let shown: String = explain::guards(&table.upstreams[0])
        .into_iter()
        .map(|(name, leaf)| format!("{name} = {} from {}\n", leaf.value, leaf.from))
        .collect();
    assert_eq!(
        shown,
        "breaker.failures = \"10%\" from policies.default
breaker.min_calls = \"20\" from built in
breaker.open = \"5s\" from built in
breaker.probes = \"1\" from upstreams.web
breaker.window = \"10s\" from built in
concurrency.max = \"7\" from policies.default
concurrency.queue = \"7\" from built in
retry_budget = \"none\" from upstreams.web
"
    );
    let limits = &explain::leaves(&table.routes[0])["rate_limit"];
    assert_eq!(limits.from, "policies.slow");
    let expected = serde_json::json!([{ "rate": "10/m", "burst": 2, "key": "address" }]);
    assert_eq!(limits.value, expected);
    let written = &table.upstreams[0].written;
    assert_eq!(written["breaker"], serde_json::json!({ "probes": 1 }));
}

#[test]
fn jobs_find_the_breaker_of_their_address_and_permits_of_their_own() {
    let offer = Offer::default();
    let table = table(EDITED, &offer);
    let guards = table.upstreams[0].guards_of("web", &table.registry);
    let breaker = target(&table, "shop").guards.breaker.as_ref().unwrap();
    assert!(Arc::ptr_eq(breaker, guards.breaker.as_ref().unwrap()));
    let settings = breaker.settings();
    assert_eq!((settings.open, settings.probes), (Duration::from_secs(3600), 3));
}
