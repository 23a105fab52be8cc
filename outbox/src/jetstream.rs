//! The store in NATS JetStream: several gateways share the work, and any of them may die.
//!
//! Records wait in a work-queue stream, in `PARTITIONS` parts. Each part is
//! one gateway's own for as long as it renews a lease (`leases.rs`); it pulls the part's records
//! (`pull.rs`), has them in hand (`hands.rs`) and gives them out by the same schedule as the other
//! stores. A record is acknowledged after it was delivered, or after its dead letter is stored, and
//! not before: whoever dies in between leaves it to the next. docs/decisions/0008 says why.

mod api;
mod hands;
mod leases;
mod letters;
mod look;
mod measure;
mod names;
mod pull;
mod put;
mod streams;
mod waiting;
mod work;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use schemas::Guarantee;
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::{AbortHandle, JoinSet},
};

use self::{
    api::Api,
    hands::{Hands, Leaves},
    measure::Measured,
    names::{Names, PARTITIONS},
};
pub use self::{
    api::Connection,
    look::{Looked, look},
    put::TOGETHER_MAX,
};
use crate::{
    Attempt, Claim, Filter, Holds, Id, Letter, NotStored, Page, Record, Store, Taken, Then, config,
    embedded::{DEDUPE, Progressed},
    entry::Progress,
};

/// How many batches this gateway has open at once; a stream takes 50 of all gateways.
const BATCHES: usize = 12;

/// A connection that is back so soon is not worth a word.
const PROMPT: Duration = Duration::from_secs(1);

/// Between two tries to open the streams.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// How long a store that is closed waits for what it says last.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a store is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the work stream; the others begin with it.
    pub stream: String,
    /// On how many servers each stream is kept.
    pub replicas: u8,
    /// What pending events may take, in bytes.
    pub max_size: u64,
    /// What one target may take of that, in percent.
    pub per_target: u32,
    /// What dead letters may take, in bytes. Over it the oldest go.
    pub dead_max_size: u64,
    /// How long dead letters are kept.
    pub dead_keep: Duration,
    /// How long the identity of an event is remembered, so that it is stored once.
    pub dedupe: Duration,
    /// Who is told of what goes wrong.
    pub tell: Tell,
}

/// Who is told of what goes wrong with this store.
pub type Tell = crate::tell::Tell<Trouble>;

/// Something that a person wants to know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The streams cannot be used. It is tried again.
    #[error("it cannot be used yet: {0}")]
    Unusable(Arc<str>),
    /// There is no connection.
    #[error(
        "the connection to the NATS server is down: no event is stored or delivered until it is back"
    )]
    Away,
    /// There is one again.
    #[error("the connection to the NATS server is back")]
    Back,
    /// A record cannot be read by this version of the program. It stays where it is.
    #[error(
        "record {0} cannot be read, and stays in the stream; was it written by a newer gateway?"
    )]
    Damaged(Id),
}

/// When the server syncs what it has stored, as it was found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Syncs {
    /// Nobody could be asked.
    #[default]
    Unknown,
    /// Before it confirms.
    Always,
    /// As often as this.
    Every(Arc<str>),
}

/// The store.
#[derive(Debug)]
pub struct Jetstream {
    shared: Arc<Shared>,
    running: AbortHandle,
}

/// What callers and the tasks in the background share.
#[derive(Debug)]
struct Shared {
    api: Api,
    settings: Settings,
    /// This gateway, as no other is called.
    name: String,
    hands: Mutex<Hands>,
    /// How far the records of partitions had come when they were taken, until they are in hand.
    came: Mutex<HashMap<u16, HashMap<Id, Progress>>>,
    measured: Mutex<Measured>,
    sync: Mutex<Syncs>,
    ready: watch::Sender<Progressed>,
    /// Something may be due now that was not.
    changed: Notify,
    /// There may be a target that nobody pulls yet.
    look: Notify,
    /// Leases are to be looked at now.
    hurry: Notify,
    batches: Semaphore,
    turn: AtomicUsize,
}

