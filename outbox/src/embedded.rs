//! The store in files of its own: what a `put` has answered is on the disk and synced.
//!
//! Two logs in one folder. One has what is pending and how far it has come; space comes back from
//! its oldest end, where what is still needed is copied forward first. The other has the dead
//! letters, of which the oldest go when there are too many. In memory is only what the schedule
//! needs; records are read from the disk when they are claimed.
//!
//! One thread writes. What waits for it is written together and synced once, so that a sync costs
//! the same for one event and for a thousand. That a record was delivered is synced with the next
//! ones, or a tenth of a second later: a power cut may have it delivered twice, and loses nothing.

mod admit;
mod answers;
mod dead;
mod gather;
mod marks;
mod queue;
mod read;
mod recover;
mod settings;
mod space;
mod state;
#[cfg(test)]
mod tests;
mod trouble;
mod window;
mod writer;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;
use schemas::Guarantee;
use tokio::sync::{Notify, oneshot, watch};

use self::{
    queue::{Job, Next, Put, Queue},
    state::{Inner, Phase},
    writer::Writer,
};
pub use settings::{DEAD_MAX, DEDUPE, Settings, Tell};
pub use trouble::Trouble;
pub use window::SEEN_MAX;

use crate::{
    Attempt, Claim, Filter, Holds, Id, Letter, Millis, NotStored, Page, Record, Store, Taken, Then,
    disk::Disk,
    entry::{DeadHead, Who, encode_dead, encode_put},
    log::{Log, Unopened},
};

/// How far a store has come that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progressed {
    /// It is being read.
    Recovering {
        /// So many bytes are.
        read: u64,
        /// Of so many.
        of: u64,
    },
    /// It can be used.
    Ready,
    /// It cannot be used any more.
    Broken(Arc<str>),
    /// It is closed.
    Closed,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NotOpened(#[from] Unopened);

/// The store.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    /// What one record may be, in bytes.
    record_max: usize,
}

/// What the callers and the writer share.
#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    /// Something may be due now that was not.
    changed: Notify,
    queue: Queue,
    ready: watch::Sender<Progressed>,
    settings: Settings,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something that may let a record be claimed. Who waits for one is woken only if there
    /// may be one sooner than thought: or each put would wake them for a target that is down.
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner();
        let changed = change(&mut inner);
        let sooner = inner.is_due_sooner();
        drop(inner);
        if sooner {
            self.changed.notify_waiters();
        }
        changed
    }

    fn enter(&self, phase: Phase) {
        let progressed = match &phase {
            Phase::Recovering => return,
            Phase::Ready => Progressed::Ready,
            Phase::Closed => Progressed::Closed,
            Phase::Broken(why) => Progressed::Broken(Arc::clone(why)),
        };
        self.inner().phase = phase;
        self.changed.notify_waiters();
        self.ready.send_replace(progressed);
    }

    /// Why nothing can be stored; none if it can.
    fn refuses(&self) -> Option<NotStored> {
        Some(match &self.inner().phase {
            Phase::Ready => return None,
            Phase::Recovering => NotStored::Recovering,
            Phase::Closed => NotStored::Broken("it is closed".into()),
            Phase::Broken(why) => NotStored::Broken(Arc::clone(why)),
        })
    }

    fn gone(&self) -> NotStored {
        self.refuses().unwrap_or_else(|| NotStored::Broken("it is closed".into()))
    }
}

impl Embedded {
    /// Opens the store of a folder. It is read on a thread of its own; until then a `put` is
    /// answered with [`NotStored::Recovering`], and a `claim` waits.
    ///
    /// # Errors
    /// [`NotOpened`] if the folder cannot be read or is of a newer version, or a thread cannot be
    /// made.
    pub fn open(disk: Arc<dyn Disk>, settings: Settings) -> Result<Self, NotOpened> {
        let segment = Settings::segment(settings.max_size);
        let dead_segment = Settings::segment(settings.dead_max_size);
        Self::with_segments(disk, settings, segment, dead_segment)
    }

