//! What waits for the writer.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{answers::Reply, gather::Awaited};
use crate::{Id, Millis, NotStored, Taken, entry::Who, log::frame};

/// How much may wait for the writer, in KiB. Who has more waits for room.
const WAITING_KIB: usize = 64 << 10;

/// What a put is answered.
pub(super) type Stored = Result<Vec<Taken>, NotStored>;

/// Something for the writer to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Store these, all or none.
    Put { puts: Vec<Put>, reply: Reply<Stored> },
    /// It was delivered, or is safe as a dead letter, and has left the schedule.
    Done { id: Id },
    /// So far it has come.
    Progress { id: Id, payload: Vec<u8>, short: Vec<u8>, next: Option<Next> },
    /// It is given up.
    Dead { id: Id, payload: Vec<u8>, park: bool, at: Millis, reply: oneshot::Sender<()> },
    /// It is safe as a dead letter.
    Buried { id: Id, park: bool, reply: oneshot::Sender<()> },
    /// What is parked at a target is not any more.
    Unpark { target: Box<str> },
    /// Forget it, if it is not being delivered.
    Remove { id: Id, reply: oneshot::Sender<bool> },
    /// It has left the schedule because somebody removed it.
    Removed { id: Id, reply: oneshot::Sender<bool> },
    /// A dead letter was replayed.
    Replayed { id: Id, reply: oneshot::Sender<bool> },
}

/// What becomes of a record that was tried, once it is written how far it has come: or who tries it
/// next would not find that.
#[derive(Debug)]
pub(super) struct Next {
    /// When it is tried again, and until when its target is held; none if it is parked.
    pub(super) again: Option<(Millis, Option<Millis>)>,
    /// Whether it was tried at all.
    pub(super) tried: bool,
    pub(super) reply: oneshot::Sender<()>,
}

/// A record that is to be stored.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) payload: Vec<u8>,
    pub(super) who: Option<Who>,
    pub(super) target: Box<str>,
    pub(super) order: Option<Box<str>>,
    pub(super) accepted: Millis,
}

/// The queue of the writer. Bounded in bytes.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    bell: Condvar,
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<(Job, Option<OwnedSemaphorePermit>)>,
    /// How many of them are puts.
    puts: usize,
    /// What all of them write.
    bytes: usize,
    wakes: Wakes,
    closing: bool,
    /// Nobody takes anything out any more.
    gone: bool,
}

/// What wakes the writer. A bell that nobody needs costs a system call for each event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wakes {
    /// Nothing: it works.
    #[default]
    Nothing,
    Anything,
    /// So many puts, or so many bytes.
    Many {
        puts: usize,
        bytes: usize,
    },
}

impl Waiting {
    fn are(&self, puts: usize, bytes: usize) -> bool {
        self.puts >= puts || self.bytes >= bytes
    }
}

