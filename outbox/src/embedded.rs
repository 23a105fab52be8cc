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

mod entry;
mod queue;
mod read;
mod recover;
mod space;
mod state;
#[cfg(test)]
mod tests;
mod window;
mod writer;

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use schemas::Guarantee;
use tokio::sync::{Notify, oneshot, watch};

use self::{
    entry::{DeadHead, Who, encode_dead, encode_put},
    queue::{Job, Next, Put, Queue},
    state::{Inner, Phase},
    writer::Writer,
};
pub use window::SEEN_MAX;

use crate::{
    Attempt, Claim, Filter, Holds, Id, Letter, Millis, NotStored, Page, Record, Store, Taken, Then,
    config,
    disk::Disk,
    log::{Log, Unopened, segment::FIRST},
};

/// How long an event is remembered for deduplication where nothing else is said.
pub const DEDUPE: Duration = Duration::from_mins(10);

/// How many dead letters are kept at most, whatever they take. It bounds the memory that their
/// places take, at about 25 MiB.
pub const DEAD_MAX: usize = 500_000;

/// How large a segment is at most, in bytes.
const SEGMENT_MAX: u64 = 64 << 20;

/// What a store is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the log of pending events may take on the disk, in bytes; at least
    /// [`config::SIZE_MIN`]. A quarter of it is the reserve for marks and copies, so that a full store drains.
    pub max_size: u64,
    /// What one target may take of what events may take, in percent.
    pub per_target: u32,
    /// What dead letters may take on the disk, in bytes; at least [`config::SIZE_MIN`].
    /// Over it the oldest go.
    pub dead_max_size: u64,
    /// How long dead letters are kept.
    pub dead_keep: Duration,
    /// How long the identity of an event is remembered, so that it is stored once.
    pub dedupe: Duration,
    /// Who is told of what goes wrong.
    pub tell: Tell,
}

/// Who is told of what goes wrong. It is called from the store's own thread.
#[derive(Clone)]
pub struct Tell(Arc<dyn Fn(Trouble) + Send + Sync>);

/// Something went wrong that a person wants to know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// Bytes that were safe once are not what was written. What else the file has is not lost.
    #[error(
        "{file} is damaged: {bytes} bytes at {from}{}",
        record.map(|id| format!(", which were record {id}")).unwrap_or_default()
    )]
    Damaged {
        /// The file in the store's folder.
        file: String,
        /// Where.
        from: u32,
        /// How much.
        bytes: u32,
        /// The record that these bytes were, if that can still be read.
        record: Option<Id>,
    },
    /// A file of the store does not say what it is.
    #[error("{file} is damaged: it does not say what it is, and is left as it is")]
    Unreadable {
        /// The file in the store's folder.
        file: String,
    },
    /// The last write before a crash was cut short. It had not been confirmed to anybody.
    #[error("{file} ended in the middle of a write: {bytes} bytes at {from} are cut off")]
    Torn {
        /// The file in the store's folder.
        file: String,
        /// Where.
        from: u32,
        /// How much.
        bytes: u32,
    },
    /// The disk has no room. Events are refused until it has.
    #[error("the disk is full: no event is stored until it has room")]
    DiskFull,
    /// The disk has room again.
    #[error("the disk has room again")]
    DiskHasRoom,
    /// Dead letters went because there were too many or they were too old.
    #[error("{0} dead letters went because there were too many or they were too old")]
    DeadLost(u64),
    /// A record cannot be read now. It is tried again.
    #[error("record {0} cannot be read: {1}")]
    Unread(Id, Arc<str>),
    /// Nothing more is stored or delivered until the program starts again.
    #[error("the store stops: {0}")]
    Broken(Arc<str>),
}

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

impl Tell {
    /// Calls this for each trouble.
    pub fn new(tell: impl Fn(Trouble) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    fn tell(&self, trouble: Trouble) {
        (self.0)(trouble);
    }
}

impl fmt::Debug for Tell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tell")
    }
}

impl Trouble {
    /// Something that was stored may be lost.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Unreadable { .. })
    }
}

impl Settings {
    /// As it is configured.
    #[must_use]
    pub fn of(settings: &config::Settings, tell: Tell) -> Self {
        Self {
            max_size: settings.max_size,
            per_target: settings.per_target,
            dead_max_size: settings.dead_max_size,
            dead_keep: settings.dead_keep,
            dedupe: DEDUPE,
            tell,
        }
    }

    /// How large the segments of a log of this size are.
    fn segment(max_size: u64) -> u32 {
        let whole = (max_size / 32).min(SEGMENT_MAX) / 4096 * 4096;
        u32::try_from(whole).unwrap_or(u32::MAX).max(FIRST * 4)
    }

    /// What records and their marks may take before no more records are taken, in bytes.
    fn usable(&self) -> u64 {
        self.max_size / 4 * 3
    }

    fn share(&self) -> u64 {
        self.usable() / 100 * u64::from(self.per_target.min(100))
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something that may let a record be claimed.
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let changed = change(&mut self.inner());
        self.changed.notify_waiters();
        changed
    }

    fn enter(&self, phase: Phase) {
        let progressed = match &phase {
            Phase::Recovering => return,
            Phase::Ready => Progressed::Ready,
            Phase::Closed => Progressed::Closed,
            Phase::Broken(why) => Progressed::Broken(Arc::clone(why)),
        };
        self.change(|inner| inner.phase = phase);
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
        self.ask(|reply| Job::Put { puts, reply }).await?
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
        self.shared.change(|inner| inner.stopped = true);
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
