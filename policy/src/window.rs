//! Two counts over the last while: of all, and of some among them.

use std::{
    array,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed},
    },
    time::Duration,
};

use crate::clock::nanos_of;

/// The slots of a window. The oldest is dropped as a whole, so that a window of 10 s looks back
/// over 9 to 10 of them.
const SLOTS: u64 = SLOT_COUNT as u64;
const SLOT_COUNT: usize = 10;

// A slot is one word, so that its time and both counts change together: which slot of time it
// counts in (24 bits, so that a slot that nobody touched is mistaken for a new one after 5 times
// 2^24 slots, which is 97 days for a window of one second), all (20 bits), some (20 bits).
const COUNT_BITS: u32 = 20;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const TICK: u64 = (1 << (64 - 2 * COUNT_BITS)) - 1;

/// Counts over a sliding window, by atomics alone.
#[derive(Debug)]
pub(crate) struct Window {
    slot_nanos: u64,
    slots: [AtomicU64; SLOT_COUNT],
}

/// What a slot holds.
#[derive(Clone, Copy)]
struct Slot {
    tick: u64,
    all: u64,
    some: u64,
}

impl Slot {
    fn of(word: u64) -> Self {
        Self { tick: word >> (2 * COUNT_BITS), all: word >> COUNT_BITS & COUNT, some: word & COUNT }
    }

    fn word(self) -> u64 {
        self.tick << (2 * COUNT_BITS) | self.all << COUNT_BITS | self.some
    }
}

impl Window {
    pub(crate) fn new(length: Duration) -> Self {
        let slot_nanos = (nanos_of(length) / SLOTS).max(1);
        Self { slot_nanos, slots: array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Which slot of time this is.
    pub(crate) fn tick(&self, now: u64) -> u64 {
        now / self.slot_nanos
    }

    fn slot(&self, tick: u64) -> &AtomicU64 {
        let at = usize::try_from(tick % SLOTS).unwrap_or(0);
        &self.slots[at]
    }

    /// Counts: so many, and so many of them among the some. A million in one slot are more than it
    /// can count, so that then both counts are halved, which keeps their ratio.
    pub(crate) fn add(&self, now: u64, all: u64, some: u64) {
        let tick = self.tick(now);
        let short = tick & TICK;
        let slot = self.slot(tick);
        let mut old = slot.load(Relaxed);
        loop {
            let mut new = Slot::of(old);
            // Whoever was held up since it read the clock counts in the slot that it finds.
            if !is_newer(new.tick, short) && new.tick != short {
                new = Slot { tick: short, all: 0, some: 0 };
            }
            if new.all + all > COUNT || new.some + some > COUNT {
                new.all /= 2;
                new.some /= 2;
            }
            new.all += all;
            new.some += some;
            match slot.compare_exchange_weak(old, new.word(), Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    /// Takes one of the some back that was counted in this slot of time, if that still counts.
    pub(crate) fn take_back(&self, tick: u64) {
        let update = |word| {
            let slot = Slot::of(word);
            let current = slot.tick == tick & TICK && slot.some > 0;
            current.then(|| Slot { some: slot.some - 1, ..slot }.word())
        };
        // If it does not count any more there is nothing to do.
        self.slot(tick).fetch_update(Relaxed, Relaxed, update).ok();
    }

    /// All, and some.
    pub(crate) fn sum(&self, now: u64) -> (u64, u64) {
        let short = self.tick(now) & TICK;
        self.slots.iter().map(|slot| Slot::of(slot.load(Acquire))).fold(
            (0, 0),
            |(all, some), slot| {
                let counts =
                    is_newer(slot.tick, short) || short.wrapping_sub(slot.tick) & TICK < SLOTS;
                if counts { (all + slot.all, some + slot.some) } else { (all, some) }
            },
        )
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for slot in &self.slots {
            slot.store(0, Relaxed);
        }
    }
}

/// Whether the first of two slots of time is the later one, by a window at most: what is further
/// away is old, seen from behind.
fn is_newer(one: u64, other: u64) -> bool {
    (1..=SLOTS).contains(&(one.wrapping_sub(other) & TICK))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SLOT: u64 = 1_000_000_000;

    proptest! {
        #[test]
        fn what_is_counted_is_what_happened_in_the_window(
            steps in prop::collection::vec((0_u64..3 * SLOT, any::<bool>()), 1..200),
        ) {
            let window = Window::new(Duration::from_secs(10));
            let mut now = 3600 * SLOT;
            let mut happened = Vec::new();
            for (step, bad) in steps {
                now += step;
                window.add(now, 1, u64::from(bad));
                happened.push((now / SLOT, bad));
                let inside = happened.iter().filter(|(tick, _)| now / SLOT - tick < 10);
                let all = inside.clone().count() as u64;
                let some = inside.filter(|(_, bad)| *bad).count() as u64;
                prop_assert_eq!(window.sum(now), (all, some));
            }
        }
    }

    #[test]
    fn a_slot_that_nobody_has_touched_for_months_is_no_newer_one() {
        let window = Window::new(Duration::from_secs(10));
        for month in 1..40 {
            let now = month * 30 * 86_400 * SLOT;
            window.add(now, 1, 0);
            assert_eq!(window.sum(now), (1, 0), "month {month}");
        }
    }

    #[test]
    fn a_full_slot_keeps_its_ratio() {
        let window = Window::new(Duration::from_secs(10));
        for at in 0..3_000_000_u64 {
            window.add(SLOT, 1, u64::from(at % 4 == 0));
        }
        let (all, some) = window.sum(SLOT);
        assert!(all > COUNT / 2, "{all}");
        assert!((some * 4).abs_diff(all) < all / 100, "{some} of {all}");
    }

    #[test]
    fn what_is_taken_back_does_not_count() {
        let window = Window::new(Duration::from_secs(10));
        window.add(5 * SLOT, 1, 1);
        window.add(6 * SLOT, 1, 1);
        window.take_back(5);
        assert_eq!(window.sum(6 * SLOT), (2, 1));
        // Nothing of that slot is left, and what came in its place is not touched.
        window.add(15 * SLOT, 1, 1);
        window.take_back(5);
        assert_eq!(window.sum(15 * SLOT), (2, 2));
    }
}
