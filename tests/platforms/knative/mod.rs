mod events;

use std::thread;

use crate::support::{
    Answer, Gateway, Peer, eventually,
    knative::{Cluster, DOMAIN},
};

/// A gateway in front of a cluster, whose events go on to `web`.
fn gateway(cluster: &Cluster, web: &Peer, upstream: &str, routes: &str) -> Gateway {
    let (url, web) = (cluster.peer.url(), web.url());
    let gateway = Gateway::start(&format!(
        "upstreams:
  web: {{ kind: http, url: {web} }}
  kn:
    kind: knative
    ingress: {url}
    domain: {DOMAIN}
    services: {{ direct: {url}/base }}
    brokers: {{ default: {url}/default/default, audit: {url}/default/audit }}
    channels: {{ orders: {url}/channel, dead: {url}/dead }}
{upstream}
policies: {{ default: {{ timeout: 20s, try_timeout: 20s }} }}
routes:
  - {{ name: call, match: {{ path: \"/call/{{f}}\" }}, rewrite: {{ path: / }}, to: \"kn/{{f}}\", allow: [\"*\"] }}
{routes}"
    ));
    ready(&gateway);
    gateway
}

/// Waits until events can be stored, where anything stores them.
fn ready(gateway: &Gateway) {
    eventually("its outbox is ready", || {
        let metrics = gateway.ask_admin("/metrics");
        (!metrics.text().contains("gusset_outbox_ready 0")).then_some(())
    });
}

const EVENT: [&str; 5] = [
    "ce-specversion: 1.0",
    "ce-id: 7",
    "ce-source: /shop",
    "ce-type: com.acme.paid",
    "Content-Type: application/json",
];

fn paid(gateway: &Gateway, path: &str, id: &str) -> Answer {
    let id = format!("ce-id: {id}");
    let mut head = EVENT;
    head[1] = &id;
    gateway.post(path, &head, "{\"n\":1.50e3}")
}

#[test]
fn a_service_is_found_by_its_host_through_the_ingress_or_by_its_url() {
    let (cluster, web) = (Cluster::start(), Peer::echo());
    let gateway = gateway(
        &cluster,
        &web,
        "",
        "  - { name: deep, match: { prefix: /deep }, strip_prefix: true, to: kn/hello }
  - { name: other, match: { path: /other }, to: kn/hello.shop }
  - { name: direct, match: { prefix: /direct }, strip_prefix: true, to: kn/direct }
",
    );
    let answer = gateway.post("/deep/a%20b?c=d", &["X-Own: 1"], "hi");
    assert_eq!((answer.status, answer.text()), (200, "hi"));
    gateway.get("/other").problem(502, "function_not_deployed");
    gateway.get("/direct/x");
    let seen = cluster.peer.seen();
    let host = |name: &str| Some(format!("{name}.{DOMAIN}"));
    assert_eq!(seen[0].target(), "/a%20b?c=d");
    assert_eq!(seen[0].header("host").map(str::to_owned), host("hello.default"));
    assert_eq!((seen[0].method(), seen[0].header("x-own")), ("POST", Some("1")));
    assert_eq!(seen[0].header("prefer"), None, "a plain request has no reply that is an event");
    assert_eq!(seen[1].header("host").map(str::to_owned), host("hello.shop"));
    assert_eq!(seen[2].target(), "/base/x");
    assert_eq!(seen[2].header("host"), Some(cluster.peer.address().to_string().as_str()));
}

#[test]
fn callers_do_not_speak_to_the_parts_of_the_platform_and_the_route_may() {
    let (cluster, web) = (Cluster::start(), Peer::echo());
    let gateway = gateway(
        &cluster,
        &web,
        "",
        "  - name: tagged
    match: { path: /tagged }
    to: kn/hello
    headers: { request: { set: { Knative-Serving-Tag: canary } } }
",
    );
    let forged = [
        "K-Network-Probe: queue",
        "k-proxy-request: activator",
        "Knative-Serving-Tag: x",
        "X-K: 1",
    ];
    assert_eq!(gateway.post("/call/hello", &forged, "hi").text(), "hi");
    assert_eq!(gateway.post("/tagged", &forged, "hi").text(), "hi");
    let seen = cluster.calls("hello");
    for name in ["k-network-probe", "k-proxy-request", "knative-serving-tag"] {
        assert_eq!(seen[0].header(name), None, "{name}");
    }
    assert_eq!(seen[0].header("x-k"), Some("1"));
    assert_eq!(seen[1].head.all("knative-serving-tag"), ["canary"]);
}

#[test]
fn what_the_platform_says_is_not_taken_for_the_services_words() {
    let (cluster, web) = (Cluster::start(), Peer::echo());
    let gateway = gateway(&cluster, &web, "", "");
    for (service, status, code, ran) in [
        ("nobody", 502, "function_not_deployed", "no"),
        ("busy", 503, "throttled", "no"),
        ("slow", 504, "timeout", "maybe"),
    ] {
        let answer = gateway.post(&format!("/call/{service}"), &[], "x");
        assert_eq!(answer.problem(status, code)["ran"], ran, "{service}");
        assert_eq!(answer.header("retry-after").is_some(), service == "busy", "{service}");
    }
    let own = gateway.post("/call/teapot", &[], "x");
    assert_eq!((own.status, own.text(), own.header("x-own")), (418, "its own words", Some("1")));
}

#[test]
fn a_cold_start_is_waited_for_and_opens_no_breaker() {
    let (cluster, web) = (Cluster::start(), Peer::echo());
    let breaker = "    breaker: { failures: 10%, min_calls: 1, open: 60s }";
    let gateway = gateway(&cluster, &web, breaker, "");
    thread::scope(|scope| {
        let calls: Vec<_> = (0..6).map(|_| scope.spawn(|| gateway.get("/call/cold"))).collect();
        eventually("the activator holds them all", || {
            (cluster.calls("cold").len() == 6).then_some(())
        });
        assert!(calls.iter().all(|call| !call.is_finished()), "nobody is sent away");
        cluster.warm();
        for call in calls {
            let answer = call.join().unwrap();
            assert_eq!((answer.status, answer.text()), (200, "warm"));
        }
    });
    assert_eq!(gateway.get("/call/cold").status, 200, "the breaker is closed");
}

#[test]
fn what_cannot_be_reached_or_is_no_event_is_refused_before_it_is_sent() {
    let (cluster, web) = (Cluster::start(), Peer::echo());
    let gateway = gateway(&cluster, &web, "", "");
    let check = |to: &str| {
        let text = std::fs::read_to_string(gateway.folder().join("gateway.yaml")).unwrap();
        let route = format!("  - {{ name: bad, match: {{ path: /bad }}, to: {to} }}\n");
        std::fs::write(gateway.folder().join("bad.yaml"), text + &route).unwrap();
        gateway.gusset(&["check", "-c", "bad.yaml"]).ends(1).out
    };
    for (to, said) in [
        ("kn/broker:nobody", "there is no URL of the broker `nobody.default`"),
        ("kn/topic:x", "names no service, broker or channel"),
        ("{ to: kn/broker:default, format: plain }", "takes CloudEvents only here"),
        ("{ to: kn/broker:default, format: auto }", "takes CloudEvents only here"),
    ] {
        let told = check(to);
        assert!(told.contains(said), "{to}: {told}");
    }
    let invoked = gateway.gusset(&["invoke", "kn/broker:default", "-d", "hi"]);
    assert!(invoked.err.contains("takes a CloudEvent"), "{invoked:?}");
    assert_eq!(gateway.gusset(&["invoke", "kn/hello", "-d", "hi"]).ends(0).out.trim_end(), "hi");
    let listed = gateway.gusset(&["functions", "kn"]).ends(1);
    assert!(listed.err.contains("kubectl get ksvc"), "{}", listed.err);
    assert!(cluster.events("/default/default").is_empty());
}
