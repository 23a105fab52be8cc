//! The table: a whole configuration, checked and ready, behind one atomic pointer. Everything in
//! it is immutable and shared by all cores.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue, Method, StatusCode};
use invokers::consume::Wanted;
use outbox::{delivery::Delivery, worker::Elsewhere};
use policy::{GuardSettings, Guards, Policy, Registry, limiter::Limits};
use regex::Regex;
use schemas::{Ack, Address, Format, Name, Secret, Template};

use crate::{Allow, edge::Proxies, filters::Filter, routes};

/// A whole configuration, ready to serve.
#[derive(Debug)]
pub struct Table {
    /// A short digest of the configuration's text.
    pub version: String,
    /// Where requests arrive.
    pub listeners: Vec<Listener>,
    /// The admin API.
    pub admin: Admin,
    /// Where event routes without a path of their own listen.
    pub events_path: String,
    /// Whom the gateway believes about where a request comes from.
    pub trusted_proxies: Proxies,
    /// The places that hold functions, sorted by name; `Upstream::index` is the place in this list.
    pub upstreams: Vec<Arc<Upstream>>,
    /// The routes in the order of the file.
    pub routes: Vec<Arc<Route>>,
    /// The same routes, made ready for matching.
    pub doors: routes::Doors,
    /// The routes' places in the list, by name.
    pub by_name: HashMap<Name, usize>,
    /// What gives the events of topics to routes.
    pub sources: BTreeMap<Name, Source>,
    /// Where events are kept that are accepted before they are delivered.
    pub outbox: Outbox,
    /// What the process knows of its upstreams and callers, from one table to the next.
    pub registry: Arc<Registry>,
}

/// Where events are kept that are accepted before they are delivered.
#[derive(Clone, Debug)]
pub struct Outbox {
    /// How much it may take, and in which folder it is if it is in files.
    pub settings: outbox::config::Settings,
    /// The server that keeps them; none: they are in files of this machine.
    pub on_jetstream: Option<Arc<OnJetstream>>,
    /// Where it is written: file, line and column. Empty if it is not.
    pub place: String,
}

impl Outbox {
    /// Whether both are written alike, wherever that is.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.settings, &self.on_jetstream) == (&other.settings, &other.on_jetstream)
    }
}

/// An outbox on JetStream.
#[derive(Debug)]
pub struct OnJetstream {
    /// What its server has to know.
    pub server: outbox::config::Server,
    /// How the server is reached, and who says when it syncs what it has stored.
    pub target: Arc<invokers::nats::Target>,
    /// The same as it is written.
    pub written: invokers::nats::Written,
}

/// As they are written.
impl PartialEq for OnJetstream {
    fn eq(&self, other: &Self) -> bool {
        (&self.server, &self.written) == (&other.server, &other.written)
    }
}

/// A socket on which requests arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name; `default` where the short form is used.
    pub name: Name,
    /// Its address.
    pub address: SocketAddr,
    /// Where it is written: file, line and column. Empty if it is not.
    pub place: String,
}

/// The admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Its address. One that is not loopback has a token.
    pub address: SocketAddr,
    /// What a request must bring as a bearer token.
    pub token: Option<Secret>,
    /// Where it is written: file, line and column. Empty if it is not.
    pub place: String,
}

/// A place that holds functions.
#[derive(Debug)]
pub struct Upstream {
    /// Its name.
    pub name: Name,
    /// Its place in the table.
    pub index: usize,
    /// The kind's half of it.
    pub target: invokers::Target,
    /// What guards it.
    pub guarding: Guarding,
    /// A digest of everything that a lane is made of: equal digests share their connections across
    /// a reload.
    pub digest: u64,
    /// What was written, as JSON, for the admin API. Secrets are references there, never values.
    pub written: serde_json::Value,
}

/// What guards an upstream.
#[derive(Clone, Debug)]
pub struct Guarding {
    /// The guards of all of it; the breakers are its functions' own.
    pub guards: Guards,
    /// By which settings.
    pub settings: GuardSettings,
    /// Where each of these comes from, such as `breaker.open` from `policies.default`.
    pub from: BTreeMap<String, String>,
}

impl Default for Guarding {
    /// Nothing guards it.
    fn default() -> Self {
        Self {
            guards: Guards::default(),
            settings: GuardSettings { permits: None, breaker: None, budget: None },
            from: BTreeMap::new(),
        }
    }
}

