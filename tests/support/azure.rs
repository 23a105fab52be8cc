//! A stand-in for an Azure Functions host: it knows keys and their levels, and answers as the host
//! and its front do. Its starter `orchestrate` is that of durable functions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::{
    Peer,
    peer::{Exchange, Seen},
};

/// The key of the host, until it is changed.
pub(crate) const HOST_KEY: &str = "hunter2-of-the-host";
/// The key of the function `own` alone.
pub(crate) const OWN_KEY: &str = "hunter2-of-the-function";
/// The key that lists and starts.
pub(crate) const MASTER_KEY: &str = "hunter2-of-the-master";
/// The key that stands in the URLs of orchestrations.
pub(crate) const SYSTEM_KEY: &str = "hunter2-of-the-system";

/// A host, and the keys that it takes for every function, the newest last.
pub(crate) struct Host {
    pub(crate) peer: Peer,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Host {
    pub(crate) fn start() -> Self {
        let keys = Arc::new(Mutex::new(vec![HOST_KEY.to_owned()]));
        let known = Arc::clone(&keys);
        let looks = Mutex::default();
        let peer = Peer::start(move |exchange| {
            let seen = exchange.read();
            let path = seen.target().split('?').next().unwrap().to_owned();
            let shown = seen.header("x-functions-key").unwrap_or_default();
            if let Some(name) = path.strip_prefix("/admin/functions/") {
                return start(exchange, &seen, name);
            }
            if let Some(instance) = path.strip_prefix("/runtime/webhooks/durabletask/instances/") {
                return stands(exchange, &seen, instance, &looks);
            }
            if path == "/admin/functions" {
                match shown == MASTER_KEY {
                    true => exchange.answer(200, &["Content-Type: application/json"], LIST),
                    false => exchange.answer(401, &[], ""),
                }
                return;
            }
            let name = path.strip_prefix("/api/").unwrap_or_default();
            let name = name.split('/').next().unwrap();
            // The host and the master open every function, a function's own key that one.
            let opens = known.lock().unwrap().iter().any(|key| key == shown)
                || shown == MASTER_KEY
                || (name == "own" && shown == OWN_KEY);
            match name {
                "locked" => exchange.answer(401, &[], ""),
                "open" | "nothing" | "off" | "gone" => {
                    let status = if name == "open" { 200 } else { 404 };
                    exchange.answer(status, &[], if status == 200 { "open" } else { "" });
                }
                _ if !opens => exchange.answer(401, &[], ""),
                "teapot" => exchange.answer(500, &["X-Own: 1"], "its own words"),
                "crash" => exchange.answer(500, &[], ""),
                "busy" => exchange.answer(429, &["X-FUNCTION-SCALEOUT: 1"], ""),
                "down" => exchange.answer(503, &[], "Function host is not running."),
                "starter" => {
                    let place = "Location: /runtime/webhooks/durabletask/instances/1?code=x";
                    exchange.answer(202, &[place, "Retry-After: 10"], "{\"id\":\"1\"}");
                }
                "orchestrate" => orchestrate(exchange, &seen),
                _ => exchange.answer(200, &[], seen.body),
            }
        });
        Self { peer, keys }
    }

    /// Takes another key as well from now on.
    pub(crate) fn add_key(&self, key: &str) {
        self.keys.lock().unwrap().push(key.to_owned());
    }

    /// Takes the newest key and no other from now on.
    pub(crate) fn forget_old_keys(&self) {
        let mut keys = self.keys.lock().unwrap();
        let newest = keys.len() - 1;
        keys.drain(..newest);
    }
}

/// What the host's own API starts: functions that it has, by a document with a text in it.
fn start(exchange: &mut Exchange<'_>, seen: &Seen, name: &str) {
    let document: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let json = seen.header("content-type").is_some_and(|media| media == "application/json");
    let status = match () {
        () if seen.header("x-functions-key") != Some(MASTER_KEY) => 401,
        () if seen.method() != "POST" => 405,
        () if !json => 415,
        () if !document["input"].is_string() => 400,
        () if name == "down" => 503,
        () if !LIST.contains(&format!("\"{name}\"")) => 404,
        () => 202,
    };
    exchange.answer(status, &[], if status == 503 { "Function host is not running." } else { "" });
}

/// The answer of a starter. The request's body says what becomes of the orchestration, and how this
/// is told.
fn orchestrate(exchange: &mut Exchange<'_>, seen: &Seen) {
    let fate = str::from_utf8(&seen.body).unwrap();
    let host = if fate == "elsewhere" { "other.test" } else { seen.header("host").unwrap() };
    let place = format!(
        "http://{host}/runtime/webhooks/durabletask/instances/{fate}?taskHub=hub&\
         connection=Storage&code={SYSTEM_KEY}"
    );
    let (json, location) = ("Content-Type: application/json", format!("Location: {place}"));
    let lines = [json, "Retry-After: 1", &location];
    let lines = if fate == "bare" { &lines[..1] } else { &lines };
    exchange.answer(202, lines, json!({"id": fate, "statusQueryGetUri": place}).to_string());
}

/// How an orchestration stands: most run until they are looked at for the second time.
fn stands(
    exchange: &mut Exchange<'_>,
    seen: &Seen,
    fate: &str,
    looks: &Mutex<HashMap<String, u32>>,
) {
    // A key in the header is looked at, and then no other.
    let shown = seen.header("x-functions-key");
    let code = seen.target().split('&').find_map(|pair| pair.strip_prefix("code="));
    if shown.or(code) != Some(SYSTEM_KEY) || fate == "locked" {
        return exchange.answer(401, &[], "");
    }
    let mut looks = looks.lock().unwrap();
    let look = looks.entry(fate.to_owned()).or_default();
    *look += 1;
    let (status, word, output) = match (fate, *look) {
        ("gone", _) => return exchange.answer(404, &[], ""),
        ("flaky", 1) => return exchange.answer(503, &[], "Function host is not running."),
        ("endless", _) | (_, 1) => (202, "Running", Value::Null),
        ("failed", _) => (200, "Failed", json!("Orchestrator function 'x' failed: hunter3\n at y")),
        ("failed-500", _) => (500, "Failed", json!("hunter3")),
        ("terminated", _) => (200, "Terminated", json!("hunter3")),
        _ => (200, "Completed", json!({"resized": 3})),
    };
    let status_line = json!({"instanceId": fate, "runtimeStatus": word, "input": "x",
        "customStatus": null, "output": output, "createdTime": "2020-01-01T00:00:00Z"});
    let json = "Content-Type: application/json; charset=utf-8";
    let (own, again) = (format!("Location: {}", seen.target()), "Retry-After: 1");
    let lines = [json, own.as_str(), again];
    exchange.answer(
        status,
        if status == 202 { &lines } else { &lines[..1] },
        status_line.to_string(),
    );
}

const LIST: &str = r#"[
    {"name":"resize","language":"node","isDisabled":false,"config":{"bindings":[{"type":"httpTrigger","authLevel":"function"},{"type":"http"}]}},
    {"name":"nothing","language":"node","isDisabled":false,"config":{"bindings":[{"type":"httpTrigger"}]}},
    {"name":"off","language":"python","isDisabled":true,"config":{"bindings":[{"type":"timerTrigger"}]}}
]"#;
