//! The one thread that writes.
//!
//! A group of jobs is decided, staged, written, synced if anybody waits for that, and only then
//! known: whatever fails before has not happened. A disk without room refuses events and keeps
//! marks until they can be written. After a sync that failed nobody knows what is on the disk, so
//! nothing more is promised until the program starts again and reads it.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    DEAD_MAX, Shared, Trouble,
    entry::Who,
    queue::{Job, Next, Put},
    recover::recover,
    space::Copying,
    state::{DeadAt, Inner, Phase},
    window::Known,
};
use crate::{
    Id, Millis, NotStored, Taken,
    log::{
        Log, Place,
        frame::{self, Kind},
    },
    schedule::{Entry, UNITS_MAX},
};

/// How much is written and synced together, in bytes. One job may be larger.
const GROUP_BYTES: usize = 1 << 20;

/// How long a mark may be unsynced.
const MARKS_WAIT: Duration = Duration::from_millis(100);

/// How long the writer sleeps where nothing waits.
const IDLE: Duration = Duration::from_secs(10);

/// When a dead letter that could not be written is tried again.
const BURY_AGAIN: Duration = Duration::from_secs(5);

/// How often it is looked for dead letters that are too old.
const LOOK_FOR_OLD: Duration = Duration::from_mins(5);

/// The writer.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) pending: Log,
    pub(super) dead: Log,
    pub(super) next_id: u64,
    /// Marks that could not be written yet.
    owed: Vec<Job>,
    /// Since when something is written and not synced.
    unsynced: Option<Instant>,
    pub(super) copying: Option<Copying>,
    disk_full: bool,
    looked_for_old: Option<Instant>,
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

type Reply<T> = oneshot::Sender<T>;

/// A put that is to be written.
struct Decided {
    /// The number of each, and whether it repeats another.
    taken: Vec<Taken>,
    puts: Vec<Put>,
    places: Vec<Option<Place>>,
    reply: Reply<Result<Vec<Taken>, NotStored>>,
}

/// What is known once a group is written.
enum Mark {
    Progress(Id, Place, Option<Next>),
    Done,
    Buried(Id, bool, Reply<()>),
    Removed(Id, Reply<bool>),
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
        while let Some(jobs) = self.shared.queue.take(group_bytes, self.patience()) {
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
                        // Who has asked may have gone; then nobody wants to know.
                        Err(refused) => drop(reply.send(Err(refused)).ok()),
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
            self.sync()?;
        }
        self.apply(decided, marks);
        Ok(())
    }

    /// The marks could not be written: they wait until they can be.
    fn owe(&mut self, jobs: Vec<Job>) -> Result<(), Failed> {
        self.is_full(true);
        for job in jobs {
            match job {
                Job::Put { reply, .. } => drop(reply.send(Err(NotStored::DiskFull)).ok()),
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

    fn not_written(
        &mut self,
        failed: Failed,
        decided: Vec<Decided>,
        marks: Vec<Mark>,
        kept: Vec<Job>,
    ) -> Result<(), Failed> {
        let Failed::NoRoom = failed else { return Err(failed) };
        for decided in decided {
            decided.reply.send(Err(NotStored::DiskFull)).ok();
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

    fn is_full(&mut self, full: bool) {
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

    /// Says of each of these which number it gets or which it repeats, or why none is stored.
    fn decide(&mut self, puts: &[Put], group: &mut Group) -> Result<Vec<Taken>, NotStored> {
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

    /// Stages what a job says; keeps in `kept` what has to be said again if it cannot be written.
    fn stage_mark(&mut self, job: Job, short: bool, kept: &mut Vec<Job>) -> Option<Mark> {
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

    /// What was written is so.
    fn apply(&self, decided: Vec<Decided>, marks: Vec<Mark>) {
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
                replies.push((reply, taken));
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
        // Who has asked may have gone; then nobody wants to know.
        for (reply, taken) in replies {
            reply.send(Ok(taken)).ok();
        }
        for reply in told {
            reply.send(()).ok();
        }
        for reply in removed {
            reply.send(true).ok();
        }
    }

    /// Tells the log of dead letters what is for it, and makes that safe. Returns what is left to
    /// be said in the other log.
    fn bury(&mut self, jobs: Vec<Job>) -> Result<Vec<Job>, Failed> {
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

/// What becomes of a record that was tried. Returns who is to be told.
fn tried(inner: &mut Inner, id: Id, next: Next) -> Reply<()> {
    match next.again {
        Some((at, hold)) => inner.schedule.again(id, next.tried, at, hold),
        None => inner.schedule.park(id),
    }
    next.reply
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

/// What a group adds, that nobody knows yet.
#[derive(Debug, Default)]
struct Group {
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
