use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::assert_told_apart;
use crate::support::{
    Gateway,
    azure::{HOST_KEY, Host, MASTER_KEY, OWN_KEY},
};

fn gateway(host: &Host) -> Gateway {
    let text = format!(
        "version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstreams:
  az:
    kind: azure-functions
    url: {}
    key: {{ file: host-key }}
    keys: {{ own: {{ file: own-key }} }}
    master_key: {{ file: master-key }}
policies: {{ default: {{ limits: {{ body: 200MiB }} }} }}
routes:
  - {{ name: call, match: {{ path: \"/call/{{f}}\" }}, rewrite: {{ path: / }}, to: \"az/{{f}}\", allow: [\"*\"] }}
  - {{ name: deep, match: {{ prefix: /deep }}, strip_prefix: true, to: az/resize }}
",
        host.peer.url()
    );
    Gateway::run_with(&text, |folder| {
        for (file, key) in
            [("host-key", HOST_KEY), ("own-key", OWN_KEY), ("master-key", MASTER_KEY)]
        {
            std::fs::write(folder.join(file), key).unwrap();
        }
    })
}

#[test]
fn the_key_goes_in_a_header_and_the_callers_query_stays_whole() {
    let host = Host::start();
    let gateway = gateway(&host);
    let answer = gateway.post("/call/resize?code=mine&w=1", &["X-Functions-Key: forged"], "hi");
    assert_eq!((answer.status, answer.text()), (200, "hi"));
    gateway.get("/deep/a/b?c");
    assert_eq!(gateway.get("/call/own").status, 200);
    let seen = host.peer.seen();
    assert_eq!(seen[0].target(), "/api/resize?code=mine&w=1");
    assert_eq!(seen[0].head.all("x-functions-key"), [HOST_KEY]);
    assert_eq!(seen[1].target(), "/api/resize/a/b?c");
    assert_eq!(seen[2].header("x-functions-key"), Some(OWN_KEY));
}

#[test]
fn what_the_host_says_is_not_taken_for_the_functions_words() {
    let host = Host::start();
    let gateway = gateway(&host);
    assert_told_apart(
        &gateway,
        &[
            ("locked", 502, "upstream_auth", "no"),
            ("gone", 502, "function_not_deployed", "no"),
            ("off", 502, "function_not_deployed", "no"),
            ("busy", 503, "throttled", "no"),
            ("crash", 502, "function_failed", "maybe"),
            ("down", 503, "unavailable", "no"),
        ],
    );
    assert_eq!(gateway.get("/call/nothing").status, 404, "a function's own answer");
    let started = gateway.post("/call/starter", &[], "x");
    assert_eq!(started.status, 202);
    assert!(started.header("location").unwrap().starts_with("/runtime/webhooks"));
}

#[test]
fn a_key_that_changes_under_load_costs_no_call() {
    let host = Host::start();
    let gateway = gateway(&host);
    let (done, failed) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = gateway.client();
                while !done.load(Ordering::Relaxed) {
                    let request =
                        "POST /call/resize HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx";
                    if client.round_trip(request).status != 200 {
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        for round in 0..5 {
            // The new key is good before it is written, in one step, and the old one until then.
            let key = "k".repeat(10 + round);
            host.add_key(&key);
            let (new, file) = ("new-key", "host-key");
            std::fs::write(gateway.folder().join(new), &key).unwrap();
            std::fs::rename(gateway.folder().join(new), gateway.folder().join(file)).unwrap();
            host.forget_old_keys();
            let before = host.peer.seen().len();
            crate::support::eventually("calls go on", || {
                (host.peer.seen().len() > before + 50).then_some(())
            });
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(!failed.load(Ordering::Relaxed), "a call has failed although there was a good key");
}

#[test]
fn a_body_over_the_hosts_limit_is_refused_and_not_sent() {
    let host = Host::start();
    let gateway = gateway(&host);
    let answer = gateway
        .send("POST /call/resize HTTP/1.1\r\nHost: a.test\r\nContent-Length: 104857601\r\n\r\nx");
    answer.problem(413, "too_large");
    assert!(host.peer.seen().is_empty() && host.peer.connections() == 0);
}

#[test]
fn what_the_app_has_is_listed_to_the_master_key() {
    let host = Host::start();
    let gateway = gateway(&host);
    let listed = gateway.gusset(&["functions", "az", "-o", "json"]).ends(0);
    let all: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(all[1]["address"], "az/off");
    assert_eq!(all[1]["state"], "disabled");
    assert_eq!(all[2]["about"], "node httpTrigger");
    assert_eq!(gateway.gusset(&["invoke", "az/resize", "-d", "hi"]).ends(0).out.trim_end(), "hi");
}
