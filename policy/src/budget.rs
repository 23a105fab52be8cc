//! The retry budget of one upstream: how many second tries its first tries pay for.
//!
//! A retry is a second call at a time when the upstream may have too many already. Without a budget
//! an outage multiplies the load by the number of attempts, and holds the upstream down when it
//! wants to come back. With one of 20% the load is at most 1.2 times what callers ask for.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use schemars::JsonSchema;
use schemas::units::Percent;
use serde::{Deserialize, Serialize};

use crate::window::Window;

/// How long a call, and a retry, counts.
const WINDOW: Duration = Duration::from_secs(10);

/// So many retries in a window are free where there are hardly any calls: without them the first
/// call of a quiet upstream could never be repeated. It is the larger of the two that counts, never
/// their sum. So from 50 calls in a window on, with a budget of 20%, the share alone decides and
/// the bound is exact; below that it is one retry a second, which is no load.
const FLOOR: u64 = 10;

/// The budget of one upstream.
#[derive(Debug)]
pub struct Budget {
    share: Percent,
    /// First tries, and among them (though not of their number) retries.
    window: Window,
    /// Held while a retry is weighed, so that two of them never share what is left for one. The
    /// common call does not retry and does not come by here.
    weighing: Mutex<()>,
    refused: AtomicU64,
}

/// What a retry has taken of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    tick: u64,
}

/// A budget as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RetryBudget")]
pub struct View {
    /// The share of the calls that may be retries, in percent.
    pub percent: u32,
    /// Calls in the last ten seconds.
    pub calls: u64,
    /// Retries among what was sent in the last ten seconds.
    pub retries: u64,
    /// How many more there could be now.
    pub left: u64,
    /// Retries that were not made for want of budget.
    pub refused: u64,
}

impl Budget {
    /// A budget of which nothing is spent.
    #[must_use]
    pub fn new(share: Percent) -> Self {
        Self {
            share,
            window: Window::new(WINDOW),
            weighing: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Notes the first try of a call.
    pub fn call(&self, now: u64) {
        self.window.add(now, 1, 0);
    }

    /// Asks for a retry. `None`: there have been too many already.
    #[must_use]
    pub fn take(&self, now: u64) -> Option<Spent> {
        let _weighing = self.weighing.lock().unwrap_or_else(PoisonError::into_inner);
        let (calls, retries) = self.window.sum(now);
        if retries < self.most(calls) {
            self.window.add(now, 0, 1);
            return Some(Spent { tick: self.window.tick(now) });
        }
        self.refused.fetch_add(1, Relaxed);
        None
    }

    /// Gives back what a retry has taken, as it put no load on the upstream: the try before it had
    /// not reached anybody, so that the call was sent once.
    pub fn give_back(&self, spent: Spent) {
        self.window.take_back(spent.tick);
    }

    /// How it stands.
    #[must_use]
    pub fn view(&self, now: u64) -> View {
        let (calls, retries) = self.window.sum(now);
        View {
            percent: self.share.0,
            calls,
            retries,
            left: self.most(calls).saturating_sub(retries),
            refused: self.refused.load(Relaxed),
        }
    }

    fn most(&self, calls: u64) -> u64 {
        FLOOR.max(calls * u64::from(self.share.0) / 100)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const BEGIN: u64 = 3_600 * SECOND;

    fn budget() -> Budget {
        Budget::new(Percent(20))
    }

    #[test]
    fn a_total_outage_gets_at_most_its_share_more() {
        for attempts in [2, 3, 20] {
            let budget = budget();
            let (mut calls, mut sent) = (0_u64, 0_u64);
            let mut now = BEGIN;
            for _ in 0..10_000 {
                now += SECOND / 100;
                budget.call(now);
                calls += 1;
                sent += 1;
                for _ in 1..attempts {
                    if budget.take(now).is_none() {
                        break;
                    }
                    sent += 1;
                }
            }
            assert!(sent * 10 <= calls * 12, "{sent} of {calls} with {attempts} attempts");
            assert!(sent * 10 > calls * 11, "{sent} of {calls} with {attempts} attempts");
        }
    }

    #[test]
    fn a_quiet_upstream_may_be_asked_again() {
        let budget = budget();
        for _ in 0..10 {
            budget.call(BEGIN);
            assert!(budget.take(BEGIN).is_some());
        }
        budget.call(BEGIN);
        assert_eq!(budget.take(BEGIN), None);
        assert_eq!(budget.view(BEGIN).refused, 1);
        // In the next window there is as much again.
        assert!(budget.take(BEGIN + 10 * SECOND).is_some());
    }

    #[test]
    fn what_put_no_load_on_the_upstream_costs_nothing() {
        let budget = budget();
        for _ in 0..1_000 {
            budget.call(BEGIN);
            let spent = budget.take(BEGIN).unwrap();
            budget.give_back(spent);
        }
        assert_eq!(budget.view(BEGIN).retries, 0);
    }

    #[test]
    fn many_threads_spend_no_more_than_there_is() {
        let budget = budget();
        let spent: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let asked = (0..5_000).filter(|_| {
                            budget.call(BEGIN);
                            budget.take(BEGIN).is_some()
                        });
                        asked.count()
                    })
                })
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert!(spent <= 20_000 / 5, "{spent}");
        assert_eq!(budget.view(BEGIN).calls, 20_000);
    }

    proptest! {
        #[test]
        fn a_budget_does_what_its_model_does(
            share in 1_u32..=100,
            steps in prop::collection::vec((0_u64..2 * SECOND, 0_u64..40, 0_u64..40), 1..60),
        ) {
            let budget = Budget::new(Percent(share));
            let mut now = BEGIN;
            let (mut calls, mut retries): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
            for (wait, called, asked) in steps {
                now += wait;
                let inside = |all: &Vec<u64>| {
                    all.iter().filter(|at| now / SECOND - **at / SECOND < 10).count() as u64
                };
                for _ in 0..called {
                    budget.call(now);
                    calls.push(now);
                }
                for _ in 0..asked {
                    let most = FLOOR.max(inside(&calls) * u64::from(share) / 100);
                    let may = inside(&retries) < most;
                    prop_assert_eq!(budget.take(now).is_some(), may);
                    if may {
                        retries.push(now);
                    }
                }
            }
            // Over its whole life: each window of ten seconds pays for its own.
            let windows = (now - BEGIN) / (10 * SECOND) + 2;
            let most = calls.len() as u64 * u64::from(share) / 100 + FLOOR * windows;
            prop_assert!(retries.len() as u64 <= most);
        }
    }
}
