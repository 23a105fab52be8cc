//! The file of the next segment: made ahead, and filled with zeros on a thread of its own.
//!
//! Room that was only set aside has never been written. The first write there changes what the file
//! system knows of the file, and a sync has to make that safe as well; over zeros a sync writes the
//! data alone, in about half the time. Nobody waits for the zeros: a file that is needed before it
//! is full of them is taken as it is.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::disk::File;

/// How much is written and synced at once, in bytes: other syncs come in between.
const CHUNK: u64 = 256 << 10;

/// A file that is not used yet.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) number: u32,
    file: Arc<dyn File>,
    filling: Option<Arc<Filling>>,
}

/// What the two threads share.
#[derive(Debug, Default)]
struct Filling {
    over: AtomicBool,
    /// Held while zeros are written: the sync that failed, if one has.
    failed: Mutex<Option<io::Error>>,
}

impl Filling {
    fn failed(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes zeros until all is full, or the file is wanted.
    fn run(&self, file: &dyn File, bytes: u64) {
        let chunk = CHUNK.min(bytes / 8).max(1);
        let zeros = vec![0; usize::try_from(chunk).unwrap_or_default()];
        for at in (0..bytes / chunk).map(|nth| nth * chunk) {
            let mut failed = self.failed();
            if self.over.load(Ordering::Acquire) {
                return;
            }
            // What cannot be written costs speed alone.
            if file.write_at(at, &zeros).is_err() {
                return;
            }
            if let Err(cause) = file.sync() {
                *failed = Some(cause);
                return;
            }
        }
    }

    /// Returns once no zero is written any more.
    fn end(&self) -> io::Result<()> {
        self.over.store(true, Ordering::Release);
        self.failed().take().map_or(Ok(()), Err)
    }
}

impl Spare {
    pub(crate) fn new(number: u32, file: Box<dyn File>) -> Self {
        Self { number, file: file.into(), filling: None }
    }

    /// Begins to fill it, unless that has begun.
    pub(crate) fn fill(&mut self, bytes: u64) {
        if self.filling.is_some() {
            return;
        }
        let filling = Arc::new(Filling::default());
        let thread = std::thread::Builder::new().name("outbox-zeros".into());
        let (file, shared) = (Arc::clone(&self.file), Arc::clone(&filling));
        // Without a thread there are no zeros, and it is slower.
        drop(thread.spawn(move || shared.run(&*file, bytes)));
        self.filling = Some(filling);
    }

    /// Gives the file away. From now on nobody else writes to it.
    ///
    /// # Errors
    /// That of a sync that failed: nobody knows what is in the file.
    pub(crate) fn take(self) -> io::Result<Arc<dyn File>> {
        self.filling.as_ref().map_or(Ok(()), |filling| filling.end())?;
        Ok(Arc::clone(&self.file))
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if let Some(filling) = &self.filling {
            filling.end().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, Sender, channel},
        time::Duration,
    };

    use super::*;

    /// A file whose writes last until somebody lets them go on.
    #[derive(Debug)]
    struct Slow {
        begun: Mutex<Sender<u64>>,
        goes_on: Mutex<Receiver<()>>,
        syncs: fn() -> io::Result<()>,
    }

    impl File for Slow {
        fn size(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }

        fn write_at(&self, at: u64, _: &[u8]) -> io::Result<()> {
            self.begun.lock().unwrap().send(at).unwrap();
            self.goes_on.lock().unwrap().recv().map_err(io::Error::other)
        }

        fn sync(&self) -> io::Result<()> {
            (self.syncs)()
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow(syncs: fn() -> io::Result<()>) -> (Spare, Receiver<u64>, Sender<()>) {
        let (begun, began) = channel();
        let (go, goes_on) = channel();
        let file = Slow { begun: Mutex::new(begun), goes_on: Mutex::new(goes_on), syncs };
        let mut spare = Spare::new(7, Box::new(file));
        spare.fill(8 * CHUNK);
        (spare, began, go)
    }

    #[test]
    fn a_file_that_is_taken_gets_no_more_zeros() {
        let (spare, began, go) = slow(|| Ok(()));
        assert_eq!(began.recv(), Ok(0));
        let filling = Arc::clone(spare.filling.as_ref().unwrap());
        let taken = std::thread::spawn(move || spare.take().unwrap());
        while !filling.over.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        // The zeros that are under way would go over what is written next: they are waited for.
        assert!(!taken.is_finished());
        go.send(()).unwrap();
        taken.join().unwrap();
        assert!(began.recv_timeout(Duration::from_millis(50)).is_err());
    }

    #[test]
    fn a_file_is_filled_to_its_end() {
        let (spare, began, go) = slow(|| Ok(()));
        for nth in 0..8 {
            assert_eq!(began.recv(), Ok(nth * CHUNK));
            go.send(()).unwrap();
        }
        assert_eq!(began.recv_timeout(Duration::from_millis(50)).ok(), None);
        spare.take().unwrap();
    }

    #[test]
    fn a_sync_of_zeros_that_failed_is_told_to_who_takes_the_file() {
        let (spare, began, go) = slow(|| Err(io::Error::other("the disk could not write")));
        began.recv().unwrap();
        go.send(()).unwrap();
        assert_eq!(spare.take().unwrap_err().to_string(), "the disk could not write");
    }
}
