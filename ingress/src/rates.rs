//! Rate limits, asked for a request: those that the head tells before a byte of the body has been
//! read, those that need the event once it is known.

use std::{borrow::Cow, sync::Arc};

use policy::limiter::{Asker, Exceeded, Limits, Standings, Taken};
use schemas::{Attributes, Event, Fault};
use tokio::time::Instant;

use crate::{
    make::{self, Asked},
    recorder::Trace,
    routes::{Chosen, Door},
    values,
};

/// The limits of a request's route and how they stand, for the headers of the answer.
pub(crate) type Told = (Arc<Limits>, Standings);

/// Takes one of each limit of the route that the head tells, and notes what in `taken`.
pub(crate) fn by_head<'t>(
    chosen: &Chosen<'t>,
    asked: &Asked<'_>,
    taken: &mut Taken<'t>,
    trace: &mut Trace,
) -> Result<(), Fault> {
    let Some(limits) = &chosen.route.limits else { return Ok(()) };
    let values = asked.values(&chosen.captures, None);
    let asker = Asker { address: asked.origin.client, values: &values };
    let now = policy::nanos(asked.arrived.into());
    told(limits, limits.take_by_head(&asker, 1, now, taken), trace)
}

/// Takes one of each limit of the route that the event tells.
pub(crate) fn by_event(
    chosen: &Chosen<'_>,
    asked: &Asked<'_>,
    event: &Event,
    trace: &mut Trace,
) -> Result<(), Fault> {
    let Some(limits) = chosen.route.limits.as_ref().filter(|limits| limits.reads_event()) else {
        return Ok(());
    };
    let attributes = match event.attributes() {
        Some(attributes) => Cow::Borrowed(attributes),
        None => Cow::Owned(make::to_be(chosen, asked)?),
    };
    let values = asked.values(&chosen.captures, Some(&attributes));
    let asker = Asker { address: asked.origin.client, values: &values };
    // To read the body took its time.
    let now = policy::nanos(Instant::now());
    let taken = limits.take_by_event(&asker, 1, now, &mut Taken::default());
    told(limits, taken, trace)
}

/// Takes of the limits of one event of a batch; `paid` if the head's were taken already. What the
/// events before it have taken stands in `taken`, to be put back if one of them is refused.
pub(crate) fn in_batch<'t>(
    chosen: &Chosen<'t>,
    asked: &Asked<'_>,
    attributes: &Attributes,
    paid: bool,
    taken: &mut Taken<'t>,
    trace: &mut Trace,
) -> Result<(), Fault> {
    let Some(limits) = &chosen.route.limits else { return Ok(()) };
    let values = asked.values(&chosen.captures, Some(attributes));
    let asker = Asker { address: asked.origin.client, values: &values };
    let now = policy::nanos(Instant::now());
    if !paid {
        told(limits, limits.take_by_head(&asker, 1, now, taken), trace)?;
    }
    if limits.reads_event() {
        told(limits, limits.take_by_event(&asker, 1, now, taken), trace)?;
    }
    Ok(())
}

/// Refuses before the body is read what no route behind the door would take, whatever the event
/// turns out to be. Takes nothing: which limits count is known with the route.
pub(crate) fn none_passes(
    door: &Door<'_>,
    asked: &Asked<'_>,
    trace: &mut Trace,
) -> Result<(), Fault> {
    let now = policy::nanos(asked.arrived.into());
    let mut refusing = None;
    for chosen in door.each() {
        let Some(limits) = &chosen.route.limits else { return Ok(()) };
        let values = asked.values(&chosen.captures, None);
        let asker = Asker { address: asked.origin.client, values: &values };
        match limits.refused_by_head(&asker, now) {
            None => return Ok(()),
            Some(standings) => refusing = Some((limits, standings)),
        }
    }
    match refusing {
        None => Ok(()),
        Some((limits, standings)) => told(limits, Err(Exceeded::Limit(standings)), trace),
    }
}

/// Keeps what the caller is to be told, and makes a fault of a refusal.
fn told(
    limits: &Arc<Limits>,
    taken: Result<Standings, Exceeded>,
    trace: &mut Trace,
) -> Result<(), Fault> {
    match taken {
        Ok(standings) => {
            match &mut trace.limits {
                Some(before) if Arc::ptr_eq(&before.0, limits) => before.1.extend(standings),
                before => *before = Some(Box::new((Arc::clone(limits), standings))),
            }
            Ok(())
        }
        Err(Exceeded::Limit(standings)) => {
            let fault = standings.fault();
            trace.limits = Some(Box::new((Arc::clone(limits), standings)));
            Err(fault)
        }
        Err(Exceeded::NoKey(missing)) => Err(values::refuse(&missing)),
    }
}
