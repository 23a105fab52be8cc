//! What a start does: reads both logs from their beginning to their end, and finds what is pending
//! and what is dead.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    sync::Arc,
};

use super::{Progressed, Shared, Trouble, state::Inner, window::Window};
use crate::{
    Id, Millis,
    entry::{Came, Index, decode_dead_index, decode_seen},
    log::{
        Log, Place, Step,
        frame::{Header, Kind},
    },
    schedule::Entry,
};

/// What is known of a record until all is read.
#[derive(Clone, Copy, Debug)]
struct Found {
    place: Place,
    /// Seconds since 1970.
    accepted: u32,
    target: u32,
    /// 0 for none, else one more than its number.
    order: u32,
}

/// Names that come again and again.
#[derive(Debug, Default)]
struct Names {
    known: HashMap<Arc<str>, u32>,
    all: Vec<Arc<str>>,
}

/// A dead letter that has a key.
#[derive(Debug)]
struct DeadKey {
    id: Id,
    at: Millis,
    target: u32,
    order: u32,
    park: bool,
}

#[derive(Debug, Default)]
struct Recovery {
    names: Names,
    found: BTreeMap<Id, Found>,
    came: HashMap<Id, Came>,
    /// Those that are dead or were: a dead letter is safe before its record is marked.
    dead: HashSet<Id>,
    dead_keys: Vec<DeadKey>,
    next_id: u64,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let name: Arc<str> = name.into();
        self.known.insert(Arc::clone(&name), number);
        self.all.push(name);
        number
    }
}

fn seconds(at: Millis) -> u32 {
    u32::try_from(at.0 / 1000).unwrap_or(u32::MAX)
}

/// Reads both logs into the state. Returns the number of the next record.
pub(super) fn recover(shared: &Shared, pending: &mut Log, dead: &mut Log) -> io::Result<u64> {
    let mut damaged = 0;
    let mut tell = |trouble: Trouble| {
        damaged += u64::from(trouble.is_damage());
        shared.settings.tell.tell(trouble);
    };
    let now = Millis::now();
    let of: u64 = pending.bytes() + dead.bytes();
    let mut read = 0;
    let mut went_on = |bytes: u64| {
        read += bytes;
        shared.ready.send_replace(Progressed::Recovering { read, of });
    };
    dead.clear(&mut tell)?;
    pending.clear(&mut tell)?;
    let mut recovery = Recovery::default();
    let mut inner = Inner::new(&shared.settings);

    for (number, bytes) in numbers(dead, &mut recovery.next_id) {
        dead.recover(number, &mut tell, |step| {
            if let Step::Frame(place, header, payload) = step {
                recovery.dead_frame(&mut inner, place, header, payload);
            }
        })?;
        went_on(bytes);
    }
    for (number, bytes) in numbers(pending, &mut recovery.next_id) {
        // Frames of one put, until its last is there.
        let mut open: Vec<(Id, Found)> = Vec::new();
        let mut follow = 0;
        pending.recover(number, &mut tell, |step| {
            let Step::Frame(place, header, payload) = step else {
                return open.clear();
            };
            if follow != 0 && (header.kind != Kind::Put || header.follow != follow - 1) {
                open.clear();
            }
            follow = 0;
            if header.kind == Kind::Put {
                follow = header.follow;
                recovery.put(&mut inner.window, place, header, payload, now, &mut open);
            } else {
                recovery.mark(&mut inner.window, place, header, payload, now);
            }
        })?;
        went_on(bytes);
    }

    let next_id = recovery.next_id;
    recovery.finish(&mut inner);
    for (segment, _) in pending.segments() {
        inner.segments.insert(segment.about.number, Arc::clone(segment));
    }
    for (segment, _) in dead.segments() {
        inner.dead.segments.insert(segment.about.number, Arc::clone(segment));
    }
    inner.disk_bytes = pending.bytes() + dead.bytes();
    let mut known = shared.inner();
    // What was said of targets while this was read.
    for (target, at_once) in known.paces.drain() {
        inner.schedule.pace(&target, at_once);
    }
    inner.phase = known.phase.clone();
    inner.stopped = known.stopped;
    inner.damaged = damaged + known.damaged;
    *known = inner;
    Ok(next_id)
}

fn numbers(log: &Log, next_id: &mut u64) -> Vec<(u32, u64)> {
    let segments = log.segments().map(|(segment, bytes)| {
        *next_id = segment.about.next_id.max(*next_id);
        (segment.about.number, *bytes)
    });
    segments.collect()
}

