//! The circuit breaker of one function: while it is open the function is not called.
//!
//! Closed, it counts calls over a sliding window. Once there are enough of them and too many have
//! failed it opens for a while. Then it is half open and lets a few calls through, the probes: if
//! all go well it closes, and the first that fails opens it again. The state is one word, so that a
//! call that finds it closed pays for two loads.

use std::{
    sync::atomic::{
        AtomicU8, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};

use schemars::JsonSchema;
use schemas::units::Percent;
use serde::{Deserialize, Serialize};

use crate::{clock::nanos_of, window::Window};

/// When a breaker opens, and when it closes again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The share of calls at which it opens, 1 to 100.
    pub failures: Percent,
    /// How long a call counts.
    pub window: Duration,
    /// With fewer calls in the window it stays closed.
    pub min_calls: u32,
    /// How long it stays open.
    pub open: Duration,
    /// How many calls have to go well, one failure aside, before it closes; at least 1.
    pub probes: u16,
}

/// The state of one function.
#[derive(Debug)]
pub struct Breaker {
    settings: Settings,
    word: AtomicU64,
    /// What an operator wants: nothing, open, closed.
    forced: AtomicU8,
    window: Window,
    opened: AtomicU64,
    refused: AtomicU64,
}

/// The leave to make one call, and what its outcome counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// In which life of the breaker it was given; an outcome of an earlier one says nothing.
    era: u64,
    role: Role,
}

impl Pass {
    /// Whether the outcome decides what becomes of the breaker.
    pub(crate) fn is_probe(self) -> bool {
        self.role == Role::Probe
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Call,
    Probe,
    /// An operator holds the breaker closed, so that nothing counts.
    Uncounted,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function did what it was called for.
    Good,
    /// It did not.
    Bad,
    /// Nothing is known of the function: the call was cancelled, or wrong in itself.
    Neither,
}

/// What an operator forces a breaker to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forced {
    /// Refuses every call.
    Open,
    /// Refuses none.
    Closed,
}

/// What a breaker is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BreakerState")]
pub enum State {
    /// Calls pass and are counted.
    Closed,
    /// Calls are refused.
    Open,
    /// A few calls pass, to see how they fare.
    HalfOpen,
    /// An operator holds it open.
    ForcedOpen,
    /// An operator holds it closed.
    ForcedClosed,
}

/// A breaker as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Breaker")]
pub struct View {
    /// What it is.
    pub state: State,
    /// Calls in the window.
    pub calls: u64,
    /// Those among them that failed.
    pub failed: u64,
    /// How often it has opened by itself.
    pub opened: u64,
    /// How many calls it has refused.
    pub refused: u64,
    /// Milliseconds until it lets a probe through, while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// While a breaker is half open and its probes are under way, nobody knows when they will be back.
const PROBING: Duration = Duration::from_secs(1);

const NANOS_IN_MS: u64 = 1_000_000;
const FORCED_OPEN: u8 = 1;
const FORCED_CLOSED: u8 = 2;

// The word: which phase (2 bits), which era (18 bits), and what the phase needs to know (44 bits):
// when it ends, in milliseconds, or how many probes were let through and went well (16 bits each).
const PHASE_BITS: u32 = 2;
const ERA_BITS: u32 = 18;
const ERA: u64 = (1 << ERA_BITS) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until_ms: u64 },
    HalfOpen { let_through: u16, well: u16 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    era: u64,
    phase: Phase,
}

impl Word {
    fn of(word: u64) -> Self {
        let rest = word >> (PHASE_BITS + ERA_BITS);
        let sixteen = |word: u64| u16::try_from(word & 0xffff).unwrap_or(u16::MAX);
        let phase = match word & 0b11 {
            0 => Phase::Closed,
            1 => Phase::Open { until_ms: rest },
            _ => Phase::HalfOpen { let_through: sixteen(rest >> 16), well: sixteen(rest) },
        };
        Self { era: word >> PHASE_BITS & ERA, phase }
    }

    fn word(self) -> u64 {
        let (tag, rest) = match self.phase {
            Phase::Closed => (0, 0),
            Phase::Open { until_ms } => (1, until_ms),
            Phase::HalfOpen { let_through, well } => {
                (2, u64::from(let_through) << 16 | u64::from(well))
            }
        };
        rest << (PHASE_BITS + ERA_BITS) | (self.era & ERA) << PHASE_BITS | tag
    }

    /// The next era, in this phase.
    fn next(self, phase: Phase) -> Self {
        Self { era: (self.era + 1) & ERA, phase }
    }
}

impl Breaker {
    /// A breaker that is closed and has seen nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            window: Window::new(settings.window),
            settings,
            word: AtomicU64::new(0),
            forced: AtomicU8::new(0),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks to make a call; whoever gets a pass has to [`Breaker::record`] what came of it.
    ///
    /// # Errors
    /// It is open: how long until it makes sense to ask again.
    pub fn admit(&self, now: u64) -> Result<Pass, Duration> {
        match self.forced.load(Acquire) {
            FORCED_OPEN => return Err(self.refuse(self.settings.open)),
            FORCED_CLOSED => return Ok(Pass { era: 0, role: Role::Uncounted }),
            _ => {}
        }
        let mut seen = self.word.load(Acquire);
        loop {
            let word = Word::of(seen);
            let next = match word.phase {
                Phase::Closed => return Ok(Pass { era: word.era, role: Role::Call }),
                Phase::Open { until_ms } => match left(until_ms, now) {
                    Some(left) => return Err(self.refuse(left)),
                    None => Phase::HalfOpen { let_through: 1, well: 0 },
                },
                Phase::HalfOpen { let_through, well } if let_through < self.settings.probes => {
                    Phase::HalfOpen { let_through: let_through + 1, well }
                }
                Phase::HalfOpen { .. } => return Err(self.refuse(PROBING)),
            };
            match self.swap(seen, Word { phase: next, ..word }) {
                Ok(()) => return Ok(Pass { era: word.era, role: Role::Probe }),
                Err(now) => seen = now,
            }
        }
    }

