//! Marks: what is said of records that are stored already. A mark that cannot be written now is
//! owed, and written once there is room.

use tokio::sync::oneshot::Sender;

use super::{
    queue::{Job, Next},
    state::Inner,
    writer::{Decided, Failed, Writer},
};
use crate::{
    Id, NotStored,
    log::{Place, frame::Kind},
};

/// What is known once a group is written.
pub(super) enum Mark {
    Progress(Id, Place, Option<Next>),
    Done,
    Buried(Id, bool, Sender<()>),
    Removed(Id, Sender<bool>),
}

impl Writer {
    /// Stages what a job says; keeps in `kept` what has to be said again if it cannot be written.
    pub(super) fn stage_mark(
        &mut self,
        job: Job,
        short: bool,
        kept: &mut Vec<Job>,
    ) -> Option<Mark> {
        let log = &mut self.pending;
        match job {
            Job::Done { id } => {
                log.stage((Kind::Done, 0), id.0, 0, &[]);
                kept.push(Job::Done { id });
                Some(Mark::Done)
            }
            Job::Buried { id, park, reply } => {
                log.stage((Kind::Done, 0), id.0, 0, &[]);
                Some(Mark::Buried(id, park, reply))
            }
            Job::Progress { id, payload, short: shorter, next } => {
                let said = if short { &shorter } else { &payload };
                let place = log.stage((Kind::Progress, 0), id.0, 0, &[said]);
                kept.push(Job::Progress { id, payload, short: shorter, next: None });
                Some(Mark::Progress(id, place, next))
            }
            Job::Unpark { target } => {
                let freed = self.shared.change(|inner| inner.schedule.unpark(&target));
                if !freed.is_empty() {
                    log.stage((Kind::Unparked, 0), 0, 0, &[target.as_bytes()]);
                    kept.push(Job::Unpark { target });
                }
                None
            }
            Job::Remove { id, reply } => {
                let gone = self.shared.change(|inner| {
                    let place = inner.schedule.remove(id);
                    inner.left(id, place);
                    place.is_some()
                });
                if !gone {
                    reply.send(false).ok();
                    return None;
                }
                log.stage((Kind::Done, 0), id.0, 0, &[]);
                Some(Mark::Removed(id, reply))
            }
            Job::Removed { id, reply } => {
                log.stage((Kind::Done, 0), id.0, 0, &[]);
                Some(Mark::Removed(id, reply))
            }
            // Of these the dead log has been told already.
            Job::Put { .. } | Job::Dead { .. } | Job::Replayed { .. } => None,
        }
    }

    /// The marks could not be written: they wait until they can be.
    pub(super) fn owe(&mut self, jobs: Vec<Job>) -> Result<(), Failed> {
        self.is_full(true);
        for job in jobs {
            match job {
                Job::Put { reply, .. } => reply.send(Err(NotStored::DiskFull)),
                Job::Progress { id, payload, short, next: Some(next) } => {
                    // It is tried again all the same.
                    self.shared.change(|inner| tried(inner, id, next)).send(()).ok();
                    self.owed.push(Job::Progress { id, payload, short, next: None });
                }
                job => self.owed.push(job),
            }
        }
        Ok(())
    }

    pub(super) fn not_written(
        &mut self,
        failed: Failed,
        decided: Vec<Decided>,
        marks: Vec<Mark>,
        kept: Vec<Job>,
    ) -> Result<(), Failed> {
        let Failed::NoRoom = failed else { return Err(failed) };
        for decided in decided {
            decided.reply.send(Err(NotStored::DiskFull));
        }
        let mut owed: Vec<Job> = kept;
        owed.extend(marks.into_iter().filter_map(|mark| match mark {
            Mark::Buried(id, park, reply) => Some(Job::Buried { id, park, reply }),
            Mark::Removed(id, reply) => Some(Job::Removed { id, reply }),
            Mark::Progress(id, _, next) => {
                let next = next?;
                self.shared.change(|inner| tried(inner, id, next)).send(()).ok();
                None
            }
            Mark::Done => None,
        }));
        self.owe(owed)
    }
}

/// What becomes of a record that was tried. Returns who is to be told.
pub(super) fn tried(inner: &mut Inner, id: Id, next: Next) -> Sender<()> {
    match next.again {
        Some((at, hold)) => inner.schedule.again(id, next.tried, at, hold),
        None => inner.schedule.park(id),
    }
    next.reply
}
