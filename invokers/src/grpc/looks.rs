//! Keeps a catalog fresh: looks at the files or asks the server, again and again.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Uri;
use schemas::Reveal;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use transcoding::Descriptors;

use super::{
    catalog::{Catalog, Loaded},
    client, reflection,
    source::Files,
};
use crate::{
    Tools,
    client::{Connector, Origin, Speaks},
    http as service,
};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a look that failed: at first, and at most.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Between two looks, however often a method is asked for that nobody knows.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// How long the server may take to tell all.
const LOOK_WITHIN: Duration = Duration::from_secs(20);

/// Looks until the catalog is gone. `bell` rings for a look before it is due.
pub(super) async fn keep(catalog: Weak<Catalog>, bell: Arc<Notify>, mut looks: Looks) {
    let mut again = AGAIN;
    loop {
        let Some(kept) = catalog.upgrade() else { return };
        let wait = match looks.look(kept.files()).await {
            Ok(fresh) => {
                kept.found(fresh);
                again = AGAIN;
                LOOK_EVERY
            }
            Err(problem) => {
                kept.failed(problem);
                let wait = again;
                again = (again * 2).min(AGAIN_MAX);
                wait
            }
        };
        drop(kept);
        let early = async {
            sleep(LOOK_AT_MOST_EVERY).await;
            bell.notified().await;
        };
        drop(timeout(wait, early).await);
    }
}

/// What a look needs.
pub(super) struct Looks {
    places: Vec<Arc<Origin>>,
    connector: Connector,
    reader: Arc<dyn Reveal>,
    /// Which server is asked next.
    next: usize,
    /// The bytes that were seen last.
    seen: Vec<Bytes>,
}

impl Looks {
    pub(super) fn new(service: &service::Target, tools: &Tools) -> Self {
        Self {
            places: service.origins.clone(),
            connector: service.reach.connector(Speaks::Http2, tools),
            reader: Arc::clone(&tools.secrets),
            next: 0,
            seen: Vec::new(),
        }
    }

    /// Looks once; none if all is as it was.
    async fn look(&mut self, files: Option<Files>) -> Result<Option<Loaded>, String> {
        match files {
            Some(files) => self.read(files).await,
            None => self.ask().await,
        }
    }

    /// Reads files, off the runtime's threads.
    async fn read(&mut self, files: Files) -> Result<Option<Loaded>, String> {
        let (reader, seen) = (Arc::clone(&self.reader), self.seen.clone());
        let read = blocking(move || {
            let read = files.read(&reader, &seen)?;
            Ok(read.map(|(descriptors, raw)| (Loaded::new(descriptors, files.to_string()), raw)))
        });
        let Some((loaded, raw)) = read.await? else { return Ok(None) };
        self.seen = raw;
        Ok(Some(loaded))
    }

    /// Asks a server, each time the next one.
    async fn ask(&mut self) -> Result<Option<Loaded>, String> {
        let origin = Arc::clone(&self.places[self.next % self.places.len()]);
        self.next = self.next.wrapping_add(1);
        let deadline = Instant::now() + LOOK_WITHIN;
        let base: Uri = origin.url().parse().map_err(|_| "no URL".to_owned())?;
        let asking = async {
            let connection = client::connect(&self.connector, &origin, deadline).await?;
            reflection::ask(&connection, &base).await
        };
        let reflected = timeout(LOOK_WITHIN, asking).await;
        let reflected = reflected.map_err(|_| "reflection took too long".to_owned())?;
        let reflected = reflected.map_err(|fault| fault.chain())?;
        if self.seen == reflected.files {
            return Ok(None);
        }
        let files = reflected.files.clone();
        let from = format!("reflection {}", reflected.version);
        let loaded = blocking(move || {
            let descriptors = Descriptors::from_files(files);
            let descriptors = descriptors.map_err(|unusable| unusable.to_string())?;
            Ok(Loaded::new(descriptors, from))
        });
        let loaded = loaded.await?;
        self.seen = reflected.files;
        Ok(Some(loaded))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| "the gateway is ending".to_owned())?
}
