//! What breakers and limits know outlives an edit that does not concern them, and an operator sees
//! and moves them.

use crate::support::{Gateway, Peer, eventually};

fn config(peer: &Peer, min_calls: u32, more: &str) -> String {
    format!(
        "upstreams:
  web:
    kind: http
    url: {}
    concurrency: 7
    breaker: {{ failures: 50%, min_calls: {min_calls}, open: 1h }}
routes:
  - name: web
    match: {{ path: /web }}
    to: web
    policy: {{ retry: {{ attempts: 1 }}, rate_limit: [{{ rate: 100/h, key: address }}] }}
{more}",
        peer.url()
    )
}

fn failing() -> Peer {
    Peer::start(|exchange| {
        exchange.read();
        exchange.answer(500, &[], "no");
    })
}

fn breaker(gateway: &Gateway) -> serde_json::Value {
    gateway.ask_admin("/api/v1/functions").json()[0]["breaker"].clone()
}

#[test]
fn a_breaker_stays_open_over_an_edit_of_another_route_and_changed_settings_start_afresh() {
    let peer = failing();
    let gateway = Gateway::start(&config(&peer, 3, ""));
    for _ in 0..3 {
        assert_eq!(gateway.get("/web").status, 500);
    }
    gateway.get("/web").problem(503, "breaker_open");
    assert_eq!(breaker(&gateway)["state"], "open");
    let told = |gateway: &Gateway| {
        let routes = gateway.ask_admin("/api/v1/routes").json();
        (routes[0]["rate_limits"][0].clone(), gateway.ask_admin("/api/v1/upstreams").json())
    };
    let (limit, upstreams) = told(&gateway);
    assert_eq!((&limit["rate"], &limit["keys"]), (&"100/h".into(), &1.into()), "{limit}");
    assert_eq!(upstreams[0]["concurrency"]["max"], 7, "{upstreams}");

    gateway.edit(&config(&peer, 3, "  - { name: other, match: { path: /other }, respond: {} }\n"));
    gateway.await_generation(2);
    assert_eq!(gateway.get("/other").status, 200);
    gateway.get("/web").problem(503, "breaker_open");
    assert_eq!(told(&gateway).0["keys"], 1, "the bucket is known still");
    assert_eq!(peer.seen().len(), 3, "nobody has called the function since");
    assert!(
        gateway.ask_admin("/metrics").text().contains("gusset_breaker_open{function=\"web\"} 1\n")
    );

    gateway.edit(&config(&peer, 4, ""));
    gateway.await_generation(3);
    assert_eq!(breaker(&gateway)["state"], "closed");
    assert_eq!(gateway.get("/web").status, 500);
}

#[test]
fn an_operator_holds_a_breaker_open_and_lets_it_go() {
    let peer = Peer::answering("well");
    let gateway = Gateway::start(&config(&peer, 3, ""));
    let force = |address: &str, body: &str| {
        let path = format!("/api/v1/functions/{address}/breaker");
        gateway.send_admin("POST", &path, &["Content-Type: application/json"], body)
    };
    let answer = force("web", r#"{"force": "open"}"#);
    assert_eq!((answer.status, &answer.json()["breaker"]["state"]), (200, &"forced_open".into()));
    gateway.get("/web").problem(503, "breaker_open");
    // It is held over a reload.
    gateway.edit(&config(&peer, 3, "  - { name: other, match: { path: /other }, respond: {} }\n"));
    gateway.await_generation(2);
    gateway.get("/web").problem(503, "breaker_open");
    assert!(peer.seen().is_empty());
    assert_eq!(force("web", r#"{"force": null}"#).json()["breaker"]["state"], "closed");
    eventually("calls pass again", || (gateway.get("/web").status == 200).then_some(()));
    force("web%2Fx", r#"{"force": "open"}"#).problem(404, "no_breaker");
    force("web", "{}").problem(400, "bad_request");
    force("web", r#"{"force": "ajar"}"#).problem(400, "bad_request");
}
