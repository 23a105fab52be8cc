//! How long the writer waits for those who are about to come.
//!
//! Who was answered comes back a moment later with the next event. A writer that begins with the
//! first of them syncs for a few: with 64 callers, groups of four and a sync for each were seen. So
//! it waits until as many are there as lately were. Where they do not come it goes on without them,
//! and expects fewer the next time; one caller alone never waits.

use std::time::Duration;

/// How long nobody may come before the writer goes on.
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(1);

/// How long it waits in all, as long as they come.
const WHOLE_MIN: Duration = Duration::from_millis(1);
const WHOLE_MAX: Duration = Duration::from_millis(10);

/// What is known of those who put.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// How many there were at once when a group was last synced.
    crowd: usize,
    /// How long that sync took.
    sync: Duration,
}

/// What the writer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    /// So many puts.
    pub(super) puts: usize,
    /// Unless for so long none comes.
    pub(super) pause: Duration,
    /// And no longer than this.
    pub(super) whole: Duration,
}

impl Gather {
    /// A sync took so long; so many are answered after it, and so many came meanwhile.
    pub(super) fn synced(&mut self, took: Duration, answered: usize, came: usize) {
        *self = Self { crowd: answered + came, sync: took };
    }

    /// What is worth waiting for: a part of what a sync costs who is there already.
    pub(super) fn awaited(&self) -> Awaited {
        Awaited {
            puts: self.crowd,
            pause: (self.sync / 2).clamp(PAUSE_MIN, PAUSE_MAX),
            whole: self.sync.clamp(WHOLE_MIN, WHOLE_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_alone_never_waits_and_many_wait_for_each_other() {
        let mut gather = Gather::default();
        assert_eq!(gather.awaited().puts, 0);
        gather.synced(Duration::from_millis(4), 1, 0);
        assert_eq!(gather.awaited().puts, 1);
        gather.synced(Duration::from_millis(4), 30, 34);
        let awaited = gather.awaited();
        assert_eq!((awaited.puts, awaited.whole), (64, Duration::from_millis(4)));
        // They went: it is expected once more, and not again.
        gather.synced(Duration::from_millis(4), 1, 0);
        assert_eq!(gather.awaited().puts, 1);
    }

    #[test]
    fn a_disk_that_hangs_has_nobody_wait_longer() {
        let mut gather = Gather::default();
        gather.synced(Duration::from_secs(5), 30, 34);
        assert_eq!((gather.awaited().pause, gather.awaited().whole), (PAUSE_MAX, WHOLE_MAX));
    }
}
