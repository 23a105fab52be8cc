//! What the admin API says of the table and of requests, in words and shapes made for reading.

use std::{collections::BTreeMap, fmt::Write as _};

use ingress::{
    Action, Destination, Route, Table, Upstream,
    explain::{Leaf, leaves},
    table::{Condition, EventMatch, Match, PathMatch, TypeMatch},
};
use invokers::{Target, grpc::catalog::Known, list::Listed};
use policy::{breaker, budget, limiter, permits};
use schemars::JsonSchema;
use schemas::{Ack, Attributes, Format, Record, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

/// A route.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RouteView {
    /// Its name.
    pub name: String,
    /// Which requests it serves, in words.
    pub serves: String,
    /// What becomes of them, in words.
    pub goes_to: String,
    /// Its targets, if it has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<ToView>,
    /// What it lives by, leaf by leaf.
    pub policy: BTreeMap<String, Leaf>,
    /// Its rate limits, and how they stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<limiter::View>,
    /// Where it is written: file, line and column.
    pub place: String,
}

/// One of a route's targets.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ToView {
    /// Its address as written.
    pub address: String,
    /// The kind of its upstream.
    pub kind: String,
    /// Its share among the route's targets.
    pub weight: u32,
    /// What a caller is told.
    pub ack: Ack,
    /// What the target gets.
    pub format: Format,
}

/// An upstream.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamView {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Where it is.
    pub at: String,
    /// What a caller can be told; the first is the default.
    pub acks: Vec<Ack>,
    /// What a target of it gets unless a route says otherwise.
    pub format: Format,
    /// How its permits stand, if calls of it are limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<permits::View>,
    /// How its retry budget stands, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_budget: Option<budget::View>,
    /// What is known of its methods, if it is of kind grpc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<Known>,
    /// What was written. Secrets are references here, never values.
    pub written: serde_json::Value,
}

/// A function that routes name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionView {
    /// Its address as written.
    pub address: String,
    /// The kind of its upstream.
    pub kind: String,
    /// The names of the routes that use it, in the order of the file.
    pub routes: Vec<String>,
    /// How its circuit breaker stands, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<breaker::View>,
}

/// A function that the platform of an upstream has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedView {
    /// Its address.
    pub address: String,
    /// How it stands, in the platform's words; empty where it does not say.
    pub state: String,
    /// What it is: an image, a runtime, a URL.
    pub about: String,
    /// The names of the routes that use it.
    pub routes: Vec<String>,
}

/// One request that has been served.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RecordView {
    /// When it arrived, in microseconds since 1970.
    at_us: u64,
    /// Its id, as the caller got it.
    request_id: String,
    /// Who sent it.
    peer: Option<String>,
    /// Its method.
    method: String,
    /// Its path, without the query.
    path: String,
    /// The route that served it.
    route: Option<String>,
    /// The function that it was sent to, as written.
    address: Option<String>,
    /// What the caller got; null if it left before.
    status: Option<u16>,
    /// What kind of failure it was, if it was one.
    class: Option<&'static str>,
    /// The code of its problem document.
    code: Option<&'static str>,
    /// What the caller was told.
    ack: Option<Ack>,
    /// How often it was sent.
    attempts: u32,
    /// Bytes of its body.
    bytes_in: u64,
    /// Bytes of the answer's body.
    bytes_out: u64,
    /// Microseconds until the head of the answer.
    head_after_us: u64,
    /// Microseconds until its end.
    took_us: u64,
}

/// Every route, in the order of the file.
#[must_use]
pub fn routes(table: &Table) -> Vec<RouteView> {
    table.routes.iter().map(|route| self::route(route)).collect()
}

/// One route.
#[must_use]
pub fn route(route: &Route) -> RouteView {
    let to = match &route.action {
        Action::Forward(to) => to.iter().map(ToView::from).collect(),
        Action::Respond { .. } | Action::Redirect { .. } => Vec::new(),
    };
    RouteView {
        name: route.name.to_string(),
        serves: serves(&route.matching),
        goes_to: goes_to(&route.action),
        to,
        policy: leaves(route),
        rate_limits: route
            .limits
            .iter()
            .flat_map(|limits| limits.iter())
            .map(|limit| limit.view(now()))
            .collect(),
        place: route.place.clone(),
    }
}

