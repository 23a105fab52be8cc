//! A log: frames in numbered segments, written at the end and removed at the beginning.
//!
//! Frames are staged, written together and synced together. A segment has its room set aside when
//! it is made; the next one is made ahead and filled with zeros, so that a sync writes data alone,
//! and is the reserve that a full disk leaves. Nothing is written behind what a crash has left: a log that is opened
//! goes on in a new segment.

pub(crate) mod frame;
pub(crate) mod segment;
mod spare;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
    sync::Arc,
};

use frame::{Header, Kind};
use segment::{About, Bad, FIRST, Found, Item, Segment};
use spare::Spare;

use crate::{
    disk::{Disk, File},
    embedded::Trouble,
};

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) at: u32,
    /// What it takes, with its header.
    pub(crate) len: u32,
}

/// A log of one folder.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    name: &'static str,
    segment_bytes: u32,
    segments: BTreeMap<u32, (Arc<Segment>, u64)>,
    /// The last segment is being written.
    active: bool,
    /// Where the next write goes.
    end: u32,
    /// Up to here it is safe.
    synced: u32,
    staged: Vec<u8>,
    /// A file that the disk has set room aside for.
    spare: Option<Spare>,
    /// Files that say nothing of themselves, until it is known whether there is anything in them.
    blank: Vec<(String, Box<dyn File>)>,
    next_number: u32,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unopened {
    #[error("{file} is of version {version}, and this program reads up to {}", segment::VERSION)]
    Newer { file: String, version: u32 },
    #[error("cannot read {file}")]
    Io {
        file: String,
        #[source]
        cause: io::Error,
    },
}

