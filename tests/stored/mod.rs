//! Events that are stored before the caller is told: what a 202 says is so, whatever happens.

mod admin;
mod answering;
mod delivering;
mod full_disk;
mod identity;
mod ordering;
mod replay;
mod topics;
mod waiting;

use serde_json::Value;

use crate::support::{Gateway, eventually};

/// A gateway with these routes and an upstream `web` at this URL.
fn gateway(web: &str, routes: &str) -> Gateway {
    start(&format!("upstreams:\n  web: {{ kind: http, url: \"{web}\" }}\nroutes:\n{routes}"))
}

/// A gateway with this configuration, once its outbox has been read.
fn start(rest: &str) -> Gateway {
    let gateway = Gateway::start(rest);
    await_metric(&gateway, "gusset_outbox_ready", 1);
    gateway
}

/// An event in binary mode.
fn event(id: &str) -> [String; 4] {
    [
        "ce-specversion: 1.0".to_owned(),
        "ce-source: /orders".to_owned(),
        "ce-type: com.acme.paid".to_owned(),
        format!("ce-id: {id}"),
    ]
}

/// Stores an event and gives back its receipt.
#[track_caller]
fn store(gateway: &Gateway, path: &str, id: &str, body: &str) -> Value {
    let headers = event(id);
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let answer = gateway.post(path, &headers, body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()
}

/// Waits until a metric has a value.
fn await_metric(gateway: &Gateway, line: &str, value: u64) {
    eventually(line, || (gateway.metric(line) == value).then_some(()));
}
