//! What a store of accepted events can do. There is one in files, one in memory and one in
//! JetStream; all keep the same promises, and a test suite holds them to it.

use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use schemas::{Class, Guarantee, Ran};
use serde::{Deserialize, Serialize};

use crate::Record;

/// A point in time: milliseconds since 1970 (UTC). It is stored, so it is no `Instant`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Millis(pub u64);

impl Millis {
    /// Now, by the system's clock.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How much later than `earlier`; nothing if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The number of a record in its store. Rises, and is never given twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Id(pub u64);

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// How far a record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for its time, or for a place among those that are delivered.
    Pending,
    /// It is being delivered.
    Delivering,
    /// It waits for somebody to do something: its target is gone, or its key is parked.
    Parked,
    /// It was given up: a dead letter.
    Dead,
    /// A dead letter that has been replayed.
    Replayed,
}

/// One try to deliver a record, that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it ended.
    pub at: Millis,
    /// What kind of failure it was: the name of a [`Class`], or a finer code.
    pub class: Cow<'static, str>,
    /// May the function have run?
    pub ran: Ran,
    /// What happened, in a sentence without secrets.
    pub reason: Cow<'static, str>,
}

/// A record that is being delivered. It is given to one worker at a time.
#[derive(Debug)]
pub struct Claim {
    /// Which.
    pub id: Id,
    /// What was stored.
    pub record: Record,
    /// How many tries there were before this one.
    pub attempts: u32,
    /// How often in a row its target was in trouble ([`Then::Again`] with a hold).
    pub trouble: u32,
}

/// What becomes of a record after a try that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is tried again.
    Again {
        /// Not before this.
        at: Millis,
        /// The target itself is in trouble: nothing else is sent there before this.
        hold: Option<Millis>,
    },
    /// It is given up, and kept as a dead letter.
    Dead {
        /// Why, in a sentence.
        why: Cow<'static, str>,
        /// Whether the records behind it that have the same key wait until somebody has dealt with
        /// it (`on_poison: park`).
        park: bool,
    },
    /// It waits until somebody does something.
    Parked {
        /// For what, as a code such as `target_gone`.
        why: Cow<'static, str>,
    },
}

/// Why an event of a topic is parked that no source consumes.
pub const NO_SOURCE: &str = "no_source";
/// Why a record is parked whose target is in the configuration no more.
pub const TARGET_GONE: &str = "target_gone";

/// What became of a record that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its number, or that of the record that it repeats.
    pub id: Id,
    /// It repeats one that was stored before, and was not stored again.
    pub duplicate: bool,
}

/// Why nothing was stored, but for [`NotStored::Unanswered`]. Of the records of one `put` all are
/// stored, or none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// The store is being read; come again soon.
    #[error("the outbox is being read after a start")]
    Recovering,
    /// The server that keeps it cannot be reached now; nothing was sent.
    #[error("the server of the outbox cannot be reached")]
    Away,
    /// The server that keeps it has not answered: it may have been stored.
    #[error("the server of the outbox has not answered, so that the event may be stored or not")]
    Unanswered,
    /// More records at once than the store takes.
    #[error("the outbox takes at most {limit} events at once")]
    TooMany {
        /// So many.
        limit: usize,
    },
    /// The target has as much waiting as it may.
    #[error("as many events wait for {target} as may")]
    TargetFull {
        /// The address of the target, as it is written.
        target: String,
    },
    /// The store is as large as it may be.
    #[error("the outbox is full")]
    Full,
    /// There is no room on the disk.
    #[error("the disk of the outbox is full")]
    DiskFull,
    /// What was to be stored is larger than the store takes at once.
    #[error(
        "{} larger than {limit} bytes, which is what the outbox takes at once",
        what_is(*records)
    )]
    TooLarge {
        /// How many records it was: one for each event and target.
        records: usize,
        /// What it takes, in bytes.
        limit: usize,
    },
    /// The same identity was stored with other data.
    #[error("an event of the same identity was stored with other data")]
    Conflict,
    /// The store failed or is closed; for the log.
    #[error("the outbox cannot be written: {0}")]
    Broken(Arc<str>),
}

/// Which records are meant. What is not said is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// Of this route.
    pub route: Option<String>,
    /// For this target, by its address as it is written.
    pub target: Option<String>,
    /// Events of this type; a `*` at the end makes it a prefix.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Accepted at this time or later.
    pub since: Option<Millis>,
    /// Accepted before this time.
    pub until: Option<Millis>,
    /// The event's own id.
    pub event: Option<String>,
}

/// A record as a person sees it.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its number.
    pub id: Id,
    /// How far it has come.
    pub state: State,
    /// What was stored.
    pub record: Record,
    /// The tries that failed, in their order; of very many the middle ones are left out.
    pub attempts: Vec<Attempt>,
    /// How many there were.
    pub attempted: u32,
    /// When it is tried next; none if it is not.
    pub due: Option<Millis>,
    /// Why it is dead or parked.
    pub why: Option<Cow<'static, str>>,
}

/// Some of the records that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// These, by rising number. There may be few, or none, and more to come.
    pub letters: Vec<Letter>,
    /// Where the next page begins: after this number. None if there is no more.
    pub next: Option<Id>,
}

/// How much a store holds for one target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The target's address as it is written.
    pub target: String,
    /// Waiting, or being delivered.
    pub pending: u64,
    /// Being delivered.
    pub delivering: u64,
    /// Waiting for somebody.
    pub parked: u64,
    /// What these take, in bytes.
    pub bytes: u64,
    /// When the oldest of them was accepted.
    pub oldest: Option<Millis>,
}

