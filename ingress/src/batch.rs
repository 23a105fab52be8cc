//! A batch: several events in one request. It is read, routed and made into calls whole before
//! anything is sent, so that a bad event in it costs nothing (CloudEvents HTTP binding, section
//! 3.3, leaves the outcome to us).

use futures_util::{StreamExt as _, stream};
use policy::limiter::Taken;
use schemas::{Ack, Attributes, Call, Class, Event, Fault, Receipt};
use tokio::time::Instant;

use crate::{
    Action, Destination, Route,
    answer::{self, About, Answer},
    make::{self, Asked, Made},
    plane::View,
    rates,
    recorder::Trace,
    routes::Chosen,
    steps::{self, Refused},
};

/// Events of one batch that are under way at once.
const AT_ONCE: usize = 64;

/// One event of a batch, ready to be sent.
struct Ready<'t> {
    call: Call,
    route: &'t Route,
    target: &'t Destination,
}

/// Sends each event to the route that `choose` finds for it, and answers with each one's receipt.
/// Each counts for the rate limits, of which the request has taken for its first one already what
/// stands in `taken`.
///
/// # Errors
/// If any of them finds no route, cannot be made into a call, or has a target that answers instead
/// of confirming.
pub(crate) async fn serve<'t>(
    view: &'t View,
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
    // Each call is started in the order of the batch, and what one connection carries stays in it.
    let outcomes: Vec<(Result<Box<Receipt>, Fault>, u32)> =
        stream::iter(ready).map(|one| send(view, one)).buffered(AT_ONCE).collect().await;
    trace.record.attempts = outcomes.iter().map(|(_, attempts)| attempts).sum();
    trace.record.ack = Some(Ack::Published);
    let outcomes: Vec<_> = outcomes.into_iter().map(|(outcome, _)| outcome).collect();
    if let Some(Err(fault)) = outcomes.iter().find(|outcome| outcome.is_err()) {
        trace.failed(fault);
    }
    Ok(answer::batch(&abouts, &outcomes, asked.request_id))
}

fn prepare<'t>(
    view: &'t View,
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
    let (target, series) = view.turn(route, targets);
    if target.ack == Ack::Replied {
        return Err(needs_async().into());
    }
    trace.series = series;
    trace.record.route = Some(std::sync::Arc::clone(&route.label));
    trace.record.address = Some(std::sync::Arc::clone(&target.label));
    let Made { call, .. } = make::call(&chosen, target, event, asked.clone(), None)?;
    Ok(Ready { call, route, target })
}

fn needs_async() -> Fault {
    Fault::new(
        Class::UnsupportedMedia,
        "a batch cannot be answered by a function; send its events one by one",
    )
    .code("batch_needs_async")
}

async fn send(view: &View, one: Ready<'_>) -> (Result<Box<Receipt>, Fault>, u32) {
    let lane = view.lane(&one.target.upstream);
    let send = async |call| lane.call(call).await;
    let attempted = policy::attempt(&one.route.policy, &one.target.guards, one.call, send).await;
    let outcome = attempted.result.and_then(|reply| {
        reply.receipt.ok_or_else(|| {
            Fault::new(Class::Internal, "a target that confirms gave no receipt").maybe()
        })
    });
    (outcome, attempted.attempts)
}
