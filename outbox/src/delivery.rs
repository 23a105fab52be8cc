//! When a stored event is tried again, and when it is given up. Pure: no clock.

use std::{
    borrow::Cow,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use http::StatusCode;
use schemas::{Class, Fault, Ran, Reply, Value, Verdict};

use crate::{Attempt, Millis, Then};

/// How a route's stored events are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// How long an event is tried, from when it was accepted.
    pub max_age: Duration,
    /// How many tries there are, the first included; none: as many as `max_age` allows.
    pub max_attempts: Option<u32>,
    /// How long it is until the next try.
    pub waits: Waits,
    /// Whether an event that may have arrived is sent again.
    pub on_maybe: OnMaybe,
    /// What becomes of the events behind a dead letter that have the same key.
    pub on_poison: OnPoison,
}

/// How long it is from one try to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    /// A random time up to a bound that doubles with each try ("full jitter").
    Backoff {
        /// The bound after the first try.
        base: Duration,
        /// The bound that is never passed.
        max: Duration,
    },
    /// These, one after the other; after the last there is no try any more.
    Delays(Vec<Duration>),
}

/// Whether an event is sent again of which nobody knows whether it has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMaybe {
    /// It is: it may arrive twice.
    Resend,
    /// It is not: it becomes a dead letter, for a person to look at.
    DeadLetter,
}

/// What becomes of the events behind a dead letter that have the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPoison {
    /// They are delivered, and marked.
    Continue,
    /// They wait until somebody has replayed the dead letter or dropped it.
    Park,
}

/// A try that did not deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is.
    pub class: Class,
    /// A finer code, if there is one.
    pub code: Option<&'static str>,
    /// May the function have run?
    pub ran: Ran,
    /// What happened, in a sentence without secrets.
    pub reason: Cow<'static, str>,
    /// When the target wants to be asked again.
    pub retry_after: Option<Duration>,
    /// The target has refused this event, and would again.
    pub for_good: bool,
    /// What the copy of a dead letter says of it, in the words of the target's platform: extension
    /// attributes.
    pub words: Vec<(&'static str, Value)>,
}

/// The longest time that a target may put an event off by Retry-After.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How much earlier than its end the last try of an event is.
const LAST: Duration = Duration::from_secs(1);

impl Default for Delivery {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(24 * 3600),
            max_attempts: None,
            waits: Waits::Backoff {
                base: Duration::from_millis(200),
                max: Duration::from_secs(300),
            },
            on_maybe: OnMaybe::Resend,
            on_poison: OnPoison::Continue,
        }
    }
}

impl Delivery {
    /// What becomes of an event after a try that failed. `attempts` is how many there were before
    /// it, `trouble` how often in a row the target was in trouble.
    #[must_use]
    pub fn then(
        &self,
        failure: &Failure,
        accepted: Millis,
        attempts: u32,
        trouble: u32,
        now: Millis,
    ) -> Then {
        self.then_by(failure, accepted, attempts, trouble, now, RandomState::new().hash_one(0))
    }

    fn then_by(
        &self,
        failure: &Failure,
        accepted: Millis,
        attempts: u32,
        trouble: u32,
        now: Millis,
        random: u64,
    ) -> Then {
        let park = self.on_poison == OnPoison::Park;
        let dead = |why: Cow<'static, str>| Then::Dead { why, park };
        let counted = attempts.saturating_add(u32::from(failure.was_sent()));
        if failure.for_good {
            return dead("the target refused it for good".into());
        }
        if failure.ran == Ran::Maybe && self.on_maybe == OnMaybe::DeadLetter {
            return dead("it may have arrived, and `on_maybe` is dead_letter".into());
        }
        if self.max_attempts.is_some_and(|max| counted >= max) {
            return dead(format!("it was tried {counted} times, which is `max_attempts`").into());
        }
        let Some(last) = self.last_try(accepted).filter(|last| *last > now) else {
            return self.too_old();
        };
        let of_target = failure.is_of_the_target();
        let failed = counted.max(1);
        let wait = match &self.waits {
            Waits::Backoff { base, max } => {
                let failed = if of_target { failed.max(trouble.saturating_add(1)) } else { failed };
                let doubled = 2_u32.saturating_pow(failed - 1);
                jitter(base.saturating_mul(doubled).min(*max), random)
            }
            Waits::Delays(delays) => match delays.get(failed as usize - 1) {
                Some(wait) => *wait,
                None => return dead("the last of its `delays` has passed".into()),
            },
        };
        let asked = failure.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        let at = now.plus(asked.saturating_add(wait)).min(last);
        Then::Again { at, hold: of_target.then_some(at) }
    }

