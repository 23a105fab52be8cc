use super::{assert_told_apart, go_on, under_load};
use crate::support::{
    Gateway,
    azure::{HOST_KEY, Host, MASTER_KEY, OWN_KEY, SYSTEM_KEY},
    eventually,
};

fn gateway(host: &Host) -> Gateway {
    let text = format!(
        "version: 1
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstreams:
  az:
    kind: azure-functions
    url: {0}
    key: {{ file: host-key }}
    keys: {{ Own: {{ file: own-key }} }}
    master_key: {{ file: master-key }}
  durable: {{ kind: azure-functions, url: {0}, key: {{ file: host-key }}, follow: true }}
policies: {{ default: {{ limits: {{ body: 200MiB }} }} }}
routes:
  - {{ name: call, match: {{ path: \"/call/{{f}}\" }}, rewrite: {{ path: / }}, to: \"az/{{f}}\", allow: [\"*\"] }}
  - {{ name: deep, match: {{ prefix: /deep }}, strip_prefix: true, to: az/resize }}
  - {{ name: follow, match: {{ path: /follow }}, rewrite: {{ path: / }}, to: durable/orchestrate, policy: {{ timeout: 5s }} }}
  - {{ name: later, match: {{ path: /later }}, rewrite: {{ path: / }}, to: durable/orchestrate, ack: stored, delivery: {{ on_maybe: dead_letter }} }}
  - {{ name: start, match: {{ path: \"/start/{{f}}\" }}, to: \"az/{{f}}\", allow: [\"*\"], ack: published }}
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
    under_load(&gateway, "/call/resize", || {
        for round in 0..5 {
            // The new key is good before it is written, in one step, and the old one until then.
            let key = "k".repeat(10 + round);
            host.add_key(&key);
            let (new, file) = ("new-key", "host-key");
            std::fs::write(gateway.folder().join(new), &key).unwrap();
            std::fs::rename(gateway.folder().join(new), gateway.folder().join(file)).unwrap();
            host.forget_old_keys();
            go_on(&host.peer, 50);
        }
    });
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

/// How often it was asked how the orchestrations of this fate stand, or all for no fate.
fn looks(host: &Host, fate: &str) -> usize {
    let place = format!("/runtime/webhooks/durabletask/instances/{fate}");
    host.peer.seen().iter().filter(|seen| seen.target().starts_with(&place)).count()
}

#[test]
fn a_durable_function_is_followed_to_what_it_comes_to() {
    let host = Host::start();
    let gateway = gateway(&host);
    for fate in ["done", "bare", "flaky"] {
        let answer = gateway.post("/follow", &[], fate);
        assert_eq!((answer.status, answer.text()), (200, r#"{"resized":3}"#), "{fate}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("location"), None, "it holds a key of the app");
    }
    assert_eq!(looks(&host, ""), 6);
    let seen = host.peer.seen();
    let mut asked = seen.iter().filter(|seen| seen.method() == "GET");
    assert!(asked.all(|seen| seen.header("x-functions-key").is_none()), "the other key would win");
    // Any other answer than a starter's is the function's own.
    assert_eq!(gateway.post("/call/resize", &[], "hi").text(), "hi");
}

#[test]
fn an_orchestration_that_does_not_do_well_is_no_success_and_shows_nothing_of_itself() {
    let host = Host::start();
    let gateway = gateway(&host);
    for (fate, code) in [
        ("failed", "function_failed"),
        ("failed-500", "function_failed"),
        ("terminated", "function_failed"),
        ("gone", "upstream_protocol"),
        ("locked", "upstream_auth"),
    ] {
        let answer = gateway.post("/follow", &[], fate);
        let problem = answer.problem(502, code);
        assert_eq!(problem["ran"], "maybe", "{fate}");
        assert!(!answer.text().contains("hunter"), "{}", answer.text());
        let record = gateway.record(problem["request_id"].as_str().unwrap()).to_string();
        assert!(!record.contains(SYSTEM_KEY) && !record.contains("durabletask"), "{record}");
        // Why it failed, whoever runs the gateway may read, and what stands below that nobody.
        assert_eq!(record.contains("hunter3"), code == "function_failed", "{record}");
        assert!(!record.contains("at y"), "{record}");
    }
    let said = gateway.stderr().join("\n");
    assert!(!said.contains(SYSTEM_KEY) && !said.contains("durabletask"), "{said}");
}

#[test]
fn a_place_that_is_not_the_apps_own_is_not_asked() {
    let host = Host::start();
    let gateway = gateway(&host);
    let answer = gateway.post("/follow", &[], "elsewhere");
    assert_eq!(answer.status, 202);
    assert!(answer.header("location").unwrap().starts_with("http://other.test/"));
    assert_eq!(looks(&host, ""), 0);
}

#[test]
fn an_orchestration_is_not_asked_for_once_nobody_waits() {
    let host = Host::start();
    let gateway = gateway(&host);
    let late = gateway.post("/follow", &[], "endless").problem(504, "timeout");
    assert_eq!(late["ran"], "maybe");
    assert!(late["detail"].as_str().unwrap().contains("runs on"), "{late}");
    let before = looks(&host, "endless");
    assert!(before >= 3, "it was asked for {before} times");
    let mut client = gateway.client();
    client.send("POST /follow HTTP/1.1\r\nHost: a.test\r\nContent-Length: 7\r\n\r\nendless");
    eventually("it is asked for", || (looks(&host, "endless") > before).then_some(()));
    drop(client);
    let left = looks(&host, "endless");
    // Another takes as long as it would take to ask for the first twice.
    assert_eq!(gateway.post("/follow", &[], "done").status, 200);
    assert_eq!(looks(&host, "endless"), left, "it is asked for yet");
}

#[test]
fn a_stored_event_is_delivered_when_its_orchestration_is_done() {
    let host = Host::start();
    let gateway = gateway(&host);
    assert_eq!(gateway.post("/later", &[], "done").status, 202);
    eventually("it is done", || (looks(&host, "done") == 2).then_some(()));
    assert_eq!(gateway.post("/later", &[], "failed").status, 202);
    let dead = "gusset_outbox_dead_letters";
    eventually("the other is a dead letter", || (gateway.metric(dead) == 1).then_some(()));
}

#[test]
fn a_function_of_any_trigger_is_started_with_the_master_key() {
    let host = Host::start();
    let gateway = gateway(&host);
    let caller = ["X-Own: 1", "X-Functions-Key: forged"];
    let started = gateway.post("/start/off?a=b", &caller, "go\n");
    assert_eq!(started.status, 202);
    let receipt = started.json();
    assert_eq!((&receipt["ack"], &receipt["guarantee"]), (&"published".into(), &"none".into()));
    assert_eq!(receipt["receipt"]["function"], "off");
    let event = ["ce-specversion: 1.0", "ce-id: 7", "ce-source: /shop", "ce-type: paid"];
    assert_eq!(gateway.post("/start/resize", &event, "hi").status, 202);
    let seen = host.peer.seen();
    assert_eq!((seen[0].method(), seen[0].target()), ("POST", "/admin/functions/off"));
    assert_eq!(seen[0].body, br#"{"input":"go\n"}"#);
    assert_eq!(seen[0].head.all("x-functions-key"), [MASTER_KEY]);
    assert_eq!(seen[0].header("x-own"), None);
    let document: serde_json::Value = serde_json::from_slice(&seen[1].body).unwrap();
    let event: serde_json::Value =
        serde_json::from_str(document["input"].as_str().unwrap()).unwrap();
    assert_eq!((&event["id"], &event["type"]), (&"7".into(), &"paid".into()));
}

#[test]
fn a_function_that_is_not_started_is_told_from_one_that_is() {
    let host = Host::start();
    let gateway = gateway(&host);
    gateway.post("/start/gone", &[], "x").problem(502, "function_not_deployed");
    gateway.post("/start/down", &[], "x").problem(503, "unavailable");
    let before = host.peer.seen().len();
    gateway.post("/start/resize", &[], b"\xff\xfe").problem(415, "unsupported_media");
    assert_eq!(host.peer.seen().len(), before, "what is no text is not sent");
    std::fs::write(gateway.folder().join("master-key"), "another").unwrap();
    eventually("the key is read again", || {
        let answer = gateway.post("/start/resize", &[], "x");
        (answer.status == 502).then(|| answer.problem(502, "upstream_auth"))
    });
}