impl Job {
    /// What it writes to the log of what is pending, in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Put { puts, .. } => puts.iter().map(|put| frame::size(put.payload.len())).sum(),
            Self::Progress { payload, .. } => frame::size(payload.len()),
            Self::Unpark { target } => frame::size(target.len()),
            Self::Done { .. }
            | Self::Dead { .. }
            | Self::Buried { .. }
            | Self::Remove { .. }
            | Self::Removed { .. }
            | Self::Replayed { .. } => frame::size(0),
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            bell: Condvar::new(),
            room: Arc::new(Semaphore::new(WAITING_KIB)),
        }
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job once there is room for it. Says whether somebody will do it.
    pub(super) async fn push(&self, job: Job) -> bool {
        let bytes = match &job {
            Job::Dead { payload, .. } => payload.len(),
            job => job.size(),
        };
        let kib = u32::try_from((bytes / 1024 + 1).min(WAITING_KIB)).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&self.room).acquire_many_owned(kib).await else {
            return false;
        };
        self.add(job, Some(permit))
    }

    /// Adds a job that is small and rare.
    pub(super) fn push_now(&self, job: Job) -> bool {
        self.add(job, None)
    }

    fn add(&self, job: Job, permit: Option<OwnedSemaphorePermit>) -> bool {
        let mut waiting = self.waiting();
        if waiting.gone {
            return false;
        }
        waiting.puts += usize::from(matches!(job, Job::Put { .. }));
        waiting.bytes += job.size();
        waiting.jobs.push_back((job, permit));
        let wakes = match waiting.wakes {
            Wakes::Nothing => false,
            Wakes::Anything => true,
            Wakes::Many { puts, bytes } => waiting.are(puts, bytes),
        };
        if wakes {
            waiting.wakes = Wakes::Nothing;
            drop(waiting);
            self.bell.notify_one();
        }
        true
    }

    /// Has the writer end once it has done what waits.
    pub(super) fn close(&self) {
        self.waiting().closing = true;
        self.bell.notify_one();
    }

    /// Nothing is done any more; what waits is forgotten.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting();
        waiting.gone = true;
        waiting.jobs.clear();
        (waiting.puts, waiting.bytes) = (0, 0);
        self.room.close();
    }

    /// How many puts wait.
    pub(super) fn puts(&self) -> usize {
        self.waiting().puts
    }

    /// Takes what waits, up to so many bytes, and waits for it up to `wait`, and then for those who
    /// are about to come; none once the queue is closed and empty.
    pub(super) fn take(
        &self,
        bytes_max: usize,
        wait: Duration,
        awaited: Awaited,
    ) -> Option<Vec<Job>> {
        let mut waiting = self.waiting();
        if waiting.jobs.is_empty() && !waiting.closing {
            waiting = self.sleep(waiting, Wakes::Anything, wait);
        }
        if waiting.jobs.is_empty() && waiting.closing {
            return None;
        }
        waiting = self.gather(waiting, bytes_max, awaited);
        let mut bytes = 0;
        let mut jobs = Vec::new();
        let mut permits = Vec::new();
        while let Some((job, _)) = waiting.jobs.front() {
            let size = job.size();
            if bytes + size > bytes_max && !jobs.is_empty() {
                break;
            }
            bytes += size;
            waiting.puts -= usize::from(matches!(job, Job::Put { .. }));
            waiting.bytes -= size;
            if let Some((job, permit)) = waiting.jobs.pop_front() {
                jobs.push(job);
                permits.push(permit);
            }
        }
        drop(waiting);
        drop(permits);
        Some(jobs)
    }

    /// Waits until those are there who are about to come, or come no more. For marks alone nobody
    /// waits.
    fn gather<'a>(
        &'a self,
        mut waiting: MutexGuard<'a, Waiting>,
        bytes_max: usize,
        awaited: Awaited,
    ) -> MutexGuard<'a, Waiting> {
        let Awaited { puts, pause, whole } = awaited;
        let began = Instant::now();
        while waiting.puts > 0 && !waiting.are(puts, bytes_max) && !waiting.closing {
            let left = whole.saturating_sub(began.elapsed());
            let before = waiting.puts;
            if !left.is_zero() {
                let wakes = Wakes::Many { puts, bytes: bytes_max };
                waiting = self.sleep(waiting, wakes, pause.min(left));
            }
            if waiting.puts == before {
                break;
            }
        }
        waiting
    }

    /// Has the writer sleep until something of this kind is there, or a time is over.
    fn sleep<'a>(
        &self,
        mut waiting: MutexGuard<'a, Waiting>,
        wakes: Wakes,
        wait: Duration,
    ) -> MutexGuard<'a, Waiting> {
        waiting.wakes = wakes;
        let slept = self.bell.wait_timeout(waiting, wait);
        let mut waiting = slept.unwrap_or_else(PoisonError::into_inner).0;
        waiting.wakes = Wakes::Nothing;
        waiting
    }
}
