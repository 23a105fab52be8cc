//! Replies that are events: where nobody waits for one it is routed again, as if it had come to
//! `events_path` (data plane contract of Knative Eventing, "Derived (Reply) Events").
//!
//! A reply is stored for its targets before the event that it replies to is done with. How many may
//! follow one another is counted down, so that no loop goes on for ever.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use invokers::knative::TTL;
use outbox::{NotStored, record::Hex};
use policy::Policy;
use schemas::{
    Attributes, Body, Call, Class, Context, Event, Fault, Identity, Mode, Reply, Value,
    cloudevents::{self, Arrival},
};

use super::not_stored;
use crate::{
    Action, Upstream, View,
    edge::{Hop, Origin},
    make::Asked,
    reply,
    reply::read_leftover,
    routes::{Chosen, Seen},
    steps::fits,
    table::Stored,
};

/// How many replies may follow one another, as Knative's brokers have it.
const LIVES: i32 = 255;

/// The code of an event whose replies go round and round.
pub(crate) const LOOP: &str = "reply_loop";

/// What a stored event was given to.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) function: Arc<str>,
    /// How many replies may follow; none if it was no event.
    lives: Option<i32>,
}

/// What became of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replied {
    /// It is stored for the targets of a route.
    Routed,
    /// No route takes it.
    NoRoute,
}

impl Called {
    /// Remembers what a call is for.
    pub(crate) fn of(upstream: &Arc<Upstream>, call: &Call) -> Self {
        let lives = call.event.attributes().map(lives);
        Self { upstream: Arc::clone(upstream), function: Arc::clone(&call.function), lives }
    }
}

fn lives(event: &Attributes) -> i32 {
    match event.extension(TTL) {
        Some(Value::Integer(left)) => *left,
        Some(Value::String(text)) => text.parse().unwrap_or(LIVES),
        Some(Value::Boolean(_)) | None => LIVES,
    }
}

/// Routes a reply again if it is an event, and reads it to its end if it is none.
///
/// # Errors
/// If it claims to be an event and is none, its kin go round and round, or it cannot be stored: then
/// what it replies to is not delivered.
pub(crate) async fn route(
    view: &View,
    called: &Called,
    reply: Reply,
    policy: &Policy,
    request_id: HeaderValue,
) -> Result<Option<Replied>, Fault> {
    let arrival = cloudevents::arrival(&reply.head.headers);
    let (Some(lives), Arrival::Binary | Arrival::Structured) = (called.lives, &arrival) else {
        read_leftover(reply.data, policy).await;
        return Ok(None);
    };
    // No other status is one of a reply, whatever comes with it.
    if reply.head.status != StatusCode::OK || !called.upstream.target.replies_with_events() {
        read_leftover(reply.data, policy).await;
        return Ok(None);
    }
    let limit = policy.event_bytes_max;
    let read = reply::event(&reply.head.headers, reply.data, &arrival, limit);
    let late = |_| Fault::new(Class::Timeout, "the reply took too long to arrive").maybe();
    let (mut event, data) = tokio::time::timeout(policy.timeout, read).await.map_err(late)??;
    let left = lives.saturating_sub(1);
    if left <= 0 {
        let what = "one reply has followed another too often; they go round and round";
        return Err(Fault::new(Class::Unprocessable, what).code(LOOP).maybe());
    }
    event.extensions.retain(|(name, _)| name != TTL);
    event.extensions.push((TTL.to_owned(), Value::Integer(left)));
    store(view, event, data, request_id).await.map(Some)
}

/// Stores an event for the targets of the route that takes it.
async fn store(
    view: &View,
    event: Attributes,
    data: bytes::Bytes,
    request_id: HeaderValue,
) -> Result<Replied, Fault> {
    let Some(chosen) = choose(view, &event) else { return Ok(Replied::NoRoute) };
    let route = &**chosen.route;
    let Action::Forward(targets) = &route.action else { return Ok(Replied::NoRoute) };
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = view.table.events_path.parse().unwrap_or_default();
    cloudevents::write_binary(&event, request.headers_mut());
    let identity = Identity::of(&route.name, None, &event.source, &event.id);
    let context = Context::Event(Box::new(event), Mode::Binary);
    let event = Event { context, data: Body::from(data.clone()) };
    fits(&event, route)?;
    let hop = Hop::new(IpAddr::from([127, 0, 0, 1]));
    let origin = Origin::new(&hop, &view.table.trusted_proxies);
    let asked = Asked::of_ours(request, &request_id, origin);
    let once;
    let rules = match &route.stored {
        Some(rules) => &**rules,
        None => {
            once = Stored::default();
            &once
        }
    };
    let mut ready = super::records(view, &chosen, rules, targets, event, &data, asked)?;
    for record in &mut ready.records {
        // A function that is asked twice gives the same reply twice.
        record.head.identity.get_or_insert_with(|| Hex::of(&identity.0));
    }
    match view.outbox().put(ready.records).await {
        Ok(_) => super::announce(ready.news).await,
        // It was routed before.
        Err(NotStored::Conflict) => {}
        Err(error) => return Err(not_stored(&error)),
    }
    Ok(Replied::Routed)
}

/// The route for events that takes this one.
fn choose<'t>(view: &'t View, event: &Attributes) -> Option<Chosen<'t>> {
    let (method, headers) = (Method::POST, HeaderMap::new());
    let seen = Seen {
        listener: "",
        host: None,
        path: &view.table.events_path,
        query: None,
        method: &method,
        headers: &headers,
    };
    let chosen = view.table.doors.open(&seen).ok()?.choose(Some(event))?;
    chosen.route.matching.event.is_some().then_some(chosen)
}