impl Log {
    /// Opens the log of this name, and says what of it cannot be read.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        name: &'static str,
        segment_bytes: u32,
        tell: &mut dyn FnMut(Trouble),
    ) -> Result<Self, Unopened> {
        let mut log = Self {
            disk,
            name,
            segment_bytes,
            segments: BTreeMap::new(),
            active: false,
            end: FIRST,
            synced: FIRST,
            staged: Vec::new(),
            spare: None,
            blank: Vec::new(),
            next_number: 0,
        };
        let failed = |file: &str| {
            let file = file.to_owned();
            |cause| Unopened::Io { file, cause }
        };
        for file in log.disk.list().map_err(failed("the folder"))? {
            let Some(number) = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'))
            else {
                continue;
            };
            let Ok(number) = number.parse::<u32>() else { continue };
            log.next_number = log.next_number.max(number.saturating_add(1));
            let open = log.disk.open(&file).map_err(failed(&file))?;
            let bytes = open.size().map_err(failed(&file))?;
            match About::read(&*open).map_err(failed(&file))? {
                Found::Segment(about) if about.number == number => {
                    let segment = Arc::new(Segment { about, file: open.into() });
                    log.segments.insert(number, (segment, bytes));
                }
                Found::Newer(version) => return Err(Unopened::Newer { file, version }),
                Found::Blank => log.blank.push((file, open)),
                Found::Segment(_) => tell(Trouble::Unreadable { file }),
            }
        }
        Ok(log)
    }

    /// The segments, from the oldest to the newest, and their lengths.
    pub(crate) fn segments(&self) -> impl DoubleEndedIterator<Item = &(Arc<Segment>, u64)> {
        self.segments.values()
    }

    /// The oldest segment that is not being written.
    pub(crate) fn oldest(&self) -> Option<&(Arc<Segment>, u64)> {
        let (_, oldest) = self.segments.first_key_value()?;
        (self.segments.len() > usize::from(self.active)).then_some(oldest)
    }

    /// The segment that is being written.
    pub(crate) fn active(&self) -> Option<&Arc<Segment>> {
        let (_, (active, _)) = self.segments.last_key_value().filter(|_| self.active)?;
        Some(active)
    }

    /// What it takes on the disk, with the reserve.
    pub(crate) fn bytes(&self) -> u64 {
        let spare = self.spare.as_ref().map_or(0, |_| u64::from(self.segment_bytes));
        self.segments.values().map(|(_, bytes)| bytes).sum::<u64>() + spare
    }

    /// How much is written, without what is only set aside.
    pub(crate) fn written(&self) -> u64 {
        let active = if self.active { u64::from(self.segment_bytes - self.end) } else { 0 };
        self.segments.values().map(|(_, bytes)| bytes).sum::<u64>() - active
    }

    /// How much has been written to the segment that is being written.
    pub(crate) fn filled(&self) -> u32 {
        if self.active { self.end - FIRST } else { 0 }
    }

    /// What fits into one segment.
    pub(crate) fn capacity(&self) -> usize {
        (self.segment_bytes - FIRST) as usize
    }

    /// Whether so much fits behind what is staged.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.active && self.end as usize + self.staged.len() + bytes <= self.segment_bytes as usize
    }

    /// Whether something is written and not synced, or staged.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced == self.end && self.staged.is_empty()
    }

    /// Removes the files that were made ahead and never used. Reads them whole, so it is not done
    /// while somebody waits for the log to be opened.
    pub(crate) fn clear(&mut self, tell: &mut dyn FnMut(Trouble)) -> io::Result<()> {
        for (name, file) in std::mem::take(&mut self.blank) {
            if segment::is_unused(&*file)? {
                self.disk.remove(&name)?;
            } else {
                tell(Trouble::Unreadable { file: name });
            }
        }
        Ok(())
    }

    /// Whether there is a reserve; makes one if it can.
    pub(crate) fn reserve(&mut self) -> io::Result<()> {
        if self.spare.is_some() {
            return Ok(());
        }
        let number = self.next_number;
        let file = self.disk.create(&self.file_name(number), u64::from(self.segment_bytes))?;
        self.next_number += 1;
        self.spare = Some(Spare::new(number, file));
        self.disk.sync_names()
    }

    /// Has the reserve filled with zeros once it will be needed: a log that is hardly used writes
    /// nothing twice.
    pub(crate) fn fill_ahead(&mut self) {
        if self.filled() >= self.segment_bytes / 4
            && let Some(spare) = &mut self.spare
        {
            spare.fill(u64::from(self.segment_bytes));
        }
    }

    fn file_name(&self, number: u32) -> String {
        format!("{}-{number:010}", self.name)
    }

    /// The name of a segment's file.
    pub(crate) fn file_of(&self, segment: &Segment) -> String {
        self.file_name(segment.about.number)
    }

    /// Ends the segment that is being written and begins a new one, the reserve if there is no
    /// other. Nothing is staged.
    pub(crate) fn roll(&mut self, next_id: u64) -> io::Result<()> {
        let previous_end = if self.active { self.end } else { self.recovered_end() };
        self.seal()?;
        self.reserve()?;
        let Some(spare) = self.spare.take() else { return Ok(()) };
        let number = spare.number;
        let file = spare.take()?;
        let seed = RandomState::new().build_hasher().finish();
        let about = About { number, seed, next_id, previous_end };
        about.write(&*file)?;
        file.sync()?;
        let bytes = u64::from(self.segment_bytes);
        self.segments.insert(number, (Arc::new(Segment { about, file }), bytes));
        self.active = true;
        self.end = FIRST;
        self.synced = FIRST;
        Ok(())
    }

    /// Where the last segment ends that was there when the log was opened.
    fn recovered_end(&self) -> u32 {
        let last = self.segments.last_key_value();
        last.map_or(0, |(_, (_, bytes))| u32::try_from(*bytes).unwrap_or(u32::MAX))
    }

    /// Ends the segment that is being written, and gives back what is left of it.
    fn seal(&mut self) -> io::Result<()> {
        if !self.active {
            return Ok(());
        }
        self.sync()?;
        self.active = false;
        if let Some((_, (segment, bytes))) = self.segments.iter_mut().next_back() {
            segment.file.set_len(u64::from(self.end))?;
            *bytes = u64::from(self.end);
        }
        Ok(())
    }

    /// Stages a frame, of which the payload is these parts; it fits. Says where it will be.
    pub(crate) fn stage(
        &mut self,
        (kind, flags): (Kind, u8),
        id: u64,
        follow: u16,
        parts: &[&[u8]],
    ) -> Place {
        let from = self.staged.len();
        let at = self.end + u32::try_from(from).unwrap_or(u32::MAX);
        self.staged.extend_from_slice(&[0; frame::HEADER]);
        for part in parts {
            self.staged.extend_from_slice(part);
        }
        let len = self.staged.len() - from - frame::HEADER;
        let size = frame::size(len);
        self.staged.resize(from + size, 0);
        let sum = frame::sum(&self.staged[from + frame::HEADER..]);
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let header = Header { kind, flags, len, id, unsynced: self.synced, follow, sum };
        let (seed, segment) =
            self.active().map_or((0, 0), |active| (active.about.seed, active.about.number));
        self.staged[from..from + frame::HEADER].copy_from_slice(&header.encode(seed, at));
        Place { segment, at, len: u32::try_from(size).unwrap_or(u32::MAX) }
    }

    /// Writes what is staged. After an error it is forgotten, and nothing has happened.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let written = match self.active() {
            Some(active) => active.file.write_at(u64::from(self.end), &self.staged),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        if written.is_ok() {
            self.end += u32::try_from(self.staged.len()).unwrap_or(u32::MAX);
        }
        self.staged.clear();
        self.staged.shrink_to(4 << 20);
        written
    }

    /// Makes safe what was written. After an error the log must not be used any more.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if let Some(active) = self.active().filter(|_| self.synced != self.end) {
            active.file.sync()?;
            self.synced = self.end;
        }
        Ok(())
    }

    /// Removes the oldest segment, and returns once it is gone for good.
    pub(crate) fn remove_oldest(&mut self) -> io::Result<()> {
        let Some((segment, _)) = self.oldest() else { return Ok(()) };
        let number = segment.about.number;
        self.disk.remove(&self.file_name(number))?;
        self.segments.remove(&number);
        self.disk.sync_names()
    }

    /// Says that all was synced, and ends.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.sync()?;
        if self.fits(frame::HEADER) {
            self.stage((Kind::Closed, 0), 0, 0, &[]);
            self.write()?;
        }
        self.seal()?;
        if let Some(spare) = self.spare.take() {
            self.disk.remove(&self.file_name(spare.number))?;
        }
        Ok(())
    }

    /// Reads a segment from its first frame to its last. What the last write of a crash has left
    /// in pieces is told and cut off, for good if this is the last segment; what is damaged is
    /// told, and passed over.
    pub(crate) fn recover(
        &mut self,
        number: u32,
        tell: &mut dyn FnMut(Trouble),
        mut each: impl FnMut(Step<'_>),
    ) -> io::Result<()> {
        let Some((segment, bytes)) = self.segments.get(&number) else { return Ok(()) };
        let (segment, bytes) = (Arc::clone(segment), *bytes);
        let file = self.file_of(&segment);
        let next = self.segments.range(number + 1..).next();
        // The number after it may be that of a file that cannot be read.
        let known_end = next.map(|(_, (next, _))| next.about.previous_end);
        let mut scan = segment.scan(FIRST)?;
        let mut bad: Vec<(Bad, bool)> = Vec::new();
        let mut frames_end = FIRST;
        while let Some(item) = scan.next()? {
            match item {
                Item::Frame(place, header, payload) => {
                    for (bad, damage) in &mut bad {
                        *damage |= bad.from < header.unsynced;
                    }
                    frames_end = place.at + place.len;
                    each(Step::Frame(place, header, payload));
                }
                Item::Bad(found) => {
                    each(Step::Gap);
                    bad.push((found, false));
                }
            }
        }
        each(Step::End);
        let mut torn = Vec::new();
        for (bad, damage) in bad {
            let filler = bad.header.is_some_and(|header| header.kind == Kind::Filler);
            let damage = damage || known_end.map_or(!bad.hole, |end| bad.from < end);
            // There was nothing in it.
            let damage = damage && !filler;
            let (file, from, bytes) = (file.clone(), bad.from, bad.to - bad.from);
            let header = bad.header.filter(|header| matches!(header.kind, Kind::Put | Kind::Dead));
            if damage {
                let record = header.map(|header| crate::Id(header.id));
                tell(Trouble::Damaged { file, from, bytes, record });
                frames_end = frames_end.max(bad.to);
            } else {
                tell(Trouble::Torn { file, from, bytes });
                torn.push(bad);
            }
        }
        if known_end.is_none() {
            for bad in &torn {
                mend(&segment, *bad, frames_end)?;
            }
            if u64::from(frames_end) < bytes || !torn.is_empty() {
                segment.file.sync()?;
                segment.file.set_len(u64::from(frames_end))?;
                segment.file.sync()?;
            }
            self.segments.insert(number, (segment, u64::from(frames_end)));
        }
        Ok(())
    }
}

/// What is met while a segment is read.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A frame.
    Frame(Place, Header, &'a [u8]),
    /// Something that is none; it is told once it is known what it was.
    Gap,
    /// There is no more.
    End,
}

/// Lays a frame that says nothing over what a crash has left in pieces before whole frames. What is
/// behind all frames is cut off.
fn mend(segment: &Segment, bad: Bad, frames_end: u32) -> io::Result<()> {
    let len = (bad.to - bad.from) as usize;
    if bad.from >= frames_end || len < frame::HEADER {
        return Ok(());
    }
    let zeros = vec![0; len - frame::HEADER];
    let header = Header {
        kind: Kind::Filler,
        flags: 0,
        len: u32::try_from(zeros.len()).unwrap_or(u32::MAX),
        id: 0,
        unsynced: bad.from,
        follow: 0,
        sum: frame::sum(&zeros),
    };
    segment.file.write_at(u64::from(bad.from + 32), &zeros)?;
    segment.file.write_at(u64::from(bad.from), &header.encode(segment.about.seed, bad.from))
}
