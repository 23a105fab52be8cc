//! A batch: several events in one request. It is read, routed and made into calls whole before
//! anything is sent, so that a bad event in it costs nothing (CloudEvents HTTP binding, section
//! 3.3, leaves the outcome to us).

use std::{rc::Rc, sync::Arc};

use futures_util::{StreamExt as _, stream};
use outbox::Record;
use policy::limiter::Taken;
use schemas::{Ack, Attributes, Call, Class, Event, Fault, Receipt};
use tokio::time::Instant;

use crate::{
    Action, Destination, Route, View,
    answer::{self, About, Answer},
    make::{self, Asked, Made},
    mirror, rates,
    recorder::{Trace, series::SeriesId},
    routes::Chosen,
    steps::{self, Refused},
    stored::{self, News},
    table::Stored,
};

/// Events of one batch that are under way at once.
const AT_ONCE: usize = 64;

/// One event of a batch, ready.
enum Ready<'t> {
    /// To be sent.
    Send {
        call: Box<Call>,
        route: &'t Route,
        target: &'t Destination,
        copy: Option<Box<mirror::Prepared>>,
    },
    /// To be stored: a record for each target.
    Store { records: Vec<Record>, news: News, targets: &'t [Destination], rules: &'t Stored },
}

/// What has become of an event.
type Outcome = Result<Box<Receipt>, Fault>;

/// Sends each event to the route that `choose` finds for it, and answers with each one's receipt.
/// Each counts for the rate limits, of which the request has taken for its first one already what
/// stands in `taken`.
///
/// # Errors
/// If any of them finds no route, cannot be made into a call, or has a target that answers instead
/// of confirming.
pub(crate) async fn serve<'t>(
    view: &'t Rc<View>,
    asked: &Asked<'_>,
    events: Vec<Event>,
    choose: &dyn Fn(&Attributes) -> Result<Chosen<'t>, Refused>,
    mut taken: Taken<'t>,
    trace: &mut Trace,
) -> Result<Answer, Refused> {
    let paid = !taken.is_empty();
    let mut abouts = Vec::with_capacity(events.len());
    let mut ready = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        let about = event.attributes().map(About::of);
        let paid = paid && index == 0;
        let made = prepare(view, asked, event, choose, paid, &mut taken, trace);
        if made.as_ref().is_err_and(|refused| refused.fault.class == Class::RateLimited) {
            // As with one event that is over a limit: it has taken nothing.
            std::mem::take(&mut taken).put_back(policy::nanos(Instant::now()));
        }
        let made = made.map_err(|refused| {
            let detail = format!("event {index} of the batch: {}", refused.fault.detail);
            let fault = Box::new(Fault { detail: detail.into(), ..*refused.fault });
            Refused { fault, event: about.clone().map(Box::new), ..refused }
        })?;
        abouts.extend(about);
        ready.push(made);
    }
    // What is stored is stored together, and before anything is sent: all of it or nothing.
    let mut stored = store(view, &mut ready).await;
    // Each call is started in the order of the batch, and what one connection carries stays in it.
    let outcomes: Vec<(Outcome, u32)> = stream::iter(ready)
        .map(|one| {
            let outcome = if let Ready::Store { .. } = &one { stored.next() } else { None };
            send(view, one, outcome)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    trace.record.attempts = outcomes.iter().map(|(_, attempts)| attempts).sum();
    trace.record.ack = outcomes.iter().find_map(|(outcome, _)| Some(outcome.as_ref().ok()?.ack));
    let outcomes: Vec<_> = outcomes.into_iter().map(|(outcome, _)| outcome).collect();
    if let Some(Err(fault)) = outcomes.iter().find(|outcome| outcome.is_err()) {
        trace.failed(fault);
    }
    Ok(answer::batch(&abouts, &outcomes, asked.request_id))
}

fn prepare<'t>(
    view: &'t Rc<View>,
    asked: &Asked<'_>,
    event: Event,
    choose: &dyn Fn(&Attributes) -> Result<Chosen<'t>, Refused>,
    paid: bool,
    taken: &mut Taken<'t>,
    trace: &mut Trace,
) -> Result<Ready<'t>, Refused> {
    let attributes = event.attributes().ok_or_else(|| {
        Fault::new(Class::Internal, "a batch was read and one of its events has no attributes")
    })?;
    let chosen = choose(attributes)?;
    let route = &**chosen.route;
    let Action::Forward(targets) = &route.action else {
        return Err(needs_async().into());
    };
    steps::fits(&event, route)?;
    rates::in_batch(&chosen, asked, attributes, paid, taken, trace)?;
    if let Some(rules) = &route.stored {
        note(trace, view.series(route), route, targets);
        let data = event.data.whole().unwrap_or_default();
        let ready = stored::records(view, &chosen, rules, targets, event, &data, asked.clone())?;
        let stored::Ready { records, news, .. } = ready;
        return Ok(Ready::Store { records, news, targets, rules });
    }
    let (target, series) = view.turn(route, targets);
    if target.ack == Ack::Replied {
        return Err(needs_async().into());
    }
    note(trace, series, route, std::slice::from_ref(target));
    let mut event = event;
    let copy = mirror::prepare(view, &chosen, asked, &mut event, trace.recorder()).map(Box::new);
    let Made { call, .. } = make::call(&chosen, target, event, asked.clone(), None)?;
    Ok(Ready::Send { call: Box::new(call), route, target, copy })
}

