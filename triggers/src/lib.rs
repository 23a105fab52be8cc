//! Events taken from brokers and given to routes (`sources`).
//!
//! A message is moved into the gateway's own outbox, synced, and only then acknowledged to the
//! broker. From there it is delivered as every stored event is: by the route's `delivery`, with dead
//! letters and replay. So retries have one owner: the broker's own redelivery serves for what was
//! not stored yet, and never multiplies the schedule.
//!
//! Start with `running.rs` (one source, from its connection to the outbox), then `event.rs` (what
//! a message becomes).

mod event;
mod running;

use std::{
    collections::BTreeMap,
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ingress::{Plane, Table};
use invokers::Tools;
use schemas::Name;
use tokio::{sync::watch, task::JoinHandle};

pub use self::running::{Counts, State};
use self::running::{Job, Shared};

/// All sources of brokers, as the table that is served says.
pub struct Triggers {
    plane: Arc<Plane>,
    tools: Tools,
    tell: Tell,
    running: Mutex<BTreeMap<Name, Running>>,
    /// What each source has done. It outlives a source that is made anew.
    counts: Mutex<BTreeMap<Name, Arc<Counts>>>,
}

/// Who is told of what happens to a source, in words.
pub type Tell = Arc<dyn Fn(&Name, &dyn fmt::Display) + Send + Sync>;

struct Running {
    /// Of everything that it is made of: an equal one goes on over a reload.
    digest: u64,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// How a source stands.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: Name,
    /// Whether it consumes.
    pub state: State,
    /// What it has done.
    pub counts: Arc<Counts>,
}

impl fmt::Debug for Triggers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Triggers")
    }
}

impl Triggers {
    /// Nothing is consumed yet.
    #[must_use]
    pub fn new(plane: Arc<Plane>, tools: Tools, tell: Tell) -> Self {
        Self { plane, tools, tell, running: Mutex::default(), counts: Mutex::default() }
    }

    /// Consumes what the table says that is served, and nothing else. What is the same as before
    /// goes on; what ends finishes what it has taken. On the runtime that it is called on.
    pub fn follow(&self) {
        let table = self.plane.table();
        let mut running = self.running();
        let wanted = |name: &Name| digest(&table, name);
        running.retain(|name, one| {
            let stays = wanted(name) == Some(one.digest) && !one.task.is_finished();
            if !stays {
                one.stop.send_replace(true);
            }
            stays
        });
        for name in table.sources.keys() {
            if let (Some(digest), false) = (wanted(name), running.contains_key(name))
                && let Some(one) = self.start(&table, name, digest)
            {
                running.insert(name.clone(), one);
            }
        }
    }

    fn start(&self, table: &Table, name: &Name, digest: u64) -> Option<Running> {
        let consumes = table.sources.get(name)?.consumes.as_ref()?;
        let counts = Arc::clone(self.counts_of().entry(name.clone()).or_default());
        let (stop, stopping) = watch::channel(false);
        let shared = Arc::new(Shared::new(name.clone(), counts, Arc::clone(&self.tell)));
        let job = Job {
            shared: Arc::clone(&shared),
            upstream: Arc::clone(&consumes.upstream),
            wanted: consumes.wanted.clone(),
            tools: self.tools.clone(),
            stopping,
        };
        Some(Running { digest, shared, stop, task: tokio::spawn(job.run()) })
    }

    /// Takes nothing more, and waits until what was taken is stored or given back, for at most
    /// `within`.
    pub async fn stop(&self, within: Duration) {
        let all: Vec<Running> = std::mem::take(&mut *self.running()).into_values().collect();
        for one in &all {
            one.stop.send_replace(true);
        }
        let ended = async {
            for one in all {
                drop(one.task.await);
            }
        };
        drop(tokio::time::timeout(within, ended).await);
    }

    /// How each source stands that is consumed now.
    #[must_use]
    pub fn view(&self) -> Vec<View> {
        let running = self.running();
        let all = running.values().map(|one| View {
            name: one.shared.name.clone(),
            state: one.shared.state(),
            counts: Arc::clone(&one.shared.counts),
        });
        all.collect()
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Name, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts_of(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Counts>>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of everything that a source of a broker is made of; none for one of this gateway's own topics.
fn digest(table: &Table, name: &Name) -> Option<u64> {
    let consumes = table.sources.get(name)?.consumes.as_ref()?;
    let mut hash = DefaultHasher::new();
    consumes.upstream.digest.hash(&mut hash);
    consumes.wanted.hash(&mut hash);
    Some(hash.finish())
}
