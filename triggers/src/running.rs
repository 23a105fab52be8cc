//! One source: it connects, takes messages, stores each and settles it, until it is told to stop.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use ingress::Upstream;
use invokers::{
    Tools,
    consume::{self, Consumer, Taken, Wanted},
};
use outbox::NotStored;
use schemas::{Fault, Name};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{Tell, event};

/// The wait after the first failure to connect; each further one doubles it.
const AGAIN_FIRST: Duration = Duration::from_millis(250);
/// The bound of every wait.
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// How long is waited for room in the outbox before it is asked again. Shorter than any broker
/// waits for word of a message.
const ROOM: Duration = Duration::from_secs(1);

/// When a message that the outbox can never take is offered again: a person has to do something.
const HELD: Duration = Duration::from_mins(5);

/// How often it is told that messages were lost.
const LOSSES: Duration = Duration::from_secs(10);

/// What a source has done.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages that were stored.
    pub stored: AtomicU64,
    /// Messages that were stored before, and given again by the broker.
    pub repeated: AtomicU64,
    /// Messages that the outbox cannot take, and that stay with the broker.
    pub held: AtomicU64,
    /// Messages that the outbox cannot take, and that no broker keeps.
    pub dropped: AtomicU64,
    /// Messages that came faster than they could be stored, from a broker that keeps none.
    pub lost: Arc<AtomicU64>,
}

/// Whether a source consumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It is connecting.
    #[default]
    Connecting,
    /// It consumes.
    Consuming,
    /// It waits for room in the outbox.
    Waiting,
    /// It failed, and is tried again.
    Failed(Arc<str>),
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => out.write_str("connecting"),
            Self::Consuming => out.write_str("consuming"),
            Self::Waiting => out.write_str("waiting for room in the outbox"),
            Self::Failed(why) => write!(out, "failed, and is tried again: {why}"),
        }
    }
}

/// What is known of a running source from outside.
pub(crate) struct Shared {
    pub(crate) name: Name,
    pub(crate) counts: Arc<Counts>,
    state: Mutex<State>,
    tell: Tell,
}

impl Shared {
    pub(crate) fn new(name: Name, counts: Arc<Counts>, tell: Tell) -> Self {
        Self { name, counts, state: Mutex::default(), tell }
    }

    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    /// Enters a state, and tells of it if it was in another.
    fn enter(&self, state: State) {
        if std::mem::replace(&mut *self.lock(), state.clone()) != state {
            self.tell(&state);
        }
    }

    fn tell(&self, what: &dyn fmt::Display) {
        (self.tell)(&self.name, what);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A source that runs.
pub(crate) struct Job {
    pub(crate) shared: Arc<Shared>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) wanted: Wanted,
    pub(crate) tools: Tools,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Job {
    /// Consumes until it is told to stop.
    pub(crate) async fn run(mut self) {
        let mut wait = AGAIN_FIRST;
        while !*self.stopping.borrow() {
            let connecting = consume::consume(
                &self.upstream.target,
                &self.tools,
                &self.wanted,
                &self.shared.counts.lost,
            );
            let mut stopping = self.stopping.clone();
            let consumer = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => return,
                consumer = connecting => consumer,
            };
            let why = match consumer {
                Ok(consumer) => {
                    self.shared.enter(State::Consuming);
                    wait = AGAIN_FIRST;
                    match self.take(consumer).await {
                        Some(why) => why,
                        None => return,
                    }
                }
                Err(why) => why,
            };
            let cause = if why.cause.is_some() { why.chain() } else { why.detail.to_string() };
            self.shared.enter(State::Failed(cause.into()));
            let stop = self.stopping.wait_for(|stop| *stop);
            drop(tokio::time::timeout(wait, stop).await);
            wait = (wait * 2).min(AGAIN_MAX);
        }
    }

    /// Takes messages and stores them. Returns why there are no more; none if it is to stop. Either
    /// way what was taken is stored or given back.
    async fn take(&self, mut consumer: Consumer) -> Option<Fault> {
        let room = Arc::new(Semaphore::new(self.wanted.at_once));
        let mut storing = JoinSet::new();
        let mut stopping = self.stopping.clone();
        let mut losses = Losses::new(&self.shared.counts);
        let why = loop {
            // A permit first: what is not taken yet is the broker's to give to others.
            let next = async {
                let permit = Arc::clone(&room).acquire_owned().await.ok()?;
                Some((consumer.next().await, permit))
            };
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => break None,
                next = next => match next {
                    Some((Ok(taken), permit)) => {
                        let store = self.store(taken);
                        storing.spawn(async move {
                            store.await;
                            drop(permit);
                        });
                    }
                    Some((Err(why), _)) => break Some(why),
                    None => break None,
                },
            }
            while storing.try_join_next().is_some() {}
            losses.tell(&self.shared);
        };
        while storing.join_next().await.is_some() {}
        why
    }

