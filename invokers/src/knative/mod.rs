//! Knative: services of Serving, called as any HTTP service is, by their URLs or by their hosts
//! through the cluster's ingress; brokers and channels of Eventing, which take events by its data
//! plane contract.

mod config;
mod function;
mod letter;
mod said;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, rc::Rc, sync::Arc};

use futures_util::future::LocalBoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header::HOST};
use schemas::{Ack, Call, Class, Context, Fault, Invoker, Mode, Reply};

pub use self::{
    config::{Target, Written},
    letter::Ended,
};
use self::{
    function::{Function, Role},
    said::{Service, Sink},
};
use crate::{
    Tools,
    client::Client,
    platform::{self, Aim, Authoriser, Own},
    probe::Probed,
};

/// The field by which a sender says that it takes a reply.
const PREFER: HeaderName = HeaderName::from_static("prefer");
const REPLY: HeaderValue = HeaderValue::from_static("reply");

/// How many times more an event may be replied to by another; a broker counts it down.
pub const TTL: &str = "knativebrokerttl";

/// One core's connections.
pub struct Lane {
    target: Arc<Target>,
    ingress: Option<Client>,
    /// What has a URL of its own, by each of its names.
    places: HashMap<String, Rc<Place>>,
}

/// The connections to one place, and the path to post to.
struct Place {
    client: Client,
    path: String,
}

impl Lane {
    /// Makes the lane; it connects with its first call.
    #[must_use]
    pub fn new(target: Arc<Target>, tools: &Tools) -> Self {
        let client = |origin| target.reach.client(std::slice::from_ref(origin), tools);
        let mut places = HashMap::new();
        let usual = format!(".{}", target.namespace);
        for (name, place) in &target.places {
            let made = Place { client: client(&place.origin), path: place.path.clone() };
            let made = Rc::new(made);
            if let Some(short) = name.strip_suffix(&usual) {
                places.insert(short.to_owned(), Rc::clone(&made));
            }
            places.insert(name.clone(), made);
        }
        let ingress = target.ingress.as_ref().map(|ingress| client(&ingress.origin));
        Self { target, ingress, places }
    }

    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let function = Arc::clone(&call.function);
        match Role::of(&function) {
            Role::Service => self.serve(call, &function).await,
            Role::Broker | Role::Channel => self.publish(call, &function).await,
        }
    }

    /// Calls a service, behind whose URL the request's path stands.
    async fn serve(&self, mut call: Call, function: &str) -> Result<Reply, Fault> {
        let mut own = Own::new();
        let client = match (self.places.get(function), &self.ingress) {
            (Some(place), _) => &place.client,
            (None, Some(client)) => {
                own.push((HOST, self.host(function)?));
                client
            }
            (None, None) => return Err(nowhere()),
        };
        let event = match call.event.context {
            Context::Event(..) | Context::Opaque(Mode::Binary | Mode::Structured) => true,
            Context::Plain | Context::Opaque(Mode::Batch) => false,
        };
        if event && call.head.method == Method::POST {
            prefer_a_reply(&mut call);
        }
        let aim = Aim { client, prefix: "", method: None, own, authoriser: &Authoriser::NOBODY };
        platform::call(&Service { event }, aim, call).await
    }

    /// Hands an event to a broker or a channel.
    async fn publish(&self, mut call: Call, function: &str) -> Result<Reply, Fault> {
        let Some(place) = self.places.get(function) else { return Err(nowhere()) };
        if matches!(call.event.context, Context::Plain | Context::Opaque(_)) {
            let what = "a broker or a channel takes a CloudEvent and nothing else; send one";
            return Err(Fault::new(Class::BadRequest, what).code("event_needed"));
        }
        let replies = call.ack == Ack::Replied;
        if replies {
            prefer_a_reply(&mut call);
        }
        call.head.uri = Uri::default();
        let aim = Aim {
            client: &place.client,
            prefix: &place.path,
            method: Some(Method::POST),
            own: Own::new(),
            authoriser: &Authoriser::NOBODY,
        };
        platform::call(&Sink { function, replies }, aim, call).await
    }

    fn host(&self, function: &str) -> Result<HeaderValue, Fault> {
        let named = Function::parse(function).zip(self.target.ingress.as_ref());
        let host = named.map(|(function, ingress)| self.target.host(&function, ingress));
        host.and_then(|host| HeaderValue::try_from(host).ok()).ok_or_else(nowhere)
    }
}

/// Says that the gateway takes a reply, beside whatever else is preferred.
fn prefer_a_reply(call: &mut Call) {
    let headers = &mut call.head.headers;
    if !headers.get_all(PREFER).iter().any(|value| value == REPLY) {
        headers.append(PREFER, REPLY);
    }
}

fn nowhere() -> Fault {
    let what = "the gateway has no URL of this service, broker or channel";
    Fault::new(Class::FunctionNotDeployed, what)
}

/// Whether a function takes events and nothing else.
pub(crate) fn takes_events(function: &str) -> bool {
    Role::of(function) != Role::Service
}

/// Takes out the fields by which Knative's own parts speak to each other, which no caller may bring.
pub(crate) fn remove_reserved(headers: &mut HeaderMap) {
    let is_reserved = |name: &&HeaderName| {
        name.as_str().starts_with("k-") || name.as_str().starts_with("knative-serving-")
    };
    let reserved: Vec<_> = headers.keys().filter(is_reserved).cloned().collect();
    for name in reserved {
        headers.remove(name);
    }
}

/// Connects to every place once, and sends nothing.
pub async fn probe(target: &Target, tools: &Tools) -> Vec<Probed> {
    let ingress = target.ingress.iter().map(|ingress| &ingress.origin);
    let mut all = Vec::new();
    for origin in ingress.chain(target.places.values().map(|place| &place.origin)) {
        all.extend(target.reach.client(std::slice::from_ref(origin), tools).probe().await);
    }
    all
}

impl Invoker for Lane {
    fn call(&self, call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(self.send(call))
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("knative::Lane").field("target", &self.target).finish_non_exhaustive()
    }
}
