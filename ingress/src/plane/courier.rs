//! The way of a stored event from the outbox to its target: the worker gives it to a core, which
//! sends it by its own lane, behind the same guards as the calls of requests, with the jobs' share
//! of the permits, so that a backlog never starves callers.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use futures_util::future::BoxFuture;
use outbox::{
    Claim, Record, Store, Then,
    delivery::{Delivery, Failure},
    outcomes::{ANSWER_MAX, Answer},
    record::RecordHead,
    worker::{Deliver, Rules, Told},
};
use policy::{Guards, Policy, permits::Share};
use schemas::{Body, Call, Class, Fault, Ran, Reply};
use tokio::sync::oneshot;

use super::{
    Plane,
    core::{Core, Order},
};
use crate::{Action, Destination, Table, Upstream};

/// How much of an answer that nobody wants is read, so that its connection can be used again.
const LEFTOVER_BYTES: usize = 64 << 10;

/// A stored event on its way.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// The route that accepted it.
    route: Box<str>,
    /// The target's address as it is written.
    target: Box<str>,
    call: Call,
    /// Whether somebody wants the answer.
    wanted: bool,
    told: oneshot::Sender<Result<Answer, Failure>>,
}

/// Delivers stored events through a plane, by the rules of the table that it serves from now.
#[derive(Debug)]
pub struct Courier {
    plane: Arc<Plane>,
    counts: Mutex<BTreeMap<(String, &'static str), u64>>,
}

impl Courier {
    /// Delivers through this plane.
    #[must_use]
    pub fn new(plane: Arc<Plane>) -> Self {
        Self { plane, counts: Mutex::default() }
    }

    /// Lets events go on whose target was gone and is there again.
    pub fn revive(&self, store: &dyn Store) {
        let table = self.plane.table();
        for held in store.holds().targets {
            if held.parked > 0 && upstream(&table, &held.target).is_some() {
                store.unpark(&held.target);
            }
        }
    }

    /// What was delivered and what was not, in the Prometheus text format 0.0.4.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = "# HELP gusset_deliveries_total Tries to deliver stored events.\n\
                        # TYPE gusset_deliveries_total counter\n"
            .to_owned();
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for ((target, outcome), count) in counts.iter() {
            let target = target.replace('\\', "\\\\").replace('"', "\\\"");
            // Writing into a text cannot fail.
            writeln!(
                text,
                "gusset_deliveries_total{{target=\"{target}\",outcome=\"{outcome}\"}} {count}"
            )
            .unwrap_or_default();
        }
        text
    }
}

impl Deliver for Courier {
    fn rules(&self, head: &RecordHead) -> Option<Rules> {
        let table = self.plane.table();
        upstream(&table, &head.target)?;
        let stored = table.route(&head.route).and_then(|route| route.stored.as_ref());
        Some(match stored {
            Some(stored) => Rules {
                delivery: Arc::clone(&stored.delivery),
                dead_letter: stored.dead_letter.clone(),
            },
            // Its route is gone, its target is not.
            None => Rules { delivery: Arc::new(Delivery::default()), dead_letter: None },
        })
    }

    fn deliver<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<Answer, Failure>> {
        let (told, answer) = oneshot::channel();
        let parcel = Parcel {
            route: record.head.route.as_str().into(),
            target: record.head.target.as_str().into(),
            // Its time begins on the core.
            call: record.call(Instant::now()),
            wanted: record.head.token.is_some(),
            told,
        };
        Box::pin(async move {
            if !self.plane.order(Order::Deliver(Box::new(parcel))).await {
                return Err(stopped(Ran::No));
            }
            answer.await.unwrap_or_else(|_| Err(stopped(Ran::Maybe)))
        })
    }

    fn tell(&self, claim: &Claim, told: Told<'_>) {
        let outcome = match told {
            Told::Delivered => "delivered",
            Told::Failed(_, Then::Dead { .. }) | Told::TooOld => "dead",
            Told::Failed(..) => "failed",
            Told::Gone => "parked",
            Told::NoCopy(_) => "no_copy",
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((claim.record.head.target.clone(), outcome)).or_default() += 1;
    }
}

/// The upstream of an address.
fn upstream<'t>(table: &'t Table, address: &str) -> Option<&'t Arc<Upstream>> {
    table.upstream(address.split_once('/').map_or(address, |(upstream, _)| upstream))
}

fn stopped(ran: Ran) -> Failure {
    Failure {
        class: Class::Cancelled,
        code: None,
        ran,
        reason: "the gateway is stopping".into(),
        retry_after: None,
        for_good: false,
    }
}

/// Delivers a parcel from this core and says what came of it.
pub(super) async fn deliver(core: Rc<Core>, parcel: Parcel) {
    core.delivering.set(core.delivering.get() + 1);
    let told = send(&core, &parcel.route, &parcel.target, parcel.call, parcel.wanted).await;
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
) -> Result<Answer, Failure> {
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
            let mut once = Policy::default();
            once.retry.attempts = 1;
            fallback = once;
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
    let lane = view.lane(upstream);
    let send = async |call| lane.call(call).await;
    let attempted = policy::attempt(policy, &guards, call, send).await;
    if let Some(failure) = Failure::of(&attempted.result) {
        if let Ok(reply) = attempted.result {
            drain(reply.data, policy).await;
        }
        return Err(failure);
    }
    let Ok(Reply { mut head, data, receipt, .. }) = attempted.result else {
        return Err(stopped(Ran::Maybe));
    };
    if !wanted {
        drain(data, policy).await;
        return Ok(Answer { status: head.status, headers: head.headers, body: None });
    }
    let body = match receipt {
        Some(receipt) => serde_json::to_vec(&receipt).ok().map(Into::into),
        None => {
            let collected = tokio::time::timeout(policy.timeout, data.collect(ANSWER_MAX)).await;
            collected.ok().and_then(Result::ok)
        }
    };
    // What is kept has the length that it has.
    head.headers.remove(http::header::CONTENT_LENGTH);
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// Reads the rest of an answer that nobody wants, so that its connection can be used again. What
/// has been delivered stays delivered, whatever becomes of the rest.
async fn drain(body: Body, policy: &Policy) {
    drop(tokio::time::timeout(policy.timeout, body.collect(LEFTOVER_BYTES)).await);
}

/// A failure, where there surely is one.
fn failure(result: &Result<Reply, Fault>) -> Failure {
    Failure::of(result).unwrap_or_else(|| stopped(Ran::Maybe))
}
