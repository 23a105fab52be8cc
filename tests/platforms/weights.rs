use std::thread;

use crate::support::{
    Gateway,
    azure::{HOST_KEY, Host},
    faas,
    knative::{Cluster, DOMAIN},
};

/// How many requests, and how many callers send them.
const REQUESTS: usize = 3000;
const CALLERS: usize = 4;

#[test]
fn each_kind_gets_its_share_of_a_route_and_each_in_its_own_protocol() {
    let (platform, host, cluster) = (faas::start(), Host::start(), Cluster::start());
    let text = format!(
        "version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstreams:
  faas: {{ kind: openfaas, url: {} }}
  az: {{ kind: azure-functions, url: {}, key: {{ file: key }} }}
  kn: {{ kind: knative, ingress: {}, domain: {DOMAIN} }}
routes:
  - name: all
    match: {{ path: /all }}
    rewrite: {{ path: / }}
    to: [{{ to: faas/nodeinfo, weight: 50 }}, {{ to: az/resize, weight: 30 }}, {{ to: kn/hello, weight: 20 }}]
",
        platform.url(),
        host.peer.url(),
        cluster.peer.url()
    );
    let gateway =
        Gateway::run_with(&text, |folder| std::fs::write(folder.join("key"), HOST_KEY).unwrap());
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                let mut client = gateway.client();
                for _ in 0..REQUESTS / CALLERS {
                    let answer = client.round_trip(
                        "POST /all?a=b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi",
                    );
                    assert_eq!((answer.status, answer.text()), (200, "hi"));
                }
            });
        }
    });
    let (faas, azure, knative) = (platform.seen(), host.peer.seen(), cluster.peer.seen());
    for (kind, seen, percent) in [("faas", &faas, 50), ("az", &azure, 30), ("kn", &knative, 20)] {
        let off = seen.len().abs_diff(REQUESTS * percent / 100);
        assert!(off <= REQUESTS / 100, "{kind} got {} of {REQUESTS}", seen.len());
    }
    assert!(faas.iter().all(|seen| seen.target() == "/function/nodeinfo?a=b"));
    let keyed =
        |seen: &crate::support::peer::Seen| seen.header("x-functions-key") == Some(HOST_KEY);
    assert!(azure.iter().all(|seen| seen.target() == "/api/resize?a=b" && keyed(seen)));
    let by_host = format!("hello.default.{DOMAIN}");
    assert!(
        knative.iter().all(|seen| {
            seen.target() == "/?a=b" && seen.header("host") == Some(by_host.as_str())
        })
    );
}