/// How much a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holds {
    /// By target.
    pub targets: Vec<Held>,
    /// Dead letters that were not replayed.
    pub dead: u64,
    /// What all dead letters take, in bytes.
    pub dead_bytes: u64,
    /// Dead letters that went because there were too many or they were too old.
    pub dead_lost: u64,
    /// Records that were found damaged and are not delivered.
    pub damaged: u64,
    /// What the store takes on its disk, in bytes.
    pub disk_bytes: u64,
}

/// Keeps accepted events until they are delivered or given up.
///
/// A record that was put is claimed until a `done` or a `fail` with [`Then::Dead`] is there, over
/// any number of restarts. A claim that ends without a word (the process died) is claimed again.
pub trait Store: Send + Sync + fmt::Debug {
    /// What a `put` that has returned is safe from.
    fn guarantee(&self) -> Guarantee;

    /// When what is stored is synced, where that is another's to say: `always`, a time, or
    /// `unknown`.
    fn sync(&self) -> Option<Arc<str>> {
        None
    }

    /// Stores all of these or none, and returns once they are safe.
    ///
    /// # Errors
    /// [`NotStored`]; then nothing was stored, or nobody knows.
    fn put(&self, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<Taken>, NotStored>>;

    /// Waits for records that are due and claims up to `max` of them, in the order in which their
    /// targets come round. Of one target no more are claimed at once than [`Store::pace`] allows;
    /// of one key of a target one, and the oldest first. Empty once the store is stopped or closed.
    /// Not to be dropped before it is done: what it has claimed would stay claimed.
    fn claim(&self, max: usize) -> BoxFuture<'_, Vec<Claim>>;

    /// Nothing is claimed any more: whoever waits for something to claim is told so. What was
    /// claimed can still be brought to its end, and events are still stored.
    fn stop(&self);

    /// How many records of a target may be claimed at once.
    fn pace(&self, target: &str, at_once: usize);

    /// The record was delivered, and is forgotten.
    fn done(&self, claim: Claim) -> BoxFuture<'_, ()>;

    /// A try failed, or (without an `attempt`) nothing was sent and no try is counted. A dead
    /// letter is safe before the record is forgotten.
    fn fail(&self, claim: Claim, attempt: Option<Attempt>, then: Then) -> BoxFuture<'_, ()>;

    /// Gives claims back as if they had not been made.
    fn release(&self, claim: Claim);

    /// What is parked for this reason at this target is pending again.
    fn unpark(&self, target: &str);

    /// The records that a filter asks for, by rising number, after `after`.
    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<Id>,
        max: usize,
    ) -> BoxFuture<'a, Result<Page, NotStored>>;

    /// The dead letters with the highest numbers that were not replayed, the highest first. What is
    /// written here reads all that there are.
    fn newest_dead(&self, max: usize) -> BoxFuture<'_, Result<Vec<Letter>, NotStored>> {
        Box::pin(async move {
            let filter = Filter { state: Some(State::Dead), ..Filter::default() };
            let mut newest = Vec::new();
            let mut after = None;
            loop {
                let page = self.list(&filter, after, max).await?;
                newest.extend(page.letters);
                newest.drain(..newest.len().saturating_sub(max));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            newest.reverse();
            Ok(newest)
        })
    }

    /// One record.
    fn show(&self, id: Id) -> BoxFuture<'_, Result<Option<Letter>, NotStored>>;

    /// Forgets a record that is not being delivered. Returns whether it was there.
    fn remove(&self, id: Id) -> BoxFuture<'_, Result<bool, NotStored>>;

    /// Marks a dead letter as replayed.
    fn replayed(&self, id: Id) -> BoxFuture<'_, Result<bool, NotStored>>;

    /// How much it holds.
    fn holds(&self) -> Holds;

    /// Takes nothing more, writes what is under way and lets go of the files.
    fn close(&self) -> BoxFuture<'_, ()>;
}

fn what_is(records: usize) -> Cow<'static, str> {
    match records {
        0 | 1 => "the event is".into(),
        many => format!("{many} records (one for each event and target) are together").into(),
    }
}

impl Attempt {
    /// A try that failed now.
    #[must_use]
    pub fn now(class: Class, ran: Ran, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { at: Millis::now(), class: class.name().into(), ran, reason: reason.into() }
    }
}

impl Filter {
    /// Whether a record of this state is asked for.
    #[must_use]
    pub fn fits(&self, record: &Record, state: State) -> bool {
        let head = &record.head;
        let event = head.event();
        let kind = |wanted: &String| match (wanted.strip_suffix('*'), event) {
            (_, None) => false,
            (Some(prefix), Some(event)) => event.kind.starts_with(prefix),
            (None, Some(event)) => event.kind == *wanted,
        };
        self.state.is_none_or(|wanted| wanted == state)
            && self.route.as_ref().is_none_or(|route| *route == *head.route)
            && self.target.as_ref().is_none_or(|target| *target == *head.target)
            && self.kind.as_ref().is_none_or(kind)
            && self.since.is_none_or(|since| head.accepted >= since)
            && self.until.is_none_or(|until| head.accepted < until)
            && self.event.as_ref().is_none_or(|id| event.is_some_and(|event| event.id == *id))
    }
}
