//! Which record is delivered next. Pure state: no disk, no clock, no lock.
//!
//! Records stand in a queue for each target. The targets that can take one come round in turn, so
//! that a target with a million waiting takes no place from one with a single record. A target in
//! trouble is *held*: nothing is sent there until a moment passes, then one record, and as many as
//! before once that one has arrived; those behind it are not tried for nothing. Records of one key
//! of a target stand in a line of their own, of which only the first may be delivered.

mod keys;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Bound,
};

use keys::{Key, Keys};

use crate::{Held, Id, Millis};

/// How many units of memory the schedule may take: a record is one, a record with a key two. It
/// bounds the memory of the process whatever the backlog, at 256 MiB.
pub const UNITS_MAX: usize = 1_100_000;

/// How many records of one target are delivered at once where nothing else is said.
pub const AT_ONCE: usize = 64;

/// What all records that are being delivered may hold of memory, in bytes. One is always let
/// through, however large.
const CLAIMED_BYTES_MAX: u64 = 64 << 20;

/// A record that enters the schedule.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a, L> {
    /// The target's address as it is written.
    pub target: &'a str,
    /// Its key, if it has one.
    pub order: Option<&'a str>,
    /// When it was accepted.
    pub accepted: Millis,
    /// When it is due.
    pub due: Millis,
    /// What it takes of the target's share, in bytes.
    pub bytes: u32,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether it waits for somebody.
    pub parked: bool,
    /// Where its store has it.
    pub place: L,
}

/// A record that is to be delivered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next<L> {
    /// Which.
    pub id: Id,
    /// Where its store has it.
    pub place: L,
    /// How often it was tried.
    pub attempts: u32,
    /// How often in a row its target was held.
    pub trouble: u32,
    /// A record before it with the same key was given up.
    pub after_poison: bool,
}

/// The state of everything that is to be delivered. `L` says where a store has a record.
#[derive(Debug)]
pub struct Schedule<L> {
    /// By number, so that a list goes on where it was.
    slots: BTreeMap<Id, Slot<L>>,
    queues: Vec<Queue>,
    by_name: HashMap<Box<str>, u32>,
    keys: Keys,
    /// Queues that can give a record now, in their turn.
    turn: VecDeque<u32>,
    /// When a queue can give one that cannot now.
    timers: BTreeSet<(Millis, u32)>,
    claimed_bytes: u64,
    ordered: usize,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot<L> {
    /// The hash of its key; 0 if it has none.
    key: u64,
    due: Millis,
    /// Seconds since 1970.
    accepted: u32,
    target: u32,
    bytes: u32,
    attempts: u32,
    stands: Stands,
    place: L,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// In its queue, due now.
    Ready,
    /// In its queue, due later.
    Delayed,
    /// Behind another of the same key.
    Behind,
    Claimed,
    Parked,
}

#[derive(Debug)]
struct Queue {
    name: Box<str>,
    /// Due now. May hold ids that have gone since; they are passed over.
    ready: VecDeque<Id>,
    delayed: BTreeSet<(Millis, Id)>,
    claimed: usize,
    /// How many may be claimed at once.
    at_once: usize,
    /// How many may be claimed at once now: fewer after trouble.
    limit: usize,
    held_until: Option<Millis>,
    /// How often in a row it was held.
    trouble: u32,
    in_turn: bool,
    timer: Option<Millis>,
    records: u64,
    parked: u64,
    bytes: u64,
    /// How many records were accepted in each second, so that the oldest is known without a look
    /// at all of them.
    ages: BTreeMap<u32, u32>,
}

impl Queue {
    /// The target is there: it is given more again, twice as many with each answer.
    fn well(&mut self) {
        self.limit = (self.limit * 2).clamp(1, self.at_once);
        self.held_until = None;
        self.trouble = 0;
    }
}

impl<L: Copy> Default for Schedule<L> {
    fn default() -> Self {
        Self {
            slots: BTreeMap::new(),
            queues: Vec::new(),
            by_name: HashMap::new(),
            keys: Keys::default(),
            turn: VecDeque::new(),
            timers: BTreeSet::new(),
            claimed_bytes: 0,
            ordered: 0,
            bytes: 0,
        }
    }
}

impl<L: Copy> Schedule<L> {
    /// Takes a record in. Its number is not in it yet.
    pub fn insert(&mut self, id: Id, entry: Entry<'_, L>) {
        let target = self.queue(entry.target);
        let key = entry.order.map_or(0, keys::hash);
        let mut slot = Slot {
            key,
            due: entry.due,
            accepted: u32::try_from(entry.accepted.0 / 1000).unwrap_or(u32::MAX),
            target,
            bytes: entry.bytes,
            attempts: entry.attempts,
            stands: if entry.parked { Stands::Parked } else { Stands::Delayed },
            place: entry.place,
        };
        let queue = &mut self.queues[target as usize];
        queue.records += 1;
        *queue.ages.entry(slot.accepted).or_default() += 1;
        queue.bytes += u64::from(entry.bytes);
        self.bytes += u64::from(entry.bytes);
        if key != 0 {
            self.ordered += 1;
            let left = self.keys.join(Key { target, hash: key }, id);
            if left.parked {
                slot.stands = Stands::Parked;
            }
            // It came before the one that was first: only after a restart, so that one waits still.
            if let Some(was_first) = left.first.filter(|first| *first != id)
                && self.keys.first(Key { target, hash: key }) == Some(id)
            {
                self.behind(was_first);
            }
            if slot.stands != Stands::Parked
                && self.keys.first(Key { target, hash: key }) != Some(id)
            {
                slot.stands = Stands::Behind;
            }
        }
        let stands = slot.stands;
        self.slots.insert(id, slot);
        match stands {
            Stands::Parked => self.queues[target as usize].parked += 1,
            Stands::Delayed => self.line_up(id),
            Stands::Ready | Stands::Behind | Stands::Claimed => {}
        }
    }

