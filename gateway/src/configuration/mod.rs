//! The configuration of a running gateway: which is live, what may replace it, and why it was not
//! replaced.
//!
//! A change goes through [`Configuration`] one at a time: read, check, switch, and only then
//! remembered. `start.rs` finds what a gateway starts with; `watch.rs` notices that a file has
//! changed; `versions.rs` keeps what the admin API was given.

mod clock;
mod disk;
mod last_good;
mod start;
mod status;
mod versions;
mod watch;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ::outbox::Outbox;
use admin::config::{By, Config, IfMatch, NotChanged, Refused, SourceKind, Text};
use ingress::{
    NotReplaced, Plane, Table,
    config::{self, File, Offer, Problem},
};

pub(crate) use self::{last_good::LastGood, start::Start};
use self::{
    status::{Served, Status},
    versions::Versions,
    watch::{Seen, Watch},
};
use crate::{
    cli::{Stop, print},
    files::{self, Read},
};

/// Who owns the configuration.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file or a folder.
    Files(PathBuf),
    /// The admin API.
    Api(Mutex<Versions>),
    /// This program.
    BuiltIn,
}

/// The configuration of a running gateway.
#[derive(Debug)]
pub(crate) struct Configuration {
    plane: Arc<Plane>,
    /// Once it is open it stays what it is.
    outbox: Arc<Outbox>,
    offer: Offer,
    source: Source,
    last_good: Option<LastGood>,
    /// Held for the whole of a change.
    change: tokio::sync::Mutex<()>,
    status: Mutex<Status>,
}

/// A configuration that has been checked.
struct Checked {
    files: Vec<File>,
    table: Arc<Table>,
    warnings: Vec<Problem>,
}

impl Configuration {
    /// Takes over what a gateway has been started with.
    pub(crate) fn new(plane: Arc<Plane>, outbox: Arc<Outbox>, start: Start, offer: Offer) -> Self {
        let Start { source, files, warnings, by, refused, last_good, .. } = start;
        let served = Served::new(files, &plane.table(), warnings, by);
        let configuration = Self {
            plane,
            outbox,
            offer,
            source,
            last_good,
            change: tokio::sync::Mutex::default(),
            status: Mutex::new(Status::new(served, refused)),
        };
        if by != By::LastGood {
            configuration.keep_last_good();
        }
        configuration
    }

    /// What is live.
    pub(crate) fn view(&self) -> Config {
        let mut view = self.status().view();
        match &self.source {
            Source::Files(path) => {
                view.source.kind = SourceKind::File;
                view.source.path = Some(path.display().to_string());
            }
            Source::Api(versions) => {
                let versions = versions.lock().unwrap_or_else(PoisonError::into_inner);
                view.source.kind = SourceKind::Api;
                view.source.path = Some(versions.folder().display().to_string());
                view.versions = versions.kept();
            }
            Source::BuiltIn => {}
        }
        view
    }

    /// What is live, as it was written.
    pub(crate) fn texts(&self) -> Vec<Text> {
        let files = Arc::clone(&self.status().served.files);
        let text = |file: &File| Text { name: file.name.clone(), text: file.text.clone() };
        files.iter().map(text).collect()
    }

    /// What Prometheus is told of it.
    pub(crate) fn metrics(&self) -> String {
        self.status().metrics()
    }

    /// Follows the file or the folder until the task is dropped.
    pub(crate) async fn follow(&self) {
        let Source::Files(path) = &self.source else { return };
        let mut watch = Watch::new(path.clone());
        loop {
            // A disk that hangs holds up a thread for that and nothing else.
            let looked = tokio::task::spawn_blocking(move || (watch.look(), watch)).await;
            let Ok((seen, looked)) = looked else { return };
            watch = looked;
            tokio::time::sleep(match seen {
                Seen::Changing => watch::SETTLES_IN,
                Seen::Same => watch::EVERY,
                Seen::Changed(read) => {
                    self.read(read, By::File).await;
                    watch::EVERY
                }
            })
            .await;
        }
    }

