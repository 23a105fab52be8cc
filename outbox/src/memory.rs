//! A store in memory, for tests and for trying things out. It keeps every promise of a store but
//! the one that matters: what it holds is gone with the process, and it says so.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use schemas::Guarantee;
use tokio::sync::Notify;

use crate::{
    Attempt, Claim, Filter, Holds, Id, Letter, Millis, NotStored, Page, Record, State, Store,
    Taken, Then,
    schedule::{self, Entry, Schedule},
    store::NO_SOURCE,
};

/// How much a store in memory takes, in bytes.
pub const BYTES_MAX: u64 = 64 << 20;

/// The store.
#[derive(Debug, Default)]
pub struct Memory {
    inner: Mutex<Inner>,
    /// Something may be due now that was not.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    schedule: Schedule<()>,
    kept: BTreeMap<Id, Kept>,
    next: u64,
    dead: BTreeMap<Id, Dead>,
    stopped: bool,
    closed: bool,
}

#[derive(Clone, Debug)]
struct Kept {
    record: Record,
    attempts: Vec<Attempt>,
    parked: Option<Cow<'static, str>>,
}

#[derive(Clone, Debug)]
struct Dead {
    kept: Kept,
    why: Cow<'static, str>,
    replayed: bool,
}

impl Memory {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something that may let a record be claimed.
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let changed = change(&mut self.inner());
        self.changed.notify_waiters();
        changed
    }
}

impl Inner {
    fn put(&mut self, records: Vec<Record>) -> Result<Vec<Taken>, NotStored> {
        if self.closed {
            return Err(NotStored::Broken("it is closed".into()));
        }
        let bytes: u64 = records.iter().map(|record| u64::from(size(record))).sum();
        let full = self.schedule.bytes() + bytes > BYTES_MAX;
        if full || self.schedule.units() + 2 * records.len() > schedule::UNITS_MAX {
            return Err(NotStored::Full);
        }
        let mut taken = Vec::with_capacity(records.len());
        for record in records {
            let id = Id(self.next);
            self.next += 1;
            let head = &record.head;
            let entry = Entry {
                target: &head.target,
                order: head.order.as_deref(),
                accepted: head.accepted,
                due: Millis(0),
                bytes: size(&record),
                attempts: 0,
                parked: false,
                place: (),
            };
            self.schedule.insert(id, entry);
            self.kept.insert(id, Kept { record, attempts: Vec::new(), parked: None });
            taken.push(Taken { id, duplicate: false });
        }
        Ok(taken)
    }

    fn claim(&mut self, now: Millis, max: usize) -> Vec<Claim> {
        let next = self.schedule.claim(now, max);
        let claims = next.into_iter().filter_map(|next| {
            let mut record = self.kept.get(&next.id)?.record.clone();
            record.head.after_poison |= next.after_poison;
            let schedule::Next { id, attempts, trouble, .. } = next;
            Some(Claim { id, record, attempts, trouble })
        });
        claims.collect()
    }

    fn fail(&mut self, id: Id, attempt: Option<Attempt>, then: Then) {
        let Some(kept) = self.kept.get_mut(&id) else { return };
        let tried = attempt.is_some();
        kept.attempts.extend(attempt);
        match then {
            Then::Again { at, hold } => self.schedule.again(id, tried, at, hold),
            // Who keeps nothing keeps nothing for somebody who may never come either.
            Then::Parked { why } if why == NO_SOURCE => {
                self.schedule.give_up(id, false);
                self.kept.remove(&id);
            }
            Then::Parked { why } => {
                kept.parked = Some(why);
                self.schedule.park(id);
            }
            Then::Dead { why, park } => {
                self.schedule.give_up(id, park);
                if let Some(kept) = self.kept.remove(&id) {
                    self.dead.insert(id, Dead { kept, why, replayed: false });
                }
            }
        }
    }

    fn letter(&self, id: Id) -> Option<Letter> {
        let (kept, state, due, why) = if let Some(dead) = self.dead.get(&id) {
            let state = if dead.replayed { State::Replayed } else { State::Dead };
            (&dead.kept, state, None, Some(dead.why.clone()))
        } else {
            let kept = self.kept.get(&id)?;
            let (state, due) = self.schedule.state(id)?;
            (kept, state, due, kept.parked.clone())
        };
        Some(Letter {
            id,
            state,
            record: kept.record.clone(),
            attempts: kept.attempts.clone(),
            attempted: u32::try_from(kept.attempts.len()).unwrap_or(u32::MAX),
            due,
            why,
        })
    }
}

