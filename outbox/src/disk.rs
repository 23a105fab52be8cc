//! What a store asks of a disk. There is the real one, and in tests a simulated one that loses what
//! was not synced, as a power cut does.

mod real;
#[cfg(test)]
pub(crate) mod simulated;

use std::{fmt, io};

pub use real::{Real, Unusable};

/// A folder of files.
///
/// What is written to a file is safe once [`File::sync`] has returned; that a file is there, or is
/// gone, once [`Disk::sync_names`] has.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a file of this length, full of zeros, that the disk has room for. There is none of
    /// this name yet.
    ///
    /// # Errors
    /// What the system says; `StorageFull` where there is no room.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn File>>;

    /// Opens a file.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// The names of all files.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Removes a file. Who has it open can read it still.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes it safe which files there are.
    ///
    /// # Errors
    /// What the system says.
    fn sync_names(&self) -> io::Result<()>;
}

/// A file of a [`Disk`]. It may be read and written at once.
pub trait File: Send + Sync + fmt::Debug {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;

    /// Reads what is at an offset, up to the length of `into` or the end of the file; says how
    /// much.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at an offset.
    ///
    /// # Errors
    /// What the system says; then any part of it may have been written.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes safe what was written. After an error nobody knows what is: the system may have
    /// forgotten what it could not write, so a second try proves nothing.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&self) -> io::Result<()>;

    /// Makes it longer or shorter.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
}
