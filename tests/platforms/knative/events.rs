//! Brokers and channels, and replies that are events.

use super::{EVENT, gateway, paid, ready};
use crate::support::{
    Gateway, Peer, eventually,
    knative::{Cluster, attribute},
    python::Python,
};

#[test]
fn a_broker_gets_one_event_by_post_at_its_own_url() {
    let (cluster, web) = (Cluster::start(), Peer::echo());
    let gateway = gateway(
        &cluster,
        &web,
        "",
        "  - { name: binary, match: { path: /binary }, to: kn/broker:default }
  - { name: structured, match: { path: /structured }, to: kn/channel:orders, format: structured }
",
    );
    let answer = paid(&gateway, "/binary?a=b", "7");
    assert_eq!((answer.status, answer.header("gusset-ack")), (202, Some("published")));
    let told = answer.json();
    assert_eq!((&told["guarantee"], &told["id"]), (&"broker-memory".into(), &"7".into()));
    assert_eq!(told["receipt"], serde_json::json!({"to": "broker:default", "status": 202}));
    assert_eq!(gateway.post("/binary", &["Content-Type: text/plain"], "plain").status, 202);
    assert_eq!(paid(&gateway, "/structured", "8").status, 202);
    let events = cluster.events("/default/default");
    assert_eq!(events[0].body, b"{\"n\":1.50e3}");
    assert_eq!(attribute(&events[0], "type").as_deref(), Some("com.acme.paid"));
    assert_eq!(events[0].header("prefer"), None, "nobody would read a reply");
    assert_eq!(events[0].header("content-type"), Some("application/json"));
    assert!(attribute(&events[1], "id").is_some(), "a plain request becomes an event");
    let channel = cluster.events("/channel");
    assert_eq!(attribute(&channel[0], "id").as_deref(), Some("8"));
    assert_eq!(channel[0].header("ce-id"), None);
}

#[test]
fn a_reply_is_a_200_that_was_asked_for_and_nothing_else() {
    const REPLY: &[&str] =
        &["ce-specversion: 1.0", "ce-id: r", "ce-source: /b", "ce-type: com.acme.billed"];
    let (cluster, web) = (Cluster::start(), Peer::echo());
    let gateway = gateway(
        &cluster,
        &web,
        "",
        "  - { name: ask, match: { path: /ask }, to: kn/broker:default, ack: replied }
  - { name: tell, match: { path: /tell }, to: kn/broker:default }
",
    );
    cluster.answers(200, REPLY, "billed");
    let answer = paid(&gateway, "/ask", "1");
    assert_eq!((answer.status, answer.header("gusset-ack")), (200, Some("replied")));
    assert_eq!((answer.text(), answer.header("ce-type")), ("billed", Some("com.acme.billed")));
    cluster.answers(202, REPLY, "billed");
    let answer = paid(&gateway, "/ask", "2");
    assert_eq!((answer.status, answer.header("gusset-ack")), (202, Some("published")));
    assert_eq!(answer.header("ce-type"), None, "202 is never a reply");
    cluster.answers(200, REPLY, "billed");
    let answer = paid(&gateway, "/tell", "3");
    assert_eq!((answer.status, answer.header("ce-type")), (202, None), "it was not asked for");
    let events = cluster.events("/default/default");
    let prefer: Vec<_> = events.iter().map(|seen| seen.header("prefer")).collect();
    assert_eq!(prefer, [Some("reply"), Some("reply"), None]);
}

