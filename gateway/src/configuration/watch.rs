//! Notices that a file or a folder of files has changed, and waits until whoever writes has
//! finished.
//!
//! It looks at names, sizes, times and inodes, which costs next to nothing and sees what editors,
//! `mv`, `ln -sfn` and mounted volumes do alike; notifications of the system would have to be set up
//! anew after each of them, and are not sent by network file systems.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash as _, Hasher as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    cli::Stop,
    files::{self, Read},
};

/// How often to look.
pub(super) const EVERY: Duration = Duration::from_millis(500);
/// For how long a change must stay the same: a file that is half written becomes another one.
pub(super) const SETTLES_IN: Duration = Duration::from_millis(200);

/// Watches a file or a folder.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    /// What it looked like when it last was settled.
    settled: Option<u64>,
    /// What it looked like and what was in it, if that is new.
    changing: Option<(u64, u64)>,
}

/// What there is to see.
#[derive(Debug)]
pub(super) enum Seen {
    /// Nothing new.
    Same,
    /// Something new, which may not be whole yet: look again soon.
    Changing,
    /// Something new that is whole, or why it cannot be read.
    Changed(Result<Read, Stop>),
}

impl Watch {
    /// The first look finds a change, so that none is missed since somebody else has read it.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, settled: None, changing: None }
    }

    /// Looks.
    pub(super) fn look(&mut self) -> Seen {
        let looks = looks(&self.path);
        if self.settled == Some(looks) && self.changing.is_none() {
            return Seen::Same;
        }
        let read = files::read(&self.path);
        let now = (looks, contents(&read));
        if self.changing != Some(now) {
            self.changing = Some(now);
            return Seen::Changing;
        }
        self.changing = None;
        self.settled = Some(looks);
        Seen::Changed(read)
    }
}

fn looks(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut note = |path: &Path| {
        path.hash(&mut hasher);
        match fs::metadata(path) {
            Ok(metadata) => (
                metadata.dev(),
                metadata.ino(),
                metadata.len(),
                (metadata.mtime(), metadata.mtime_nsec()),
                (metadata.ctime(), metadata.ctime_nsec()),
            )
                .hash(&mut hasher),
            Err(error) => error.kind().hash(&mut hasher),
        }
    };
    note(path);
    if let Ok(entries) = fs::read_dir(path) {
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().for_each(|path| note(path));
    }
    hasher.finish()
}

fn contents(read: &Result<Read, Stop>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match read {
        Ok(read) => read.files.iter().for_each(|file| (&file.name, &file.text).hash(&mut hasher)),
        Err(stop) => format!("{stop:?}").hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(watch: &mut Watch) -> Option<Vec<String>> {
        match watch.look() {
            Seen::Same | Seen::Changing => None,
            Seen::Changed(read) => {
                Some(read.unwrap().files.into_iter().map(|file| file.text).collect())
            }
        }
    }

    #[test]
    fn a_change_counts_once_it_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.yaml");
        fs::write(&path, "a").unwrap();
        let mut watch = Watch::new(path.clone());
        assert!(matches!(watch.look(), Seen::Changing));
        assert_eq!(settled(&mut watch).unwrap(), ["a"]);
        assert!(matches!(watch.look(), Seen::Same));
        fs::write(&path, "hal").unwrap();
        assert!(matches!(watch.look(), Seen::Changing));
        fs::write(&path, "half, and the rest").unwrap();
        assert!(matches!(watch.look(), Seen::Changing), "it is another one by now");
        assert_eq!(settled(&mut watch).unwrap(), ["half, and the rest"]);
    }

    #[test]
    fn a_file_that_is_put_in_its_place_is_a_change_though_it_has_the_same_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.yaml");
        fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(path.clone());
        while settled(&mut watch).is_none() {}
        fs::write(folder.path().join("new"), "two").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert!(settled(&mut watch).is_none());
        assert_eq!(settled(&mut watch).unwrap(), ["two"]);
        // A link that leads elsewhere, as mounted volumes are replaced.
        fs::write(folder.path().join("other"), "six").unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(folder.path().join("other"), &path).unwrap();
        assert!(settled(&mut watch).is_none());
        assert_eq!(settled(&mut watch).unwrap(), ["six"]);
    }

    #[test]
    fn a_file_that_comes_into_a_folder_or_goes_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), "a").unwrap();
        let mut watch = Watch::new(folder.path().to_owned());
        while settled(&mut watch).is_none() {}
        fs::write(folder.path().join("b.yaml"), "b").unwrap();
        assert!(settled(&mut watch).is_none());
        assert_eq!(settled(&mut watch).unwrap(), ["a", "b"]);
        fs::remove_file(folder.path().join("a.yaml")).unwrap();
        assert!(settled(&mut watch).is_none());
        assert_eq!(settled(&mut watch).unwrap(), ["b"]);
        fs::remove_file(folder.path().join("b.yaml")).unwrap();
        assert!(matches!(watch.look(), Seen::Changing));
        assert!(matches!(watch.look(), Seen::Changed(Err(_))));
    }
}
