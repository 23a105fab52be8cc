//! A disk in memory that does what disks do when the power goes.
//!
//! What is written stands apart until it is synced. At the cut each sector of it is there or not,
//! by the seed; names that were made or removed and not synced are kept up to some point. The cut
//! comes at a chosen operation; from then on everything fails, as it would for a process that is
//! gone.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Disk, File};

const SECTOR: usize = 512;

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What is there now, by name.
    names: BTreeMap<String, usize>,
    /// What is safely there, by name.
    names_safe: BTreeMap<String, usize>,
    /// What became of names since they were synced: made with a file, or removed.
    names_since: Vec<(String, Option<usize>)>,
    files: Vec<Data>,
    /// How many bytes there is room for.
    room: Option<u64>,
    operations: u64,
    cut_at: Option<u64>,
    off: bool,
    /// Syncs do nothing, and say they did.
    lies: bool,
    /// How many of the next syncs fail.
    failing_syncs: u32,
}

#[derive(Debug, Default)]
struct Data {
    now: Vec<u8>,
    safe: Vec<u8>,
    /// What was written since the last sync: where, and how much.
    since: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Handle {
    disk: Simulated,
    file: usize,
}

/// A small generator of numbers, the same ones for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

impl Simulated {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power goes at this operation, counted from the first that changes something.
    pub(crate) fn cut_at(&self, operation: u64) {
        self.state().cut_at = Some(operation);
    }

    /// The power goes now.
    pub(crate) fn cut(&self) {
        self.state().off = true;
    }

    pub(crate) fn is_off(&self) -> bool {
        self.state().off
    }

    /// Syncs say that they did what they did not.
    pub(crate) fn lies(&self) {
        self.state().lies = true;
    }

    pub(crate) fn fail_syncs(&self, next: u32) {
        self.state().failing_syncs = next;
    }

    /// From now on there is room for this many bytes.
    pub(crate) fn room(&self, bytes: Option<u64>) {
        self.state().room = bytes;
    }

    /// What all files take.
    pub(crate) fn takes(&self) -> u64 {
        self.state().takes()
    }

    /// What is found after the power has gone and come again. The disk tells the truth again.
    pub(crate) fn after_cut(&self, dice: &mut Dice) -> Self {
        let state = self.state();
        let mut names = state.names_safe.clone();
        let kept = dice.below(state.names_since.len() as u64 + 1);
        for (name, made) in state.names_since.iter().take(usize::try_from(kept).unwrap()) {
            match made {
                Some(file) => names.insert(name.clone(), *file),
                None => names.remove(name),
            };
        }
        let files: Vec<Data> = state.files.iter().map(|data| data.after_cut(dice)).collect();
        let names_safe = names.clone();
        let state = State { names, names_safe, files, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A copy of all that is there now.
    pub(crate) fn copy(&self) -> Self {
        let state = self.state();
        let whole =
            |data: &Data| Data { now: data.now.clone(), safe: data.now.clone(), since: Vec::new() };
        let state = State {
            names: state.names.clone(),
            names_safe: state.names.clone(),
            files: state.files.iter().map(whole).collect(),
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The names and lengths of all files.
    pub(crate) fn files(&self) -> Vec<(String, usize)> {
        let state = self.state();
        state
            .names
            .iter()
            .map(|(name, file)| (name.clone(), state.files[*file].now.len()))
            .collect()
    }

    /// Flips a bit of a file.
    pub(crate) fn flip(&self, name: &str, bit: usize) {
        let mut state = self.state();
        let file = state.names[name];
        for data in [0, 1] {
            let data =
                if data == 0 { &mut state.files[file].now } else { &mut state.files[file].safe };
            data[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[name]].now.clone()
    }
}

impl Data {
    fn after_cut(&self, dice: &mut Dice) -> Self {
        let mut safe = self.safe.clone();
        safe.resize(self.now.len(), 0);
        // Nothing, all, the first few, or any sectors of what was not synced.
        let how = dice.below(4);
        let mut left = dice.below(self.since.len() as u64 * 4 + 1);
        for (at, len) in &self.since {
            let mut from = *at;
            while from < at + len {
                let to = ((from / SECTOR + 1) * SECTOR).min(at + len);
                let keep = match how {
                    0 => false,
                    1 => true,
                    2 => left > 0,
                    _ => dice.below(2) == 0,
                };
                left = left.saturating_sub(1);
                if keep && to <= self.now.len() {
                    safe[from..to].copy_from_slice(&self.now[from..to]);
                }
                from = to;
            }
        }
        Self { now: safe.clone(), safe, since: Vec::new() }
    }
}

impl State {
    /// One more operation; an error if the power is off.
    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        self.off |= self.cut_at.is_some_and(|at| self.operations > at);
        self.power()
    }

    fn power(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    fn takes(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].now.len() as u64).sum()
    }

    fn fits(&self, more: u64) -> io::Result<()> {
        match self.room {
            Some(room) if self.takes() + more > room => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl Disk for Simulated {
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn File>> {
        let mut state = self.state();
        state.operate()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.fits(bytes)?;
        let file = state.files.len();
        let zeros = vec![0; usize::try_from(bytes).unwrap()];
        state.files.push(Data { now: zeros.clone(), safe: zeros, since: Vec::new() });
        state.names.insert(name.to_owned(), file);
        state.names_since.push((name.to_owned(), Some(file)));
        Ok(Box::new(Handle { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let state = self.state();
        state.power()?;
        let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Handle { disk: self.clone(), file }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        state.power()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.names_since.push((name.to_owned(), None));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        if !state.lies {
            state.names_safe = state.names.clone();
            state.names_since.clear();
        }
        Ok(())
    }
}

impl File for Handle {
    fn size(&self) -> io::Result<u64> {
        let state = self.disk.state();
        state.power()?;
        Ok(state.files[self.file].now.len() as u64)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        state.power()?;
        let now = &state.files[self.file].now;
        let from = usize::try_from(at).unwrap().min(now.len());
        let some = into.len().min(now.len() - from);
        into[..some].copy_from_slice(&now[from..from + some]);
        Ok(some)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.power()?;
        let powered = state.operate();
        let at = usize::try_from(at).unwrap();
        let data = &mut state.files[self.file];
        assert!(at + bytes.len() <= data.now.len(), "a segment is never longer than it was made");
        // The write that the cut comes into may be there in part.
        data.now[at..at + bytes.len()].copy_from_slice(bytes);
        data.since.push((at, bytes.len()));
        powered
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            return Err(io::Error::other("the disk could not write"));
        }
        if !state.lies {
            let data = &mut state.files[self.file];
            // Only what was written since: files are large, and syncs are many.
            data.safe.resize(data.now.len(), 0);
            for (at, len) in std::mem::take(&mut data.since) {
                data.safe[at..at + len].copy_from_slice(&data.now[at..at + len]);
            }
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        let len = state.files[self.file].now.len() as u64;
        state.fits(bytes.saturating_sub(len))?;
        let bytes = usize::try_from(bytes).unwrap();
        let data = &mut state.files[self.file];
        data.now.resize(bytes, 0);
        data.since.retain_mut(|(at, len)| {
            *len = (*len).min(bytes.saturating_sub(*at));
            *len > 0
        });
        Ok(())
    }
}
