//! The way of a stored event from the outbox to its target: the worker gives it to a core, which
//! sends it by its own lane, behind the same guards as the calls of requests, with the jobs' share
//! of the permits, so that a backlog never starves callers.

use std::{
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use invokers::{
    Target,
    embedded::{self, SOURCE},
};
use outbox::{
    Claim, NotStored, Outbox, Record, Store, Then,
    delivery::{Delivery, Failure},
    outcomes::Answer,
    record::{RecordHead, Told},
    store::{NO_SOURCE, TARGET_GONE},
    worker::{Became, Deliver, Rules},
};
use policy::{Guards, Policy, permits::Share};
use schemas::{Call, Class, Fault, Ran};
use tokio::sync::oneshot;

use super::{
    Plane,
    core::{Core, Order},
    finishing::{Delivered, Finishing, failure, stopped},
};
use crate::{
    Action, Destination, Table, Upstream,
    stored::{
        again::{Called, LOOP, Replied},
        consumed,
    },
};

/// A stored event on its way.
#[derive(Debug)]
pub(crate) struct Parcel {
    to: To,
    call: Call,
    /// Whether somebody wants the answer.
    wanted: bool,
    told: oneshot::Sender<Result<Delivered, Failure>>,
}

/// Where a stored event goes.
#[derive(Debug)]
enum To {
    /// To a target of the route that has stored it.
    Target {
        /// The route.
        route: Box<str>,
        /// The target's address as it is written.
        target: Box<str>,
    },
    /// To the route that takes the events of a source.
    Source(Box<str>),
}

/// How often something happened, by target and by what it was.
type Counts = Mutex<BTreeMap<(String, &'static str), u64>>;

/// Delivers stored events through a plane, by the rules of the table that it serves from now.
#[derive(Debug)]
pub struct Courier {
    plane: Arc<Plane>,
    outbox: Arc<Outbox>,
    counts: Counts,
    replies: Counts,
    /// The version of the table by which what was parked was looked at last.
    revived: Mutex<String>,
}

impl Courier {
    /// Delivers through this plane.
    #[must_use]
    pub fn new(plane: Arc<Plane>, outbox: Arc<Outbox>) -> Self {
        Self {
            plane,
            outbox,
            counts: Counts::default(),
            replies: Counts::default(),
            revived: Mutex::default(),
        }
    }

    /// Follows a table that is new: events go on whose target was gone and is there again, and
    /// sources are given as many at once as they may have.
    pub fn follow(&self, store: &dyn Store) {
        let table = self.plane.table();
        {
            let mut revived = self.revived.lock().unwrap_or_else(PoisonError::into_inner);
            if *revived == table.version {
                return;
            }
            revived.clone_from(&table.version);
        }
        for (name, source) in &table.sources {
            store.pace(&format!("{SOURCE}{name}"), source.at_once);
        }
        for held in store.holds().targets {
            if held.parked > 0 && is_there(&table, &held.target) {
                store.unpark(&held.target);
            }
        }
    }

    /// Stores an event of a topic for each source that there is now, and so has delivered it.
    async fn spread(
        &self,
        topics: Arc<embedded::Target>,
        record: &Record,
    ) -> Result<Answer, Failure> {
        let taken = self.outbox.put(topics.spread(record.clone())).await;
        let result = match taken {
            // One that repeats another has been delivered by it.
            Ok(_) | Err(NotStored::Conflict) => {
                return Ok(Answer {
                    status: StatusCode::ACCEPTED,
                    headers: HeaderMap::new(),
                    body: None,
                });
            }
            Err(error) => Err(embedded::not_stored(&error)),
        };
        Err(failure(&result))
    }

    /// How many tries to deliver there were, by target and by what became of them.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(String, &'static str), u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many replies were events, by target and by what became of them.
    #[must_use]
    pub fn replies(&self) -> BTreeMap<(String, &'static str), u64> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn count(counts: &Counts, target: &str, what: &'static str) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    *counts.entry((target.to_owned(), what)).or_default() += 1;
}

impl Deliver for Courier {
    fn rules(&self, head: &RecordHead) -> Result<Rules, &'static str> {
        let table = self.plane.table();
        if !is_there(&table, &head.target) {
            return Err(TARGET_GONE);
        }
        let route = match head.target.strip_prefix(SOURCE) {
            Some(name) => table.sources.get(name).and_then(|source| {
                let event = head.event().map(Told::attributes);
                Some(Arc::clone(consumed::choose(source, event.as_ref())?.route))
            }),
            None => table.route(&head.route).cloned(),
        };
        if let Some(topics) = topics(&table, &head.target)
            && topics.sources_of(&head.function).next().is_none()
        {
            return Err(NO_SOURCE);
        }
        let stored = route.as_ref().and_then(|route| route.stored.as_ref());
        Ok(match stored {
            Some(stored) => Rules {
                delivery: Arc::clone(&stored.delivery),
                dead_letter: stored.dead_letter.clone(),
            },
            // Its route is gone, its target is not.
            None => Rules { delivery: Arc::new(Delivery::default()), dead_letter: None },
        })
    }

    fn deliver<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<Answer, Failure>> {
        if let Some(topics) = topics(&self.plane.table(), &record.head.target) {
            return Box::pin(self.spread(topics, record));
        }
        let (told, answer) = oneshot::channel();
        let to = match record.head.target.strip_prefix(SOURCE) {
            Some(source) => To::Source(source.into()),
            None => To::Target {
                route: record.head.route.as_str().into(),
                target: record.head.target.as_str().into(),
            },
        };
        let parcel = Parcel {
            to,
            // Its time begins on the core.
            call: record.call(Instant::now()),
            wanted: record.head.token.is_some(),
            told,
        };
        Box::pin(async move {
            if !self.plane.order(Order::Deliver(Box::new(parcel))).await {
                return Err(stopped(Ran::No));
            }
            let told = answer.await.unwrap_or_else(|_| Err(stopped(Ran::Maybe)));
            let replied = match &told {
                Ok(Delivered { replied, .. }) => replied.map(|replied| match replied {
                    Replied::Routed => "routed",
                    Replied::NoRoute => "no_route",
                }),
                Err(failure) => failure.code.filter(|code| *code == LOOP),
            };
            if let Some(what) = replied {
                count(&self.replies, &record.head.target, what);
            }
            told.map(|delivered| delivered.answer)
        })
    }

    fn tell(&self, claim: &Claim, became: Became<'_>) {
        let outcome = match became {
            Became::Delivered => "delivered",
            Became::Failed(_, Then::Dead { .. }) | Became::TooOld => "dead",
            Became::Failed(..) => "failed",
            Became::Parked(_) => "parked",
            Became::NoCopy(_) => "no_copy",
        };
        count(&self.counts, &claim.record.head.target, outcome);
    }
}

/// Whether a record's target is in the table.
fn is_there(table: &Table, target: &str) -> bool {
    match target.strip_prefix(SOURCE) {
        Some(source) => table.sources.contains_key(source),
        None => upstream(table, target).is_some(),
    }
}

/// The topics of an address, if it is one of an upstream that has them here.
fn topics(table: &Table, address: &str) -> Option<Arc<embedded::Target>> {
    match &upstream(table, address)?.target {
        Target::Embedded(topics) => Some(Arc::clone(topics)),
        _ => None,
    }
}

/// The upstream of an address.
fn upstream<'t>(table: &'t Table, address: &str) -> Option<&'t Arc<Upstream>> {
    table.upstream(address.split_once('/').map_or(address, |(upstream, _)| upstream))
}

