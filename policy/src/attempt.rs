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

use crate::{On, OnName, Policy, backoff, keep::Kept, timer::Timer};

/// What came of a call.
#[derive(Debug)]
pub struct Attempted {
    /// The function's reply, or why there is none. Its `ran` speaks of all tries together.
    pub result: Result<Reply, Fault>,
    /// How many times it was tried.
    pub attempts: u32,
}

/// How much of a reply that is not used is read, so that its connection can be used again.
const LEFTOVER_BYTES: usize = 16 << 10;

/// Sends the call by `send` until it is done, it may not be sent again, or its time is up.
///
/// A call that may have run is sent again only if the function may run twice. A call of which not
/// a byte was written comes back in its fault and needs no copy; what else is kept, `keep.rs` says.
pub async fn attempt(
    policy: &Policy,
    mut call: Call,
    mut send: impl AsyncFnMut(Call) -> Result<Reply, Fault>,
) -> Attempted {
    let deadline = Instant::from_std(call.deadline);
    let idempotent = policy.idempotent.unwrap_or_else(|| is_idempotent(&call.head.method));
    let kept = Kept::of(&mut call, &policy.retry).await;
    let mut timer = Timer::default();
    let mut ran = Ran::No;
    let mut attempts = 0;
    loop {
        let now = Instant::now();
        if now >= deadline {
            let result = Err(too_late(ran, "the time for the call was up before it was sent"));
            return Attempted { result, attempts };
        }
        attempts += 1;
        let number = call.attempt;
        let ends = now.checked_add(policy.try_timeout).map_or(deadline, |ends| ends.min(deadline));
        let mut result = {
            let sent = pin!(send(call));
            let result = until(ends, &mut timer, sent).await;
            result.unwrap_or_else(|| {
                Err(too_late(Ran::Maybe, "the function has not answered in time"))
            })
        };

        // What one try may have done stays done, whatever the next one says.
        if ran == Ran::Maybe {
            set_ran(&mut result);
        }
        ran = failure(&result).map_or(ran, |failure| failure.ran);

        let again = attempts < policy.retry.attempts
            && worth_another(&policy.retry.on, &result)
            && (ran == Ran::No || idempotent);
        if !again {
            return Attempted { result, attempts };
        }
        let wait = failure(&result).and_then(|failure| failure.retry_after);
        let wait = backoff::wait(&policy.retry, attempts, wait);
        let Some(resume) = Instant::now().checked_add(wait).filter(|resume| *resume < deadline)
        else {
            return Attempted { result, attempts };
        };
        let unsent = result.as_mut().err().and_then(|fault| fault.unsent.take());
        let Some(next) = unsent.map(|call| *call).or_else(|| kept.as_ref()?.again()) else {
            return Attempted { result, attempts };
        };
        call = next;
        call.attempt = number + 1;
        call.avoid = endpoint(&result).or(call.avoid);
        // Rare, so boxed: a future is moved about at its full size.
        Box::pin(rest(resume, &mut timer, result)).await;
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
    let unsent = result.as_ref().is_err_and(|fault| fault.unsent.is_some());
    let status = result.as_ref().ok().map(|reply| reply.head.status.as_u16());
    on.iter().any(|on| match on {
        On::Named(OnName::Connect) => unsent || failure.class == Class::ConnectFailed,
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

/// Waits until `resume`, and reads meanwhile what is left of the reply that is not used, so that
/// its connection is not lost.
async fn rest(resume: Instant, timer: &mut Timer, unused: Result<Reply, Fault>) {
    if let Ok(reply) = unused {
        // Whatever it was, nobody wants it.
        drop(timeout_at(resume, reply.data.collect(LEFTOVER_BYTES)).await);
    }
    timer.set(resume);
    poll_fn(|cx| timer.poll(cx)).await;
}

#[cfg(test)]
mod tests;
