//! What the store knows of what is on its disk.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Settings, window::Window};
use crate::{
    Id, Millis,
    log::{Place, segment::Segment},
    schedule::Schedule,
};

/// Whether the store can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Recovering,
    Ready,
    Closed,
    Broken(Arc<str>),
}

/// All of it. What is large is on the disk.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) phase: Phase,
    /// Nothing is claimed any more.
    pub(super) stopped: bool,
    /// Whoever waits for something to claim looks again at this time by itself, or before.
    asleep_until: Millis,
    pub(super) schedule: Schedule<Place>,
    /// What was said of targets before the schedule was there.
    pub(super) paces: HashMap<Box<str>, usize>,
    /// Where it is said how far those have come that were tried or parked.
    pub(super) progress: HashMap<Id, Place>,
    pub(super) window: Window,
    /// How many bytes of each segment are still needed.
    live: HashMap<u32, u64>,
    live_bytes: u64,
    pub(super) segments: HashMap<u32, Arc<Segment>>,
    pub(super) dead: Dead,
    pub(super) damaged: u64,
    pub(super) disk_bytes: u64,
}

/// The dead letters.
#[derive(Debug, Default)]
pub(super) struct Dead {
    pub(super) letters: BTreeMap<Id, DeadAt>,
    pub(super) bytes: u64,
    pub(super) lost: u64,
    /// How many letters of each segment are still there.
    live: HashMap<u32, usize>,
    pub(super) segments: HashMap<u32, Arc<Segment>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct DeadAt {
    pub(super) place: Place,
    /// Seconds since 1970.
    pub(super) at: u32,
    pub(super) replayed: bool,
}

impl Inner {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            phase: Phase::Recovering,
            stopped: false,
            asleep_until: Millis(0),
            schedule: Schedule::default(),
            paces: HashMap::new(),
            progress: HashMap::new(),
            window: Window::new(settings.dedupe),
            live: HashMap::new(),
            live_bytes: 0,
            segments: HashMap::new(),
            dead: Dead::default(),
            damaged: 0,
            disk_bytes: 0,
        }
    }

    /// Somebody waits for something to claim. Returns when to look again, if nothing changes.
    pub(super) fn falls_asleep(&mut self) -> Option<Millis> {
        let due = self.schedule.next_due();
        self.asleep_until = due.unwrap_or(Millis(u64::MAX));
        due
    }

    /// Whether those who wait have to look sooner than they mean to. They are told once.
    pub(super) fn is_due_sooner(&mut self) -> bool {
        let due = self.schedule.next_due();
        let sooner = due.is_some_and(|due| due < self.asleep_until);
        if sooner {
            self.asleep_until = Millis(0);
        }
        sooner
    }

    /// A frame is needed.
    pub(super) fn needs(&mut self, place: Place) {
        *self.live.entry(place.segment).or_default() += u64::from(place.len);
        self.live_bytes += u64::from(place.len);
    }

    /// A frame is not needed any more.
    pub(super) fn needs_no_more(&mut self, place: Place) {
        if let Some(live) = self.live.get_mut(&place.segment) {
            *live = live.saturating_sub(u64::from(place.len));
        }
        self.live_bytes = self.live_bytes.saturating_sub(u64::from(place.len));
    }

    /// How many bytes of a segment are still needed.
    pub(super) fn live(&self, segment: u32) -> u64 {
        self.live.get(&segment).copied().unwrap_or_default()
    }

    /// How many bytes of all segments are still needed.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// A record has left the schedule, which had it at a place.
    pub(super) fn left(&mut self, id: Id, place: Option<Place>) {
        let Some(place) = place else { return };
        self.needs_no_more(place);
        if let Some(progress) = self.progress.remove(&id) {
            self.needs_no_more(progress);
        }
        if self.progress.is_empty() && self.progress.capacity() > 4096 {
            self.progress = HashMap::new();
        }
    }

    /// It is said in another place how far a record has come, if it is still there.
    pub(super) fn came(&mut self, id: Id, place: Place) {
        if self.schedule.place(id).is_none() {
            return;
        }
        if let Some(before) = self.progress.insert(id, place) {
            self.needs_no_more(before);
        }
        self.needs(place);
    }

    /// A record was moved, unless it has left since.
    pub(super) fn moved(&mut self, id: Id, from: Place, to: Place) {
        if self.schedule.place(id) == Some(from) {
            self.schedule.moved(id, to);
            self.needs_no_more(from);
            self.needs(to);
        }
    }

    /// Forgets a segment that is gone.
    pub(super) fn forget(&mut self, segment: u32) {
        self.segments.remove(&segment);
        self.live.remove(&segment);
    }
}

impl Dead {
    pub(super) fn add(&mut self, id: Id, place: Place, at: Millis) {
        let at = u32::try_from(at.0 / 1000).unwrap_or(u32::MAX);
        if self.letters.insert(id, DeadAt { place, at, replayed: false }).is_none() {
            self.bytes += u64::from(place.len);
            *self.live.entry(place.segment).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<DeadAt> {
        let letter = self.letters.remove(&id)?;
        self.bytes -= u64::from(letter.place.len);
        if let Some(live) = self.live.get_mut(&letter.place.segment) {
            *live = live.saturating_sub(1);
        }
        Some(letter)
    }

    pub(super) fn live(&self, segment: u32) -> usize {
        self.live.get(&segment).copied().unwrap_or_default()
    }

    /// Forgets a segment that is gone, and returns the letters that were in it.
    pub(super) fn forget(&mut self, segment: u32) -> Vec<Id> {
        self.segments.remove(&segment);
        let of = |(_, letter): &(&Id, &DeadAt)| letter.place.segment == segment;
        let ids: Vec<Id> = match self.live.remove(&segment) {
            None | Some(0) => Vec::new(),
            Some(_) => self.letters.iter().filter(of).map(|(id, _)| *id).collect(),
        };
        for id in &ids {
            if self.remove(*id).is_some_and(|letter| !letter.replayed) {
                self.lost += 1;
            }
        }
        ids
    }
}