    /// Reads the file or the folder once more, because somebody said so.
    pub(crate) async fn reload(&self) {
        let Source::Files(path) = &self.source else {
            print::error("gusset: SIGHUP: no file to read again; `gusset apply` changes it");
            return;
        };
        let path = path.clone();
        let read = tokio::task::spawn_blocking(move || files::read(&path)).await;
        match read {
            Ok(read) => self.read(read, By::Signal).await,
            Err(error) => print::error(&format!("gusset: reading the configuration: {error}")),
        }
    }

    /// Serves what was read, or says why not.
    async fn read(&self, read: Result<Read, Stop>, by: By) {
        let _one = self.change.lock().await;
        let files = match read {
            Ok(read) => read.files,
            Err(stop) => {
                let Source::Files(path) = &self.source else { return };
                self.status().newest = UNREADABLE.to_owned();
                return self.refuse(by, UNREADABLE, vec![unreadable(path, stop)]);
            }
        };
        let version = config::version(&files);
        {
            let mut status = self.status();
            let newest = std::mem::replace(&mut status.newest, version.clone());
            if by == By::File && version == newest {
                return;
            }
            if by == By::File && version == status.served.version {
                print::error(&format!("gusset: the file holds version {version} again"));
                return status.settle();
            }
        }
        let changed = match self.check(files).await {
            Ok(checked) => self.switch(checked, by).await,
            Err(problems) => Err(NotChanged::Wrong(problems)),
        };
        match changed {
            Ok(()) => self.keep_last_good(),
            Err(NotChanged::Wrong(problems)) => self.refuse(by, &version, problems),
            // The gateway is stopping: there is nothing to change any more.
            Err(_) => {}
        }
    }