    /// Whether [`Breaker::admit`] would refuse now.
    #[must_use]
    pub fn refuses(&self, now: u64) -> bool {
        match self.forced.load(Acquire) {
            FORCED_OPEN => return true,
            FORCED_CLOSED => return false,
            _ => {}
        }
        match Word::of(self.word.load(Acquire)).phase {
            Phase::Closed => false,
            Phase::Open { until_ms } => left(until_ms, now).is_some(),
            Phase::HalfOpen { let_through, .. } => let_through >= self.settings.probes,
        }
    }

    /// Notes what came of a call. A probe's outcome decides; another call's counts, and where it
    /// failed the window is judged.
    pub fn record(&self, pass: Pass, outcome: Outcome, now: u64) {
        match pass.role {
            Role::Uncounted => {}
            Role::Probe => self.record_probe(pass.era, outcome, now),
            Role::Call => self.record_call(pass.era, outcome, now),
        }
    }

    fn record_call(&self, era: u64, outcome: Outcome, now: u64) {
        if outcome == Outcome::Neither {
            return;
        }
        let seen = self.word.load(Acquire);
        let word = Word::of(seen);
        if word != (Word { era, phase: Phase::Closed }) {
            return;
        }
        let bad = outcome == Outcome::Bad;
        self.window.add(now, 1, u64::from(bad));
        if !bad {
            return;
        }
        let (calls, failed) = self.window.sum(now);
        let enough = calls >= u64::from(self.settings.min_calls);
        if enough && failed * 100 >= u64::from(self.settings.failures.0) * calls {
            // If it is no longer what it was, somebody else has opened it.
            if self.swap(seen, word.next(self.open_from(now))).is_ok() {
                self.opened.fetch_add(1, Relaxed);
            }
        }
    }

    fn record_probe(&self, era: u64, outcome: Outcome, now: u64) {
        let mut seen = self.word.load(Acquire);
        loop {
            let word = Word::of(seen);
            let Phase::HalfOpen { let_through, well } = word.phase else { return };
            if word.era != era {
                return;
            }
            let next = match outcome {
                Outcome::Good if well + 1 >= self.settings.probes => {
                    self.window.clear();
                    word.next(Phase::Closed)
                }
                Outcome::Good => {
                    Word { phase: Phase::HalfOpen { let_through, well: well + 1 }, ..word }
                }
                Outcome::Bad => word.next(self.open_from(now)),
                Outcome::Neither => {
                    let let_through = let_through.saturating_sub(1);
                    Word { phase: Phase::HalfOpen { let_through, well }, ..word }
                }
            };
            match self.swap(seen, next) {
                Ok(()) => {
                    if outcome == Outcome::Bad {
                        self.opened.fetch_add(1, Relaxed);
                    }
                    return;
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Holds it open or closed until it is released; released, it is closed and has seen nothing.
    pub fn force(&self, forced: Option<Forced>) {
        if forced.is_none() && self.forced.load(Acquire) != 0 {
            self.window.clear();
            let next = |word| Some(Word::of(word).next(Phase::Closed).word());
            // It always has a next word, so that this cannot fail.
            self.word.fetch_update(AcqRel, Acquire, next).ok();
        }
        let forced = match forced {
            None => 0,
            Some(Forced::Open) => FORCED_OPEN,
            Some(Forced::Closed) => FORCED_CLOSED,
        };
        self.forced.store(forced, Release);
    }

    /// What it is.
    #[must_use]
    pub fn view(&self, now: u64) -> View {
        let mut retry_after_ms = None;
        let state = match (self.forced.load(Acquire), Word::of(self.word.load(Acquire)).phase) {
            (FORCED_OPEN, _) => State::ForcedOpen,
            (FORCED_CLOSED, _) => State::ForcedClosed,
            (_, Phase::Closed) => State::Closed,
            (_, Phase::HalfOpen { .. }) => State::HalfOpen,
            (_, Phase::Open { until_ms }) => match left(until_ms, now) {
                Some(left) => {
                    retry_after_ms = Some(nanos_of(left).div_ceil(NANOS_IN_MS));
                    State::Open
                }
                // Nobody has called since; whoever does is a probe.
                None => State::HalfOpen,
            },
        };
        let (calls, failed) = self.window.sum(now);
        View {
            state,
            calls,
            failed,
            opened: self.opened.load(Relaxed),
            refused: self.refused.load(Relaxed),
            retry_after_ms,
        }
    }

    fn refuse(&self, wait: Duration) -> Duration {
        self.refused.fetch_add(1, Relaxed);
        wait
    }

    fn open_from(&self, now: u64) -> Phase {
        let until = now.saturating_add(nanos_of(self.settings.open));
        // Rounded down, so that a Retry-After of whole seconds is what is written.
        Phase::Open { until_ms: until / NANOS_IN_MS }
    }

    fn swap(&self, seen: u64, next: Word) -> Result<(), u64> {
        self.word.compare_exchange(seen, next.word(), AcqRel, Acquire).map(|_| ())
    }
}

/// How long it is until then; `None` if it has come.
fn left(until_ms: u64, now: u64) -> Option<Duration> {
    let left = until_ms.saturating_mul(NANOS_IN_MS).saturating_sub(now);
    (left > 0).then(|| Duration::from_nanos(left))
}

#[cfg(test)]
mod tests;
