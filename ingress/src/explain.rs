//! Explains, without sending anything, what would become of a request: which route and why, why
//! the others lost, where each value of the policy comes from, and the outgoing call.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use outbox::delivery::{Delivery, Waits};
use schemars::JsonSchema;
use schemas::{Attributes, Body, Context, Event, Fault, Mode};
use serde::{Deserialize, Serialize};

use crate::{
    Action, Destination, Table,
    decode::{self, Announced, Carried},
    edge::{self, Hop, Origin, Proxies},
    glance::Glance,
    make::{self, Asked},
    problem,
    routes::{Chosen, Explanation, Refusal, Seen},
    table::Mirror,
    values::attribute,
};

/// A request that is only asked about.
#[derive(Debug)]
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Its target: a whole URL, or a path; then the host comes from the headers.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The listener on which it arrives; the first if none is named.
    pub listener: Option<String>,
}

/// What would become of a request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explained {
    /// The route that serves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Where that route is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why it won, and why each of the others lost.
    pub matching: Explanation,
    /// Why the request is refused, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusing>,
    /// Each value of the policy, and where it comes from.
    pub policy: BTreeMap<String, Leaf>,
    /// What is done: `forward`, `respond` or `redirect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'static str>,
    /// The call that each of the route's targets would get.
    pub calls: Vec<Outgoing>,
}

/// The answer that a refused request gets.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Refusing {
    /// Its status.
    pub status: u16,
    /// Its code.
    pub code: String,
    /// What is wrong.
    pub detail: String,
}

/// One value of a policy.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Leaf {
    /// The value.
    pub value: serde_json::Value,
    /// Where it comes from.
    pub from: String,
}

/// A call as it would be made, secrets hidden.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Outgoing {
    /// The address as written.
    pub address: String,
    /// The kind of its upstream.
    pub kind: &'static str,
    /// Its share among the route's targets.
    pub weight: u32,
    /// What the caller is told.
    pub ack: schemas::Ack,
    /// What the target gets.
    pub format: schemas::Format,
    /// The function, expanded.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub function: String,
    /// Method, path and query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The headers, as pairs of name and value.
    #[schemars(with = "Vec<[String; 2]>")]
    pub headers: Vec<(String, String)>,
    /// The event's attributes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub event: BTreeMap<String, String>,
    /// What guards its upstream and itself, and where each value comes from.
    pub guards: BTreeMap<String, Leaf>,
    /// Milliseconds from the request's arrival until nobody waits any more.
    pub deadline_ms: u64,
    /// Why this target cannot be called, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusing>,
}

/// Explains what would become of a request.
#[must_use]
pub fn explain(table: &Table, question: Question) -> Explained {
    let listener = question
        .listener
        .or_else(|| table.listeners.first().map(|listener| listener.name.to_string()))
        .unwrap_or_default();
    let mut request = Request::new(());
    *request.method_mut() = question.method;
    *request.uri_mut() = question.uri;
    *request.headers_mut() = question.headers;
    let parts = request.into_parts().0;
    let id = HeaderValue::from_static("(a new id)");
    let glance = Glance::of(&parts.headers);
    // Nobody has sent it, so nobody is believed.
    let (anybody, proxies) = (Hop::anybody(), Proxies::default());
    let origin = Origin::new(&anybody, &proxies);
    let mut asked = Asked { parts, request_id: &id, arrived: Instant::now(), glance, origin };
    let entered = edge::enter(&mut asked, &proxies);

    let read = read(&asked.parts.headers, &question.body);
    let attributes = match &read {
        Ok(Carried::One(event)) => event.attributes().cloned(),
        Ok(Carried::Many(events)) => events.first().and_then(Event::attributes).cloned(),
        Err(_) => None,
    };
    let parts = asked.parts.clone();
    let seen = Seen {
        listener: &listener,
        host: asked.host(),
        path: parts.uri.path(),
        query: parts.uri.query(),
        method: &parts.method,
        headers: &parts.headers,
    };
    let provisional = match table.doors.open(&seen) {
        Ok(door) if door.by_event() && attributes.is_none() => {
            Some(make::provisional(&asked, door.head()))
        }
        _ => None,
    };
    let routed_by = attributes.as_ref().or(provisional.as_ref());
    let mut explained = Explained {
        route: None,
        place: None,
        matching: table.doors.explain(&seen, routed_by),
        refused: None,
        policy: BTreeMap::new(),
        action: None,
        calls: Vec::new(),
    };
    match entered.and_then(|()| choose(table, &seen, routed_by, &read)) {
        Ok(chosen) => describe(&mut explained, &chosen, &asked, read.ok()),
        Err(fault) => explained.refused = Some(refusing(&fault)),
    }
    explained
}

