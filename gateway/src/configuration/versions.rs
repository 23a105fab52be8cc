//! The state folder of a gateway whose configuration the admin API owns: every version that was
//! put, a bounded number of them, and which one is live.
//!
//! `config/000007.yaml` is the text of version 7. `config/live.json` says which is live and what
//! there is; it is replaced in one step, so that after a crash the live version is the one before
//! the change or the one after, never half of one.

use std::{
    fs::{self, File as Handle, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use admin::config::{By, Kept};
use ingress::config::{self, File};
use serde::{Deserialize, Serialize};

use super::{clock, disk};
use crate::cli::Stop;

/// How many versions are kept, the live one among them.
const KEPT_MAX: usize = 20;
const FORMAT: u32 = 1;
const LIVE: &str = "live.json";
/// What the text is called in messages, so that its version depends on nothing but the text.
const NAME: &str = "gateway.yaml";

/// The versions of a state folder. No other gateway has it at the same time.
#[derive(Debug)]
pub(crate) struct Versions {
    folder: PathBuf,
    _lock: Handle,
    book: Book,
}

/// What `live.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Book {
    format: u32,
    /// The number of the live version; 0: none yet.
    live: u64,
    /// Where relative paths in the configuration start.
    paths_start_at: PathBuf,
    versions: Vec<Entry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    number: u64,
    version: String,
    at: String,
    by: By,
    /// The version that was live before it.
    before: Option<u64>,
}

impl Versions {
    /// Opens a state folder, or makes one.
    ///
    /// # Errors
    /// With exit code 2 if it cannot be used, or another gateway uses it.
    pub(crate) fn open(state: &Path) -> Result<Self, Stop> {
        let folder = state.join("config");
        let cannot = |error: io::Error| {
            Stop::unusable(format!("cannot use the state folder {}: {error}", state.display()))
        };
        fs::create_dir_all(&folder).map_err(cannot)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(state.join("lock"))
            .map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Stop::unusable(format!(
                    "another gateway uses the state folder {}; give each its own",
                    state.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        let path = folder.join(LIVE);
        let book = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .ok()
                .filter(|book: &Book| book.format == FORMAT)
                .ok_or_else(|| {
                    Stop::unusable(format!(
                        "{} was not written by this version of gusset",
                        path.display()
                    ))
                })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Book {
                format: FORMAT,
                live: 0,
                paths_start_at: fs::canonicalize(state).map_err(cannot)?,
                versions: Vec::new(),
            },
            Err(error) => return Err(cannot(error)),
        };
        Ok(Self { folder, _lock: lock, book })
    }

    /// Whether nothing was ever put.
    pub(super) fn is_empty(&self) -> bool {
        self.book.live == 0
    }

    /// Where relative paths in the configuration start.
    pub(super) fn paths_start_at(&self) -> &Path {
        &self.book.paths_start_at
    }

    /// The folder, for messages.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Says where relative paths start, before the first version is put.
    pub(super) fn start_paths_at(&mut self, folder: PathBuf) {
        self.book.paths_start_at = folder;
    }

    /// Puts a version and makes it live. Returns what undoes it.
    pub(super) fn put(&mut self, text: &str, by: By) -> io::Result<Book> {
        let number = self.book.versions.last().map_or(1, |last| last.number + 1);
        disk::write(&self.folder, &name(number), text.as_bytes())?;
        let mut book = self.book.clone();
        let before = (book.live != 0).then_some(book.live);
        let version = config::version(&[file(text.to_owned())]);
        book.versions.push(Entry { number, version, at: clock::now(), by, before });
        book.live = number;
        let surplus = book.versions.len().saturating_sub(KEPT_MAX);
        let dropped: Vec<Entry> = book.versions.drain(..surplus).collect();
        let undo = self.write(book)?;
        for entry in dropped {
            // What cannot be removed only takes room.
            drop(fs::remove_file(self.folder.join(name(entry.number))));
        }
        Ok(undo)
    }

    /// Makes a version live that is kept. Returns what undoes it.
    pub(super) fn go_to(&mut self, number: u64) -> io::Result<Book> {
        self.write(Book { live: number, ..self.book.clone() })
    }

    /// Makes the folder say what it said before a change that turned out to be none.
    pub(super) fn undo(&mut self, book: Book) -> io::Result<()> {
        // A version that was dropped by the change is gone, and so no longer offered.
        let mut book = book;
        book.versions.retain(|entry| self.folder.join(name(entry.number)).is_file());
        self.write(book).map(drop)
    }

    /// The version that was live before this one was put, if it is kept.
    pub(super) fn before(&self, number: u64) -> Option<u64> {
        let before = self.entry(number)?.before?;
        self.entry(before).map(|entry| entry.number)
    }

    /// The number of the live version.
    pub(super) fn live_number(&self) -> u64 {
        self.book.live
    }

    /// The text of a version.
    pub(super) fn text(&self, number: u64) -> io::Result<File> {
        fs::read_to_string(self.folder.join(name(number))).map(file)
    }

    /// What is kept, the oldest first.
    pub(super) fn kept(&self) -> Vec<Kept> {
        let kept = self.book.versions.iter().map(|entry| Kept {
            number: entry.number,
            version: entry.version.clone(),
            at: entry.at.clone(),
            by: entry.by,
            live: entry.number == self.book.live,
        });
        kept.collect()
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.book.versions.iter().find(|entry| entry.number == number)
    }

    fn write(&mut self, book: Book) -> io::Result<Book> {
        disk::write(&self.folder, LIVE, serde_json::to_string_pretty(&book)?.as_bytes())?;
        Ok(std::mem::replace(&mut self.book, book))
    }
}

/// A text of the API as a file of the configuration.
pub(super) fn file(text: String) -> File {
    File { name: NAME.to_owned(), text }
}

fn name(number: u64) -> String {
    format!("{number:06}.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(versions: &Versions) -> String {
        versions.text(versions.live_number()).unwrap().text
    }

    #[test]
    fn the_live_version_survives_a_restart_and_one_goes_back_step_by_step() {
        let state = tempfile::tempdir().unwrap();
        let mut versions = Versions::open(state.path()).unwrap();
        assert!(versions.is_empty());
        for text in ["one", "two", "three"] {
            versions.put(text, By::Api).unwrap();
        }
        let two = versions.before(versions.live_number()).unwrap();
        versions.go_to(two).unwrap();
        drop(versions);
        let mut versions = Versions::open(state.path()).unwrap();
        assert_eq!(live(&versions), "two");
        // What is put now comes after two, not after three.
        versions.put("four", By::Api).unwrap();
        let before = versions.before(versions.live_number()).unwrap();
        assert_eq!(versions.text(before).unwrap().text, "two");
        assert_eq!(versions.kept().len(), 4);
    }

    #[test]
    fn only_so_many_versions_are_kept() {
        let state = tempfile::tempdir().unwrap();
        let mut versions = Versions::open(state.path()).unwrap();
        for n in 0..KEPT_MAX + 5 {
            versions.put(&n.to_string(), By::Api).unwrap();
        }
        assert_eq!(versions.kept().len(), KEPT_MAX);
        assert_eq!(fs::read_dir(versions.folder()).unwrap().count(), KEPT_MAX + 1);
        let oldest = versions.kept()[0].number;
        assert_eq!((oldest, versions.before(oldest)), (6, None));
    }

    #[test]
    fn a_change_that_is_undone_leaves_the_version_before_live() {
        let state = tempfile::tempdir().unwrap();
        let mut versions = Versions::open(state.path()).unwrap();
        versions.put("good", By::Api).unwrap();
        let undo = versions.put("address taken", By::Api).unwrap();
        versions.undo(undo).unwrap();
        drop(versions);
        let versions = Versions::open(state.path()).unwrap();
        assert_eq!((live(&versions).as_str(), versions.kept().len()), ("good", 1));
    }

    #[test]
    fn two_gateways_do_not_share_a_folder() {
        let state = tempfile::tempdir().unwrap();
        let first = Versions::open(state.path()).unwrap();
        let Err(Stop::Failed(2, said)) = Versions::open(state.path()) else { panic!() };
        assert!(said.contains("another gateway"), "{said}");
        drop(first);
        assert!(Versions::open(state.path()).is_ok());
    }

    #[test]
    fn a_folder_of_another_program_is_not_used() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join("config")).unwrap();
        fs::write(state.path().join("config").join(LIVE), "{}").unwrap();
        assert!(matches!(Versions::open(state.path()), Err(Stop::Failed(2, _))));
    }
}
