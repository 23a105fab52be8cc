//! A folder on the machine's own disk.

use std::{
    fs::{self, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{Disk, File};

/// Who has the file of this name locked has the folder.
const LOCK: &str = "LOCK";

/// A folder that nobody else uses.
#[derive(Debug)]
pub struct Real {
    folder: PathBuf,
    /// For syncing names.
    itself: fs::File,
    /// Locked as long as it is open.
    _lock: fs::File,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Another process has it.
    #[error("another gateway uses the folder {}", .0.display())]
    Locked(PathBuf),
    /// It cannot be made, opened or read.
    #[error("cannot use the folder {}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
}

impl Real {
    /// Opens a folder, makes it if it is not there, and locks it.
    ///
    /// # Errors
    /// [`Unusable`] if somebody else has it, or it cannot be written.
    pub fn open(folder: &Path) -> Result<Self, Unusable> {
        let failed = |cause| Unusable::Folder { folder: folder.to_owned(), cause };
        fs::create_dir_all(folder).map_err(failed)?;
        let itself = fs::File::open(folder).map_err(failed)?;
        let lock = folder.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(lock);
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), itself, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Unusable::Locked(folder.to_owned())),
            Err(TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }
}

impl Disk for Real {
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn File>> {
        let path = self.folder.join(name);
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(&path)?;
        match allocate(&file, bytes).and_then(|()| file.sync_all()) {
            Ok(()) => Ok(Box::new(file)),
            Err(cause) => {
                fs::remove_file(&path)?;
                Err(cause)
            }
        }
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(self.folder.join(name))?;
        Ok(Box::new(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.extend(entry?.file_name().into_string().ok().filter(|name| name != LOCK));
        }
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.itself.sync_all()
    }
}

/// Has the system set the room aside. Where a file system cannot, zeros are written.
fn allocate(file: &fs::File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
            let mut at = 0;
            while at < bytes {
                let some = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(ZEROS.len());
                file.write_all_at(&ZEROS[..some], at)?;
                at += some as u64;
            }
            Ok(())
        }
        allocated => Ok(allocated?),
    }
}

impl File for fs::File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            match std::os::unix::fs::FileExt::read_at(self, &mut into[read..], at + read as u64) {
                Ok(0) => break,
                Ok(some) => read += some,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(read)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        fs::File::set_len(self, bytes)
    }
}