/// What a platform has, and which routes of the table use it.
#[must_use]
pub fn listed(table: &Table, upstream: &Upstream, all: Vec<Listed>) -> Vec<ListedView> {
    let named = functions(table);
    let view = |Listed { function, state, about }| {
        let address = format!("{}/{function}", upstream.name);
        let routes = named.iter().find(|one| one.address == address);
        let routes = routes.map(|one| one.routes.clone()).unwrap_or_default();
        ListedView { address, state, about, routes }
    };
    all.into_iter().map(view).collect()
}

/// Every upstream, sorted by name.
#[must_use]
pub fn upstreams(table: &Table) -> Vec<UpstreamView> {
    table.upstreams.iter().map(|upstream| UpstreamView::from(&**upstream)).collect()
}

/// Every function that a route names, sorted by address.
#[must_use]
pub fn functions(table: &Table) -> Vec<FunctionView> {
    let now = now();
    let mut all: BTreeMap<&str, FunctionView> = BTreeMap::new();
    for route in &table.routes {
        let Action::Forward(targets) = &route.action else { continue };
        for target in targets {
            let function = all.entry(&target.label).or_insert_with(|| FunctionView {
                address: target.label.to_string(),
                kind: target.upstream.target.kind().to_owned(),
                routes: Vec::new(),
                breaker: target.guards.breaker.as_ref().map(|breaker| breaker.view(now)),
            });
            // Two targets of one route may be the same function with different paths.
            if function.routes.last().is_none_or(|last| *last != *route.name) {
                function.routes.push(route.name.to_string());
            }
        }
    }
    all.into_values().collect()
}

/// An event's attributes by name, `specversion` among them.
#[must_use]
pub fn attributes(event: &Attributes) -> serde_json::Map<String, serde_json::Value> {
    let fixed = [
        ("specversion", Some("1.0")),
        ("id", Some(event.id.as_str())),
        ("source", Some(event.source.as_str())),
        ("type", Some(event.kind.as_str())),
        ("subject", event.subject.as_deref()),
        ("time", event.time.as_deref()),
        ("datacontenttype", event.datacontenttype.as_deref()),
        ("dataschema", event.dataschema.as_deref()),
    ];
    let extensions = event.extensions.iter().map(|(name, value)| {
        let value = match value {
            Value::String(text) => json!(text),
            Value::Integer(number) => json!(number),
            Value::Boolean(truth) => json!(truth),
        };
        (name.clone(), value)
    });
    fixed
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))))
        .chain(extensions)
        .collect()
}

impl From<&Destination> for ToView {
    fn from(to: &Destination) -> Self {
        Self {
            address: to.label.to_string(),
            kind: to.upstream.target.kind().to_owned(),
            weight: to.weight,
            ack: to.ack,
            format: to.format,
        }
    }
}

impl From<&Upstream> for UpstreamView {
    fn from(upstream: &Upstream) -> Self {
        let guards = &upstream.guarding.guards;
        Self {
            name: upstream.name.to_string(),
            kind: upstream.target.kind().to_owned(),
            at: match places(&upstream.written).join(", ") {
                none if none.is_empty() => "in memory".to_owned(),
                places => places,
            },
            acks: upstream.target.acks("").to_vec(),
            format: upstream.target.default_format(""),
            concurrency: guards.permits.as_ref().map(|permits| permits.view()),
            retry_budget: guards.budget.as_ref().map(|budget| budget.view(now())),
            descriptors: match &upstream.target {
                Target::Grpc(target) => Some(target.catalog().known()),
                _ => None,
            },
            written: upstream.written.clone(),
        }
    }
}

