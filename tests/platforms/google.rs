use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{assert_told_apart, revoked_under_load};
use crate::support::{
    Gateway, eventually,
    gateway::HEAD,
    google::{CALLER, Cloud},
    python::Python,
};

/// A gateway in front of a cloud, with these fields of the upstream beside its functions.
fn config(cloud: &Cloud, fields: &str) -> String {
    format!(
        "{HEAD}upstreams:
  gcp:
    kind: google-functions
    functions: {}
{fields}
policies: {{ default: {{ limits: {{ body: 100MiB }} }} }}
routes:
  - {{ name: call, match: {{ path: \"/call/{{f}}\" }}, rewrite: {{ path: / }}, to: \"gcp/{{f}}\", allow: [\"*\"] }}
  - {{ name: deep, match: {{ prefix: /deep }}, strip_prefix: true, to: gcp/echo }}
",
        cloud.functions()
    )
}

const KEY: &str = "    credentials: { file: key.json }\n";

fn gateway(cloud: &Cloud, fields: &str) -> Gateway {
    Gateway::run_with(&config(cloud, fields), |folder| {
        std::fs::write(folder.join("key.json"), cloud.key_file()).unwrap();
    })
}

#[test]
fn a_function_is_called_with_a_token_that_is_for_it_and_kept() {
    let cloud = Cloud::start();
    let gateway = gateway(&cloud, KEY);
    for _ in 0..5 {
        let answer = gateway.post("/call/echo?a=b", &["X-Own: 1"], "hi");
        assert_eq!((answer.status, answer.text()), (200, "hi"));
    }
    gateway.get("/deep/a%20b?c=d");
    assert_eq!(gateway.post("/call/teapot", &[], "x").text(), "its own words");
    let seen = cloud.front.seen();
    assert_eq!((seen[0].target(), seen[0].header("x-own")), ("/echo/?a=b", Some("1")));
    assert_eq!(seen[5].target(), "/echo/a%20b?c=d");
    assert_eq!(cloud.refused(), 0);
    let cores = thread::available_parallelism().unwrap().get();
    assert!(cloud.minted() <= 2 * cores, "{} tokens for two functions", cloud.minted());
}

#[test]
fn the_callers_own_authorization_passes_beside_the_gateways_and_none_is_forged() {
    let cloud = Cloud::start();
    let gateway = gateway(&cloud, KEY);
    let own = ["Authorization: Bearer of-the-caller", "X-Serverless-Authorization: Bearer forged"];
    assert_eq!(gateway.post("/call/echo", &own, "hi").status, 200);
    assert_eq!(gateway.post("/call/echo", &own[1..], "hi").status, 200);
    let seen = cloud.front.seen();
    assert_eq!(seen[0].head.all("authorization"), ["Bearer of-the-caller"]);
    assert!(seen[0].header("x-serverless-authorization").unwrap().starts_with("Bearer e30."));
    assert!(seen[1].header("authorization").unwrap().starts_with("Bearer e30."));
    assert_eq!(seen[1].header("x-serverless-authorization"), None);
}

#[test]
fn tokens_come_from_the_metadata_server_and_in_the_name_of_another_account() {
    let cloud = Cloud::start();
    let at = format!("{{ account: {CALLER}, url: \"{}\" }}", cloud.mint.url());
    for fields in [
        "",
        "    credentials: metadata\n",
        &format!("    impersonate: {at}\n"),
        &format!("{KEY}    impersonate: {at}\n"),
    ] {
        let host = cloud.mint.address().to_string();
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key.json");
        std::fs::write(&key, cloud.key_file()).unwrap();
        let text = config(&cloud, fields).replace("key.json", key.to_str().unwrap());
        let gateway = Gateway::run_knowing(&text, &[("GCE_METADATA_HOST", &host)]);
        let answer = gateway.post("/call/echo", &[], "hi");
        assert_eq!((answer.status, answer.text()), (200, "hi"), "{fields}");
    }
    assert_eq!(cloud.refused(), 0);
    let asked = cloud.mint.seen();
    let asked = |part: &str| asked.iter().filter(|seen| seen.target().contains(part)).count();
    let counts = ["/identity?", "/default/token", ":generateIdToken", "/token"].map(asked);
    assert_eq!(counts, [2, 1, 2, 2]);
}

#[test]
fn tokens_that_are_refused_under_load_cost_no_call_and_one_refresh_each() {
    let cloud = Cloud::start();
    let gateway = gateway(&cloud, KEY);
    revoked_under_load(&gateway, &cloud.front, || cloud.revoke(), || cloud.minted());
}

#[test]
fn a_token_is_followed_by_another_before_it_ends() {
    let cloud = Cloud::start();
    cloud.mint_for(3);
    let gateway = gateway(&cloud, KEY);
    let from = Instant::now();
    while from.elapsed() < Duration::from_secs(5) {
        assert_eq!(gateway.post("/call/echo", &[], "x").status, 200);
    }
    assert!(cloud.minted() >= 2, "it had to be followed");
    assert_eq!(cloud.refused(), 0, "none was used after its end");
}

#[test]
fn a_clock_that_is_wrong_costs_no_call() {
    let cloud = Cloud::start();
    cloud.put_ahead(2 * 3600);
    let gateway = gateway(&cloud, KEY);
    for _ in 0..3 {
        assert_eq!(gateway.post("/call/echo", &[], "x").status, 200);
    }
    assert_eq!(cloud.refused(), 0);
}

#[test]
fn what_the_front_says_is_not_taken_for_the_functions_words() {
    let cloud = Cloud::start();
    let gateway = gateway(&cloud, KEY);
    assert_told_apart(
        &gateway,
        &[
            ("crash", 502, "function_failed", "maybe"),
            ("forbidden", 502, "upstream_auth", "no"),
            ("busy", 503, "throttled", "no"),
            ("slow", 504, "timeout", "maybe"),
            ("down", 503, "unavailable", "maybe"),
            ("gone", 502, "function_not_deployed", "no"),
        ],
    );
}

#[test]
fn credentials_that_are_none_are_the_gateways_fault_and_are_not_shown() {
    let cloud = Cloud::start();
    let gateway = gateway(&cloud, KEY);
    for text in ["hunter2", &cloud.key_file().replace("k1", "k2").replace("PRIVATE", "HUNTER2")] {
        std::fs::write(gateway.folder().join("key.json"), text).unwrap();
        let answer = gateway.post("/call/echo", &[], "x");
        assert_eq!(answer.problem(502, "upstream_auth")["ran"], "no");
        assert!(!answer.text().contains("hunter2") && !answer.text().contains(CALLER));
    }
    std::fs::write(gateway.folder().join("key.json"), cloud.key_file().replace("k1", "k2"))
        .unwrap();
    gateway.post("/call/echo", &[], "x").problem(502, "upstream_auth");
    let said = [gateway.stderr(), gateway.stdout()].concat().join("\n");
    assert!(!said.to_lowercase().contains("hunter2") && !said.contains("MII"), "{said}");
    // The right key is read once it is there.
    std::fs::write(gateway.folder().join("key.json"), cloud.key_file()).unwrap();
    eventually("the key is read again", || {
        (gateway.post("/call/echo", &[], "x").status == 200).then_some(())
    });
    assert_eq!(cloud.front.seen().len(), 1);
}

#[test]
fn what_is_no_event_or_too_large_is_refused_and_not_sent() {
    let cloud = Cloud::start();
    let gateway = gateway(&cloud, KEY);
    let json = ["Content-Type: application/cloudevents+json"];
    let broken = gateway.post("/call/echo", &json, r#"{"specversion":"1.0","source":"/s"}"#);
    assert_eq!(broken.status, 400, "{}", broken.text());
    let whole = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":1.50e3}}"#;
    let many = ["Content-Type: application/cloudevents-batch+json"];
    gateway.post("/call/echo", &many, format!("[{whole}]")).problem(415, "batch_needs_async");
    let head = ["ce-specversion: 1.0", "ce-type: t", "ce-source: /s"];
    assert_eq!(gateway.post("/call/echo", &head, "no id").status, 400);
    gateway
        .send("POST /call/echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 33554433\r\n\r\nx")
        .problem(413, "too_large");
    assert!(cloud.front.seen().is_empty());
    assert!(gateway.post("/call/echo", &json, whole).text().contains("1.50e3"));
}

#[test]
fn a_function_is_called_by_the_command() {
    let cloud = Cloud::start();
    let gateway = gateway(&cloud, KEY);
    assert_eq!(gateway.gusset(&["invoke", "gcp/echo", "-d", "hi"]).ends(0).out.trim_end(), "hi");
    let listed = gateway.gusset(&["functions", "gcp"]).ends(1);
    assert!(listed.err.contains("`project` and `region`"), "{}", listed.err);
}

/// The fields by which a project of the cloud is listed.
fn project(cloud: &Cloud, name: &str) -> String {
    let endpoint = cloud.mint.url();
    format!("    project: {name}\n    region: europe-west1\n    endpoint: \"{endpoint}\"\n")
}

#[test]
fn a_projects_functions_and_services_are_listed_page_by_page() {
    let cloud = Cloud::start();
    let at = format!("{{ account: {CALLER}, url: \"{}\" }}", cloud.mint.url());
    let host = cloud.mint.address().to_string();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.json");
    std::fs::write(&key, cloud.key_file()).unwrap();
    for who in ["", KEY, &format!("{KEY}    impersonate: {at}\n")] {
        let fields = format!("{}{who}", project(&cloud, "shop"));
        let text = config(&cloud, &fields).replace("key.json", key.to_str().unwrap());
        let gateway = Gateway::run_knowing(&text, &[("GCE_METADATA_HOST", &host)]);
        let listed = gateway.gusset(&["functions", "gcp", "-o", "json"]).ends(0);
        let all: Value = serde_json::from_str(&listed.out).unwrap();
        let field = |name: &str| -> Vec<&str> {
            all.as_array().unwrap().iter().map(|one| one[name].as_str().unwrap()).collect()
        };
        assert_eq!(field("address"), ["gcp/echo", "gcp/old", "gcp/resize", "gcp/web"], "{who}");
        let states = ["CONDITION_SUCCEEDED", "FAILED", "ACTIVE", "CONDITION_FAILED"];
        assert_eq!(field("state"), states);
        assert_eq!(
            field("about")[2..],
            ["nodejs22 https://resize-x.a.run.app", "service https://web-x.a.run.app"]
        );
    }
    let asked = cloud.mint.seen();
    let shown = asked.iter().filter(|seen| seen.target().starts_with("/v2/"));
    let shown: Vec<_> = shown.map(|seen| seen.header("authorization").unwrap()).collect();
    let (machine, key, caller) = ("Bearer ya29.machine", "Bearer ya29.key", "Bearer ya29.caller");
    assert_eq!(shown, [[machine; 3], [key; 3], [caller; 3]].concat());
}

#[test]
fn a_list_that_is_not_given_says_what_to_do() {
    let cloud = Cloud::start();
    let list = |fields: &str| {
        let gateway = gateway(&cloud, fields);
        gateway.gusset(&["functions", "gcp"])
    };
    let of = |name| format!("{}{KEY}", project(&cloud, name));
    let forbidden = list(&of("forbidden")).ends(1);
    assert!(forbidden.err.contains("roles/cloudfunctions.viewer"), "{}", forbidden.err);
    let empty = list(&of("empty")).ends(1);
    assert!(empty.err.contains("enable one of the two APIs"), "{}", empty.err);
    let far = list(&of("far")).ends(1);
    assert!(far.err.contains("cannot be listed now"), "{}", far.err);
    let nobody = list(&format!("{}    auth: none\n", project(&cloud, "shop"))).ends(1);
    assert!(nobody.err.contains("`auth: none`"), "{}", nobody.err);
    // Who does not use Cloud Functions has services all the same.
    let bare = list(&of("bare")).ends(0);
    assert!(bare.out.contains("gcp/web") && !bare.out.contains("gcp/old"), "{}", bare.out);
}

/// Functions in the framework that Google runs them in, in Python.
#[test]
fn functions_of_googles_own_framework_are_called_with_requests_and_with_events() {
    let Some(plain) = Python::start("functions.py", &["plain", "http"]) else { return };
    let Some(events) = Python::start("functions.py", &["on_event", "cloudevent"]) else { return };
    let gateway = Gateway::start(&format!(
        "upstreams:
  gcp: {{ kind: google-functions, functions: {{ plain: {}, events: {} }}, auth: none }}
routes:
  - {{ name: plain, match: {{ prefix: /plain }}, strip_prefix: true, to: gcp/plain }}
  - {{ name: events, match: {{ path: /events-in }}, rewrite: {{ path: / }}, to: gcp/events }}
  - {{ name: structured, match: {{ path: /structured }}, rewrite: {{ path: / }}, to: gcp/events, format: structured }}
",
        plain.url(),
        events.url()
    ));
    let answer = gateway.post("/plain/a/b?c=d", &["X-Own: 1"], "hi");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let expected: Value = serde_json::json!({"path": "/a/b", "c": "d", "own": "1", "body": "hi"});
    assert_eq!(answer.json(), expected);
    let crash = gateway.post("/plain/crash", &[], "").problem(502, "function_failed");
    assert_eq!(crash["ran"], "maybe");
    for path in ["/events-in", "/structured"] {
        let head = [
            "ce-specversion: 1.0",
            "ce-id: 7",
            "ce-source: /shop",
            "ce-type: com.acme.paid",
            "Content-Type: application/json",
        ];
        let answer = gateway.post(path, &head, "{\"n\":1}");
        assert_eq!((answer.status, answer.text()), (200, "OK"), "{path}");
        let fails = gateway.post(path, &head, "{\"n\":-1}");
        fails.problem(502, "function_failed");
    }
}
