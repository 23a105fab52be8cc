//! The outbox over the admin API: what it holds, one record whole, and what somebody can do with
//! records: drop them, or replay them to a target of the live table.
//!
//! Every request looks at a bounded number of records and says where the next one begins, so that
//! no backlog keeps one busy for long.

mod letters;
mod replay;
mod which;
mod work;

use ::outbox::{Held, Holds, Id, Millis, Store};
use invokers::embedded::not_stored;
use schemars::JsonSchema;
use schemas::{Class, Guarantee};
use serde::{Deserialize, Serialize};

use crate::Problem;

pub use letters::{Latest, Letter, Tried};
pub(crate) use replay::replay;
pub use replay::{Replay, Replayed};
pub use which::{When, Which};
pub use work::{Counted, Dropped, Listed};
pub(crate) use work::{count, drop_all, drop_one, list, newest_dead, show};

/// What the outbox holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Outbox")]
pub struct Sums {
    /// Whether there is one: nothing is opened before something that is served needs it.
    pub open: bool,
    /// What an event is safe from once it is stored.
    pub guarantee: Guarantee,
    /// By target, sorted by address.
    pub targets: Vec<OfTarget>,
    /// Dead letters that were not replayed.
    pub dead: u64,
    /// What all dead letters take, in bytes.
    pub dead_bytes: u64,
    /// Dead letters that went because there were too many or they were too old.
    pub dead_lost: u64,
    /// Records that were found damaged and are not delivered.
    pub damaged: u64,
    /// What the outbox takes on its disk, in bytes.
    pub disk_bytes: u64,
}

/// What the outbox holds for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OutboxTarget")]
pub struct OfTarget {
    /// The target's address as written; of a source `source:` and its name.
    pub target: String,
    /// Records that wait, or are being delivered.
    pub pending: u64,
    /// Records that are being delivered.
    pub delivering: u64,
    /// Records that wait for somebody.
    pub parked: u64,
    /// What these take, in bytes.
    pub bytes: u64,
    /// When the oldest of them was accepted (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
}

/// What a store holds; none has nothing.
pub(crate) fn sums(store: Option<&dyn Store>) -> Sums {
    let Holds { mut targets, dead, dead_bytes, dead_lost, damaged, disk_bytes } =
        store.map(Store::holds).unwrap_or_default();
    targets.sort_unstable_by(|a, b| a.target.cmp(&b.target));
    Sums {
        open: store.is_some(),
        guarantee: store.map_or(Guarantee::None, Store::guarantee),
        targets: targets.into_iter().map(OfTarget::from).collect(),
        dead,
        dead_bytes,
        dead_lost,
        damaged,
        disk_bytes,
    }
}

impl From<Held> for OfTarget {
    fn from(held: Held) -> Self {
        let Held { target, pending, delivering, parked, bytes, oldest } = held;
        Self { target, pending, delivering, parked, bytes, oldest: oldest.map(told) }
    }
}

/// There is no outbox.
pub(crate) fn none() -> Problem {
    let said = "this gateway stores nothing: no route says `ack: stored` or `to_all`, and no upstream \
                is of kind embedded";
    schemas::Fault::new(Class::NotFound, said).code("no_outbox").into()
}

fn no_such(id: Id) -> Problem {
    let said = format!(
        "there is no record {id} in the outbox: it was delivered or dropped, or it never was"
    );
    schemas::Fault::new(Class::NotFound, said).code("no_such_record").into()
}

fn unusable(error: ::outbox::NotStored) -> Problem {
    not_stored(&error).into()
}

/// A point in time for people and programs (RFC 3339), to the millisecond.
fn told(at: Millis) -> String {
    let at = i64::try_from(at.0).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| "unknown".to_owned(), |at| format!("{at:.3}"))
}
