//! The one thread that writes.
//!
//! A group of jobs is decided, staged, written, synced if anybody waits for that, and only then
//! known: whatever fails before has not happened. A disk without room refuses events and keeps
//! marks until they can be written. After a sync that failed nobody knows what is on the disk, so
//! nothing more is promised until the program starts again and reads it.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Shared, Trouble,
    admit::Group,
    answers::{Reply, Round, send_all},
    gather::Gather,
    marks::{Mark, tried},
    queue::{Job, Put, Stored},
    recover::recover,
    space::Copying,
    state::{Inner, Phase},
};
use crate::{
    Id, Millis, NotStored, Taken,
    log::{Log, Place, frame::Kind},
    schedule::Entry,
};

/// How much is written and synced together, in bytes. One job may be larger.
const GROUP_BYTES: usize = 1 << 20;

/// How long a mark may be unsynced.
const MARKS_WAIT: Duration = Duration::from_millis(100);

/// How long a caller has to wake those who were answered with it, before the writer does.
const ROUND_WAIT: Duration = Duration::from_millis(10);

/// How long the writer sleeps where nothing waits.
const IDLE: Duration = Duration::from_secs(10);

/// The writer.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) pending: Log,
    pub(super) dead: Log,
    pub(super) next_id: u64,
    /// Marks that could not be written yet.
    pub(super) owed: Vec<Job>,
    /// Since when something is written and not synced.
    unsynced: Option<Instant>,
    pub(super) copying: Option<Copying>,
    disk_full: bool,
    gather: Gather,
    /// Callers of whom the first was woken, and when.
    rounds: Vec<(Instant, Round<Stored>)>,
    pub(super) looked_for_old: Option<Instant>,
}

/// Why something could not be written.
#[derive(Debug)]
pub(super) enum Failed {
    /// There is no room; nothing has happened.
    NoRoom,
    /// Nobody knows what has happened.
    Lost(io::Error),
}

impl From<io::Error> for Failed {
    fn from(cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoRoom,
            _ => Self::Lost(cause),
        }
    }
}