impl Settings {
    /// As it is configured.
    #[must_use]
    pub fn of(settings: &config::Settings, server: &config::Server, tell: Tell) -> Self {
        Self {
            stream: server.stream.clone(),
            replicas: server.replicas,
            max_size: settings.max_size,
            per_target: settings.per_target,
            dead_max_size: settings.dead_max_size,
            dead_keep: settings.dead_keep,
            dedupe: DEDUPE,
            tell,
        }
    }
}

impl Syncs {
    /// In a word: `always`, a time, or `unknown`.
    #[must_use]
    pub fn word(&self) -> Arc<str> {
        match self {
            Self::Unknown => "unknown".into(),
            Self::Always => "always".into(),
            Self::Every(time) => Arc::clone(time),
        }
    }
}

impl Jetstream {
    /// Opens the store in the background, over a connection that may be made later. Until it is
    /// there, events are refused.
    #[must_use]
    pub fn open(connection: Connection, settings: Settings) -> Self {
        let names = Names::new(&settings.stream);
        let shared = Arc::new(Shared {
            api: Api::new(connection, names),
            settings,
            name: uuid::Uuid::new_v4().simple().to_string(),
            hands: Mutex::new(Hands::new(PARTITIONS)),
            came: Mutex::default(),
            measured: Mutex::default(),
            sync: Mutex::default(),
            ready: watch::Sender::new(Progressed::Recovering { read: 0, of: 0 }),
            changed: Notify::new(),
            look: Notify::new(),
            hurry: Notify::new(),
            batches: Semaphore::new(BATCHES),
            turn: AtomicUsize::new(0),
        });
        let running = tokio::spawn(run(Arc::clone(&shared))).abort_handle();
        Self { shared, running }
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progressed> {
        self.shared.ready.subscribe()
    }

    /// When the server syncs was found out.
    pub fn synced(&self, sync: Syncs) {
        *self.shared.sync.lock().unwrap_or_else(PoisonError::into_inner) = sync;
    }
}

impl Drop for Jetstream {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Opens the streams, then does all that is done in the background.
async fn run(shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    tasks.spawn(tell_of_the_connection(Arc::clone(&shared)));
    let mut told = None;
    while let Err(unfit) = streams::open(&shared.api, &shared.settings).await {
        // That there is no connection is told already.
        if shared.api.is_up() && told.as_ref() != Some(&unfit) {
            shared.settings.tell.tell(Trouble::Unusable(unfit.to_string().into()));
            told = Some(unfit);
        }
        tokio::time::sleep(OPEN_AGAIN).await;
    }
    shared.ready.send_replace(Progressed::Ready);
    tasks.spawn(leases::keep(Arc::clone(&shared)));
    tasks.spawn(pull::keep(Arc::clone(&shared)));
    tasks.spawn(pull::extend(Arc::clone(&shared)));
    tasks.spawn(letters::answer(Arc::clone(&shared)));
    while tasks.join_next().await.is_some() {}
}

async fn tell_of_the_connection(shared: Arc<Shared>) {
    let mut up = shared.api.up.clone();
    let mut was_ready = false;
    loop {
        let soon = tokio::time::timeout(PROMPT, up.wait_for(|up| *up)).await.map(drop);
        if soon.is_err() {
            shared.settings.tell.tell(Trouble::Away);
            if up.wait_for(|up| *up).await.is_err() {
                return;
            }
            shared.settings.tell.tell(Trouble::Back);
        }
        if was_ready {
            shared.ready.send_replace(Progressed::Ready);
        }
        shared.hurry.notify_one();
        if up.wait_for(|up| !*up).await.is_err() {
            return;
        }
        was_ready = shared.ready.send_if_modified(|now| {
            let is_ready = *now == Progressed::Ready;
            if is_ready {
                *now = Progressed::Recovering { read: 0, of: 0 };
            }
            is_ready
        });
    }
}

impl Shared {
    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn came(&self) -> MutexGuard<'_, HashMap<u16, HashMap<Id, Progress>>> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something that may let a record be claimed.
    fn change<T>(&self, change: impl FnOnce(&mut Hands) -> T) -> T {
        let changed = change(&mut self.hands());
        self.changed.notify_waiters();
        changed
    }

