//! One call, in as many tries as the policy allows and safety permits.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use http::Method;
use schemas::{Call, Class, EndpointId, Fault, Ran, Reply, Verdict};
use tokio::time::{Instant, timeout_at};

use crate::{
    Guards, On, OnName, Policy, backoff, budget::Spent, clock::nanos, guards::Shut, keep::Kept,
    permits::Permit, timer::Timer,
};

/// What came of a call.
#[derive(Debug)]
pub struct Attempted {
    /// The function's reply, or why there is none. Its `ran` speaks of all tries together.
    pub result: Result<Reply, Fault>,
    /// How many times it was tried.
    pub attempts: u32,
    /// The upstream's permit, to be held until the last byte of the reply has passed.
    pub permit: Option<Permit>,
}

/// How much of a reply that is not used is read, so that its connection can be used again.
const LEFTOVER_BYTES: usize = 16 << 10;

/// Sends the call by `send` until it is done, it may not be sent again, or its time is up.
///
/// A call that may have run is sent again only if the function may run twice. A call of which not
/// a byte was written comes back in its fault and needs no copy; what else is kept, `keep.rs` says.
/// Before each try the guards of the target are asked: an open breaker or a full queue ends the
/// call, and nothing is sent.
pub async fn attempt(
    policy: &Policy,
    guards: &Guards,
    mut call: Call,
    mut send: impl AsyncFnMut(Call) -> Result<Reply, Fault>,
) -> Attempted {
    let deadline = Instant::from_std(call.deadline);
    // A target that knows the event again takes the second for the first.
    let recognised = call.identity.is_some() && guards.deduplicates;
    let idempotent =
        policy.idempotent.unwrap_or_else(|| recognised || is_idempotent(&call.head.method));
    let kept = Kept::of(&mut call, &policy.retry).await;
    let mut timer = Timer::default();
    let mut ran = Ran::No;
    let mut attempts = 0;
    // What the budget has lent to a call that has not reached anybody yet.
    let mut lent: Option<Spent> = None;
    loop {
        let mut now = Instant::now();
        if now >= deadline {
            let result = Err(too_late(ran, "the time for the call was up before it was sent"));
            return Attempted { result, attempts, permit: None };
        }
        let entered = match guards.enter(now) {
            // Rare, so boxed: a future is moved about at its full size.
            Err(Shut::Busy) => {
                let entered = Box::pin(guards.wait(deadline)).await;
                now = Instant::now();
                entered
            }
            entered => entered,
        };
        let mut entered = match entered {
            Ok(entered) => entered,
            Err(shut) => {
                let result = Err(Fault { ran, ..Fault::from(shut) });
                return Attempted { result, attempts, permit: None };
            }
        };
        if let (0, Some(budget)) = (attempts, &guards.budget) {
            budget.call(nanos(now));
        }
        attempts += 1;
        let number = call.attempt;
        let ends = now.checked_add(policy.try_timeout).map_or(deadline, |ends| ends.min(deadline));
        // The lane has the try's time and no more, so that it is the lane who says, if the time is
        // up while it connects, that nothing was sent.
        call.deadline = ends.into_std();
        let mut result = {
            let sent = pin!(send(call));
            let result = until(ends, &mut timer, sent).await;
            result.unwrap_or_else(|| {
                Err(too_late(Ran::Maybe, "the function has not answered in time"))
            })
        };

        entered.tell(&result);
        let permit = entered.permit.take();
        if let (Some(spent), Some(budget), None) = (lent.take(), &guards.budget, failure(&result)) {
            budget.give_back(spent);
        }

        // What one try may have done stays done, whatever the next one says.
        if ran == Ran::Maybe {
            set_ran(&mut result);
        }
        ran = failure(&result).map_or(ran, |failure| failure.ran);

        let again = attempts < policy.retry.attempts
            && worth_another(&policy.retry.on, &result)
            && (ran == Ran::No || idempotent);
        if !again {
            return Attempted { permit: of_reply(permit, &result), result, attempts };
        }
        let wait = failure(&result).and_then(|failure| failure.retry_after);
        let wait = backoff::wait(&policy.retry, attempts, wait);
        let now = Instant::now();
        let Some(resume) = now.checked_add(wait).filter(|resume| *resume < deadline) else {
            return Attempted { permit: of_reply(permit, &result), result, attempts };
        };
        // What the function has answered is worth more to the caller than that it may not be asked
        // again.
        if guards.refuse(now) {
            return Attempted { permit: of_reply(permit, &result), result, attempts };
        }
        let spent = match &guards.budget {
            None => None,
            Some(budget) => match budget.take(nanos(now)) {
                None => return Attempted { permit: of_reply(permit, &result), result, attempts },
                spent => spent,
            },
        };
        let unsent = result.as_mut().err().and_then(|fault| fault.unsent.take());
        if unsent.is_some() {
            lent = spent;
        }
        let Some(next) = unsent.map(|call| *call).or_else(|| kept.as_ref()?.again()) else {
            if let (Some(budget), Some(spent)) = (&guards.budget, spent) {
                budget.give_back(spent);
            }
            return Attempted { permit: of_reply(permit, &result), result, attempts };
        };
        call = next;
        call.attempt = number + 1;
        call.avoid = endpoint(&result).or(call.avoid);
        Box::pin(rest(resume, &mut timer, result, permit)).await;
    }
}

