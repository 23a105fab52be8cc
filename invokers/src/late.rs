//! Replies over brokers that came when nobody waited for them any more. They are dropped; how many
//! they are shows a time-out that is too short.

use std::sync::atomic::{AtomicU64, Ordering};

static LATE: AtomicU64 = AtomicU64::new(0);

/// Counts one.
pub(crate) fn count() {
    LATE.fetch_add(1, Ordering::Relaxed);
}

/// How many there were since the program started.
#[must_use]
pub fn late_replies() -> u64 {
    LATE.load(Ordering::Relaxed)
}