    /// What becomes of an event whose time is up.
    #[must_use]
    pub fn too_old(&self) -> Then {
        let why = format!("it was not delivered within {:?}, which is `max_age`", self.max_age);
        Then::Dead { why: why.into(), park: self.on_poison == OnPoison::Park }
    }

    /// Whether an event's time is up.
    #[must_use]
    pub fn is_over(&self, accepted: Millis, now: Millis) -> bool {
        now.since(accepted) >= self.max_age
    }

    fn last_try(&self, accepted: Millis) -> Option<Millis> {
        Some(accepted.plus(self.max_age.checked_sub(LAST)?))
    }
}

impl OnMaybe {
    /// The word of the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::DeadLetter => "dead_letter",
        }
    }
}

impl OnPoison {
    /// The word of the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Park => "park",
        }
    }
}

impl Failure {
    /// Reads what came of a try: nothing if it has delivered.
    ///
    /// A reply whose verdict is not Ok has not. Neither has a reply of an HTTP service that is no
    /// 2xx, although its verdict for a caller who reads it is Ok: nobody reads it here. 404, 408,
    /// 409 and 425 may be another story later; the other 3xx and 4xx are for good (CloudEvents HTTP
    /// webhook specification, section 2.2: 410 ends it, redirects are not followed).
    #[must_use]
    pub fn of(result: &Result<Reply, Fault>) -> Option<Self> {
        match result {
            Err(fault) => Some(Self {
                class: fault.class,
                code: fault.code,
                ran: fault.ran,
                reason: fault.detail.clone(),
                retry_after: fault.retry_after,
                for_good: fault.for_good || is_for_good(fault.class),
                words: Vec::new(),
            }),
            Ok(reply) => match reply.verdict {
                Verdict::Failed { class, ran, retry_after_ms } => Some(Self {
                    class,
                    code: None,
                    ran,
                    reason: answered(reply.head.status),
                    retry_after: retry_after_ms.map(|wait| Duration::from_millis(u64::from(wait))),
                    for_good: is_for_good(class),
                    words: Vec::new(),
                }),
                Verdict::Ok if reply.receipt.is_some() || reply.head.status.is_success() => None,
                Verdict::Ok => Some(Self {
                    class: Class::FunctionFailed,
                    code: None,
                    ran: Ran::Maybe,
                    reason: answered(reply.head.status),
                    retry_after: None,
                    for_good: !matches!(reply.head.status.as_u16(), 404 | 408 | 409 | 425),
                    words: Vec::new(),
                }),
            },
        }
    }

    /// The try, as it is kept; none if nothing was sent because the gateway itself held it back.
    #[must_use]
    pub fn attempt(&self, at: Millis) -> Option<Attempt> {
        let class = self.code.unwrap_or(self.class.name()).into();
        let (ran, reason) = (self.ran, self.reason.clone());
        self.was_sent().then_some(Attempt { at, class, ran, reason })
    }

    fn was_sent(&self) -> bool {
        !matches!(self.class, Class::BreakerOpen | Class::Overloaded | Class::Cancelled)
    }

    /// Whether the next event for the same target would fare no better now.
    fn is_of_the_target(&self) -> bool {
        matches!(
            self.class,
            Class::ConnectFailed
                | Class::Unavailable
                | Class::BreakerOpen
                | Class::Overloaded
                | Class::Throttled
                | Class::RateLimited
                | Class::UpstreamAuth
                | Class::NoResponders
                | Class::FunctionNotDeployed
        )
    }
}

/// Failures that another try of the same event would meet again.
fn is_for_good(class: Class) -> bool {
    matches!(
        class,
        Class::BadRequest
            | Class::Forbidden
            | Class::TooLarge
            | Class::UriTooLong
            | Class::HeadersTooLarge
            | Class::UnsupportedMedia
            | Class::Unprocessable
            | Class::MethodNotAllowed
    )
}

fn answered(status: StatusCode) -> Cow<'static, str> {
    format!("the target answered {}", status.as_u16()).into()
}

/// A time from nothing up to `bound`, by a random number.
fn jitter(bound: Duration, random: u64) -> Duration {
    let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    let share = (u128::from(millis) * u128::from(random)) >> 64;
    Duration::from_millis(u64::try_from(share).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
