//! Where secrets come from: the environment, and files that are read again when they change.

use std::{
    collections::HashMap,
    env, fmt,
    fs::{self, Metadata},
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use schemas::{FileRef, Reveal, Revealed, Secret, secret::NoSecret};

/// More than any secret, certificate bundle or set of descriptors.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Reads secrets for the whole program.
pub(crate) struct Secrets {
    folder: PathBuf,
    known: Mutex<HashMap<PathBuf, Known>>,
}

/// A secret file as it was when it was last read.
struct Known {
    version: Version,
    value: Revealed,
}

/// Tells two contents of a file apart without reading it.
#[derive(PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Secrets {
    /// Reads relative paths from `folder`.
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), known: Mutex::default() }
    }

    fn reveal_file(&self, file: &Path) -> Result<Revealed, NoSecret> {
        let path = self.folder.join(file);
        let version = Version::of(&fs::metadata(&path).map_err(|error| missing(&path, &error))?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&path)
            && known.version == version
        {
            return Ok(known.value.clone());
        }
        let mut bytes = read(&path)?;
        if bytes.ends_with(b"\n") {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| NoSecret(format!("the file {} is no text", path.display())))?;
        if text.is_empty() {
            return Err(NoSecret(format!("the file {} is empty", path.display())));
        }
        let value = Revealed::new(text);
        known.insert(path, Known { version, value: value.clone() });
        Ok(value)
    }
}

impl Reveal for Secrets {
    fn reveal(&self, secret: &Secret) -> Result<Revealed, NoSecret> {
        match secret {
            Secret::Env(name) => match env::var(name) {
                Ok(value) if !value.is_empty() => Ok(Revealed::new(value)),
                Ok(_) => Err(NoSecret(format!("the environment variable {name} is empty"))),
                Err(env::VarError::NotPresent) => {
                    Err(NoSecret(format!("the environment variable {name} is not set")))
                }
                Err(env::VarError::NotUnicode(_)) => {
                    Err(NoSecret(format!("the environment variable {name} is no text")))
                }
            },
            Secret::File(file) => self.reveal_file(file),
        }
    }

    fn read(&self, file: &FileRef) -> Result<Vec<u8>, NoSecret> {
        read(&self.folder.join(&file.file))
    }

    fn find(&self, file: &FileRef) -> Result<Option<Vec<u8>>, NoSecret> {
        let path = self.folder.join(&file.file);
        match path.try_exists() {
            Ok(false) => Ok(None),
            Ok(true) => read(&path).map(Some),
            Err(error) => Err(missing(&path, &error)),
        }
    }
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self { modified: metadata.modified().ok(), bytes: metadata.len() }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, NoSecret> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| missing(path, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(NoSecret(format!("the file {} is larger than 32MiB", path.display())));
    }
    Ok(bytes)
}

fn missing(path: &Path, error: &std::io::Error) -> NoSecret {
    NoSecret(format!("the file {} cannot be read: {error}", path.display()))
}

impl fmt::Debug for Secrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Secrets({})", self.folder.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_changes_and_loses_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(folder.path());
        let secret = Secret::File("token".into());
        fs::write(folder.path().join("token"), "one\n").unwrap();
        assert_eq!(secrets.reveal(&secret).unwrap().expose(), "one");
        fs::write(folder.path().join("token"), "second\r\n").unwrap();
        assert_eq!(secrets.reveal(&secret).unwrap().expose(), "second");
        fs::remove_file(folder.path().join("token")).unwrap();
        assert!(secrets.reveal(&secret).is_err(), "a secret that was taken away is not kept");
    }

    #[test]
    fn what_is_missing_or_empty_is_said_without_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(folder.path());
        let unset = secrets.reveal(&Secret::Env("GUSSET_NOT_SET".into())).unwrap_err();
        assert!(unset.to_string().contains("GUSSET_NOT_SET"));
        fs::write(folder.path().join("empty"), "\n").unwrap();
        assert!(secrets.reveal(&Secret::File("empty".into())).is_err());
        fs::write(folder.path().join("binary"), b"\xff\xfe").unwrap();
        assert!(secrets.reveal(&Secret::File("binary".into())).is_err());
        let whole = secrets.read(&FileRef { file: "binary".into() }).unwrap();
        assert_eq!(whole, b"\xff\xfe");
    }

    #[test]
    fn the_environment_is_read() {
        let secrets = Secrets::new(".");
        let path = secrets.reveal(&Secret::Env("PATH".into())).unwrap();
        assert_eq!(path.expose(), env::var("PATH").unwrap());
        assert!(!format!("{secrets:?} {path:?}").contains(path.expose()));
    }
}
