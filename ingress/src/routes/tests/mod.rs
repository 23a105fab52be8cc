//! What the tests of routes share: a few words to write routes and requests with.

mod behind;
mod encodings;
mod equal_ranks;
mod explained;
mod head;
mod naive;
mod page;
mod random;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use regex::Regex;
use schemas::Attributes;

use super::{Captures, Clash, Doors, Explanation, Refusal, Seen};
use crate::{
    Action, Route,
    table::{Condition, EventMatch, HeaderRules, Match, PathMatch, TypeMatch},
};

/// A route that is being written.
struct Rule {
    name: String,
    matching: Match,
}

/// A route that serves everything so far.
fn rule(name: &str) -> Rule {
    Rule { name: name.to_owned(), matching: Match::default() }
}

impl Rule {
    fn listener(mut self, name: &str) -> Self {
        self.matching.listeners.push(name.parse().unwrap());
        self
    }

    fn host(mut self, host: &str) -> Self {
        self.matching.hosts.push(host.parse().unwrap());
        self
    }

    fn path(mut self, pattern: &str) -> Self {
        self.matching.path = PathMatch::Pattern(pattern.parse().unwrap());
        self
    }

    fn prefix(mut self, prefix: &str) -> Self {
        self.matching.path = PathMatch::Prefix(prefix.to_owned());
        self
    }

    fn regex(mut self, regex: &str) -> Self {
        self.matching.path = PathMatch::Regex(Box::new(anchored(regex)));
        self
    }

    fn method(mut self, method: &str) -> Self {
        self.matching.methods.push(method.parse().unwrap());
        self
    }

    fn header(mut self, name: &str, condition: Condition) -> Self {
        self.matching.headers.push((name.parse().unwrap(), condition));
        self
    }

    fn query(mut self, name: &str, condition: Condition) -> Self {
        self.matching.query.push((name.to_owned(), condition));
        self
    }

    /// A type, or with `*` at its end a prefix of types.
    fn event(mut self, kind: &str) -> Self {
        let kind = match kind.strip_suffix('*') {
            Some(prefix) => TypeMatch::Prefix(prefix.to_owned()),
            None => TypeMatch::Exact(kind.to_owned()),
        };
        self.matching.event.get_or_insert_default().kind = Some(kind);
        self
    }

    fn any_event(mut self) -> Self {
        self.matching.event = Some(EventMatch::default());
        self
    }

    /// A filter beside what is asked of the event already.
    fn filter(mut self, filter: serde_json::Value) -> Self {
        let event = self.matching.event.get_or_insert_default();
        event.filters.push(serde_json::from_value(filter).unwrap());
        self
    }

    fn priority(mut self, priority: i32) -> Self {
        self.matching.priority = priority;
        self
    }
}

/// A regular expression as the configuration makes it. Each is compiled once, as random routes have
/// the same few over and over.
fn anchored(regex: &str) -> Regex {
    static KNOWN: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap();
    known
        .entry(regex.to_owned())
        .or_insert_with(|| Regex::new(&format!(r"\A(?:{regex})\z")).unwrap())
        .clone()
}

fn exact(text: &str) -> Condition {
    Condition::Exact(text.to_owned())
}

fn starts(text: &str) -> Condition {
    Condition::Prefix(text.to_owned())
}

fn fits(regex: &str) -> Condition {
    Condition::Regex(Box::new(anchored(regex)))
}

fn build(rules: impl IntoIterator<Item = Rule>) -> Result<Doors, Vec<Clash>> {
    let routes: Vec<Arc<Route>> =
        rules.into_iter().enumerate().map(|(index, rule)| Arc::new(route(index, rule))).collect();
    Doors::build(&routes)
}