    /// Stores a message and settles it.
    fn store(&self, taken: Taken) -> impl Future<Output = ()> + Send + 'static {
        let kind = self.upstream.target.kind();
        let mut record = event::record(&self.shared.name, &self.upstream.name, kind, &taken);
        let (outbox, shared) = (Arc::clone(&self.tools.outbox), Arc::clone(&self.shared));
        let stopping = self.stopping.clone();
        async move {
            loop {
                match outbox.put(vec![record.clone()]).await {
                    Ok(all) => {
                        let repeated = all.iter().all(|one| one.duplicate);
                        let count =
                            if repeated { &shared.counts.repeated } else { &shared.counts.stored };
                        count.fetch_add(1, Relaxed);
                        taken.settle().await;
                        if shared.state() == State::Waiting {
                            shared.enter(State::Consuming);
                        }
                        return;
                    }
                    // Another message that happens to be known by the same name.
                    Err(NotStored::Conflict) => record.head.identity = None,
                    Err(error @ NotStored::TooLarge { .. }) if !taken.is_kept() => {
                        shared.counts.dropped.fetch_add(1, Relaxed);
                        let topic = &taken.topic;
                        shared.tell(&format_args!(
                            "a message of {topic} is lost, as its broker keeps none: {error}"
                        ));
                        return;
                    }
                    Err(error @ NotStored::TooLarge { .. }) => {
                        shared.counts.held.fetch_add(1, Relaxed);
                        let topic = &taken.topic;
                        shared.tell(&format_args!(
                            "a message of {topic} stays with the broker: {error}"
                        ));
                        let mut stopping = stopping.clone();
                        // One that is dropped goes back with its connection.
                        tokio::select! {
                            () = taken.give_back(HELD) => {}
                            _ = stopping.wait_for(|stop| *stop) => {}
                        }
                        return;
                    }
                    Err(_) => {
                        if *stopping.borrow() {
                            return taken.give_back(Duration::ZERO).await;
                        }
                        shared.enter(State::Waiting);
                        taken.keep().await;
                        tokio::time::sleep(ROOM).await;
                    }
                }
            }
        }
    }
}

/// How much of what was lost has been told.
struct Losses {
    told: u64,
    at: Option<Instant>,
}

impl Losses {
    fn new(counts: &Counts) -> Self {
        Self { told: counts.lost.load(Relaxed), at: None }
    }

    /// Tells of what was lost since, if it is time to.
    fn tell(&mut self, shared: &Shared) {
        let lost = shared.counts.lost.load(Relaxed);
        if lost == self.told || self.at.is_some_and(|at| at.elapsed() < LOSSES) {
            return;
        }
        shared.tell(&format_args!(
            "{} messages were lost: they came faster than they could be stored, and their broker \
             keeps none",
            lost - self.told
        ));
        (self.told, self.at) = (lost, Some(Instant::now()));
    }
}
