//! Who was seen of late, so that what is sent twice is stored once.
//!
//! Bounded by time and by number: an event that comes again after the window, or after more others
//! than it holds, is stored again and delivered again.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::entry::Who;
use crate::{Id, Millis};

/// How many are remembered at most. They take about 32 MiB.
pub const SEEN_MAX: usize = 450_000;

#[derive(Debug)]
pub(super) struct Window {
    span: Duration,
    seen: HashMap<[u8; 16], Seen>,
    /// Roughly by time: the oldest first.
    order: VecDeque<[u8; 16]>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    data: [u8; 16],
    id: Id,
    at: Millis,
    /// The segment that says so last.
    segment: u32,
}

/// What is known of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It repeats this one.
    Repeats(Id),
    /// It has the identity of another, and other data.
    Differs,
}

impl Window {
    pub(super) fn new(span: Duration) -> Self {
        Self { span, seen: HashMap::new(), order: VecDeque::new() }
    }

    /// What is known of somebody at a time.
    pub(super) fn known(&self, who: &Who, now: Millis) -> Option<Known> {
        let seen = self.seen.get(&who.key).filter(|seen| now.since(seen.at) <= self.span)?;
        Some(if seen.data == who.data { Known::Repeats(seen.id) } else { Known::Differs })
    }

    /// Somebody was seen, as a segment says.
    pub(super) fn saw(&mut self, who: Who, id: Id, at: Millis, now: Millis, segment: u32) {
        if now.since(at) > self.span {
            return;
        }
        let seen = Seen { data: who.data, id, at, segment };
        match self.seen.get_mut(&who.key) {
            // A copy that was moved to another segment, or one that came after the window.
            Some(known) if known.id <= id => *known = seen,
            Some(_) => {}
            None => {
                self.seen.insert(who.key, seen);
                self.order.push_back(who.key);
            }
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Millis) {
        while let Some(oldest) = self.order.front() {
            let old = self.seen.get(oldest).is_none_or(|seen| now.since(seen.at) > self.span);
            if !old && self.order.len() <= SEEN_MAX {
                break;
            }
            self.seen.remove(oldest);
            self.order.pop_front();
        }
    }

    /// Those of whom only this segment tells.
    pub(super) fn of(&mut self, segment: u32, now: Millis) -> Vec<(Who, Id, Millis)> {
        self.forget(now);
        let told = self.seen.iter().filter(|(_, seen)| seen.segment == segment);
        told.map(|(key, seen)| (Who { key: *key, data: seen.data }, seen.id, seen.at)).collect()
    }

    /// Another segment tells of somebody.
    pub(super) fn moved(&mut self, who: &Who, id: Id, segment: u32) {
        if let Some(seen) = self.seen.get_mut(&who.key).filter(|seen| seen.id == id) {
            seen.segment = segment;
        }
    }
}
