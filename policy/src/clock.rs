//! Time as the guards count it: nanoseconds in one word, which an atomic can hold.

use std::{
    sync::OnceLock,
    time::{Duration, Instant as Clock},
};

use tokio::time::Instant;

/// How long before the first look at the clock the count begins. A clock that a test has paused may
/// stand a little before that look, and no time is before the beginning.
const BEFORE: Duration = Duration::from_secs(3600);

/// Nanoseconds since a moment that is the same for the whole process. The word lasts for 584 years.
#[must_use]
pub fn nanos(at: Instant) -> u64 {
    static BEGIN: OnceLock<Clock> = OnceLock::new();
    let begin = *BEGIN.get_or_init(|| {
        let now = Clock::now();
        now.checked_sub(BEFORE).unwrap_or(now)
    });
    nanos_of(at.into_std().saturating_duration_since(begin))
}

/// A length of time as nanoseconds.
pub(crate) fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