/// One rule: which requests, and what becomes of them.
#[derive(Debug)]
pub struct Route {
    /// Its name.
    pub name: Name,
    /// The name once more, for records.
    pub label: Arc<str>,
    /// Its place in the table.
    pub index: usize,
    /// Which requests it serves.
    pub matching: Match,
    /// What it lives by.
    pub policy: Policy,
    /// Where each leaf of the policy comes from, such as `retry.attempts` from `policies.partners`.
    pub policy_from: BTreeMap<String, String>,
    /// How many requests it takes; none: any number.
    pub limits: Option<Arc<Limits>>,
    /// What becomes of a request.
    pub action: Action,
    /// Changes of the headers, both ways. A destination's own come after these.
    pub headers: HeaderRules,
    /// Attributes that a plain request gets when it becomes an event, by attribute name.
    pub set_event: Vec<(String, Template)>,
    /// Request headers that travel beside an event to a broker.
    pub forward_headers: Vec<HeaderName>,
    /// Which webhooks may deliver here; none: the handshake is like any other request.
    pub webhook: Option<schemas::cloudevents::webhook::Allowed>,
    /// How its events are kept and delivered, if they are stored before the caller is told.
    pub stored: Option<Box<Stored>>,
    /// Who gets a copy of some of its requests, and no say in the answer.
    pub mirror: Option<Box<Mirror>>,
    /// Where it is written: file, line and column.
    pub place: String,
}

/// How a route's events are kept and delivered (`ack: stored`).
#[derive(Debug, Default)]
pub struct Stored {
    /// Whether every target gets the event (`to_all`), and not one by weight.
    pub all: bool,
    /// When it is tried again, and when it is given up.
    pub delivery: Arc<Delivery>,
    /// Where a copy of a dead letter goes.
    pub dead_letter: Option<Arc<Elsewhere>>,
    /// How long the caller waits for the answer before it is told where to ask.
    pub wait: Option<Duration>,
    /// The key whose events are delivered one at a time and in order.
    pub order_by: Option<Template>,
    /// The policy of one try: the route's, without its retries.
    pub policy: Policy,
}

/// Who gets a copy of some of a route's requests (`mirror`).
#[derive(Debug)]
pub struct Mirror {
    /// Where the copies go.
    pub target: Destination,
    /// How many of [`Mirror::WHOLE`] requests are copied.
    pub share: u32,
    /// The policy of a copy: the route's, without its retries.
    pub policy: Policy,
    /// How many shares have been counted up, so that every run of requests has its share of copies.
    counted: AtomicU64,
}

impl Mirror {
    /// A share of all requests: a hundredth of a percent is 1.
    pub const WHOLE: u32 = 10_000;

    /// Copies so many of [`Mirror::WHOLE`] requests of a route that lives by this policy.
    #[must_use]
    pub fn new(target: Destination, share: u32, of_route: &Policy) -> Self {
        Self { target, share, policy: of_route.once(), counted: AtomicU64::new(0) }
    }

    /// Whether the next request is copied.
    pub(crate) fn takes_next(&self) -> bool {
        let share = u64::from(self.share);
        let before = self.counted.fetch_add(share, Relaxed);
        before % u64::from(Self::WHOLE) + share >= u64::from(Self::WHOLE)
    }
}

/// Which requests a route serves. All conditions must hold.
#[derive(Debug, Default)]
pub struct Match {
    /// Names of listeners; empty: all.
    pub listeners: Vec<Name>,
    /// Hosts; empty: all.
    pub hosts: Vec<routes::Host>,
    /// The path.
    pub path: PathMatch,
    /// Methods; empty: all.
    pub methods: Vec<Method>,
    /// Conditions on headers.
    pub headers: Vec<(HeaderName, Condition)>,
    /// Conditions on query parameters (names and values decoded as forms are; any value may fit).
    pub query: Vec<(String, Condition)>,
    /// Conditions on the event.
    pub event: Option<EventMatch>,
    /// Decides between routes of otherwise equal rank; the higher wins.
    pub priority: i32,
    /// The source whose events it takes, instead of requests.
    pub source: Option<Name>,
}

/// What gives the events of topics to routes.
#[derive(Debug)]
pub struct Source {
    /// What it consumes of a broker; none for topics of this gateway's own, whose events are stored
    /// for it as they are published.
    pub consumes: Option<Consumes>,
    /// How many of its events are delivered at once.
    pub at_once: usize,
    /// The routes that take them.
    pub doors: routes::Doors,
}

/// What a source consumes of a broker.
#[derive(Clone, Debug)]
pub struct Consumes {
    /// The broker.
    pub upstream: Arc<Upstream>,
    /// What of it.
    pub wanted: Wanted,
}

