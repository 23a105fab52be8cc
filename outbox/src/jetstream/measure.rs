//! How much the streams hold: looked at every second, so that a share is kept to a second and a
//! number is shown without a question.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Shared, api::Refused};
use crate::{Held, Holds, NotStored, Record};

/// How much the streams held at the last look.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    /// Records by target.
    pub(super) targets: BTreeMap<String, u64>,
    /// What one record takes, on average.
    pub(super) each: u64,
    /// What all records take, in bytes.
    pub(super) bytes: u64,
    /// What was stored for a target since the last look, in bytes.
    pub(super) since: HashMap<String, u64>,
    pub(super) dead: u64,
    pub(super) dead_bytes: u64,
    /// Subjects that had records at some time.
    pub(super) known: HashSet<String>,
}

impl Shared {
    /// Refuses what is over the share of a target, as far as it is known.
    pub(super) fn shares(&self, records: &[Record]) -> Result<(), NotStored> {
        let percent = u64::from(self.settings.per_target);
        let share = self.settings.max_size / 100 * percent;
        let measured = self.measured();
        let stands = |target: &String| {
            let before = measured.targets.get(target).copied().unwrap_or_default() * measured.each;
            before + measured.since.get(target).copied().unwrap_or_default()
        };
        // One that may have all of it is refused by the stream itself.
        let full = records
            .iter()
            .map(|record| &record.head.target)
            .find(|target| percent < 100 && stands(target) > share);
        full.map_or(Ok(()), |target| Err(NotStored::TargetFull { target: target.clone() }))
    }

    /// Records of so many bytes were stored at these subjects: whoever has to is told to look there.
    pub(super) fn stored(&self, records: &[Record], places: Vec<(String, usize)>) {
        let mut measured = self.measured();
        let mut new = false;
        for (record, (subject, size)) in records.iter().zip(places) {
            *measured.since.entry(record.head.target.clone()).or_default() += size as u64;
            new |= measured.known.insert(subject);
        }
        if new {
            self.look.notify_one();
        }
    }

    /// Looks how much there is. Returns each partition and target that has records.
    pub(super) async fn measure(&self) -> Result<Vec<(u16, String)>, Refused> {
        let names = &self.api.names;
        let (work, subjects) = self.api.amount(names.work(), Some(&names.records())).await?;
        let (dead, _) = self.api.amount(&names.dead(), None).await?;
        let mut targets: BTreeMap<String, u64> = BTreeMap::new();
        let mut there = Vec::with_capacity(subjects.len());
        for (subject, count) in &subjects {
            if let Some((partition, target)) = names.read_record(subject) {
                *targets.entry(target.clone()).or_default() += count;
                there.push((partition, target));
            }
        }
        let mut measured = self.measured();
        measured.known.extend(subjects.into_keys());
        measured.each = work.bytes.checked_div(work.messages).unwrap_or_default();
        measured.since.clear();
        (measured.targets, measured.bytes) = (targets, work.bytes);
        (measured.dead, measured.dead_bytes) = (dead.messages, dead.bytes);
        Ok(there)
    }

    /// How much there is, for people.
    pub(super) fn holds(&self) -> Holds {
        let measured = self.measured().clone();
        let (own, damaged) = {
            let hands = self.hands();
            (hands.held(), hands.damaged())
        };
        let mut targets: BTreeMap<String, Held> = measured
            .targets
            .iter()
            .map(|(target, count)| {
                let bytes = count * measured.each;
                let held =
                    Held { target: target.clone(), pending: *count, bytes, ..Held::default() };
                (target.clone(), held)
            })
            .collect();
        for Held { target, delivering, parked, pending, bytes, oldest } in own {
            let held = targets.entry(target.clone()).or_insert_with(|| Held {
                target,
                bytes,
                ..Held::default()
            });
            held.pending = held.pending.max(pending + parked) - parked;
            (held.delivering, held.parked, held.oldest) = (delivering, parked, oldest);
        }
        Holds {
            targets: targets.into_values().collect(),
            dead: measured.dead,
            dead_bytes: measured.dead_bytes,
            dead_lost: 0,
            damaged,
            disk_bytes: measured.bytes + measured.dead_bytes,
        }
    }
}