fn read(headers: &HeaderMap, body: &Bytes) -> Result<Carried, Fault> {
    let data = Body::from(body.clone());
    match decode::announced(headers)? {
        Announced::Head(context) => Ok(Carried::One(Event { context, data })),
        Announced::InBody(mode) => decode::in_body(mode, data, usize::MAX)
            .now_or_never()
            .unwrap_or_else(|| Err(Fault::new(schemas::Class::Internal, "the body is not here"))),
        Announced::Unknown(_) => {
            Ok(Carried::One(Event { context: Context::Opaque(Mode::Structured), data }))
        }
    }
}

fn choose<'t>(
    table: &'t Table,
    seen: &Seen<'_>,
    event: Option<&Attributes>,
    read: &Result<Carried, Fault>,
) -> Result<Chosen<'t>, Fault> {
    use schemas::Class;
    let door = table.doors.open(seen).map_err(|refusal| match refusal {
        Refusal::NoRoute => {
            Fault::new(Class::NotFound, "no route serves this host and path").code("no_route")
        }
        Refusal::Method { .. } => {
            Fault::new(Class::MethodNotAllowed, "a route serves this path, but not this method")
        }
    })?;
    if let (true, Err(fault)) = (door.by_event(), read) {
        let mut again = Fault::new(fault.class, fault.detail.clone());
        again.code = fault.code;
        return Err(again);
    }
    door.choose(if door.by_event() { event } else { None }).ok_or_else(|| {
        Fault::new(Class::NotFound, "no route here takes this event").code("no_route_for_event")
    })
}

fn describe(
    explained: &mut Explained,
    chosen: &Chosen<'_>,
    asked: &Asked<'_>,
    carried: Option<Carried>,
) {
    let route = chosen.route;
    explained.route = Some(route.name.to_string());
    explained.place = Some(route.place.clone());
    explained.policy = leaves(route);
    let event = match carried {
        Some(Carried::One(event)) => event,
        Some(Carried::Many(mut events)) if !events.is_empty() => events.swap_remove(0),
        _ => Event::default(),
    };
    match &route.action {
        Action::Respond { .. } => explained.action = Some("respond"),
        Action::Redirect { .. } => explained.action = Some("redirect"),
        Action::Forward(targets) => {
            explained.action = Some("forward");
            for target in targets {
                let again = Event {
                    context: event.context.clone(),
                    data: event.data.again().unwrap_or_default(),
                };
                explained.calls.push(outgoing(chosen, target, again, asked));
            }
        }
    }
}

/// Each value of a route's policy, and where it comes from.
#[must_use]
pub fn leaves(route: &crate::Route) -> BTreeMap<String, Leaf> {
    let policy = &route.policy;
    let millis = |time: std::time::Duration| schemas::units::Span(time).to_string().into();
    let size = |bytes: u64| schemas::units::Size(bytes).to_string().into();
    let values: [(&str, serde_json::Value); 11] = [
        ("timeout", millis(policy.timeout)),
        ("try_timeout", millis(policy.try_timeout)),
        ("idle_timeout", millis(policy.idle_timeout)),
        ("retry.attempts", policy.retry.attempts.into()),
        ("retry.on", serde_json::to_value(&policy.retry.on).unwrap_or_default()),
        ("retry.backoff.base", millis(policy.retry.backoff_base)),
        ("retry.backoff.max", millis(policy.retry.backoff_max)),
        ("retry.buffer", size(policy.retry.buffer_bytes as u64)),
        ("limits.body", size(policy.body_bytes_max)),
        ("limits.event", size(policy.event_bytes_max as u64)),
        ("limits.headers", size(policy.header_bytes_max as u64)),
    ];
    let limits = route.limits.as_ref().map_or_else(
        || "none".into(),
        |limits| {
            let limits = limits.iter().map(|limit| {
                let settings = limit.settings();
                let mut shown = serde_json::json!({
                    "rate": settings.rate, "burst": settings.burst
                });
                if let Some(key) = settings.key.written() {
                    shown["key"] = key.into();
                }
                shown
            });
            limits.collect::<Vec<_>>().into()
        },
    );
    let idempotent = policy.idempotent.map_or("as the method says".into(), Into::into);
    values
        .into_iter()
        .chain([("idempotent", idempotent), ("rate_limit", limits)])
        .map(|(name, value)| {
            let from =
                route.policy_from.get(name).cloned().unwrap_or_else(|| "built in".to_owned());
            (name.to_owned(), Leaf { value, from })
        })
        .chain(route.stored.iter().flat_map(|stored| delivery(stored)))
        .chain(route.mirror.iter().map(|mirror| {
            let percent = f64::from(mirror.share) * 100.0 / f64::from(Mirror::WHOLE);
            let value = format!("{percent}% to {}", mirror.target.label).into();
            ("mirror".to_owned(), Leaf { value, from: "route".to_owned() })
        }))
        .collect()
}