/// Every row of the contract's table: what the caller is told, and whether the event may have been
/// taken.
#[test]
fn what_a_broker_says_is_told_to_the_caller_by_its_class() {
    let (cluster, web) = (Cluster::start(), Peer::echo());
    let once = "  - { name: tell, match: { path: /tell }, to: kn/broker:default, policy: { retry: { \
                attempts: 1 } } }\n";
    let gateway = gateway(&cluster, &web, "", once);
    for (said, status, code, ran, retry) in [
        (302, 502, "upstream_protocol", "no", "no"),
        (400, 400, "event_refused", "no", "no"),
        (401, 502, "upstream_auth", "no", "no"),
        (403, 502, "upstream_auth", "no", "no"),
        (404, 502, "function_not_deployed", "no", "safe"),
        (408, 504, "timeout", "maybe", "same-id-only"),
        (409, 503, "unavailable", "maybe", "same-id-only"),
        (413, 413, "too_large", "no", "no"),
        (415, 415, "unsupported_media", "no", "no"),
        (422, 422, "event_refused", "no", "no"),
        (429, 503, "throttled", "no", "safe"),
        (500, 502, "function_failed", "maybe", "same-id-only"),
        (503, 503, "unavailable", "maybe", "same-id-only"),
    ] {
        cluster.answers(said, &[], "its inner reasons");
        let problem = paid(&gateway, "/tell", "1").problem(status, code);
        assert_eq!((&problem["ran"], &problem["retry"]), (&ran.into(), &retry.into()), "{said}");
        assert!(!problem.to_string().contains("inner"), "{problem}");
    }
}

#[test]
fn a_stored_event_is_tried_again_where_the_contract_says_so_and_else_is_a_dead_letter() {
    let (cluster, web) = (Cluster::start(), Peer::echo());
    let gateway = gateway(
        &cluster,
        &web,
        "",
        "  - name: keep
    match: { path: /keep }
    to: kn/broker:default
    ack: stored
    delivery: { backoff: { base: 1ms, max: 5ms } }
    dead_letter: kn/channel:dead
",
    );
    let tries = |id: &str| {
        let events = cluster.events("/default/default");
        events.iter().filter(|seen| attribute(seen, "id").as_deref() == Some(id)).count()
    };
    for status in [404, 408, 409, 429, 500, 503, 599] {
        cluster.answers(status, &[], "later");
        let id = format!("again-{status}");
        assert_eq!(paid(&gateway, "/keep", &id).status, 202);
        eventually("it is tried again", || (tries(&id) == 2).then_some(()));
    }
    for status in [302, 400, 401, 403, 405, 410, 422, 425] {
        cluster.answers(status, &[], "why not");
        let id = format!("never-{status}");
        assert_eq!(paid(&gateway, "/keep", &id).status, 202);
        let letter = eventually("it is a dead letter", || {
            let letters = cluster.events("/dead");
            letters.into_iter().find(|seen| attribute(seen, "id").as_deref() == Some(&id))
        });
        assert_eq!(tries(&id), 1, "{status} is not tried again");
        let url = format!("{}/default/default", cluster.peer.url());
        let said = |name| attribute(&letter, name);
        assert_eq!(said("knativeerrordest"), Some(url));
        assert_eq!(said("knativeerrorcode"), Some(status.to_string()));
        assert_eq!(said("knativeerrordata").as_deref(), Some("d2h5IG5vdA=="), "{status}");
        assert_eq!(letter.body, b"{\"n\":1.50e3}");
    }
}

#[test]
fn what_a_service_replies_to_a_stored_event_is_routed_again() {
    let (cluster, web) = (Cluster::start(), Peer::echo());
    let gateway = gateway(
        &cluster,
        &web,
        "",
        "  - { name: paid, match: { event: { type: com.acme.paid } }, to: kn/replier, ack: stored }
  - { name: billed, match: { event: { type: com.acme.billed } }, to: web }
  - { name: late, match: { path: /late }, to: kn/late, ack: stored }
  - { name: ask, match: { path: /ask }, to: kn/replier }
",
    );
    // In 202 it is none, whatever it looks like; where a caller waits it is the caller's.
    assert_eq!(paid(&gateway, "/late", "late").status, 202);
    let answer = paid(&gateway, "/ask", "ask");
    assert_eq!((answer.status, answer.header("ce-id")), (200, Some("reply-to-ask")));
    for id in ["b", "s"] {
        assert_eq!(paid(&gateway, "/events", id).status, 202);
        let seen = eventually("the reply is routed", || {
            let id = format!("reply-to-{id}");
            web.seen().into_iter().find(|seen| seen.header("ce-id") == Some(&id))
        });
        assert_eq!(seen.header("ce-type"), Some("com.acme.billed"));
        assert_eq!(seen.header("ce-knativebrokerttl"), Some("254"));
        assert_eq!(seen.body, if id == "b" { &b"{\"n\":1 }"[..] } else { b"{\"of\":\"s\"}" });
    }
    eventually("all are delivered", || {
        let metrics = gateway.ask_admin("/metrics").text().to_owned();
        let routed = "gusset_replies_total{target=\"kn/replier\",outcome=\"routed\"} 2";
        let late = "gusset_deliveries_total{target=\"kn/late\",outcome=\"delivered\"} 1";
        (metrics.contains(routed) && metrics.contains(late)).then_some(())
    });
    assert_eq!(web.seen().len(), 2, "only replies were routed");
}