fn route(index: usize, rule: Rule) -> Route {
    Route {
        label: rule.name.as_str().into(),
        name: rule.name.parse().unwrap(),
        index,
        matching: rule.matching,
        policy: policy::Policy::default(),
        policy_from: std::collections::BTreeMap::new(),
        limits: None,
        action: Action::Respond {
            status: StatusCode::OK,
            headers: Vec::new(),
            body: bytes::Bytes::new(),
        },
        headers: HeaderRules::default(),
        set_event: Vec::new(),
        forward_headers: Vec::new(),
        webhook: None,
        stored: None,
        mirror: None,
        place: String::new(),
    }
}

/// A request that is being written.
#[derive(Clone, Debug)]
struct Ask {
    listener: String,
    host: Option<String>,
    path: String,
    query: Option<String>,
    method: Method,
    headers: HeaderMap,
    event: Option<Attributes>,
}

/// A request, as in `GET shop.example.com/a?b=c` or, without a host, `GET /a`.
fn ask(text: &str) -> Ask {
    let (method, url) = text.split_once(' ').unwrap();
    let (url, query) = match url.split_once('?') {
        Some((url, query)) => (url, Some(query.to_owned())),
        None => (url, None),
    };
    let (host, path) = url.split_at(url.find('/').unwrap_or(url.len()));
    Ask {
        listener: "default".to_owned(),
        host: (!host.is_empty()).then(|| host.to_owned()),
        path: path.to_owned(),
        query,
        method: method.parse().unwrap(),
        headers: HeaderMap::new(),
        event: None,
    }
}

impl Ask {
    fn on(mut self, listener: &str) -> Self {
        self.listener = listener.to_owned();
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.headers.append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    fn event(mut self, kind: &str) -> Self {
        self.event = Some(Attributes {
            id: "1".to_owned(),
            source: "/test".to_owned(),
            kind: kind.to_owned(),
            ..Attributes::default()
        });
        self
    }

    /// Gives the event a subject.
    fn about(mut self, subject: &str) -> Self {
        self.event.as_mut().unwrap().subject = Some(subject.to_owned());
        self
    }

    fn seen(&self) -> Seen<'_> {
        Seen {
            listener: &self.listener,
            host: self.host.as_deref(),
            path: &self.path,
            query: self.query.as_deref(),
            method: &self.method,
            headers: &self.headers,
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Route(String, Captures),
    NoRoute,
    Method(Vec<String>),
    NoRouteForEvent,
}

fn outcome(doors: &Doors, ask: &Ask) -> Outcome {
    match doors.open(&ask.seen()) {
        Ok(door) => match door.choose(ask.event.as_ref()) {
            Some(chosen) => Outcome::Route(chosen.route.name.to_string(), chosen.captures),
            None => Outcome::NoRouteForEvent,
        },
        Err(Refusal::NoRoute) => Outcome::NoRoute,
        Err(Refusal::Method { allow }) => {
            Outcome::Method(allow.iter().map(ToString::to_string).collect())
        }
    }
}

/// The name of the route that serves the request, or what it is refused with.
fn served(doors: &Doors, ask: &Ask) -> String {
    match outcome(doors, ask) {
        Outcome::Route(name, _) => name,
        Outcome::NoRoute => "404".to_owned(),
        Outcome::Method(allow) => format!("405 {}", allow.join(" ")),
        Outcome::NoRouteForEvent => "404 event".to_owned(),
    }
}

/// Builds the routes in every rotation, as their order never matters, and checks who serves what.
fn check<const N: usize>(rules: impl Fn() -> [Rule; N], cases: &[(Ask, &str)]) {
    for turn in 0..N.max(1) {
        let mut rules = rules();
        rules.rotate_left(turn);
        let doors = build(rules).unwrap();
        for (ask, expected) in cases {
            assert_eq!(served(&doors, ask), *expected, "{ask:?}");
        }
    }
}

/// The value of a parameter, where the request is served.
fn captured(doors: &Doors, ask: &Ask, name: &str) -> Option<String> {
    let door = doors.open(&ask.seen()).ok()?;
    door.choose(ask.event.as_ref())?.captures.get(name).map(str::to_owned)
}

fn explain(doors: &Doors, ask: &Ask) -> Explanation {
    doors.explain(&ask.seen(), ask.event.as_ref())
}