/// The effective schedule by which a route's stored events are delivered: the one owner of their
/// retries, which no broker's own redelivery multiplies.
fn delivery(stored: &crate::table::Stored) -> Vec<(String, Leaf)> {
    let span = |time: std::time::Duration| schemas::units::Span(time).to_string();
    let shown = |delivery: &Delivery| -> Vec<(&'static str, serde_json::Value)> {
        let mut all = vec![
            ("max_age", span(delivery.max_age).into()),
            ("max_attempts", delivery.max_attempts.map_or("none".into(), Into::into)),
            ("on_maybe", delivery.on_maybe.name().into()),
            ("on_poison", delivery.on_poison.name().into()),
        ];
        match &delivery.waits {
            Waits::Backoff { base, max } => {
                all.push(("backoff.base", span(*base).into()));
                all.push(("backoff.max", span(*max).into()));
            }
            Waits::Delays(delays) => {
                all.push(("delays", delays.iter().copied().map(span).collect()));
            }
        }
        all
    };
    let built_in = shown(&Delivery::default());
    let mut leaves: Vec<_> = shown(&stored.delivery)
        .into_iter()
        .map(|(name, value)| {
            let from = if built_in.contains(&(name, value.clone())) { "built in" } else { "route" };
            (format!("delivery.{name}"), Leaf { value, from: from.to_owned() })
        })
        .collect();
    let mut own = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let leaf = Leaf { value: value.into(), from: "route".to_owned() };
            leaves.push((name.to_owned(), leaf));
        }
    };
    own("dead_letter", stored.dead_letter.as_ref().map(|to| to.target.clone()));
    own("order_by", stored.order_by.as_ref().map(ToString::to_string));
    own("wait", stored.wait.map(span));
    leaves
}

/// What guards an upstream and its functions, and where each value comes from.
#[must_use]
pub fn guards(upstream: &crate::Upstream) -> BTreeMap<String, Leaf> {
    let leaves = upstream.guarding.settings.leaves().into_iter().map(|(name, value)| {
        let from = upstream.guarding.from.get(name).cloned();
        let from = from.unwrap_or_else(|| "built in".to_owned());
        (name.to_owned(), Leaf { value: value.into(), from })
    });
    leaves.collect()
}

fn outgoing(
    chosen: &Chosen<'_>,
    target: &Destination,
    event: Event,
    asked: &Asked<'_>,
) -> Outgoing {
    let mut out = Outgoing {
        address: target.label.to_string(),
        kind: target.upstream.target.kind(),
        weight: target.weight,
        ack: target.ack,
        format: target.format,
        function: String::new(),
        request: None,
        headers: Vec::new(),
        event: BTreeMap::new(),
        guards: guards(&target.upstream),
        deadline_ms: 0,
        refused: None,
    };
    let asked = asked.clone();
    let arrived = asked.arrived;
    match make::call(chosen, target, event, asked, None) {
        Err(fault) => out.refused = Some(refusing(&fault)),
        Ok(made) => {
            let call = made.call;
            out.function = call.function.to_string();
            if !make::takes_messages(target) {
                let target = call.head.uri.path_and_query().map_or("/", |target| target.as_str());
                out.request = Some(format!("{} {target}", call.head.method));
            }
            out.headers = call
                .head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), shown(name, value)))
                .collect();
            if let Some(attributes) = call.event.attributes() {
                out.event = described(attributes);
            }
            let wait = call.deadline.saturating_duration_since(arrived);
            out.deadline_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        }
    }
    out
}

/// Whether what has this name, in lower case, may be a secret. Too much hidden is a nuisance; too
/// little would be a leak.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    const SECRET: [&str; 8] =
        ["auth", "cookie", "token", "secret", "key", "password", "credential", "signature"];
    SECRET.iter().any(|word| name.contains(word))
}

/// Hides what may be a secret.
fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    if is_secret(name.as_str()) {
        return "(hidden)".to_owned();
    }
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn described(attributes: &Attributes) -> BTreeMap<String, String> {
    let known = ["id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];
    known
        .into_iter()
        .chain(attributes.extensions.iter().map(|(name, _)| name.as_str()))
        .filter_map(|name| {
            attribute(attributes, name).map(|value| (name.to_owned(), value.into_owned()))
        })
        .collect()
}

fn refusing(fault: &Fault) -> Refusing {
    Refusing {
        status: problem::status(fault.class).as_u16(),
        code: fault.name().to_owned(),
        detail: fault.detail.to_string(),
    }
}
