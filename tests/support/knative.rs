//! A stand-in for a Knative: an ingress that finds services by their hosts, an activator and
//! queue-proxies behind it, and brokers and channels that take what theirs take and check what
//! theirs check.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex},
};

use serde_json::Value;

use super::{
    Peer,
    peer::{Exchange, Seen},
};

/// The domain of its services.
pub(crate) const DOMAIN: &str = "example.test";

/// A cluster. Its services are `hello` (says what it was sent), `replier` (answers an event with
/// another), `looper` (with one of the same type), `late` (with one beside a 202), `teapot` (fails by
/// itself), `busy` (no room in its queue), `slow` (over its time) and `cold` (no instance until
/// somebody warms it). What is posted to `/default/…` is for a broker, and to `/channel` for a channel.
pub(crate) struct Cluster {
    pub(crate) peer: Peer,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What brokers answer next, in place of 202.
    next: Mutex<VecDeque<(u16, &'static [&'static str], &'static str)>>,
    /// Whether there is an instance of `cold`.
    warm: Mutex<bool>,
    warmed: Condvar,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let peer = Peer::start(move |exchange| {
            let seen = exchange.read();
            let host = seen.header("host").unwrap_or_default().to_owned();
            match host.strip_suffix(DOMAIN).map(|name| name.trim_end_matches('.').to_owned()) {
                Some(name) => serve(exchange, &seen, &name, &own),
                None => take(exchange, &seen, &own),
            }
        });
        Self { peer, shared }
    }

    /// What a broker answers to the next event.
    pub(crate) fn answers(
        &self,
        status: u16,
        headers: &'static [&'static str],
        body: &'static str,
    ) {
        self.shared.next.lock().unwrap().push_back((status, headers, body));
    }

    /// Starts an instance of `cold`.
    pub(crate) fn warm(&self) {
        *self.shared.warm.lock().unwrap() = true;
        self.shared.warmed.notify_all();
    }

    /// The events that were posted to this path.
    pub(crate) fn events(&self, path: &str) -> Vec<Seen> {
        self.peer.seen().into_iter().filter(|seen| seen.target() == path).collect()
    }

    /// The requests that reached this service.
    pub(crate) fn calls(&self, service: &str) -> Vec<Seen> {
        let host = format!("{service}.default.{DOMAIN}");
        self.peer.seen().into_iter().filter(|seen| seen.header("host") == Some(&host)).collect()
    }
}

/// What stands behind the ingress.
fn serve(exchange: &mut Exchange<'_>, seen: &Seen, name: &str, shared: &Shared) {
    const BEHIND: [&str; 2] = ["Server: envoy", "X-Envoy-Upstream-Service-Time: 2"];
    let mut answer = |status, headers: &[&str], body: &str| {
        exchange.answer(status, &[&BEHIND[..], headers].concat(), body);
    };
    let id = seen.header("ce-id").unwrap_or("none");
    let wants_reply = seen.head.all("prefer").contains(&"reply");
    let reply = |kind: &str| {
        [
            "ce-specversion: 1.0".to_owned(),
            format!("ce-id: reply-to-{id}"),
            "ce-source: /replier".to_owned(),
            format!("ce-type: {kind}"),
            "Content-Type: application/json".to_owned(),
        ]
    };
    match name.strip_suffix(".default").unwrap_or(name) {
        "hello" => answer(200, &[], str::from_utf8(&seen.body).unwrap()),
        "replier" | "looper" | "late" if !wants_reply => answer(422, &[], "no reply is wanted"),
        "replier" => {
            // By turns in either mode.
            if id.ends_with('s') {
                let event = serde_json::json!({
                    "specversion": "1.0", "id": format!("reply-to-{id}"), "source": "/replier",
                    "type": "com.acme.billed", "data": {"of": id},
                });
                let media = "Content-Type: application/cloudevents+json";
                return answer(200, &[media], &event.to_string());
            }
            let head = reply("com.acme.billed");
            answer(200, &head.each_ref().map(String::as_str), "{\"n\":1 }");
        }
        "looper" => answer(200, &reply("com.acme.loop").each_ref().map(String::as_str), "{}"),
        "late" => answer(202, &reply("com.acme.billed").each_ref().map(String::as_str), "{}"),
        "teapot" => answer(418, &["X-Own: 1"], "its own words"),
        "busy" => answer(503, &["Content-Type: text/plain"], "pending request queue full\n"),
        "slow" => answer(504, &[], "request timeout"),
        "cold" => {
            let warm = shared.warm.lock().unwrap();
            drop(shared.warmed.wait_while(warm, |warm| !*warm).unwrap());
            answer(200, &[], "warm");
        }
        _ => exchange.answer(404, &["Server: envoy"], ""),
    }
}

/// A broker or a channel: one event by POST, checked, 202 (`ingress_handler.go`, `event_receiver.go`).
fn take(exchange: &mut Exchange<'_>, seen: &Seen, shared: &Shared) {
    const ALLOW: &str = "Allow: POST, OPTIONS";
    if seen.method() != "POST" {
        return exchange.answer(405, &[ALLOW], "");
    }
    if !matches!(seen.target(), "/default/default" | "/default/audit" | "/channel" | "/dead") {
        return exchange.answer(404, &[ALLOW], "");
    }
    match attribute(seen, "knativebrokerttl").map(|ttl| ttl.parse::<i32>()) {
        None => {}
        Some(Ok(ttl)) if ttl > 0 => {}
        Some(_) => return exchange.answer(400, &[ALLOW], ""),
    }
    let required = ["id", "source", "type"].map(|name| attribute(seen, name));
    let whole = required.iter().all(|value| value.as_ref().is_some_and(|text| !text.is_empty()));
    if !whole || attribute(seen, "specversion").as_deref() != Some("1.0") {
        return exchange.answer(400, &[ALLOW], "");
    }
    match shared.next.lock().unwrap().pop_front().filter(|_| seen.target() != "/dead") {
        Some((status, headers, body)) => exchange.answer(status, headers, body),
        None => exchange.answer(202, &[ALLOW], ""),
    }
}

/// An attribute of an event in either mode.
pub(crate) fn attribute(seen: &Seen, name: &str) -> Option<String> {
    if seen.header("content-type").is_some_and(|it| it.starts_with("application/cloudevents+json"))
    {
        let event: Value = serde_json::from_slice(&seen.body).ok()?;
        return match event.get(name)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
    }
    seen.header(&format!("ce-{name}")).map(str::to_owned)
}