impl From<Record> for RecordView {
    fn from(record: Record) -> Self {
        Self {
            at_us: record.at_us,
            request_id: String::from_utf8_lossy(record.request_id.as_bytes()).into_owned(),
            peer: record.peer.map(|peer| peer.to_string()),
            method: record.method.to_string(),
            path: record.path().to_owned(),
            route: record.route.map(|route| route.to_string()),
            address: record.address.map(|address| address.to_string()),
            status: record.status.map(|status| status.as_u16()),
            class: record.class.map(schemas::Class::name),
            code: record.code.or(record.class.map(schemas::Class::name)),
            ack: record.ack,
            attempts: record.attempts,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            head_after_us: micros(record.head_after),
            took_us: micros(record.took),
        }
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What states are looked at by.
fn now() -> u64 {
    policy::nanos(Instant::now())
}

/// The URLs that an upstream was written with: `url` (one or a list) or `endpoints`.
fn places(written: &serde_json::Value) -> Vec<String> {
    ["url", "endpoints"]
        .into_iter()
        .filter_map(|field| written.get(field))
        .flat_map(|value| match value {
            serde_json::Value::Array(several) => several.clone(),
            one => vec![one.clone()],
        })
        .filter_map(|url| url.as_str().map(str::to_owned))
        .collect()
}

fn serves(matching: &Match) -> String {
    let mut said: Vec<String> = Vec::new();
    if !matching.methods.is_empty() {
        let methods: Vec<&str> = matching.methods.iter().map(http::Method::as_str).collect();
        said.push(methods.join("|"));
    }
    let mut place = matching.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join("|");
    match &matching.path {
        PathMatch::Any => {}
        PathMatch::Pattern(pattern) => write!(place, "{pattern}").expect("writing to a text"),
        PathMatch::Prefix(prefix) if prefix == "/" => place.push_str("/…"),
        PathMatch::Prefix(prefix) => write!(place, "{prefix}[/…]").expect("writing to a text"),
        PathMatch::Regex(regex) => write!(place, "~{regex}").expect("writing to a text"),
    }
    if !place.is_empty() {
        said.push(place);
    }
    said.extend(matching.headers.iter().map(|(name, is)| format!("header {name} {}", words(is))));
    said.extend(matching.query.iter().map(|(name, is)| format!("query {name} {}", words(is))));
    said.extend(matching.event.as_ref().map(event));
    if !matching.listeners.is_empty() {
        let names: Vec<&str> = matching.listeners.iter().map(|name| name.as_str()).collect();
        said.push(format!("on {}", names.join("|")));
    }
    if said.is_empty() { "everything".to_owned() } else { said.join(" ") }
}

fn event(matching: &EventMatch) -> String {
    let kind = match &matching.kind {
        None => "event".to_owned(),
        Some(TypeMatch::Exact(kind)) => format!("event {kind}"),
        Some(TypeMatch::Prefix(prefix)) => format!("event {prefix}*"),
    };
    match matching.filters.len() {
        0 => kind,
        1 => format!("{kind} with a filter"),
        several => format!("{kind} with {several} filters"),
    }
}

fn words(condition: &Condition) -> String {
    match condition {
        Condition::Present => "present".to_owned(),
        Condition::Absent => "absent".to_owned(),
        Condition::Exact(text) => format!("= {text}"),
        Condition::Prefix(text) => format!("= {text}*"),
        Condition::Regex(regex) => format!("~ {regex}"),
    }
}

fn goes_to(action: &Action) -> String {
    match action {
        Action::Forward(to) => match to.as_slice() {
            [only] => only.label.to_string(),
            several => {
                let all: Vec<String> =
                    several.iter().map(|to| format!("{} ({})", to.label, to.weight)).collect();
                all.join(", ")
            }
        },
        Action::Respond { status, .. } => format!("responds {}", status.as_u16()),
        Action::Redirect { to, status } => format!("redirects to {to} ({})", status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown_by_attribute() {
        let event = Attributes {
            id: "1".into(),
            source: "/a".into(),
            kind: "b".into(),
            extensions: vec![("level".into(), Value::Integer(3))],
            ..Attributes::default()
        };
        assert_eq!(
            serde_json::Value::Object(attributes(&event)),
            json!({"specversion": "1.0", "id": "1", "source": "/a", "type": "b", "level": 3})
        );
    }

    #[test]
    fn the_places_of_an_upstream_are_its_urls() {
        assert_eq!(places(&json!({"url": "nats://a"})), ["nats://a"]);
        assert_eq!(places(&json!({"endpoints": ["http://a", "http://b"]})).len(), 2);
        assert!(places(&json!({"kind": "embedded"})).is_empty());
    }
}