impl Recovery {
    fn saw(&mut self, header: Header) {
        self.next_id = self.next_id.max(header.id.saturating_add(1));
    }

    fn put(
        &mut self,
        window: &mut Window,
        place: Place,
        header: Header,
        payload: &[u8],
        now: Millis,
        open: &mut Vec<(Id, Found)>,
    ) {
        self.saw(header);
        let id = Id(header.id);
        let Some((index, _)) = Index::decode(payload) else { return };
        let found = Found {
            place,
            accepted: seconds(index.accepted),
            target: self.names.number(index.target),
            order: index.order.map_or(0, |order| self.names.number(order) + 1),
        };
        if let Some(who) = index.who {
            window.saw(who, id, index.accepted, now, place.segment);
        }
        open.push((id, found));
        if header.follow == 0 {
            for (id, found) in open.drain(..).filter(|(id, _)| !self.dead.contains(id)) {
                self.found.insert(id, found);
            }
        }
    }

    fn mark(
        &mut self,
        window: &mut Window,
        place: Place,
        header: Header,
        payload: &[u8],
        now: Millis,
    ) {
        let id = Id(header.id);
        match header.kind {
            Kind::Progress => {
                if let Some(came) = Came::decode(payload, place) {
                    self.came.insert(id, came);
                }
            }
            Kind::Done => {
                self.saw(header);
                self.found.remove(&id);
                self.came.remove(&id);
            }
            Kind::Unparked => {
                let target = str::from_utf8(payload).map(|target| self.names.number(target));
                for (id, came) in self.came.iter_mut().filter(|(_, came)| came.parked) {
                    let found = self.found.get(id);
                    came.parked = found.is_some_and(|found| Ok(found.target) != target);
                }
            }
            Kind::Seen => {
                for (who, id, at) in decode_seen(payload) {
                    self.next_id = self.next_id.max(id.saturating_add(1));
                    window.saw(who, Id(id), at, now, place.segment);
                }
            }
            _ => {}
        }
    }

    fn dead_frame(&mut self, inner: &mut Inner, place: Place, header: Header, payload: &[u8]) {
        let id = Id(header.id);
        match header.kind {
            Kind::Dead => {
                self.saw(header);
                self.dead.insert(id);
                let Some((at, park, index, _)) = decode_dead_index(payload) else { return };
                inner.dead.add(id, place, at);
                if let Some(order) = index.order {
                    let target = self.names.number(index.target);
                    let order = self.names.number(order);
                    self.dead_keys.push(DeadKey { id, at, target, order, park });
                }
            }
            Kind::Replayed => {
                if let Some(letter) = inner.dead.letters.get_mut(&id) {
                    letter.replayed = true;
                }
            }
            Kind::Removed => drop(inner.dead.remove(id)),
            _ => {}
        }
    }

    fn finish(self, inner: &mut Inner) {
        let Self { names, found, came, dead_keys, .. } = self;
        // Since when something of a key waits.
        let mut waits: HashMap<(u32, u32), u32> = HashMap::new();
        for (id, found) in found {
            let came = came.get(&id);
            let order = (found.order > 0).then(|| found.order - 1);
            let entry = Entry {
                target: &names.all[found.target as usize],
                order: order.map(|order| &*names.all[order as usize]),
                accepted: Millis(u64::from(found.accepted) * 1000),
                due: came.map_or(Millis(0), |came| came.due),
                bytes: found.place.len,
                attempts: came.map_or(0, |came| came.attempted),
                parked: came.is_some_and(|came| came.parked),
                place: found.place,
            };
            inner.schedule.insert(id, entry);
            inner.needs(found.place);
            if let Some(came) = came {
                inner.came(id, came.place);
            }
            if let Some(order) = order {
                let since = waits.entry((found.target, order)).or_insert(found.accepted);
                *since = found.accepted.min(*since);
            }
        }
        for key in dead_keys {
            let letter = inner.dead.letters.get(&key.id);
            let park = key.park && letter.is_some_and(|letter| !letter.replayed);
            let since = waits.get(&(key.target, key.order));
            let followed = since.is_some_and(|since| *since <= seconds(key.at));
            if park || followed {
                let target = &names.all[key.target as usize];
                let order = &names.all[key.order as usize];
                inner.schedule.dead_before(key.id, target, order, park);
            }
        }
    }
}