/// A put that is to be written.
pub(super) struct Decided {
    /// The number of each, and whether it repeats another.
    taken: Vec<Taken>,
    puts: Vec<Put>,
    places: Vec<Option<Place>>,
    pub(super) reply: Reply<Stored>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, pending: Log, dead: Log) -> Self {
        Self {
            shared,
            pending,
            dead,
            next_id: 0,
            owed: Vec::new(),
            unsynced: None,
            copying: None,
            disk_full: false,
            gather: Gather::default(),
            rounds: Vec::new(),
            looked_for_old: None,
        }
    }

    /// Reads what is there, then writes until the store is closed.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let ended = recover(&shared, &mut self.pending, &mut self.dead).map_err(Failed::Lost);
        let ended = ended.and_then(|next_id| {
            self.next_id = next_id;
            shared.enter(Phase::Ready);
            self.work()
        });
        let phase = match ended {
            Ok(()) => Phase::Closed,
            Err(Failed::NoRoom) => Phase::Broken("the disk has no room".into()),
            Err(Failed::Lost(cause)) => Phase::Broken(cause.to_string().into()),
        };
        if let Phase::Broken(why) = &phase {
            shared.settings.tell.tell(Trouble::Broken(Arc::clone(why)));
        }
        // The folder is free once somebody is told.
        drop(self);
        shared.enter(phase);
        shared.queue.end();
    }

    fn work(&mut self) -> Result<(), Failed> {
        let group_bytes = GROUP_BYTES.min(self.pending.capacity() / 4);
        loop {
            let awaited = self.gather.awaited();
            let jobs = self.shared.queue.take(group_bytes, self.patience(), awaited);
            let Some(jobs) = jobs else { break };
            self.rounds.retain(|(at, round)| !round.is_over() && at.elapsed() < ROUND_WAIT);
            let mut owed = std::mem::take(&mut self.owed);
            owed.extend(jobs);
            let bytes = self.in_groups(owed, group_bytes)?;
            self.sync_if_due()?;
            self.tidy(bytes)?;
            self.pending.fill_ahead();
        }
        self.sync()?;
        self.dead.close()?;
        self.pending.close()?;
        Ok(())
    }

    /// How long there is nothing to do if nobody comes.
    fn patience(&self) -> Duration {
        let busy = self.copying.is_some();
        match self.unsynced {
            _ if busy => Duration::ZERO,
            _ if !self.rounds.is_empty() => ROUND_WAIT,
            Some(since) => MARKS_WAIT.saturating_sub(since.elapsed()),
            None if self.owed.is_empty() && !self.disk_full => IDLE,
            None => MARKS_WAIT,
        }
    }

    /// Writes jobs, as many at a time as belong together.
    fn in_groups(&mut self, jobs: Vec<Job>, group_bytes: usize) -> Result<usize, Failed> {
        let (mut group, mut bytes, mut all) = (Vec::new(), 0, 0);
        for job in jobs {
            let size = job.size();
            if bytes + size > group_bytes && !group.is_empty() {
                self.group(std::mem::take(&mut group), bytes)?;
                bytes = 0;
            }
            bytes += size;
            all += size;
            group.push(job);
        }
        self.group(group, bytes)?;
        Ok(all)
    }

    fn group(&mut self, jobs: Vec<Job>, bytes: usize) -> Result<(), Failed> {
        if jobs.is_empty() {
            return Ok(());
        }
        let jobs = self.bury(jobs)?;
        let refused = self.refuses_puts(bytes)?;
        if !self.pending.fits(bytes)
            && let Err(failed) = self.roll()
        {
            let Failed::NoRoom = failed else { return Err(failed) };
            return self.owe(jobs);
        }
        let mut decided = Vec::new();
        let mut marks = Vec::new();
        let mut sync = false;
        // Who is in this group, and nobody knows yet.
        let mut group = Group::default();
        let short = self.shared.inner().live_bytes() > self.shared.settings.usable();
        let mut kept = Vec::new();
        for job in jobs {
            match job {
                Job::Put { puts, reply } => {
                    let taken = match &refused {
                        Some(refused) => Err(refused.clone()),
                        None => self.decide(&puts, &mut group),
                    };
                    match taken {
                        Err(refused) => reply.send(Err(refused)),
                        Ok(taken) => {
                            let places = self.stage_puts(&puts, &taken);
                            sync = true;
                            decided.push(Decided { taken, puts, places, reply });
                        }
                    }
                }
                job => {
                    sync |= matches!(job, Job::Remove { .. } | Job::Removed { .. });
                    marks.extend(self.stage_mark(job, short, &mut kept));
                }
            }
        }
        if let Err(cause) = self.pending.write() {
            return self.not_written(cause.into(), decided, marks, kept);
        }
        self.wrote();
        if sync {
            let began = Instant::now();
            self.sync()?;
            // Before they are answered: who comes back at once would count twice.
            self.gather.synced(began.elapsed(), decided.len(), self.shared.queue.puts());
        }
        self.apply(decided, marks);
        Ok(())
    }

    /// Why no event can be stored now; none if it can.
    fn refuses_puts(&mut self, bytes: usize) -> Result<Option<NotStored>, Failed> {
        let grows = !self.pending.fits(bytes);
        let segment = (self.pending.capacity() as u64) + 4096;
        if grows && self.pending.bytes() + segment > self.shared.settings.max_size {
            return Ok(Some(NotStored::Full));
        }
        match self.pending.reserve().map_err(Failed::from) {
            Ok(()) => {
                self.is_full(false);
                Ok(None)
            }
            Err(Failed::NoRoom) => {
                self.is_full(true);
                Ok(Some(NotStored::DiskFull))
            }
            Err(failed) => Err(failed),
        }
    }

    pub(super) fn is_full(&mut self, full: bool) {
        if self.disk_full != full {
            self.disk_full = full;
            let told = if full { Trouble::DiskFull } else { Trouble::DiskHasRoom };
            self.shared.settings.tell.tell(told);
        }
    }

    /// The log has nearly all the room that it may have.
    pub(super) fn is_crowded(&self) -> bool {
        let segment = self.pending.capacity() as u64;
        self.pending.bytes() + 3 * segment > self.shared.settings.max_size
    }

    /// Begins a new segment, and syncs the one before it.
    pub(super) fn roll(&mut self) -> Result<(), Failed> {
        self.sync()?;
        self.pending.roll(self.next_id)?;
        // Made ahead, so that nobody waits for it, and so that marks have room. If there is none
        // the next put is refused.
        match self.pending.reserve().map_err(Failed::from) {
            Ok(()) | Err(Failed::NoRoom) => {}
            Err(failed) => return Err(failed),
        }
        let mut inner = self.shared.inner();
        if let Some(active) = self.pending.active() {
            inner.segments.insert(active.about.number, Arc::clone(active));
        }
        inner.disk_bytes = self.pending.bytes() + self.dead.bytes();
        Ok(())
    }

    /// Makes safe what was written. A failure is never tried again as if nothing had happened.
    pub(super) fn sync(&mut self) -> Result<(), Failed> {
        self.pending.sync().map_err(Failed::Lost)?;
        self.unsynced = None;
        Ok(())
    }

    /// Something may be written that is not synced.
    pub(super) fn wrote(&mut self) {
        if !self.pending.is_synced() {
            self.unsynced.get_or_insert_with(Instant::now);
        }
    }

    fn sync_if_due(&mut self) -> Result<(), Failed> {
        match self.unsynced {
            Some(since) if since.elapsed() >= MARKS_WAIT => self.sync(),
            _ => Ok(()),
        }
    }

    fn stage_puts(&mut self, puts: &[Put], taken: &[Taken]) -> Vec<Option<Place>> {
        let new = taken.iter().filter(|taken| !taken.duplicate).count();
        let mut follow = u16::try_from(new).unwrap_or(u16::MAX);
        let each = puts.iter().zip(taken);
        let staged = each.map(|(put, taken)| {
            (!taken.duplicate).then(|| {
                follow -= 1;
                self.pending.stage((Kind::Put, 0), taken.id.0, follow, &[&put.payload])
            })
        });
        staged.collect()
    }

    /// What was written is so.
    fn apply(&mut self, decided: Vec<Decided>, marks: Vec<Mark>) {
        let now = Millis::now();
        let mut replies = Vec::new();
        let mut told = Vec::new();
        let mut removed = Vec::new();
        self.shared.change(|inner| {
            for decided in decided {
                let Decided { taken, puts, places, reply } = decided;
                let new = puts.into_iter().zip(places).zip(&taken);
                for ((put, place), taken) in new {
                    if let Some(place) = place {
                        insert(inner, taken.id, &put, place, now);
                    }
                }
                replies.push((reply, Ok(taken)));
            }
            for mark in marks {
                match mark {
                    Mark::Done => {}
                    Mark::Progress(id, place, next) => {
                        inner.came(id, place);
                        told.extend(next.map(|next| tried(inner, id, next)));
                    }
                    Mark::Buried(id, park, reply) => {
                        let place = inner.schedule.give_up(id, park);
                        inner.left(id, place);
                        told.push(reply);
                    }
                    Mark::Removed(_, reply) => removed.push(reply),
                }
            }
        });
        let now = Instant::now();
        self.rounds.extend(send_all(replies).into_iter().map(|round| (now, round)));
        // Who has asked may have gone; then nobody wants to know.
        for reply in told {
            reply.send(()).ok();
        }
        for reply in removed {
            reply.send(true).ok();
        }
    }
}

fn insert(inner: &mut Inner, id: Id, put: &Put, place: Place, now: Millis) {
    let entry = Entry {
        target: &put.target,
        order: put.order.as_deref(),
        accepted: put.accepted,
        due: Millis(0),
        bytes: place.len,
        attempts: 0,
        parked: false,
        place,
    };
    inner.schedule.insert(id, entry);
    inner.needs(place);
    if let Some(who) = put.who {
        inner.window.saw(who, id, put.accepted, now, place.segment);
    }
}
