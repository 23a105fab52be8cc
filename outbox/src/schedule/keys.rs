//! Lines of records that have the same key at the same target. Only the first of a line is
//! delivered.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::Id;

/// A key of one target. Two keys with the same hash are delivered as if they were one, which costs
/// them nothing but time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) target: u32,
    pub(super) hash: u64,
}

#[derive(Debug, Default)]
pub(super) struct Keys {
    lines: HashMap<Key, Line>,
    /// Which line waits for a dead letter.
    waiting: HashMap<Id, Key>,
}

#[derive(Debug, Default)]
struct Line {
    /// By rising number.
    ids: VecDeque<Id>,
    poisoned: bool,
    /// How many dead letters it waits for.
    parked: usize,
}

/// What a line was when somebody joined it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    /// Its first until then.
    pub(super) first: Option<Id>,
    /// Whether it waits for a dead letter.
    pub(super) parked: bool,
}

/// The hash of a key; never 0.
pub(super) fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() | 1
}

impl Keys {
    pub(super) fn join(&mut self, key: Key, id: Id) -> Left {
        let line = self.lines.entry(key).or_default();
        let left = Left { first: line.ids.front().copied(), parked: line.parked > 0 };
        match line.ids.back() {
            Some(last) if *last > id => {
                let at = line.ids.partition_point(|known| *known < id);
                line.ids.insert(at, id);
            }
            _ => line.ids.push_back(id),
        }
        left
    }

    pub(super) fn leave(&mut self, key: Key, id: Id) {
        let Some(line) = self.lines.get_mut(&key) else { return };
        if let Ok(at) = line.ids.binary_search(&id) {
            line.ids.remove(at);
        }
        self.forget(key);
    }

    pub(super) fn first(&self, key: Key) -> Option<Id> {
        self.lines.get(&key)?.ids.front().copied()
    }

    pub(super) fn all(&self, key: Key) -> Vec<Id> {
        self.lines.get(&key).map(|line| line.ids.iter().copied().collect()).unwrap_or_default()
    }

    /// Those that are in the line now, or join it before it is empty, follow one that was given up.
    pub(super) fn poison(&mut self, key: Key) {
        if let Some(line) = self.lines.get_mut(&key) {
            line.poisoned = true;
        }
    }

    pub(super) fn poisoned(&self, key: Key) -> bool {
        self.lines.get(&key).is_some_and(|line| line.poisoned)
    }

    pub(super) fn park(&mut self, key: Key, dead: Id) {
        if self.waiting.insert(dead, key).is_none() {
            let line = self.lines.entry(key).or_default();
            line.parked += 1;
            line.poisoned = true;
        }
    }

    pub(super) fn parked(&self, key: Key) -> bool {
        self.lines.get(&key).is_some_and(|line| line.parked > 0)
    }

    /// The line that waited for this dead letter, if it waits for no other.
    pub(super) fn unpark(&mut self, dead: Id) -> Option<Key> {
        let key = self.waiting.remove(&dead)?;
        let line = self.lines.get_mut(&key)?;
        line.parked = line.parked.saturating_sub(1);
        let free = line.parked == 0;
        self.forget(key);
        free.then_some(key)
    }

    fn forget(&mut self, key: Key) {
        if self.lines.get(&key).is_some_and(|line| line.ids.is_empty() && line.parked == 0) {
            self.lines.remove(&key);
        }
    }
}