    /// Why nothing can be stored or looked at now, if it cannot.
    fn refuses(&self) -> Option<NotStored> {
        if self.hands().closed {
            return Some(NotStored::Broken("it is closed".into()));
        }
        let ready = *self.ready.borrow() == Progressed::Ready;
        (!ready || !self.api.is_up()).then_some(NotStored::Away)
    }
}

impl Store for Jetstream {
    fn guarantee(&self) -> Guarantee {
        match *self.shared.sync.lock().unwrap_or_else(PoisonError::into_inner) {
            Syncs::Always => Guarantee::DiskSynced,
            Syncs::Unknown | Syncs::Every(_) => Guarantee::BrokerDisk,
        }
    }

    fn sync(&self) -> Option<Arc<str>> {
        Some(self.shared.sync.lock().unwrap_or_else(PoisonError::into_inner).word())
    }

    fn put(&self, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<Taken>, NotStored>> {
        self.shared.put(records).boxed()
    }

    fn claim(&self, max: usize) -> BoxFuture<'_, Vec<Claim>> {
        self.shared.claim(max).boxed()
    }

    fn stop(&self) {
        self.shared.change(|hands| hands.stopped = true);
    }

    fn pace(&self, target: &str, at_once: usize) {
        self.shared.change(|hands| hands.schedule.pace(target, at_once));
    }

    fn done(&self, claim: Claim) -> BoxFuture<'_, ()> {
        async move {
            let gone = self.shared.change(|hands| hands.leave_with(claim.id, Leaves::Delivered));
            self.shared.gone(claim.id, gone).await;
        }
        .boxed()
    }

    fn fail(&self, claim: Claim, attempt: Option<Attempt>, then: Then) -> BoxFuture<'_, ()> {
        self.shared.fail(claim, attempt, then).boxed()
    }

    fn release(&self, claim: Claim) {
        self.shared.change(|hands| hands.release(claim.id));
    }

    fn unpark(&self, target: &str) {
        let notes = self.shared.change(|hands| hands.unpark(target));
        let shared = Arc::clone(&self.shared);
        // Others only read it: whoever takes the partition next looks at each record again anyhow.
        drop(tokio::spawn(async move {
            for (id, partition, progress) in notes {
                shared.note(id, partition, &progress).await;
            }
        }));
    }

    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<Id>,
        max: usize,
    ) -> BoxFuture<'a, Result<Page, NotStored>> {
        self.shared.list(filter, after, max).boxed()
    }

    fn newest_dead(&self, max: usize) -> BoxFuture<'_, Result<Vec<Letter>, NotStored>> {
        self.shared.newest_dead(max).boxed()
    }

    fn show(&self, id: Id) -> BoxFuture<'_, Result<Option<Letter>, NotStored>> {
        self.shared.show(id).boxed()
    }

    fn remove(&self, id: Id) -> BoxFuture<'_, Result<bool, NotStored>> {
        self.shared.remove(id).boxed()
    }

    fn replayed(&self, id: Id) -> BoxFuture<'_, Result<bool, NotStored>> {
        self.shared.replayed(id).boxed()
    }

    fn holds(&self) -> Holds {
        self.shared.holds()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.shared.change(|hands| (hands.stopped, hands.closed) = (true, true));
            let words = async {
                leases::release_all(&self.shared).await;
                self.shared.api.client.flush().await.ok();
            };
            if self.shared.api.is_up() {
                drop(tokio::time::timeout(LAST_WORDS, words).await);
            }
            self.shared.ready.send_replace(Progressed::Closed);
            self.running.abort();
        }
        .boxed()
    }
}