/// Delivers a parcel from this core and says what came of it.
pub(super) async fn deliver(core: Rc<Core>, parcel: Parcel) {
    core.delivering.set(core.delivering.get() + 1);
    let told = match parcel.to {
        To::Target { route, target } => {
            send(&core, &route, &target, parcel.call, parcel.wanted).await
        }
        To::Source(source) => consume(&core, &source, parcel.call).await,
    };
    core.delivering.set(core.delivering.get() - 1);
    // The worker has gone only if the process ends.
    parcel.told.send(told).ok();
}

async fn send(
    core: &Core,
    route: &str,
    target: &str,
    mut call: Call,
    wanted: bool,
) -> Result<Delivered, Failure> {
    let view = core.view();
    let table = &view.table;
    let Some(upstream) = upstream(table, target) else {
        let fault = Fault::new(Class::NotFound, "its target is gone").code("target_gone");
        return Err(failure(&Err(fault)));
    };
    let route = table.route(route);
    let destination = route.and_then(|route| match &route.action {
        Action::Forward(targets) => targets.iter().find(|one| *one.label == *target),
        Action::Respond { .. } | Action::Redirect { .. } => None,
    });
    let fallback;
    let policy = match route.and_then(|route| route.stored.as_ref()) {
        Some(stored) => &stored.policy,
        None => {
            fallback = Policy::default().once();
            &fallback
        }
    };
    let guards = match destination {
        Some(destination) => destination.guards.clone(),
        None => upstream.guards_of(target, &table.registry),
    };
    let guards = Guards { share: Share::Jobs, ..guards };
    let own = destination.and_then(|one: &Destination| one.timeout);
    call.deadline = Instant::now() + own.unwrap_or(policy.timeout).min(policy.timeout);
    let called = Called::of(upstream, &call);
    let lane = view.lane(upstream);
    let send = async |call| lane.call(call).await;
    let attempted = policy::attempt(policy, &guards, call, send).await;
    let finishing = Finishing { view: &view, policy, called: Some(&called) };
    if wanted {
        return finishing.keep(attempted.result).await;
    }
    finishing.finish(attempted.result, core.next_id()).await
}

/// Gives an event of a source to the route that takes it.
async fn consume(core: &Core, source: &str, call: Call) -> Result<Delivered, Failure> {
    let view = core.view();
    let consumed = consumed::consume(&view, source, call, core.next_id()).await;
    let called = consumed.called.as_ref();
    let finishing = Finishing { view: &view, policy: &consumed.policy, called };
    finishing.finish(consumed.result, core.next_id()).await
}