fn size(record: &Record) -> u32 {
    u32::try_from(record.data.len() + 512).unwrap_or(u32::MAX)
}

impl Store for Memory {
    fn guarantee(&self) -> Guarantee {
        Guarantee::None
    }

    fn put(&self, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<Taken>, NotStored>> {
        let taken = self.change(|inner| inner.put(records));
        Box::pin(async move { taken })
    }

    fn claim(&self, max: usize) -> BoxFuture<'_, Vec<Claim>> {
        Box::pin(async move {
            loop {
                let changed = self.changed.notified();
                let mut changed = std::pin::pin!(changed);
                // From here on no change is missed.
                changed.as_mut().enable();
                let now = Millis::now();
                let next = {
                    let mut inner = self.inner();
                    if inner.stopped {
                        return Vec::new();
                    }
                    let claims = inner.claim(now, max);
                    if !claims.is_empty() {
                        return claims;
                    }
                    inner.schedule.next_due()
                };
                match next {
                    None => changed.await,
                    Some(at) => {
                        let wait = at.since(now).max(Duration::from_millis(1));
                        drop(tokio::time::timeout(wait, changed).await);
                    }
                }
            }
        })
    }

    fn stop(&self) {
        self.change(|inner| inner.stopped = true);
    }

    fn pace(&self, target: &str, at_once: usize) {
        self.change(|inner| inner.schedule.pace(target, at_once));
    }

    fn done(&self, claim: Claim) -> BoxFuture<'_, ()> {
        self.change(|inner| {
            inner.schedule.done(claim.id);
            inner.kept.remove(&claim.id);
        });
        Box::pin(async {})
    }

    fn fail(&self, claim: Claim, attempt: Option<Attempt>, then: Then) -> BoxFuture<'_, ()> {
        self.change(|inner| inner.fail(claim.id, attempt, then));
        Box::pin(async {})
    }

    fn release(&self, claim: Claim) {
        self.change(|inner| inner.schedule.release(claim.id));
    }

    fn unpark(&self, target: &str) {
        self.change(|inner| {
            for id in inner.schedule.unpark(target) {
                if let Some(kept) = inner.kept.get_mut(&id) {
                    kept.parked = None;
                }
            }
        });
    }

    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<Id>,
        max: usize,
    ) -> BoxFuture<'a, Result<Page, NotStored>> {
        let inner = self.inner();
        let mut ids: Vec<Id> = inner.kept.keys().chain(inner.dead.keys()).copied().collect();
        ids.sort_unstable();
        let after = ids.into_iter().filter(|id| after.is_none_or(|after| *id > after));
        let letters = after.filter_map(|id| inner.letter(id));
        let mut letters: Vec<Letter> = letters
            .filter(|letter| filter.fits(&letter.record, letter.state))
            .take(max.saturating_add(1))
            .collect();
        let more = letters.len() > max;
        letters.truncate(max);
        let next = letters.last().filter(|_| more).map(|last| last.id);
        Box::pin(async move { Ok(Page { letters, next }) })
    }

    fn show(&self, id: Id) -> BoxFuture<'_, Result<Option<Letter>, NotStored>> {
        let letter = self.inner().letter(id);
        Box::pin(async move { Ok(letter) })
    }

    fn remove(&self, id: Id) -> BoxFuture<'_, Result<bool, NotStored>> {
        let removed = self.change(|inner| {
            if inner.dead.remove(&id).is_some() {
                inner.schedule.unpark_key(id);
                return true;
            }
            inner.schedule.remove(id).is_some() && inner.kept.remove(&id).is_some()
        });
        Box::pin(async move { Ok(removed) })
    }

    fn replayed(&self, id: Id) -> BoxFuture<'_, Result<bool, NotStored>> {
        let known = self.change(|inner| {
            inner.schedule.unpark_key(id);
            inner.dead.get_mut(&id).map(|dead| dead.replayed = true).is_some()
        });
        Box::pin(async move { Ok(known) })
    }

    fn holds(&self) -> Holds {
        let inner = self.inner();
        let waiting = inner.dead.values().filter(|dead| !dead.replayed);
        Holds {
            targets: inner.schedule.held(),
            dead: waiting.count() as u64,
            dead_bytes: inner.dead.values().map(|dead| u64::from(size(&dead.kept.record))).sum(),
            dead_lost: 0,
            damaged: 0,
            disk_bytes: 0,
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.change(|inner| (inner.stopped, inner.closed) = (true, true));
        Box::pin(async {})
    }
}
