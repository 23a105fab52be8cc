//! The log of dead letters: how a record gets there, and when it goes.
//!
//! A letter is safe here before its record is marked in the other log, and a record's mark is safe
//! there before its letter is removed here: whatever dies in between, one of the two has it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    DEAD_MAX, Trouble,
    queue::Job,
    state::DeadAt,
    writer::{Failed, Writer},
};
use crate::{
    Id, Millis,
    log::{
        Place,
        frame::{self, Kind},
    },
};

/// When a dead letter that could not be written is tried again.
const BURY_AGAIN: Duration = Duration::from_secs(5);

/// How often it is looked for dead letters that are too old.
const LOOK_FOR_OLD: Duration = Duration::from_mins(5);

impl Writer {
    /// Tells the log of dead letters what is for it, and makes that safe. Returns what is left to
    /// be said in the other log.
    pub(super) fn bury(&mut self, jobs: Vec<Job>) -> Result<Vec<Job>, Failed> {
        let is_dead =
            |job: &Job| matches!(job, Job::Dead { .. } | Job::Replayed { .. } | Job::Remove { .. });
        if !jobs.iter().any(is_dead) {
            return Ok(jobs);
        }
        let mut rest = Vec::with_capacity(jobs.len());
        for job in jobs {
            match job {
                Job::Dead { id, payload, park, at, reply } => {
                    match self.write_dead(Kind::Dead, id, &payload) {
                        Ok(place) => {
                            self.shared.inner().dead.add(id, place, at);
                            rest.push(Job::Buried { id, park, reply });
                        }
                        Err(Failed::NoRoom) => {
                            let again = Millis::now().plus(BURY_AGAIN);
                            self.shared
                                .change(|inner| inner.schedule.again(id, false, again, None));
                            reply.send(()).ok();
                        }
                        Err(failed) => return Err(failed),
                    }
                }
                Job::Replayed { id, reply } => {
                    let known = self.shared.inner().dead.letters.contains_key(&id);
                    let done = known && self.say_dead(Kind::Replayed, id)?;
                    if done {
                        self.shared.change(|inner| {
                            inner.schedule.unpark_key(id);
                            if let Some(letter) = inner.dead.letters.get_mut(&id) {
                                letter.replayed = true;
                            }
                        });
                    }
                    reply.send(done).ok();
                }
                Job::Remove { id, reply } => {
                    if !self.shared.inner().dead.letters.contains_key(&id) {
                        rest.push(Job::Remove { id, reply });
                        continue;
                    }
                    // Or its record, of which the mark may not be safe, would come back.
                    self.sync()?;
                    let done = self.say_dead(Kind::Removed, id)?;
                    if done {
                        self.shared.change(|inner| {
                            inner.schedule.unpark_key(id);
                            inner.dead.remove(id)
                        });
                    }
                    reply.send(done).ok();
                }
                job => rest.push(job),
            }
        }
        self.dead.sync().map_err(Failed::Lost)?;
        Ok(rest)
    }

    /// Whether a mark was written.
    fn say_dead(&mut self, kind: Kind, id: Id) -> Result<bool, Failed> {
        match self.write_dead(kind, id, &[]) {
            Ok(_) => {
                self.dead.sync().map_err(Failed::Lost)?;
                Ok(true)
            }
            Err(Failed::NoRoom) => Ok(false),
            Err(failed) => Err(failed),
        }
    }

    fn write_dead(&mut self, kind: Kind, id: Id, payload: &[u8]) -> Result<Place, Failed> {
        if !self.dead.fits(frame::size(payload.len())) {
            self.roll_dead()?;
        }
        let place = self.dead.stage((kind, 0), id.0, 0, &[payload]);
        self.dead.write()?;
        Ok(place)
    }

    /// Begins a new segment of dead letters; the oldest go if there are too many.
    pub(super) fn roll_dead(&mut self) -> Result<(), Failed> {
        self.dead.sync().map_err(Failed::Lost)?;
        let segment = self.dead.capacity() as u64 + 4096;
        while self.dead.bytes() + segment > self.shared.settings.dead_max_size
            && self.dead.oldest().is_some()
        {
            self.remove_oldest_dead()?;
        }
        self.dead.roll(self.next_id)?;
        if let Some(active) = self.dead.active() {
            let mut inner = self.shared.inner();
            inner.dead.segments.insert(active.about.number, Arc::clone(active));
            inner.disk_bytes = self.pending.bytes() + self.dead.bytes();
        }
        Ok(())
    }

    fn remove_oldest_dead(&mut self) -> Result<(), Failed> {
        // Or records of which the marks may not be safe would come back.
        self.sync()?;
        let Some((oldest, _)) = self.dead.oldest() else { return Ok(()) };
        let number = oldest.about.number;
        let lost = self.shared.change(|inner| {
            let lost = inner.dead.lost;
            for id in inner.dead.forget(number) {
                inner.schedule.unpark_key(id);
            }
            inner.dead.lost - lost
        });
        if lost > 0 {
            self.shared.settings.tell.tell(Trouble::DeadLost(lost));
        }
        self.dead.remove_oldest()?;
        self.shared.inner().disk_bytes = self.pending.bytes() + self.dead.bytes();
        Ok(())
    }

    /// Lets go of dead letters that are too old or too many, and of segments that have none left.
    pub(super) fn tidy_dead(&mut self) -> Result<(), Failed> {
        if self.looked_for_old.is_none_or(|at| at.elapsed() >= LOOK_FOR_OLD) {
            self.looked_for_old = Some(Instant::now());
            self.expire_dead();
            let active = self.dead.active().map(|active| active.about.number);
            let empty = active.is_some_and(|active| self.shared.inner().dead.live(active) == 0);
            if empty && self.dead.filled() > 0 {
                match self.roll_dead() {
                    Ok(()) | Err(Failed::NoRoom) => {}
                    Err(failed) => return Err(failed),
                }
            }
        }
        while let Some((oldest, _)) = self.dead.oldest() {
            if self.shared.inner().dead.live(oldest.about.number) > 0 {
                break;
            }
            self.remove_oldest_dead()?;
        }
        Ok(())
    }

    fn expire_dead(&self) {
        let keep = self.shared.settings.dead_keep.as_secs();
        let now = Millis::now().0 / 1000;
        let lost = self.shared.change(|inner| {
            let too_old = |letter: &DeadAt| u64::from(letter.at) + keep < now;
            let too_many = inner.dead.letters.len().saturating_sub(DEAD_MAX);
            let letters = inner.dead.letters.iter().enumerate();
            let goes = letters.filter(|(at, (_, letter))| *at < too_many || too_old(letter));
            let ids: Vec<Id> = goes.map(|(_, (id, _))| *id).collect();
            let mut lost = 0;
            for id in ids {
                inner.schedule.unpark_key(id);
                lost += u64::from(inner.dead.remove(id).is_some_and(|letter| !letter.replayed));
            }
            inner.dead.lost += lost;
            lost
        });
        if lost > 0 {
            self.shared.settings.tell.tell(Trouble::DeadLost(lost));
        }
    }
}
