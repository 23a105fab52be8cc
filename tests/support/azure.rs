//! A stand-in for an Azure Functions host: it knows keys and their levels, and answers as the host
//! and its front do.

use std::sync::{Arc, Mutex};

use super::Peer;

/// The key of the host, until it is changed.
pub(crate) const HOST_KEY: &str = "hunter2-of-the-host";
/// The key of the function `own` alone.
pub(crate) const OWN_KEY: &str = "hunter2-of-the-function";
/// The key that lists.
pub(crate) const MASTER_KEY: &str = "hunter2-of-the-master";

/// A host, and the keys that it takes for every function, the newest last.
pub(crate) struct Host {
    pub(crate) peer: Peer,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Host {
    pub(crate) fn start() -> Self {
        let keys = Arc::new(Mutex::new(vec![HOST_KEY.to_owned()]));
        let known = Arc::clone(&keys);
        let peer = Peer::start(move |exchange| {
            let seen = exchange.read();
            let path = seen.target().split('?').next().unwrap().to_owned();
            let shown = seen.header("x-functions-key").unwrap_or_default();
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

const LIST: &str = r#"[
    {"name":"resize","language":"node","isDisabled":false,"config":{"bindings":[{"type":"httpTrigger","authLevel":"function"},{"type":"http"}]}},
    {"name":"nothing","language":"node","isDisabled":false,"config":{"bindings":[{"type":"httpTrigger"}]}},
    {"name":"off","language":"python","isDisabled":true,"config":{"bindings":[{"type":"timerTrigger"}]}}
]"#;
