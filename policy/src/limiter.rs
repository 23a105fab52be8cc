//! Rate limits: how many requests a route takes, in all or by what a request brings.
//!
//! A limit is the generic cell rate algorithm (GCRA): one word for each key, the time at which the
//! key has nothing left to pay off. Each request moves it on by the interval that the rate allows
//! it; a request that would move it further ahead of now than the burst allows is refused.

mod buckets;
mod key;
mod limits;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use schemars::JsonSchema;
use schemas::units::Rate;
use serde::{Deserialize, Serialize};

use self::buckets::Buckets;
pub use self::{
    key::{Asker, Key},
    limits::{Exceeded, LIMITS_MAX, Limits, POLICY, RATE_LIMIT, Standings, Taken},
};
use crate::clock::nanos_of;

/// The most that can be written as a rate in one second, so that an interval is no less than a
/// microsecond.
pub const RATE_MAX: u32 = 1_000_000;
/// The most that can be written as a burst, so that no sum overflows.
pub const BURST_MAX: u32 = 1_000_000;

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How many requests in how long, 1 to [`RATE_MAX`] a second.
    pub rate: Rate,
    /// How many of them may come at once, 1 to [`BURST_MAX`].
    pub burst: u32,
    /// Who shares a bucket.
    pub key: Key,
}

/// One limit and its buckets.
#[derive(Debug)]
pub struct Limiter {
    settings: Settings,
    /// Nanoseconds between two requests at the rate. Rounded up: never more than the rate.
    step: u64,
    /// How far ahead of now a bucket may be paid: `burst` steps.
    room: u64,
    buckets: Buckets,
    refused: AtomicU64,
}

/// How a bucket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests that may still come at once.
    pub remaining: u32,
    /// How long until there is one more than that, or enough for what was refused.
    pub next: Duration,
}

/// A limit as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RateLimit")]
pub struct View {
    /// The rate, as it is written.
    pub rate: Rate,
    /// How many requests may come at once.
    pub burst: u32,
    /// Who shares a bucket, as it is written; none: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Buckets that are not full.
    pub keys: usize,
    /// Buckets that there can be.
    pub keys_max: usize,
    /// Requests that came while there were that many, and had to share a bucket.
    pub crowded: u64,
    /// Requests that were refused.
    pub refused: u64,
}

impl Limiter {
    /// A limit that nobody has used yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let step = nanos_of(settings.rate.per).div_ceil(u64::from(settings.rate.count.max(1)));
        Self {
            step,
            room: step.saturating_mul(u64::from(settings.burst.max(1))),
            buckets: Buckets::new(settings.key == Key::Everybody),
            settings,
            refused: AtomicU64::new(0),
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes so many out of the bucket of this key, all or none.
    ///
    /// # Errors
    /// There are not enough in it: how it stands.
    pub fn take(&self, key: u128, count: u32, now: u64) -> Result<Standing, Standing> {
        self.buckets.with(key, now, |bucket| self.take_of(bucket, count, now))
    }

    fn take_of(&self, bucket: &AtomicU64, count: u32, now: u64) -> Result<Standing, Standing> {
        let cost = self.step.saturating_mul(u64::from(count));
        let mut old = bucket.load(Relaxed);
        loop {
            let paid = old.max(now).saturating_add(cost);
            let ahead = paid - now;
            if ahead > self.room {
                self.refused.fetch_add(1, Relaxed);
                let next = Duration::from_nanos(ahead - self.room);
                return Err(Standing { next, ..self.standing(old.max(now) - now) });
            }
            match bucket.compare_exchange_weak(old, paid, Relaxed, Relaxed) {
                Ok(_) => return Ok(self.standing(ahead)),
                Err(now) => old = now,
            }
        }
    }

    /// How a bucket stands that is paid so far ahead.
    fn standing(&self, ahead: u64) -> Standing {
        let left = self.room.saturating_sub(ahead);
        let next = if ahead == 0 { 0 } else { self.step - left % self.step };
        Standing {
            remaining: u32::try_from(left / self.step).unwrap_or(u32::MAX),
            next: Duration::from_nanos(next),
        }
    }

    /// How the bucket stands if [`Limiter::take`] would refuse one now. Takes nothing.
    #[must_use]
    pub fn refusal(&self, key: u128, now: u64) -> Option<Standing> {
        let ahead = self.buckets.look(key).max(now) - now;
        let over = ahead.saturating_add(self.step).saturating_sub(self.room);
        (over > 0).then(|| Standing { next: Duration::from_nanos(over), ..self.standing(ahead) })
    }

    /// Puts back what a request has taken that was refused for another reason.
    fn put_back(&self, key: u128, count: u32, now: u64) {
        let cost = self.step.saturating_mul(u64::from(count));
        self.buckets.with(key, now, |bucket| {
            let less = |paid: u64| Some(paid.saturating_sub(cost));
            // It always has a next value, so that this cannot fail.
            bucket.fetch_update(Relaxed, Relaxed, less).ok();
        });
    }

    /// Forgets the keys whose bucket is full again, which is the same as never having seen them.
    pub fn sweep(&self, now: u64) {
        self.buckets.sweep(now);
    }

    /// How it stands.
    #[must_use]
    pub fn view(&self, now: u64) -> View {
        View {
            rate: self.settings.rate,
            burst: self.settings.burst,
            key: self.settings.key.written(),
            keys: self.buckets.count(now),
            keys_max: self.buckets.most(),
            crowded: self.buckets.crowded(),
            refused: self.refused.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;
