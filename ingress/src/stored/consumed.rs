//! Events of a source: taken from a topic and given to the route that is for them, as a request
//! would be, but that nobody waits for the answer.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Method, Request};
use policy::{Guards, Policy, permits::Share};
use schemas::{Attributes, Call, Class, Context, Fault, Mode, Reply, cloudevents};

use super::{again::Called, receipt_of};
use crate::{
    Action, View,
    edge::{Hop, Origin},
    make::{self, Asked},
    routes::{Chosen, Seen},
    table::Source,
};

/// What came of an event.
pub(crate) struct Consumed {
    pub(crate) result: Result<Reply, Fault>,
    /// The policy of the route that took it.
    pub(crate) policy: Policy,
    /// What it was given to, if it was sent.
    pub(crate) called: Option<Called>,
}

impl From<Fault> for Consumed {
    fn from(fault: Fault) -> Self {
        Self { result: Err(fault), policy: Policy::default(), called: None }
    }
}

/// The route that takes an event of a source.
pub(crate) fn choose<'t>(source: &'t Source, event: Option<&Attributes>) -> Option<Chosen<'t>> {
    let (method, headers) = (Method::POST, HeaderMap::new());
    let seen = Seen {
        listener: "",
        host: None,
        path: "/",
        query: None,
        method: &method,
        headers: &headers,
    };
    source.doors.open(&seen).ok()?.choose(event)
}

/// Gives an event to its route: it is sent to one target by weight, or stored for its targets where
/// they are topics or the route stores.
pub(crate) async fn consume(
    view: &View,
    source: &str,
    call: Call,
    request_id: HeaderValue,
) -> Consumed {
    let Some(source) = view.table.sources.get(source) else {
        return Fault::new(Class::NotFound, "the source is gone").code("target_gone").into();
    };
    let Some(chosen) = choose(source, call.event.attributes()) else {
        return Fault::new(Class::Unprocessable, "no route of the source takes this event")
            .code("no_route_for_event")
            .into();
    };
    let route = &**chosen.route;
    let (Action::Forward(targets), Some(rules)) = (&route.action, &route.stored) else {
        return Fault::new(Class::Internal, "the source's route has no target").into();
    };
    let policy = rules.policy.clone();
    let mut request = Request::new(());
    *request.method_mut() = call.head.method;
    *request.uri_mut() = call.head.uri;
    *request.headers_mut() = call.head.headers;
    if let Context::Event(event, Mode::Binary) = &call.event.context {
        // A target that takes it as it came looks for it there.
        cloudevents::write_binary(event, request.headers_mut());
    }
    let hop = Hop::new(IpAddr::from([127, 0, 0, 1]));
    let origin = Origin::new(&hop, &view.table.trusted_proxies);
    let asked = Asked::of_ours(request, &request_id, origin);
    let stores = targets.iter().any(|target| target.ack == schemas::Ack::Stored);
    if stores {
        let data = call.event.data.whole().unwrap_or_default();
        let ready = super::records(view, &chosen, rules, targets, call.event, &data, asked);
        let put = match ready {
            Ok(ready) => {
                let put = view.outbox().put(ready.records).await;
                if put.is_ok() {
                    super::announce(ready.news).await;
                }
                put
            }
            Err(fault) => return Consumed { result: Err(fault), policy, called: None },
        };
        let result = put
            .map(|taken| Reply::published(receipt_of(view.outbox(), &taken, targets, rules)))
            .map_err(|error| super::not_stored(&error));
        return Consumed { result, policy, called: None };
    }
    let (target, _) = view.turn(route, targets);
    let made = match make::call(&chosen, target, call.event, asked, None) {
        Ok(made) => made,
        Err(fault) => return Consumed { result: Err(fault), policy, called: None },
    };
    let called = Some(Called::of(&target.upstream, &made.call));
    let guards = Guards { share: Share::Jobs, ..target.guards.clone() };
    let lane = view.lane(&target.upstream);
    let send = async |call| lane.call(call).await;
    let done = policy::attempt(&policy, &guards, made.call, send).await;
    let permit = done.permit;
    let result = done.result.map(|reply| Reply { data: policy::hold(reply.data, permit), ..reply });
    Consumed { result, policy, called }
}