/// What a result says of a failure.
struct Failure {
    class: Class,
    ran: Ran,
    retry_after: Option<Duration>,
}

fn failure(result: &Result<Reply, Fault>) -> Option<Failure> {
    match result {
        Err(fault) => {
            Some(Failure { class: fault.class, ran: fault.ran, retry_after: fault.retry_after })
        }
        Ok(reply) => match reply.verdict {
            Verdict::Ok => None,
            Verdict::Failed { class, ran, retry_after_ms } => {
                let retry_after = retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
                Some(Failure { class, ran, retry_after })
            }
        },
    }
}

fn endpoint(result: &Result<Reply, Fault>) -> Option<EndpointId> {
    match result {
        Ok(reply) => reply.endpoint,
        Err(fault) => fault.endpoint,
    }
}

fn set_ran(result: &mut Result<Reply, Fault>) {
    match result {
        Err(fault) => fault.ran = Ran::Maybe,
        Ok(reply) => {
            if let Verdict::Failed { ran, .. } = &mut reply.verdict {
                *ran = Ran::Maybe;
            }
        }
    }
}

/// Whether the policy names this failure.
fn worth_another(on: &[On], result: &Result<Reply, Fault>) -> bool {
    let Some(failure) = failure(result) else { return false };
    if result.as_ref().is_err_and(|fault| fault.for_good) {
        return false;
    }
    let unsent = result.as_ref().is_err_and(|fault| fault.unsent.is_some());
    let status = result.as_ref().ok().map(|reply| reply.head.status.as_u16());
    on.iter().any(|on| match on {
        On::Named(OnName::Connect) => match failure.class {
            Class::ConnectFailed => true,
            // A code says why, and that it would be the same at once.
            Class::Unavailable => {
                unsent || result.as_ref().err().is_none_or(|fault| fault.code.is_none())
            }
            _ => unsent,
        },
        On::Named(OnName::Throttled) => failure.class == Class::Throttled,
        On::Named(OnName::Reset) => failure.class == Class::UpstreamProtocol,
        On::Named(OnName::Timeout) => failure.class == Class::Timeout,
        On::Named(OnName::Failed) => failure.class == Class::FunctionFailed,
        On::Status(wanted) => status == Some(*wanted),
    })
}

/// Whether the method promises that calling twice is calling once (RFC 9110, section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    )
}

fn too_late(ran: Ran, detail: &'static str) -> Fault {
    Fault { ran, ..Fault::new(Class::Timeout, detail) }
}

/// Awaits `sent` until `ends`; `None` if the time is up first, and `sent` is not asked any more.
/// The timer is set only once `sent` is found waiting, and one timer serves all tries.
async fn until(
    ends: Instant,
    timer: &mut Timer,
    mut sent: Pin<&mut impl Future<Output = Result<Reply, Fault>>>,
) -> Option<Result<Reply, Fault>> {
    let mut set = false;
    poll_fn(|cx| {
        if let Poll::Ready(result) = sent.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        if !set {
            set = true;
            timer.set(ends);
        }
        timer.poll(cx).map(|()| None)
    })
    .await
}

/// A fault has no bytes that would have to pass before the permit goes back.
fn of_reply(permit: Option<Permit>, result: &Result<Reply, Fault>) -> Option<Permit> {
    permit.filter(|_| result.is_ok())
}

/// Waits until `resume`, and reads meanwhile what is left of the reply that is not used, so that
/// its connection is not lost. While nothing is under way no permit is held.
async fn rest(
    resume: Instant,
    timer: &mut Timer,
    unused: Result<Reply, Fault>,
    permit: Option<Permit>,
) {
    if let Ok(reply) = unused {
        // Whatever it was, nobody wants it.
        drop(timeout_at(resume, reply.data.collect(LEFTOVER_BYTES)).await);
    }
    drop(permit);
    timer.set(resume);
    poll_fn(|cx| timer.poll(cx)).await;
}

#[cfg(test)]
mod guarded;
#[cfg(test)]
mod tests;