#[test]
fn replies_that_go_round_and_round_come_to_an_end() {
    let (cluster, web) = (Cluster::start(), Peer::echo());
    let gateway = gateway(
        &cluster,
        &web,
        "",
        "  - name: loop
    match: { event: { type: com.acme.loop } }
    to: kn/looper
    ack: stored
    dead_letter: kn/channel:dead
",
    );
    let mut head = EVENT.to_vec();
    head[3] = "ce-type: com.acme.loop";
    head.push("ce-knativebrokerttl: 3");
    assert_eq!(gateway.post("/events", &head, "{}").status, 202);
    let letter = eventually("the last is a dead letter", || cluster.events("/dead").pop());
    assert_eq!(attribute(&letter, "gussetclass").as_deref(), Some("reply_loop"));
    let calls = cluster.calls("looper");
    let lives: Vec<_> = calls.iter().map(|seen| seen.header("ce-knativebrokerttl")).collect();
    assert_eq!(lives, [Some("3"), Some("2"), Some("1")]);
}

/// A receiver that is built with another SDK reads what the gateway writes, and the other way round.
#[test]
fn a_receiver_of_another_sdk_takes_events_and_is_understood() {
    let Some(receiver) = Python::start("receiver.py", &[]) else { return };
    let web = Peer::echo();
    let (url, web_url) = (receiver.url(), web.url());
    let gateway = Gateway::start(&format!(
        "upstreams:
  web: {{ kind: http, url: {web_url} }}
  kn: {{ kind: knative, services: {{ py: {url} }}, brokers: {{ py: {url} }} }}
routes:
  - {{ name: tell, match: {{ path: /tell }}, to: kn/broker:py }}
  - {{ name: tell-it, match: {{ path: /tell-it }}, to: kn/broker:py, format: structured }}
  - {{ name: ask, match: {{ path: /ask }}, to: kn/broker:py, ack: replied, reply_format: plain }}
  - {{ name: in, match: {{ event: {{ type: com.acme.in.* }} }}, to: kn/py, ack: stored }}
  - {{ name: out, match: {{ event: {{ type: com.acme.received }} }}, to: web }}
"
    ));
    ready(&gateway);
    for path in ["/tell", "/tell-it"] {
        let mut head = EVENT.to_vec();
        head.push("ce-subject: J%C3%BCrgen %22x%22");
        assert_eq!(gateway.post(path, &head, "{\"n\":1}").status, 202, "{path}");
    }
    let answer = paid(&gateway, "/ask", "1");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["data"]["n"], 1.5e3);
    for (id, mode) in [("1", "binary"), ("2", "structured")] {
        let mut head = EVENT.map(str::to_owned);
        head[1] = format!("ce-id: {id}");
        head[3] = format!("ce-type: com.acme.in.{mode}");
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        assert_eq!(gateway.post("/events", &head, "{\"n\":1}").status, 202);
        let seen = eventually("the reply is routed", || {
            let id = format!("reply-to-{id}");
            web.seen().into_iter().find(|seen| seen.header("ce-id") == Some(&id))
        });
        let data: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(
            (&data["type"], &data["data"]["n"]),
            (&format!("com.acme.in.{mode}").into(), &1.into())
        );
        assert_eq!(seen.header("ce-subject"), Some("none"));
    }
}
