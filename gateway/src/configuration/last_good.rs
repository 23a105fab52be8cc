//! The last configuration that was good, kept for a start with a broken one (`--last-good`).

use std::{fs, io, path::PathBuf};

use ingress::config::{self, File, Loaded, Offer};
use serde::{Deserialize, Serialize};

use super::{clock, disk};
use crate::cli::Stop;

const NAME: &str = "last-good.json";
const FORMAT: u32 = 1;

/// Where the last good configuration is kept.
#[derive(Debug)]
pub(crate) struct LastGood {
    folder: PathBuf,
}

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    at: String,
    files: Vec<Written>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Written {
    name: String,
    text: String,
}

impl LastGood {
    /// Makes the folder if need be.
    ///
    /// # Errors
    /// With exit code 2 if that cannot be done.
    pub(crate) fn new(folder: PathBuf) -> Result<Self, Stop> {
        fs::create_dir_all(&folder).map_err(|error| {
            Stop::unusable(format!("cannot make the folder {}: {error}", folder.display()))
        })?;
        Ok(Self { folder })
    }

    /// Keeps a configuration in place of the one before.
    pub(super) fn keep(&self, files: &[File]) -> io::Result<()> {
        let files =
            files.iter().map(|file| Written { name: file.name.clone(), text: file.text.clone() });
        let kept = Kept { format: FORMAT, at: clock::now(), files: files.collect() };
        disk::write(&self.folder, NAME, serde_json::to_string_pretty(&kept)?.as_bytes())
    }

    /// What is kept, when it was, and what it comes to.
    ///
    /// # Errors
    /// A sentence, if nothing is kept or it cannot be used.
    pub(super) fn load(&self, offer: &Offer) -> Result<(Vec<File>, String, Loaded), String> {
        let path = self.folder.join(NAME);
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("no last good configuration: {}: {error}", path.display()))?;
        let kept: Kept = serde_json::from_str(&text)
            .ok()
            .filter(|kept: &Kept| kept.format == FORMAT)
            .ok_or_else(|| format!("{} was not written by this version", path.display()))?;
        let files: Vec<File> =
            kept.files.into_iter().map(|Written { name, text }| File { name, text }).collect();
        let loaded = config::parse(&files, offer).map_err(|problems| {
            let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
            format!("the last good configuration is wrong too: {}", said.join(" | "))
        })?;
        Ok((files, kept.at, loaded))
    }
}