    fn with_segments(
        disk: Arc<dyn Disk>,
        settings: Settings,
        segment: u32,
        dead_segment: u32,
    ) -> Result<Self, NotOpened> {
        let mut damaged = 0;
        let mut tell = |trouble: Trouble| {
            damaged += u64::from(trouble.is_damage());
            settings.tell.tell(trouble);
        };
        let pending = Log::open(Arc::clone(&disk), "pending", segment, &mut tell)?;
        let dead = Log::open(disk, "dead", dead_segment, &mut tell)?;
        // A letter has its attempts beside its record.
        let record_max = pending.capacity().min(dead.capacity()) / 2;
        let mut inner = Inner::new(&settings);
        inner.damaged = damaged;
        let of = pending.bytes() + dead.bytes();
        let shared = Arc::new(Shared {
            inner: Mutex::new(inner),
            changed: Notify::new(),
            queue: Queue::default(),
            ready: watch::Sender::new(Progressed::Recovering { read: 0, of }),
            settings,
        });
        let writer = Writer::new(Arc::clone(&shared), pending, dead);
        let thread = std::thread::Builder::new().name("outbox".into());
        let thread = thread.spawn(move || writer.run());
        let failed = |cause: io::Error| Unopened::Io { file: "a thread".into(), cause };
        thread.map_err(failed)?;
        Ok(Self { shared, record_max })
    }

