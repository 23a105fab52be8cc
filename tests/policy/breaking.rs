//! Functions that fail are left alone, and an outage is not made worse.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::guarded;
use crate::support::{Peer, eventually, free_port};

const BREAKER: &str = "breaker: { failures: 50%, min_calls: 4, open: 1s, probes: 2 }";

/// Fails until it is told to be well, and says what it is told then.
fn moody() -> (Arc<AtomicBool>, Peer) {
    let well = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&well);
    let peer = Peer::start(move |exchange| {
        exchange.read();
        let well = told.load(Ordering::Relaxed);
        exchange.answer(if well { 200 } else { 500 }, &[], "its own words");
    });
    (well, peer)
}

#[test]
fn a_breaker_opens_sends_nothing_and_closes_when_the_function_is_well_again() {
    let (well, peer) = moody();
    let gateway = guarded(&peer.url(), BREAKER, "");
    for _ in 0..4 {
        let answer = gateway.get("/");
        assert_eq!((answer.status, answer.text()), (500, "its own words"));
    }
    let answer = gateway.get("/");
    let problem = answer.problem(503, "breaker_open");
    assert_eq!((&problem["ran"], &problem["retry"]), (&"no".into(), &"safe".into()));
    assert!(problem.get("attempts").is_none(), "nothing was tried: {problem}");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(peer.seen().len(), 4, "the function was called although the breaker was open");

    // Half open: the first probe fails, and it is open again.
    eventually("the breaker lets a probe through", || {
        (gateway.get("/").status == 500).then_some(())
    });
    gateway.get("/").problem(503, "breaker_open");
    assert_eq!(peer.seen().len(), 5);

    well.store(true, Ordering::Relaxed);
    eventually("the breaker lets a probe through", || {
        (gateway.get("/").status == 200).then_some(())
    });
    for _ in 0..10 {
        assert_eq!(gateway.get("/").status, 200);
    }
}

#[test]
fn a_service_that_is_not_there_opens_the_breaker_too() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let gateway = guarded(&nobody, BREAKER, "    policy: { retry: { attempts: 1 } }\n");
    for _ in 0..4 {
        gateway.get("/").problem(502, "connect_failed");
    }
    gateway.get("/").problem(503, "breaker_open");
}

#[test]
fn a_function_has_one_breaker_by_whichever_route_it_is_called_and_no_other_ones() {
    let (_, peer) = moody();
    let good = Peer::answering("good");
    let gateway = crate::support::Gateway::start(&format!(
        "upstreams:
  bad: {{ kind: http, url: {} }}
  good: {{ kind: http, url: {} }}
routes:
  - {{ name: one, match: {{ path: /one }}, to: bad }}
  - {{ name: two, match: {{ path: /two }}, to: bad }}
  - {{ name: three, match: {{ path: /three }}, to: good }}
policies:
  default: {{ {BREAKER} }}
",
        peer.url(),
        good.url(),
    ));
    for _ in 0..4 {
        assert_eq!(gateway.get("/one").status, 500);
    }
    gateway.get("/two").problem(503, "breaker_open");
    assert_eq!(gateway.get("/three").text(), "good");
}

#[test]
fn a_total_outage_is_sent_at_most_its_share_more() {
    let (_, peer) = moody();
    let retry = "    policy: { retry: { attempts: 3, on: [500], backoff: { base: 1ms } } }\n";
    let gateway = guarded(&peer.url(), "retry_budget: 20%", retry);
    for _ in 0..200 {
        assert_eq!(gateway.get("/").status, 500);
    }
    let sent = peer.seen().len();
    assert!((201..=240).contains(&sent), "{sent} were sent of 200");
}

#[test]
fn without_a_budget_every_retry_is_made() {
    let (_, peer) = moody();
    let retry = "    policy: { retry: { attempts: 2, on: [500], backoff: { base: 1ms } } }\n";
    let gateway = guarded(&peer.url(), "retry_budget: none", retry);
    for _ in 0..30 {
        assert_eq!(gateway.get("/").status, 500);
    }
    assert_eq!(peer.seen().len(), 60);
}
