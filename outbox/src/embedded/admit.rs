//! Which puts are taken: what is new, what repeats another, and what there is no room for.

use std::collections::HashMap;

use super::{queue::Put, window::Known, writer::Writer};
use crate::{Id, Millis, NotStored, Taken, entry::Who, log::frame, schedule::UNITS_MAX};

/// What a group adds, that nobody knows yet.
#[derive(Debug, Default)]
pub(super) struct Group {
    seen: HashMap<[u8; 16], ([u8; 16], Id)>,
    targets: HashMap<Box<str>, u64>,
    units: usize,
    bytes: u64,
}

impl Group {
    fn known(&self, who: &Who) -> Option<Known> {
        let (data, id) = self.seen.get(&who.key)?;
        Some(if *data == who.data { Known::Repeats(*id) } else { Known::Differs })
    }

    fn add(&mut self, put: &Put, id: Id) {
        let bytes = frame::size(put.payload.len()) as u64;
        self.units += 1 + usize::from(put.order.is_some());
        self.bytes += bytes;
        match self.targets.get_mut(&put.target) {
            Some(known) => *known += bytes,
            None => drop(self.targets.insert(put.target.clone(), bytes)),
        }
        if let Some(who) = put.who {
            self.seen.insert(who.key, (who.data, id));
        }
    }

    fn join(&mut self, other: Self) {
        self.units += other.units;
        self.bytes += other.bytes;
        self.seen.extend(other.seen);
        for (target, bytes) in other.targets {
            *self.targets.entry(target).or_default() += bytes;
        }
    }
}

impl Writer {
    /// Says of each of these which number it gets or which it repeats, or why none is stored.
    pub(super) fn decide(
        &mut self,
        puts: &[Put],
        group: &mut Group,
    ) -> Result<Vec<Taken>, NotStored> {
        let now = Millis::now();
        let settings = &self.shared.settings;
        let inner = self.shared.inner();
        let mut own = Group::default();
        let mut taken = Vec::with_capacity(puts.len());
        let mut next_id = self.next_id;
        for put in puts {
            let known = put.who.as_ref().and_then(|who| {
                let known = inner.window.known(who, now);
                known.or_else(|| group.known(who)).or_else(|| own.known(who))
            });
            match known {
                Some(Known::Differs) => return Err(NotStored::Conflict),
                Some(Known::Repeats(id)) => taken.push(Taken { id, duplicate: true }),
                None => {
                    let id = Id(next_id);
                    next_id += 1;
                    own.add(put, id);
                    taken.push(Taken { id, duplicate: false });
                }
            }
        }
        let units = inner.schedule.units() + group.units + own.units;
        let bytes = inner.live_bytes() + group.bytes + own.bytes;
        if own.units > 0 && (units > UNITS_MAX || bytes > settings.usable()) {
            return Err(NotStored::Full);
        }
        for (target, bytes) in &own.targets {
            let others = group.targets.get(target).copied().unwrap_or_default();
            if inner.schedule.bytes_of(target) + others + bytes > settings.share() {
                return Err(NotStored::TargetFull { target: target.to_string() });
            }
        }
        drop(inner);
        self.next_id = next_id;
        group.join(own);
        Ok(taken)
    }
}
