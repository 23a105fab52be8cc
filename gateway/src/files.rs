//! Configuration files: one, or a folder of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ingress::config::{self, File, Loaded, Offer, Problem};

use crate::cli::{Stop, print};

/// A configuration as it was read.
#[derive(Debug)]
pub(crate) struct Read {
    /// The files, sorted by name.
    pub(crate) files: Vec<File>,
    /// Where relative paths in them start.
    pub(crate) folder: PathBuf,
}

/// Reads a file, or every `*.yaml` and `*.yml` of a folder, sorted by name.
///
/// # Errors
/// With exit code 2 if there is nothing to read.
pub(crate) fn read(path: &Path) -> Result<Read, Stop> {
    if path.is_dir() {
        return Ok(Read { files: read_folder(path)?, folder: folder(path) });
    }
    Ok(Read { files: vec![read_file(path)?], folder: folder(path) })
}

/// Where relative paths in a configuration start.
pub(crate) fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        _ if path.is_dir() => path.to_owned(),
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Prints what can be meant so, but probably is not.
pub(crate) fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        print::error(&format!("warning: {warning}"));
    }
}

/// Reads a configuration and loads it. Warnings are printed; so is all that is wrong with it.
///
/// # Errors
/// With exit code 2 if it cannot be read, and 1 if it is not right.
pub(crate) fn load(path: &Path, offer: &Offer) -> Result<(Loaded, PathBuf), Stop> {
    let read = read(path)?;
    match config::parse(&read.files, offer) {
        Ok(loaded) => {
            warn(&loaded);
            Ok((loaded, read.folder))
        }
        Err(problems) => Err(refuse(&problems)),
    }
}

/// The same for what is only looked at, never served: an upstream may be the bus in memory of
/// `gusset dev`.
pub(crate) fn load_any(path: &Path) -> Result<(Loaded, PathBuf), Stop> {
    load(path, &Offer::default())
}

/// Prints what is wrong with a configuration, a line for each.
pub(crate) fn refuse(problems: &[Problem]) -> Stop {
    for problem in problems {
        print::error(&problem.to_string());
    }
    Stop::Said(1)
}

fn read_folder(path: &Path) -> Result<Vec<File>, Stop> {
    let cannot = |error| Stop::unusable(format!("cannot read {}: {error}", path.display()));
    let mut paths = Vec::new();
    for entry in fs::read_dir(path).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.extension().is_some_and(|end| end == "yaml" || end == "yml") && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(Stop::unusable(format!(
            "{} has no *.yaml or *.yml file; make one with `gusset init http`",
            path.display()
        )));
    }
    paths.sort();
    paths.iter().map(|path| read_file(path)).collect()
}

fn read_file(path: &Path) -> Result<File, Stop> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok(File { name, text }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Stop::unusable(format!(
            "there is no file or folder {name}; `gusset init http > FILE` makes one to begin with"
        ))),
        Err(error) => Err(Stop::unusable(format!("cannot read {name}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_sorted_and_only_its_yaml() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yaml", "notes.txt"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let read = read(folder.path()).unwrap();
        let texts: Vec<&str> = read.files.iter().map(|file| file.text.as_str()).collect();
        assert_eq!(texts, ["a.yaml", "b.yml"]);
        assert_eq!(read.folder, folder.path());
    }

    #[test]
    fn a_file_that_is_missing_is_unusable_and_says_how_to_make_one() {
        let Err(Stop::Failed(2, said)) = read(Path::new("no/such.yaml")) else { panic!() };
        assert!(said.contains("gusset init"), "{said}");
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(read(empty.path()), Err(Stop::Failed(2, _))));
    }

    #[test]
    fn relative_paths_start_at_the_folder_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        fs::write(&file, "version: 1\n").unwrap();
        assert_eq!(read(&file).unwrap().folder, folder.path());
    }
}