    /// Makes a text of the API the configuration.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub(crate) async fn put(&self, text: String, meant: &IfMatch) -> Result<Config, NotChanged> {
        let Source::Api(versions) = &self.source else { return Err(NotChanged::NotOurs) };
        let _one = self.change.lock().await;
        let live = self.meant(meant)?;
        let file = versions::file(text);
        if config::version(std::slice::from_ref(&file)) == live {
            return Ok(self.view());
        }
        self.change(By::Api, vec![file], |text| lock(versions).put(text, By::Api)).await
    }

    /// Goes back to the version that was live before the live one was put.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub(crate) async fn roll_back(&self, meant: &IfMatch) -> Result<Config, NotChanged> {
        let Source::Api(versions) = &self.source else { return Err(NotChanged::NotOurs) };
        let _one = self.change.lock().await;
        self.meant(meant)?;
        let (number, file) = {
            let versions = lock(versions);
            let before = versions.before(versions.live_number()).ok_or(NotChanged::NoneBefore)?;
            (before, versions.text(before).map_err(|error| NotChanged::Storage(error.to_string()))?)
        };
        self.change(By::Rollback, vec![file], |_| lock(versions).go_to(number)).await
    }

    /// Checks, keeps and serves a version of the API, in this order: a crash in between leaves the
    /// version before or this one, and both are whole.
    async fn change(
        &self,
        by: By,
        files: Vec<File>,
        keep: impl FnOnce(&str) -> io::Result<versions::Book>,
    ) -> Result<Config, NotChanged> {
        let Source::Api(versions) = &self.source else { return Err(NotChanged::NotOurs) };
        let version = config::version(&files);
        let wrong = |problems: Vec<Problem>| {
            self.refuse(by, &version, problems.clone());
            NotChanged::Wrong(problems)
        };
        let checked = self.check(files).await.map_err(wrong)?;
        let text = checked.files.first().map_or("", |file| file.text.as_str());
        let undo = keep(text).map_err(|error| NotChanged::Storage(error.to_string()))?;
        match self.switch(checked, by).await {
            Ok(()) => Ok(self.view()),
            Err(why) => {
                if let Err(error) = lock(versions).undo(undo) {
                    print::error(&format!(
                        "gusset: the state folder names a version that is not served: {error}"
                    ));
                }
                Err(match why {
                    NotChanged::Wrong(problems) => wrong(problems),
                    other => other,
                })
            }
        }
    }

    /// The live version, if it is the one that is meant.
    fn meant(&self, meant: &IfMatch) -> Result<String, NotChanged> {
        let live = self.status().served.version.clone();
        if meant.fits(&live) { Ok(live) } else { Err(NotChanged::Another { live }) }
    }

    async fn check(&self, files: Vec<File>) -> Result<Checked, Vec<Problem>> {
        let offer = self.offer.clone();
        let parsed = tokio::task::spawn_blocking(move || {
            let loaded = config::parse(&files, &offer)?;
            Ok(Checked { files, table: Arc::new(loaded.table), warnings: loaded.warnings })
        });
        let checked: Checked = parsed.await.unwrap_or_else(|_| {
            let message = "the gateway failed while it read the configuration; please report it";
            Err(vec![Problem::at("", "", message, "")])
        })?;
        let (now, next) = (&self.plane.table().admin, &checked.table.admin);
        if now.address != next.address {
            let message = format!(
                "the address of the admin API is {} and cannot become {} while the gateway runs",
                now.address, next.address
            );
            let remedy = "restart the gateway, or write the address that it has";
            return Err(vec![Problem::at(&next.place, "admin", message, remedy)]);
        }
        let (now, next) = (&self.plane.table().outbox, &checked.table.outbox);
        if self.outbox.store().is_some() && !now.is_same(next) {
            let message = "the outbox is open and cannot become another while the gateway runs";
            let remedy = "restart the gateway, or write the outbox that it has";
            return Err(vec![Problem::at(&next.place, "outbox", message, remedy)]);
        }
        Ok(checked)
    }

    async fn switch(&self, checked: Checked, by: By) -> Result<(), NotChanged> {
        let Checked { files, table, warnings } = checked;
        self.plane.replace(Arc::clone(&table)).await.map_err(|refused| match refused {
            NotReplaced::Listen { ref listener, .. } => {
                let remedy = "choose an address that this machine has and nobody else listens on";
                NotChanged::Wrong(vec![Problem::at(
                    &listener.place,
                    "listen",
                    refused.to_string(),
                    remedy,
                )])
            }
            NotReplaced::Stuck => {
                NotChanged::Wrong(vec![Problem::at("", "", refused.to_string(), "try again")])
            }
            NotReplaced::Stopping => NotChanged::Stopping,
        })?;
        for warning in &warnings {
            print::error(&format!("warning: {warning}"));
        }
        let served = Served::new(files, &table, warnings, by);
        print::error(&format!("gusset: {}", served.said()));
        self.status().serve(served);
        Ok(())
    }

    fn refuse(&self, by: By, version: &str, problems: Vec<Problem>) {
        for problem in &problems {
            print::error(&problem.to_string());
        }
        let mut status = self.status();
        print::error(&format!(
            "gusset: the configuration was not changed ({}); version {} is still served",
            mistakes(problems.len()),
            status.served.version
        ));
        let refused = Refused { at: clock::now(), by, version: version.to_owned(), problems };
        // What the API refuses its caller still has; what a file holds is what should be served.
        let stale = matches!(by, By::File | By::Signal);
        status.refuse(refused, stale);
    }

    fn keep_last_good(&self) {
        let Some(last_good) = &self.last_good else { return };
        let files = Arc::clone(&self.status().served.files);
        if let Err(error) = last_good.keep(&files) {
            print::error(&format!("gusset: the last good configuration cannot be kept: {error}"));
        }
    }

    fn status(&self) -> std::sync::MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(versions: &Mutex<Versions>) -> std::sync::MutexGuard<'_, Versions> {
    versions.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The version of what cannot be read.
const UNREADABLE: &str = "unreadable";

/// A file or folder that cannot be read, as a problem of the configuration.
fn unreadable(path: &Path, stop: Stop) -> Problem {
    let said = match stop {
        Stop::Failed(_, said) => said,
        Stop::Said(_) | Stop::Unread => "it cannot be read".to_owned(),
    };
    Problem::at(&format!("{}:1:1", path.display()), "", said, "")
}

fn mistakes(count: usize) -> String {
    if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") }
}
