//! The outbox of a running gateway: opened when something needs it, and delivered from until the
//! gateway stops.

mod dead;
mod on_jetstream;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ::outbox::{
    Outbox, Store, config,
    disk::Real,
    embedded::{self, Embedded, Progressed, Tell},
    memory::Memory,
    worker,
};
use ingress::{Courier, Plane, Table, Upstream};
use invokers::{Target, Tools};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};

use self::dead::Saying;
pub(crate) use self::on_jetstream::probe;
use crate::{
    cli::print,
    metrics::{self, Metric, label},
};

/// An outbox, and who delivers from it.
#[derive(Debug)]
pub(crate) struct Delivering {
    outbox: Arc<Outbox>,
    tools: Tools,
    courier: Arc<Courier>,
    saying: Arc<Saying>,
    kept: Kept,
    working: Mutex<Option<JoinHandle<()>>>,
    /// Whether it has been read.
    progress: OnceLock<watch::Receiver<Progressed>>,
}

/// How long a start waits for the outbox to be read. A larger one is read while all else is served.
const PATIENCE: Duration = Duration::from_millis(50);

/// Where stored events are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// As the configuration says: in files, or on JetStream.
    AsWritten,
    /// In memory, for as long as the process lives: `gusset dev`.
    InMemory,
}

/// Whether a table stores anything.
pub(crate) fn is_needed(table: &Table) -> bool {
    let topics = |upstream: &Arc<Upstream>| matches!(upstream.target, Target::Embedded(_));
    table.routes.iter().any(|route| route.stored.is_some())
        || table.upstreams.iter().any(topics)
        || !table.sources.is_empty()
}

impl Delivering {
    /// Nothing is open yet.
    pub(crate) fn new(tools: Tools, plane: Arc<Plane>, kept: Kept) -> Self {
        let outbox = Arc::clone(&tools.outbox);
        let courier = Arc::new(Courier::new(plane, Arc::clone(&outbox)));
        let saying = Arc::new(Saying::new(Arc::clone(&courier)));
        let (working, progress) = (Mutex::default(), OnceLock::new());
        Self { outbox, tools, courier, saying, kept, working, progress }
    }

    /// Opens the outbox and begins to deliver, if the table needs it and it is not open yet.
    ///
    /// # Errors
    /// A sentence for whoever runs the gateway.
    pub(crate) async fn open(&self, table: &Table, folder: &Path) -> Result<(), String> {
        let mut working = self.working.lock().await;
        if working.is_some() || !is_needed(table) {
            return Ok(());
        }
        let store = match self.kept {
            Kept::InMemory => Arc::new(Memory::default()) as Arc<dyn Store>,
            Kept::AsWritten => {
                let (store, mut progress) = match &table.outbox.on_jetstream {
                    Some(kept) => {
                        let store =
                            on_jetstream::open(&table.outbox.settings, kept, &self.tools).await?;
                        let progress = store.progress();
                        (store as Arc<dyn Store>, progress)
                    }
                    None => {
                        let store = store(&table.outbox.settings, folder)?;
                        let progress = store.progress();
                        (store as Arc<dyn Store>, progress)
                    }
                };
                // It is opened once.
                self.progress.set(progress.clone()).ok();
                drop(tokio::time::timeout(PATIENCE, progress.wait_for(is_read)).await);
                store
            }
        };
        self.outbox.open(Arc::clone(&store));
        let (courier, saying) = (Arc::clone(&self.courier), Arc::clone(&self.saying));
        let outcomes = Arc::clone(&self.outbox.outcomes);
        let progress = self.progress.get().cloned();
        *working = Some(tokio::spawn(async move {
            if let Some(mut progress) = progress {
                // One that broke is told of by the store itself, and claims nothing.
                drop(progress.wait_for(is_read).await);
            }
            courier.follow(&*store);
            worker::run(store, saying, outcomes).await;
        }));
        Ok(())
    }

    /// How far the store has come, if anything needs one. One that has no progress is there at once.
    pub(crate) fn progressed(&self) -> Option<Progressed> {
        self.outbox.store()?;
        let progress = self.progress.get().map(|progress| progress.borrow().clone());
        Some(progress.unwrap_or(Progressed::Ready))
    }

