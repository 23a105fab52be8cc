//! How many calls an upstream gets at once, over all cores: a number of permits, and a queue of
//! bounded length for those who find none.
//!
//! Where there is a permit and nobody waits, to take it and to give it back is one atomic each.
//! Whoever waits is served in order. Work that nobody waits for, such as a backlog that is
//! delivered again, has to pass a narrower gate first, so that it never holds more than its share
//! of the permits, however much of it there is.

mod gate;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::gate::Gate;

/// The part of the permits that work without a waiting caller may hold: a quarter.
const JOBS_PART: u32 = 4;

/// How many at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Permits; at least 1.
    pub max: u32,
    /// How many may wait for one.
    pub queue: u32,
}

/// The permits of one upstream.
#[derive(Debug)]
pub struct Permits {
    all: Gate,
    jobs: Gate,
    refused: AtomicU64,
}

/// Whose call it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// Somebody waits for the answer.
    #[default]
    Callers,
    /// Nobody does.
    Jobs,
}

/// The right to have one call under way. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
pub struct Permit {
    of: Arc<Permits>,
    share: Share,
}

/// There is no permit, and the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The permits of an upstream as others see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Permits")]
pub struct View {
    /// Permits in all.
    pub max: u32,
    /// How many are taken.
    pub in_use: u32,
    /// How many calls wait for one.
    pub waiting: u32,
    /// How many may wait.
    pub queue: u32,
    /// How many of the permits jobs may hold.
    pub jobs_max: u32,
    /// How many jobs hold or wait for one.
    pub jobs: u32,
    /// Calls that were refused.
    pub refused: u64,
}

/// When there may be a permit again is anybody's guess; a second is long for most functions.
pub(crate) const COME_AGAIN: Duration = Duration::from_secs(1);

impl Permits {
    /// All permits, none of them taken.
    #[must_use]
    pub fn new(settings: &Settings) -> Arc<Self> {
        let Settings { max, queue } = *settings;
        let share = max.div_ceil(JOBS_PART).max(1);
        Arc::new(Self {
            all: Gate::new(max.max(1), queue),
            jobs: Gate::new(share, queue),
            refused: AtomicU64::new(0),
        })
    }

    /// Takes a permit if there is one and nobody waits for it.
    #[must_use]
    pub fn try_take(self: &Arc<Self>, share: Share) -> Option<Permit> {
        if share == Share::Jobs && !self.jobs.try_enter() {
            return None;
        }
        if self.all.try_enter() {
            return Some(Permit { of: Arc::clone(self), share });
        }
        if share == Share::Jobs {
            self.jobs.leave();
        }
        None
    }

    /// Takes a permit, and waits for one in the queue if need be. Dropping the future leaves the
    /// queue.
    ///
    /// # Errors
    /// The queue is full.
    pub async fn take(self: &Arc<Self>, share: Share) -> Result<Permit, Full> {
        let refused = |full| {
            self.refused.fetch_add(1, Relaxed);
            full
        };
        let through = match share {
            Share::Callers => None,
            Share::Jobs => {
                self.jobs.enter().await.map_err(refused)?;
                Some(Through(&self.jobs))
            }
        };
        self.all.enter().await.map_err(refused)?;
        // From here on the permit gives both back.
        std::mem::forget(through);
        Ok(Permit { of: Arc::clone(self), share })
    }

    /// How they stand.
    #[must_use]
    pub fn view(&self) -> View {
        let (in_use, waiting) = self.all.count();
        let (jobs, jobs_waiting) = self.jobs.count();
        View {
            max: self.all.max(),
            in_use,
            waiting,
            queue: self.all.queue(),
            jobs_max: self.jobs.max(),
            jobs: jobs + jobs_waiting,
            refused: self.refused.load(Relaxed),
        }
    }
}

/// A place behind a gate, given back unless it becomes a permit's.
struct Through<'g>(&'g Gate);

impl Drop for Through<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.of.all.leave();
        if self.share == Share::Jobs {
            self.of.jobs.leave();
        }
    }
}

#[cfg(test)]
mod tests;