fn note(trace: &mut Trace, series: SeriesId, route: &Route, targets: &[Destination]) {
    trace.series = series;
    trace.record.route = Some(Arc::clone(&route.label));
    trace.record.address = targets.first().map(|target| Arc::clone(&target.label));
}

/// Stores what is to be stored of a batch in one go. Returns the outcome of each such event, in
/// their order.
async fn store(view: &View, ready: &mut [Ready<'_>]) -> std::vec::IntoIter<Outcome> {
    let mut records = Vec::new();
    let mut parts = Vec::new();
    let mut news = News::new();
    for one in ready {
        if let Ready::Store { records: own, news: new, targets, rules } = one {
            news.append(new);
            parts.push((own.len(), *targets, *rules));
            records.append(own);
        }
    }
    if parts.is_empty() {
        return Vec::new().into_iter();
    }
    let outcomes: Vec<Outcome> = match view.outbox().put(records).await {
        Ok(taken) => {
            stored::announce(news).await;
            let mut taken = &*taken;
            let each = parts.into_iter().map(|(count, targets, rules)| {
                let (own, rest) = taken.split_at(count.min(taken.len()));
                taken = rest;
                Ok(Box::new(stored::receipt_of(view.outbox(), own, targets, rules)))
            });
            each.collect()
        }
        Err(error) => parts.iter().map(|_| Err(stored::not_stored(&error))).collect(),
    };
    outcomes.into_iter()
}

fn needs_async() -> Fault {
    Fault::new(
        Class::UnsupportedMedia,
        "a batch cannot be answered by a function; send its events one by one",
    )
    .code("batch_needs_async")
}

/// Sends one event, or says what has become of it if it was stored.
async fn send(view: &View, one: Ready<'_>, stored: Option<Outcome>) -> (Outcome, u32) {
    let (call, route, target) = match one {
        Ready::Send { call, route, target, copy } => {
            if let Some(copy) = copy {
                copy.start();
            }
            (*call, route, target)
        }
        Ready::Store { .. } => {
            let missing =
                || Err(Fault::new(Class::Internal, "an event of a batch was passed over"));
            return (stored.unwrap_or_else(missing), 0);
        }
    };
    let lane = view.lane(&target.upstream);
    let send = async |call| lane.call(call).await;
    let attempted = policy::attempt(&route.policy, &target.guards, call, send).await;
    let outcome = attempted.result.and_then(|reply| {
        reply.receipt.ok_or_else(|| {
            Fault::new(Class::Internal, "a target that confirms gave no receipt").maybe()
        })
    });
    (outcome, attempted.attempts)
}