    /// Claims up to `max` records that are due, from the targets in their turn.
    pub fn claim(&mut self, now: Millis, max: usize) -> Vec<Next<L>> {
        self.wake(now);
        let mut all = Vec::new();
        while all.len() < max
            && (self.claimed_bytes < CLAIMED_BYTES_MAX)
            && let Some(target) = self.turn.pop_front()
        {
            self.queues[target as usize].in_turn = false;
            if let Some(id) = self.take(target)
                && let Some(slot) = self.slots.get_mut(&id)
            {
                slot.stands = Stands::Claimed;
                let after_poison =
                    slot.key != 0 && self.keys.poisoned(Key { target, hash: slot.key });
                self.claimed_bytes += u64::from(slot.bytes);
                let Slot { place, attempts, .. } = *slot;
                let queue = &mut self.queues[target as usize];
                queue.claimed += 1;
                all.push(Next { id, place, attempts, trouble: queue.trouble, after_poison });
            }
            self.settle(target, now);
        }
        all
    }

    /// When there may be something to claim that was not there at the last look; none if nothing
    /// waits for a moment. A record that enters or a claim that ends may bring it forward.
    #[must_use]
    pub fn next_due(&self) -> Option<Millis> {
        if self.claimed_bytes >= CLAIMED_BYTES_MAX {
            return None;
        }
        if self.turn.is_empty() { self.timers.first().map(|(at, _)| *at) } else { Some(Millis(0)) }
    }

    /// The record has arrived, and leaves. Its target is well.
    pub fn done(&mut self, id: Id) -> Option<L> {
        let slot = self.leave(id)?;
        self.queues[slot.target as usize].well();
        self.follow(slot, false);
        Some(slot.place)
    }

    /// The record leaves without having arrived. With `park` those behind it of the same key wait
    /// until [`Schedule::unpark_key`] is called with its number, else they are marked.
    pub fn give_up(&mut self, id: Id, park: bool) -> Option<L> {
        let slot = self.leave(id)?;
        if park && slot.key != 0 {
            self.park_key_of(slot.target, slot.key, id);
        } else {
            self.follow(slot, true);
        }
        Some(slot.place)
    }

