//! What a gateway starts with.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use admin::config::{By, Refused};
use ingress::{
    Table,
    config::{self, File, Loaded, Offer, Problem},
};

use super::{LastGood, Source, UNREADABLE, Versions, clock, mistakes, unreadable};
use crate::{
    cli::{Stop, print},
    files,
};

/// What a gateway starts with.
#[derive(Debug)]
pub(crate) struct Start {
    /// Who owns it.
    pub(super) source: Source,
    /// Its files.
    pub(super) files: Vec<File>,
    /// What they come to.
    pub(crate) table: Arc<Table>,
    pub(super) warnings: Vec<Problem>,
    pub(super) by: By,
    /// What should have been served instead.
    pub(super) refused: Option<Refused>,
    pub(super) last_good: Option<LastGood>,
    /// Where relative paths start.
    pub(crate) folder: PathBuf,
}

impl Start {
    /// Starts with a file or a folder; if that is broken, with the last that was good, where that
    /// is kept.
    ///
    /// # Errors
    /// With exit code 2 if it cannot be read, and 1 if it is wrong.
    pub(crate) fn files(
        path: &Path,
        offer: &Offer,
        last_good: Option<LastGood>,
    ) -> Result<Self, Stop> {
        let folder = files::folder(path);
        let source = Source::Files(path.to_owned());
        let start = |files, loaded: Loaded, by, refused, last_good| Self {
            source,
            files,
            table: Arc::new(loaded.table),
            warnings: loaded.warnings,
            by,
            refused,
            last_good,
            folder,
        };
        let (version, problems, stop) = match files::read(path) {
            Ok(read) => match config::parse(&read.files, offer) {
                Ok(loaded) => {
                    files::warn(&loaded);
                    return Ok(start(read.files, loaded, By::Start, None, last_good));
                }
                Err(problems) => {
                    let stop = files::refuse(&problems);
                    (config::version(&read.files), problems, stop)
                }
            },
            Err(stop) if last_good.is_some() => {
                let problem = unreadable(path, stop);
                print::error(&problem.to_string());
                (UNREADABLE.to_owned(), vec![problem], Stop::Said(2))
            }
            Err(stop) => return Err(stop),
        };
        let Some(last_good) = last_good else { return Err(stop) };
        match last_good.load(offer) {
            Ok((files, at, loaded)) => {
                print::error(&format!(
                    "gusset: THE CONFIGURATION IS BROKEN ({}, above). Serving the last \
                     good one instead: version {}, of {at}. Mend {} and it is served at once.",
                    mistakes(problems.len()),
                    loaded.table.version,
                    path.display()
                ));
                let refused = Refused { at: clock::now(), by: By::Start, version, problems };
                Ok(start(files, loaded, By::LastGood, Some(refused), Some(last_good)))
            }
            Err(why) => {
                print::error(&format!("gusset: {why}"));
                Err(stop)
            }
        }
    }

    /// Starts with the live version of a state folder. An empty one begins with `seed`, or with
    /// nothing but the defaults. A live version that is not understood any more gives way to the
    /// one before it.
    ///
    /// # Errors
    /// With exit code 2 if the folder or the seed cannot be used, and 1 if the seed is wrong.
    pub(crate) fn state(folder: &Path, seed: Option<&Path>, offer: &Offer) -> Result<Self, Stop> {
        let mut versions = Versions::open(folder)?;
        if versions.is_empty() {
            sow(&mut versions, seed, offer)?;
        } else if let Some(seed) = seed {
            print::error(&format!(
                "gusset: {} has a configuration, which is served; {} was for the first start only",
                folder.display(),
                seed.display()
            ));
        }
        let mut refused: Option<Refused> = None;
        let mut number = versions.live_number();
        loop {
            let problems = match versions.text(number) {
                Ok(file) => match config::parse(std::slice::from_ref(&file), offer) {
                    Ok(loaded) => {
                        return Ok(Self::of(versions, number, file, loaded, refused));
                    }
                    Err(problems) => (config::version(&[file]), problems),
                },
                Err(error) => {
                    let message = format!("version {number} cannot be read: {error}");
                    (number.to_string(), vec![Problem::at("", "", message, "")])
                }
            };
            let (version, problems) = problems;
            print::error(&format!(
                "gusset: version {number} of the state folder is not understood:"
            ));
            let stop = files::refuse(&problems);
            refused.get_or_insert(Refused { at: clock::now(), by: By::Start, version, problems });
            number = versions.before(number).ok_or(stop)?;
        }
    }

    fn of(
        mut versions: Versions,
        number: u64,
        file: File,
        loaded: Loaded,
        refused: Option<Refused>,
    ) -> Self {
        let mut by = By::Start;
        if refused.is_some() {
            by = By::LastGood;
            print::error(&format!(
                "gusset: THE LIVE CONFIGURATION IS BROKEN (above). Serving version {number} of \
                 the state folder instead; put a new one with `gusset apply`."
            ));
            if let Err(error) = versions.go_to(number) {
                print::error(&format!("gusset: the state folder cannot be written: {error}"));
            }
        }
        files::warn(&loaded);
        Self {
            folder: versions.paths_start_at().to_owned(),
            source: Source::Api(Mutex::new(versions)),
            files: vec![file],
            table: Arc::new(loaded.table),
            warnings: loaded.warnings,
            by,
            refused,
            last_good: None,
        }
    }

    /// Starts with what the program has made up itself.
    ///
    /// # Errors
    /// With exit code 1 if it is wrong.
    pub(crate) fn built_in(file: File, offer: &Offer) -> Result<Self, Stop> {
        let files = vec![file];
        let loaded = config::parse(&files, offer).map_err(|problems| files::refuse(&problems))?;
        Ok(Self {
            source: Source::BuiltIn,
            files,
            table: Arc::new(loaded.table),
            warnings: loaded.warnings,
            by: By::Start,
            refused: None,
            last_good: None,
            folder: PathBuf::from("."),
        })
    }
}

/// Puts the first version of a state folder.
fn sow(versions: &mut Versions, seed: Option<&Path>, offer: &Offer) -> Result<(), Stop> {
    let text = match seed {
        None => "version: 1\n".to_owned(),
        Some(path) => {
            let mut read = files::read(path)?;
            let folder = fs::canonicalize(&read.folder)?;
            let (Some(file), true) = (read.files.pop(), read.files.is_empty()) else {
                return Err(Stop::unusable(format!(
                    "{} has several files, and a state folder begins with one: put them together",
                    path.display()
                )));
            };
            // Told by its own name while it still has one.
            config::parse(std::slice::from_ref(&file), offer)
                .map_err(|problems| files::refuse(&problems))?;
            versions.start_paths_at(folder);
            file.text
        }
    };
    versions.put(&text, By::Start).map(drop).map_err(|error| {
        Stop::unusable(format!("cannot write {}: {error}", versions.folder().display()))
    })
}