    /// Tells how far it has come, as often as it changes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progressed> {
        self.shared.ready.subscribe()
    }

    /// Waits until it has been read.
    ///
    /// # Errors
    /// [`NotStored::Broken`] if it cannot be.
    pub async fn ready(&self) -> Result<(), NotStored> {
        let mut progress = self.progress();
        let read = |now: &Progressed| !matches!(now, Progressed::Recovering { .. });
        match progress.wait_for(read).await.as_deref() {
            Ok(Progressed::Ready) => Ok(()),
            _ => Err(self.shared.gone()),
        }
    }

    /// What a job answers.
    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, NotStored> {
        if let Some(refused) = self.shared.refuses() {
            return Err(refused);
        }
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(job(reply)).await;
        answer.await.map_err(|_| self.shared.gone())
    }

    async fn store(&self, records: Vec<Record>) -> Result<Vec<Taken>, NotStored> {
        if let Some(refused) = self.shared.refuses() {
            return Err(refused);
        }
        let mut puts = Vec::with_capacity(records.len());
        for record in records {
            let who = Who::of(&record);
            let payload = encode_put(&record, who);
            let head = record.head;
            puts.push(Put {
                payload,
                who,
                target: head.target.into(),
                order: head.order.map(Into::into),
                accepted: head.accepted,
            });
        }
        let limit = self.record_max;
        if puts.iter().map(|put| put.payload.len() + 64).sum::<usize>() > limit {
            return Err(NotStored::TooLarge { records: puts.len(), limit });
        }
        let (reply, answer) = answers::answer();
        self.shared.queue.push(Job::Put { puts, reply }).await;
        answer.await.unwrap_or_else(|| Err(self.shared.gone()))
    }

    async fn failed(&self, claim: Claim, attempt: Option<Attempt>, then: Then) {
        let Claim { id, record, attempts, .. } = claim;
        let tried = attempt.is_some();
        let mut progress = read::progress(&self.shared, id).await;
        // What was written short has no tries in it, and a damaged one nothing.
        progress.attempted = attempts;
        if let Some(attempt) = attempt {
            progress.tried(attempt);
        }
        let (reply, answer) = oneshot::channel();
        let again = match then {
            Then::Again { at, hold } => {
                (progress.due, progress.parked) = (at, false);
                progress.why = None;
                Some((at, hold))
            }
            Then::Parked { why } => {
                (progress.due, progress.parked) = (Millis(0), true);
                progress.why = Some(why);
                None
            }
            Then::Dead { why, park } => {
                progress.why = Some(why);
                let at = Millis::now();
                let payload = encode_dead(&record, &DeadHead { at, park, progress });
                let job = Job::Dead { id, payload, park, at, reply };
                return self.tell(job, answer).await;
            }
        };
        let next = Some(Next { again, tried, reply });
        let (payload, short) = (progress.encode(false), progress.encode(true));
        self.tell(Job::Progress { id, payload, short, next }, answer).await;
    }

    async fn tell(&self, job: Job, answer: oneshot::Receiver<()>) {
        self.shared.queue.push(job).await;
        // If nobody answers the store has ended, and the record is there when it begins again.
        answer.await.ok();
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Store for Embedded {
    fn guarantee(&self) -> Guarantee {
        Guarantee::DiskSynced
    }

    fn put(&self, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<Taken>, NotStored>> {
        Box::pin(self.store(records))
    }

    fn claim(&self, max: usize) -> BoxFuture<'_, Vec<Claim>> {
        Box::pin(read::claim(&self.shared, max))
    }

    fn stop(&self) {
        self.shared.inner().stopped = true;
        self.shared.changed.notify_waiters();
    }

    fn pace(&self, target: &str, at_once: usize) {
        self.shared.change(|inner| {
            if inner.phase == Phase::Recovering {
                inner.paces.insert(target.into(), at_once);
            }
            inner.schedule.pace(target, at_once);
        });
    }

    fn done(&self, claim: Claim) -> BoxFuture<'_, ()> {
        self.shared.change(|inner| {
            let place = inner.schedule.done(claim.id);
            inner.left(claim.id, place);
        });
        Box::pin(async move {
            self.shared.queue.push(Job::Done { id: claim.id }).await;
        })
    }

    fn fail(&self, claim: Claim, attempt: Option<Attempt>, then: Then) -> BoxFuture<'_, ()> {
        Box::pin(self.failed(claim, attempt, then))
    }

    fn release(&self, claim: Claim) {
        self.shared.change(|inner| inner.schedule.release(claim.id));
    }

    fn unpark(&self, target: &str) {
        self.shared.queue.push_now(Job::Unpark { target: target.into() });
    }

    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<Id>,
        max: usize,
    ) -> BoxFuture<'a, Result<Page, NotStored>> {
        Box::pin(async move {
            match self.shared.refuses() {
                Some(NotStored::Recovering) => Err(NotStored::Recovering),
                _ => read::list(&self.shared, filter, after, max).await,
            }
        })
    }

    fn newest_dead(&self, max: usize) -> BoxFuture<'_, Result<Vec<Letter>, NotStored>> {
        Box::pin(async move {
            match self.shared.refuses() {
                Some(NotStored::Recovering) => Err(NotStored::Recovering),
                _ => Ok(read::newest_dead(&self.shared, max).await),
            }
        })
    }

    fn show(&self, id: Id) -> BoxFuture<'_, Result<Option<Letter>, NotStored>> {
        Box::pin(async move {
            match self.shared.refuses() {
                Some(NotStored::Recovering) => Err(NotStored::Recovering),
                _ => read::show(&self.shared, id).await,
            }
        })
    }

    fn remove(&self, id: Id) -> BoxFuture<'_, Result<bool, NotStored>> {
        Box::pin(self.ask(move |reply| Job::Remove { id, reply }))
    }

    fn replayed(&self, id: Id) -> BoxFuture<'_, Result<bool, NotStored>> {
        Box::pin(self.ask(move |reply| Job::Replayed { id, reply }))
    }

    fn holds(&self) -> Holds {
        let inner = self.shared.inner();
        let letters = inner.dead.letters.values();
        Holds {
            targets: inner.schedule.held(),
            dead: letters.filter(|letter| !letter.replayed).count() as u64,
            dead_bytes: inner.dead.bytes,
            dead_lost: inner.dead.lost,
            damaged: inner.damaged,
            disk_bytes: inner.disk_bytes,
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.shared.queue.close();
        let mut progress = self.progress();
        Box::pin(async move {
            let over = |now: &Progressed| matches!(now, Progressed::Closed | Progressed::Broken(_));
            // It ends too if the writer is gone.
            drop(progress.wait_for(over).await);
        })
    }
}