    /// The record leaves because somebody took it out; not while it is being delivered.
    pub fn remove(&mut self, id: Id) -> Option<L> {
        if self.slots.get(&id)?.stands == Stands::Claimed {
            return None;
        }
        let slot = self.leave(id)?;
        self.follow(slot, false);
        Some(slot.place)
    }

    /// The record is due again at `at`, after one more try if it was `tried` at all; with `hold`
    /// nothing is sent to its target before that, and then one record alone.
    pub fn again(&mut self, id: Id, tried: bool, at: Millis, hold: Option<Millis>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.attempts += u32::from(tried);
        slot.due = at;
        let queue = &mut self.queues[slot.target as usize];
        match hold {
            Some(hold) => {
                // Those that were sent together have met the same trouble.
                queue.trouble += u32::from(queue.held_until.is_none());
                queue.held_until = queue.held_until.max(Some(hold));
                queue.limit = 1;
            }
            // It was the record that failed; the target is there.
            None => queue.well(),
        }
        self.unclaim(id);
        self.line_up(id);
    }

    /// The claim ends as if it had not been made.
    pub fn release(&mut self, id: Id) {
        if self.unclaim(id) {
            self.line_up(id);
        }
    }

    /// The record waits for somebody.
    pub fn park(&mut self, id: Id) {
        self.unclaim(id);
        if let Some(slot) = self.slots.get_mut(&id)
            && slot.stands != Stands::Parked
        {
            let target = slot.target;
            slot.stands = Stands::Parked;
            self.queues[target as usize].parked += 1;
            self.settle(target, Millis(0));
        }
    }

    /// What is parked at a target, but for keys that wait for their dead letter, waits no more.
    /// Returns which.
    pub fn unpark(&mut self, target: &str) -> Vec<Id> {
        let Some(target) = self.by_name.get(target).copied() else { return Vec::new() };
        if self.queues[target as usize].parked == 0 {
            return Vec::new();
        }
        let parked = |slot: &Slot<L>| slot.target == target && slot.stands == Stands::Parked;
        let ids: Vec<Id> =
            self.slots.iter().filter(|(_, slot)| parked(slot)).map(|(id, _)| *id).collect();
        let held =
            |slot: &Slot<L>| slot.key != 0 && self.keys.parked(Key { target, hash: slot.key });
        let mut free: Vec<Id> = ids
            .into_iter()
            .filter(|id| self.slots.get(id).is_some_and(|slot| !held(slot)))
            .collect();
        free.sort_unstable();
        for id in &free {
            self.unpark_one(*id);
        }
        free
    }

    /// A dead letter with a key is known from before a restart: those behind it wait for somebody
    /// (`park`), or are marked.
    pub fn dead_before(&mut self, dead: Id, target: &str, order: &str, park: bool) {
        let target = self.queue(target);
        let hash = keys::hash(order);
        if park {
            self.park_key_of(target, hash, dead);
        } else {
            self.keys.poison(Key { target, hash });
        }
    }

    /// Somebody has dealt with a dead letter that others of its key waited for.
    pub fn unpark_key(&mut self, dead: Id) {
        let Some(key) = self.keys.unpark(dead) else { return };
        for id in self.keys.all(key) {
            self.unpark_one(id);
        }
    }

    /// How many records of a target may be claimed at once.
    pub fn pace(&mut self, target: &str, at_once: usize) {
        let target = self.queue(target);
        let queue = &mut self.queues[target as usize];
        // One that is in trouble stays at one.
        if queue.limit == queue.at_once || queue.limit > at_once {
            queue.limit = at_once.max(1);
        }
        queue.at_once = at_once.max(1);
        self.settle(target, Millis(0));
    }

    /// Where a store has a record.
    #[must_use]
    pub fn place(&self, id: Id) -> Option<L> {
        self.slots.get(&id).map(|slot| slot.place)
    }

