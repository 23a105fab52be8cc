//! How long to wait before the next try.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use crate::Retry;

/// The wait before the try after try number `tried`. A random time up to a bound that doubles
/// ("full jitter"), so that callers which failed together do not come back together; on top of
/// what the platform asks for, so that it is never asked earlier than it said.
pub(crate) fn wait(retry: &Retry, tried: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = 2_u32.saturating_pow(tried.saturating_sub(1));
    let bound = retry.backoff_base.saturating_mul(doubled).min(retry.backoff_max);
    retry_after.unwrap_or_default().saturating_add(jitter(bound, random()))
}

/// A time from nothing up to `bound`, by a random number.
fn jitter(bound: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
    let share = (u128::from(nanos) * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
}

/// The next number of the thread's own generator (xorshift64*). Good enough to spread waits, and
/// for nothing else.
fn random() -> u64 {
    thread_local! {
        // A hasher's keys are the randomness that the standard library offers; never 0.
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0) | 1);
    }
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Policy;

    fn retry(base: u64, max: u64) -> Retry {
        Retry {
            backoff_base: Duration::from_millis(base),
            backoff_max: Duration::from_millis(max),
            ..Policy::default().retry
        }
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_its_bound(
            base in 0_u64..10_000, max in 0_u64..10_000, tried in 1_u32..100,
        ) {
            let waited = wait(&retry(base, max), tried, None);
            let doubled = base.saturating_mul(2_u64.saturating_pow(tried - 1));
            prop_assert!(waited <= Duration::from_millis(doubled.min(max)));
        }

        #[test]
        fn the_platform_is_never_asked_earlier_than_it_said(
            after in 0_u64..100_000, tried in 1_u32..10,
        ) {
            let after = Duration::from_millis(after);
            let waited = wait(&retry(50, 2_000), tried, Some(after));
            prop_assert!(waited >= after && waited <= after + Duration::from_secs(2));
        }

        #[test]
        fn jitter_stays_in_its_bound(nanos in any::<u64>(), random in any::<u64>()) {
            let bound = Duration::from_nanos(nanos);
            prop_assert!(jitter(bound, random) <= bound);
            prop_assert_eq!(jitter(bound, 0), Duration::ZERO);
        }
    }

    #[test]
    fn jitter_uses_the_whole_of_its_bound() {
        let bound = Duration::from_millis(100);
        let waits: Vec<_> = (0..1_000).map(|_| jitter(bound, random())).collect();
        assert!(waits.iter().any(|wait| *wait < bound / 10));
        assert!(waits.iter().any(|wait| *wait > bound * 9 / 10));
        let mean = waits.iter().sum::<Duration>() / 1_000;
        assert!(mean > bound * 4 / 10 && mean < bound * 6 / 10, "{mean:?}");
    }
}
