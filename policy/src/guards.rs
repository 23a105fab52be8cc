//! What stands between a call and its function: the breaker, then a permit.

use std::{sync::Arc, time::Duration};

use schemas::{Class, Fault, Reply, Verdict};
use tokio::time::{Instant, timeout_at};

use crate::{
    breaker::{Breaker, Outcome, Pass},
    budget::Budget,
    clock::nanos,
    permits::{COME_AGAIN, Full, Permit, Permits, Share},
};

/// The guards of one target. Each is shared by all that call it.
#[derive(Clone, Debug, Default)]
pub struct Guards {
    /// The function's.
    pub breaker: Option<Arc<Breaker>>,
    /// The upstream's.
    pub permits: Option<Arc<Permits>>,
    /// The upstream's.
    pub budget: Option<Arc<Budget>>,
    /// Whose permits are taken.
    pub share: Share,
    /// Whether the target takes an event for the same that has the same identity, so that it may be
    /// sent twice.
    pub deduplicates: bool,
}

/// A call that was let in.
#[derive(Debug, Default)]
pub(crate) struct Entered<'g> {
    trial: Option<Trial<'g>>,
    pub(crate) permit: Option<Permit>,
}

/// A call of which the breaker wants to know what comes of it.
#[derive(Debug)]
struct Trial<'g> {
    breaker: &'g Arc<Breaker>,
    /// Gone once it was told.
    pass: Option<Pass>,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        // The call was cancelled: nothing is known, but a probe's place is free again.
        if let Some(pass) = self.pass.take() {
            self.breaker.record(pass, Outcome::Neither, 0);
        }
    }
}

/// Why a call is not let in at once.
#[derive(Debug)]
pub(crate) enum Shut {
    /// The breaker is open for so long.
    Open(Duration),
    /// Every permit is taken.
    Busy,
}

impl From<Shut> for Fault {
    fn from(shut: Shut) -> Self {
        match shut {
            Shut::Open(wait) => {
                let detail = "the function has failed too often and is left alone for a while";
                Self::new(Class::BreakerOpen, detail).after(wait)
            }
            Shut::Busy => {
                let detail = "as many calls as the upstream may get are under way already";
                Self::new(Class::Overloaded, detail).after(COME_AGAIN)
            }
        }
    }
}

impl Guards {
    /// Lets a call in if it need not wait.
    pub(crate) fn enter(&self, now: Instant) -> Result<Entered<'_>, Shut> {
        // The breaker goes first: a function that hangs holds its permits, and nobody should queue
        // for one only to learn that it would not be used.
        let trial = self.admit(now)?;
        let permit = match &self.permits {
            None => None,
            Some(permits) => Some(permits.try_take(self.share).ok_or(Shut::Busy)?),
        };
        Ok(Entered { trial, permit })
    }

    /// Lets a call in once there is a permit, unless the queue is full, or until the deadline.
    pub(crate) async fn wait(&self, deadline: Instant) -> Result<Entered<'_>, Shut> {
        let permit = match &self.permits {
            None => None,
            Some(permits) => match timeout_at(deadline, permits.take(self.share)).await {
                Ok(Ok(permit)) => Some(permit),
                Ok(Err(Full)) | Err(_) => return Err(Shut::Busy),
            },
        };
        // The function may have failed meanwhile.
        Ok(Entered { trial: self.admit(Instant::now())?, permit })
    }

    fn admit(&self, now: Instant) -> Result<Option<Trial<'_>>, Shut> {
        let Some(breaker) = &self.breaker else { return Ok(None) };
        let pass = breaker.admit(nanos(now)).map_err(Shut::Open)?;
        Ok(Some(Trial { breaker, pass: Some(pass) }))
    }

    /// Whether a call would be refused for the breaker alone.
    pub(crate) fn refuse(&self, now: Instant) -> bool {
        self.breaker.as_ref().is_some_and(|breaker| breaker.refuses(nanos(now)))
    }
}

impl Entered<'_> {
    /// Tells the breaker what came of the call.
    pub(crate) fn tell(&mut self, result: &Result<Reply, Fault>) {
        if let Some(mut trial) = self.trial.take()
            && let Some(pass) = trial.pass.take()
        {
            if let Ok(Reply { verdict: Verdict::Ok, later: Some(later), .. }) = result
                && !pass.is_probe()
            {
                // The end of a stream says how it went. A probe is judged by its head: a stream may
                // last for hours, and the breaker would stay half open for as long.
                let breaker = Arc::clone(trial.breaker);
                later.then(move |verdict| {
                    breaker.record(pass, of_verdict(verdict), nanos(Instant::now()));
                });
                return;
            }
            trial.breaker.record(pass, outcome(result), nanos(Instant::now()));
        }
    }
}

/// What a result says of the function.
fn outcome(result: &Result<Reply, Fault>) -> Outcome {
    match result {
        Ok(reply) => of_verdict(reply.verdict),
        Err(fault) => of_class(fault.class),
    }
}

fn of_verdict(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Ok => Outcome::Good,
        Verdict::Failed { class, .. } => of_class(class),
    }
}

fn of_class(class: Class) -> Outcome {
    match class {
        Class::ConnectFailed
        | Class::Unavailable
        | Class::NoResponders
        | Class::UpstreamAuth
        | Class::Throttled
        | Class::UpstreamProtocol
        | Class::FunctionFailed
        | Class::FunctionNotDeployed
        | Class::Timeout => Outcome::Bad,
        // The caller's own doing, or ours.
        Class::BadRequest
        | Class::Unauthorized
        | Class::Forbidden
        | Class::NotFound
        | Class::MethodNotAllowed
        | Class::RequestTimeout
        | Class::Conflict
        | Class::PreconditionRequired
        | Class::PreconditionFailed
        | Class::Unprocessable
        | Class::TooLarge
        | Class::UriTooLong
        | Class::HeadersTooLarge
        | Class::UnsupportedMedia
        | Class::RateLimited
        | Class::Overloaded
        | Class::StorageFull
        | Class::BreakerOpen
        | Class::Cancelled
        | Class::Internal => Outcome::Neither,
    }
}