/// A route's path condition. An event route without one has the table's `events_path` as `Exact`.
#[derive(Debug, Default)]
pub enum PathMatch {
    /// No condition.
    #[default]
    Any,
    /// The whole path, with parameters.
    Pattern(routes::Pattern),
    /// The path or one below it, at a segment's border. Never ends in `/` but for `/` itself.
    Prefix(String),
    /// The whole path by a regular expression. Boxed, as it is rare.
    Regex(Box<Regex>),
}

/// A condition on a text.
#[derive(Debug)]
pub enum Condition {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// It is this.
    Exact(String),
    /// It starts with this.
    Prefix(String),
    /// The whole of it fits this regular expression.
    Regex(Box<Regex>),
}

/// Conditions on an event.
#[derive(Debug, Default)]
pub struct EventMatch {
    /// On its type.
    pub kind: Option<TypeMatch>,
    /// Filters of the CloudEvents subscription API; all must hold.
    pub filters: Vec<Filter>,
}

/// A condition on an event's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeMatch {
    /// It is this.
    Exact(String),
    /// It starts with this (written with one `*` at the end, which is not kept here).
    Prefix(String),
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Action {
    /// It is sent to one of these by weight, or to all of them ([`Stored::all`]); never empty,
    /// weights not all 0.
    Forward(Vec<Destination>),
    /// It is answered here.
    Respond {
        /// The status.
        status: StatusCode,
        /// The headers, a Content-Type among them.
        headers: Vec<(HeaderName, HeaderValue)>,
        /// The body.
        body: bytes::Bytes,
    },
    /// It is sent elsewhere.
    Redirect {
        /// The Location, with placeholders.
        to: Template,
        /// 301, 302, 303, 307 or 308.
        status: StatusCode,
    },
}

/// One of a route's targets.
#[derive(Debug)]
pub struct Destination {
    /// Its upstream.
    pub upstream: Arc<Upstream>,
    /// Its address as written.
    pub address: Arc<Address>,
    /// The address as text, for records and metrics.
    pub label: Arc<str>,
    /// What guards it.
    pub guards: Guards,
    /// The function part, where it has no placeholder.
    pub fixed: Option<Arc<str>>,
    /// Its share among the route's targets.
    pub weight: u32,
    /// The path that the target gets; none: the one that came.
    pub rewrite: Option<Rewrite>,
    /// Whether the target gets the Host that came.
    pub preserve_host: bool,
    /// Changes of the headers, both ways, after the route's.
    pub headers: HeaderRules,
    /// What its function part may become, where it has a placeholder and its kind runs code.
    pub allow: Option<Arc<Allow>>,
    /// Fields of its message that are set, by their paths.
    pub fields: Vec<(String, Template)>,
    /// Whether it gets events and nothing else.
    pub takes_events: bool,
    /// What the target gets; never `Auto` for a kind that has no plain requests.
    pub format: Format,
    /// What becomes of the target's reply.
    pub reply_format: Format,
    /// What a caller is told.
    pub ack: Ack,
    /// What the target is asked for: the same, but for what is stored first.
    pub asks: Ack,
    /// The destination's own bound on the whole call, at most the route's.
    pub timeout: Option<Duration>,
}

/// The path that a target gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The new path.
    pub path: Template,
    /// Whether the query goes along.
    pub keep_query: bool,
}

/// Changes of the headers, both ways.
#[derive(Clone, Debug, Default)]
pub struct HeaderRules {
    /// On the way to the target.
    pub request: HeaderChanges,
    /// On the way back.
    pub response: HeaderChanges,
}

/// Changes of headers, in this order: remove, set, add.
#[derive(Clone, Debug, Default)]
pub struct HeaderChanges {
    /// Taken out.
    pub remove: Vec<HeaderName>,
    /// Put in place of what is there.
    pub set: Vec<(HeaderName, Template)>,
    /// Put beside what is there.
    pub add: Vec<(HeaderName, Template)>,
}

impl Table {
    /// The upstream of this name.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Option<&Arc<Upstream>> {
        let at = self.upstreams.binary_search_by(|one| one.name.as_str().cmp(name));
        at.ok().map(|at| &self.upstreams[at])
    }

    /// The route of this name.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.get(*self.by_name.get(name)?)
    }
}

impl Upstream {
    /// What guards one of its functions, by the function's address as it is written.
    #[must_use]
    pub fn guards_of(&self, address: &str, registry: &Registry) -> Guards {
        let settings = self.guarding.settings.breaker.as_ref();
        let breaker = settings.map(|settings| registry.breaker(address, settings));
        Guards { breaker, ..self.guarding.guards.clone() }
    }
}

impl HeaderChanges {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}