    /// A store has moved a record.
    pub fn moved(&mut self, id: Id, place: L) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.place = place;
        }
    }

    /// How far a record has come, and when it is due.
    #[must_use]
    pub fn state(&self, id: Id) -> Option<(crate::State, Option<Millis>)> {
        use crate::State;
        let slot = self.slots.get(&id)?;
        Some(match slot.stands {
            Stands::Claimed => (State::Delivering, None),
            Stands::Parked => (State::Parked, None),
            Stands::Behind => (State::Pending, None),
            Stands::Ready | Stands::Delayed => (State::Pending, Some(slot.due)),
        })
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How much of [`UNITS_MAX`] is taken.
    #[must_use]
    pub fn units(&self) -> usize {
        self.slots.len() + self.ordered
    }

    /// What all records take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the records of one target take, in bytes.
    #[must_use]
    pub fn bytes_of(&self, target: &str) -> u64 {
        let target = self.by_name.get(target);
        target.map_or(0, |target| self.queues[*target as usize].bytes)
    }

    /// The numbers of all records after this one, rising.
    pub fn ids_after(&self, after: Option<Id>) -> impl Iterator<Item = Id> + '_ {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.slots.range((from, Bound::Unbounded)).map(|(id, _)| *id)
    }

    /// What is held for each target that has anything.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        let queues = self.queues.iter().filter(|queue| queue.records > 0);
        let held = queues.map(|queue| Held {
            target: queue.name.to_string(),
            pending: queue.records - queue.parked,
            delivering: queue.claimed as u64,
            parked: queue.parked,
            bytes: queue.bytes,
            oldest: queue.ages.first_key_value().map(|(at, _)| Millis(u64::from(*at) * 1000)),
        });
        held.collect()
    }

    fn queue(&mut self, name: &str) -> u32 {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        let number = u32::try_from(self.queues.len()).unwrap_or(u32::MAX);
        self.queues.push(Queue {
            name: name.into(),
            ready: VecDeque::new(),
            delayed: BTreeSet::new(),
            claimed: 0,
            at_once: AT_ONCE,
            limit: AT_ONCE,
            held_until: None,
            trouble: 0,
            in_turn: false,
            timer: None,
            records: 0,
            parked: 0,
            bytes: 0,
            ages: BTreeMap::new(),
        });
        self.by_name.insert(name.into(), number);
        number
    }

    /// Puts a record that is neither claimed nor parked where it belongs: behind another of its
    /// key, or among those of its target that wait for their moment.
    fn line_up(&mut self, id: Id) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let target = slot.target;
        if slot.key != 0 && self.keys.first(Key { target, hash: slot.key }) != Some(id) {
            slot.stands = Stands::Behind;
            return;
        }
        let queue = &mut self.queues[target as usize];
        if slot.due == Millis(0) {
            slot.stands = Stands::Ready;
            queue.ready.push_back(id);
        } else {
            slot.stands = Stands::Delayed;
            queue.delayed.insert((slot.due, id));
        }
        self.settle(target, Millis(0));
    }

    /// A record that was the first of its key is not any more.
    fn behind(&mut self, id: Id) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.stands == Stands::Delayed {
            self.queues[slot.target as usize].delayed.remove(&(slot.due, id));
        }
        if matches!(slot.stands, Stands::Delayed | Stands::Ready) {
            slot.stands = Stands::Behind;
        }
    }

    /// Ends a claim. Says whether there was one.
    fn unclaim(&mut self, id: Id) -> bool {
        let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.stands == Stands::Claimed)
        else {
            return false;
        };
        slot.stands = Stands::Behind;
        self.claimed_bytes -= u64::from(slot.bytes);
        let target = slot.target;
        self.queues[target as usize].claimed -= 1;
        true
    }

    fn unpark_one(&mut self, id: Id) {
        if let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.stands == Stands::Parked) {
            slot.stands = Stands::Behind;
            slot.due = Millis(0);
            self.queues[slot.target as usize].parked -= 1;
            self.line_up(id);
        }
    }

    fn leave(&mut self, id: Id) -> Option<Slot<L>> {
        self.unclaim(id);
        let slot = self.slots.remove(&id)?;
        let queue = &mut self.queues[slot.target as usize];
        match slot.stands {
            Stands::Parked => queue.parked -= 1,
            Stands::Delayed => {
                queue.delayed.remove(&(slot.due, id));
            }
            Stands::Ready | Stands::Behind | Stands::Claimed => {}
        }
        queue.records -= 1;
        if let Some(count) = queue.ages.get_mut(&slot.accepted) {
            *count -= 1;
            if *count == 0 {
                queue.ages.remove(&slot.accepted);
            }
        }
        queue.bytes -= u64::from(slot.bytes);
        self.bytes -= u64::from(slot.bytes);
        if slot.key != 0 {
            self.ordered -= 1;
            self.keys.leave(Key { target: slot.target, hash: slot.key }, id);
        }
        // A queue shrinks by itself never, and a backlog may have been large.
        if self.slots.is_empty() && self.queues[slot.target as usize].ready.capacity() > 4096 {
            self.queues[slot.target as usize].ready = VecDeque::new();
        }
        Some(slot)
    }

    /// Lets the next of a key have its turn after one that has left.
    fn follow(&mut self, left: Slot<L>, poisoned: bool) {
        if left.key != 0 {
            let key = Key { target: left.target, hash: left.key };
            if poisoned {
                self.keys.poison(key);
            }
            if let Some(next) = self.keys.first(key)
                && self.slots.get(&next).is_some_and(|slot| slot.stands == Stands::Behind)
            {
                self.line_up(next);
            }
        }
        self.settle(left.target, Millis(0));
    }

    fn park_key_of(&mut self, target: u32, hash: u64, dead: Id) {
        let key = Key { target, hash };
        self.keys.park(key, dead);
        for id in self.keys.all(key) {
            if let Some(slot) = self.slots.get_mut(&id)
                && matches!(slot.stands, Stands::Ready | Stands::Delayed | Stands::Behind)
            {
                if slot.stands == Stands::Delayed {
                    self.queues[target as usize].delayed.remove(&(slot.due, id));
                }
                slot.stands = Stands::Parked;
                self.queues[target as usize].parked += 1;
            }
        }
        self.settle(target, Millis(0));
    }

    /// The next record of a queue that is due and still there, if it may be claimed.
    fn take(&mut self, target: u32) -> Option<Id> {
        let queue = &mut self.queues[target as usize];
        if queue.claimed >= queue.limit || queue.held_until.is_some() {
            return None;
        }
        loop {
            let id = queue.ready.pop_front()?;
            if self.slots.get(&id).is_some_and(|slot| slot.stands == Stands::Ready) {
                return Some(id);
            }
        }
    }

    /// Moves what has become due to the front, of every queue whose moment has come.
    fn wake(&mut self, now: Millis) {
        while let Some((at, target)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.remove(&(at, target));
            self.queues[target as usize].timer = None;
            self.settle(target, now);
        }
    }

    /// Works out whether a queue can give a record now, or when it can.
    fn settle(&mut self, target: u32, now: Millis) {
        let queue = &mut self.queues[target as usize];
        while let Some((due, id)) = queue.delayed.first().copied()
            && due <= now
        {
            queue.delayed.remove(&(due, id));
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.stands = Stands::Ready;
                queue.ready.push_back(id);
            }
        }
        while let Some(id) = queue.ready.front()
            && self.slots.get(id).is_none_or(|slot| slot.stands != Stands::Ready)
        {
            queue.ready.pop_front();
        }
        if queue.held_until.is_some_and(|until| until <= now) {
            queue.held_until = None;
        }
        let waits = match (queue.held_until, queue.ready.is_empty()) {
            _ if queue.claimed >= queue.limit => None,
            (Some(until), false) => Some(until),
            (Some(until), true) => queue.delayed.first().map(|(due, _)| until.max(*due)),
            (None, true) => queue.delayed.first().map(|(due, _)| *due),
            (None, false) => {
                if !queue.in_turn {
                    queue.in_turn = true;
                    self.turn.push_back(target);
                }
                None
            }
        };
        if waits != queue.timer {
            if let Some(was) = queue.timer {
                self.timers.remove(&(was, target));
            }
            queue.timer = waits;
            if let Some(at) = waits {
                self.timers.insert((at, target));
            }
        }
    }
}