    /// Whether the store can be used.
    fn is_ready(&self) -> bool {
        self.progressed() == Some(Progressed::Ready)
    }

    /// What is to be done now and then: a new table is followed, and said what was given up. What a
    /// store has parked it knows once it has been read.
    pub(crate) fn keep(&self) {
        self.saying.say_the_rest();
        if let Some(store) = self.outbox.store()
            && self.is_ready()
        {
            self.courier.follow(&**store);
        }
    }

    /// Delivers nothing more, and lets what is under way end for at most `within`.
    pub(crate) async fn stop(&self, within: Duration) {
        if let Some(store) = self.outbox.store() {
            store.stop();
        }
        let working = self.working.lock().await.take();
        if let Some(working) = working {
            drop(tokio::time::timeout(within, working).await);
        }
    }

    /// Writes what is under way and lets go of the files.
    pub(crate) async fn close(&self) {
        if let Some(store) = self.outbox.store() {
            store.close().await;
        }
    }

    /// What it holds and what it has done, in the Prometheus text format 0.0.4.
    pub(crate) fn metrics(&self) -> String {
        let Some(store) = self.outbox.store() else { return String::new() };
        let holds = store.holds();
        let by_target = |value: fn(&::outbox::Held) -> u64| -> Vec<(String, u64)> {
            holds.targets.iter().map(|held| (label("target", &held.target), value(held))).collect()
        };
        let one = |value: u64| vec![(String::new(), value)];
        let by_outcome = |counts: BTreeMap<(String, &'static str), u64>| {
            let series = counts.into_iter().map(|((target, outcome), count)| {
                (format!("{},{}", label("target", &target), label("outcome", outcome)), count)
            });
            series.collect::<Vec<_>>()
        };
        let gauge = |name, help, series| Metric(name, "gauge", help, series);
        metrics::print([
            Metric(
                "gusset_deliveries_total",
                "counter",
                "Tries to deliver stored events.",
                by_outcome(self.courier.counts()),
            ),
            Metric(
                "gusset_replies_total",
                "counter",
                "Replies to stored events that are events themselves.",
                by_outcome(self.courier.replies()),
            ),
            gauge(
                "gusset_outbox_ready",
                "Whether events can be stored.",
                one(self.is_ready().into()),
            ),
            gauge(
                "gusset_outbox_pending",
                "Stored events that wait.",
                by_target(|held| held.pending),
            ),
            gauge(
                "gusset_outbox_parked",
                "Those that wait for somebody.",
                by_target(|held| held.parked),
            ),
            gauge(
                "gusset_outbox_bytes",
                "What these take, in bytes.",
                by_target(|held| held.bytes),
            ),
            gauge("gusset_outbox_dead_letters", "Events that were given up.", one(holds.dead)),
            gauge("gusset_outbox_dead_letter_bytes", "What these take.", one(holds.dead_bytes)),
            gauge("gusset_outbox_damaged", "Records found damaged.", one(holds.damaged)),
            gauge(
                "gusset_outbox_disk_bytes",
                "What the outbox takes on its disk.",
                one(holds.disk_bytes),
            ),
        ])
    }
}

fn is_read(now: &Progressed) -> bool {
    !matches!(now, Progressed::Recovering { .. })
}

/// Opens the store that is configured.
fn store(settings: &config::Settings, folder: &Path) -> Result<Arc<Embedded>, String> {
    let path = folder.join(&settings.path);
    let cannot = |why: &dyn std::fmt::Display| {
        format!(
            "the outbox {} cannot be used: {why}; choose another folder (`outbox.path`)",
            path.display()
        )
    };
    let disk = Real::open(&path).map_err(|error| cannot(&error))?;
    let tell = Tell::new(|trouble| print::error(&format!("gusset: outbox: {trouble}")));
    let store = Embedded::open(Arc::new(disk), embedded::Settings::of(settings, tell));
    Ok(Arc::new(store.map_err(|error| cannot(&error))?))
}
