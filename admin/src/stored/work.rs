//! Looking at records and dropping them: so many at a time, whatever the backlog.

use std::time::{Duration, Instant};

use ::outbox::{Id, Letter, NotStored, State, Store};
use futures_util::future::join_all;
use schemars::JsonSchema;
use schemas::{Class, Fault};
use serde::{Deserialize, Serialize};

use super::{Latest, Which, letters, no_such, unusable, which::Wanted};
use crate::Problem;

/// How many records the store is asked for at once.
const PAGE: usize = 1024;
/// After so much of data, in bytes, a request ends and the next goes on.
const BYTES_MAX: usize = 16 << 20;
/// The same after so long.
const WITHIN: Duration = Duration::from_secs(2);
/// How many records one request counts.
const COUNT_MAX: usize = 10_000;
/// How many dead letters are the newest.
const NEWEST: usize = 20;

/// Some of the records that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OutboxList")]
pub struct Listed {
    /// These, by rising number. There may be fewer than asked for, and more to come.
    pub records: Vec<Latest>,
    /// What to write as `after` for more; null if there are none.
    pub next: Option<u64>,
}

/// How many records were found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OutboxCount")]
pub struct Counted {
    /// How many.
    pub count: u64,
    /// What their data takes, in bytes.
    pub bytes: u64,
    /// The number of the last of them.
    pub last: Option<u64>,
    /// What to write as `after` to count on; null if there are no more.
    pub next: Option<u64>,
}

/// How many records were dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OutboxDropped")]
pub struct Dropped {
    /// How many.
    pub dropped: u64,
    /// How many were left because they were being delivered, or had just gone.
    pub left: u64,
    /// What to write as `after` to drop on; null if there are no more.
    pub next: Option<u64>,
}

/// Takes up to `limit` records that are wanted, or fewer if they are large or hard to find. Returns
/// the number after which it goes on.
pub(super) async fn look(
    store: &dyn Store,
    wanted: &Wanted,
    limit: usize,
    mut take: impl FnMut(Letter),
) -> Result<Option<Id>, NotStored> {
    let began = Instant::now();
    let mut after = wanted.after;
    let (mut taken, mut bytes) = (0, 0);
    loop {
        let page = store.list(&wanted.filter, after, PAGE.min(limit - taken)).await?;
        for letter in page.letters {
            if wanted.is_past(&letter) {
                return Ok(None);
            }
            bytes += letter.record.data.len();
            if wanted.holds(&letter) {
                taken += 1;
                take(letter);
            }
        }
        after = page.next;
        if after.is_none() || taken >= limit || bytes >= BYTES_MAX || began.elapsed() >= WITHIN {
            return Ok(after);
        }
    }
}

/// Some of the records that are asked for.
pub(crate) async fn list(store: &dyn Store, which: &Which) -> Result<Listed, Problem> {
    let wanted = which.read()?;
    let mut records = Vec::new();
    let take = |letter: Letter| records.push(Latest::from(&letter));
    let next = look(store, &wanted, wanted.limit, take).await.map_err(unusable)?;
    Ok(Listed { records, next: next.map(|id| id.0) })
}

/// How many there are.
pub(crate) async fn count(store: &dyn Store, which: &Which) -> Result<Counted, Problem> {
    let wanted = which.read()?;
    let mut counted = Counted::default();
    let take = |letter: Letter| {
        counted.count += 1;
        counted.bytes += letter.record.data.len() as u64;
        counted.last = Some(letter.id.0);
    };
    let next = look(store, &wanted, COUNT_MAX, take).await.map_err(unusable)?;
    counted.next = next.map(|id| id.0);
    Ok(counted)
}

/// The newest dead letters, the newest first.
pub(crate) async fn newest_dead(store: &dyn Store) -> Result<Vec<Latest>, Problem> {
    let letters = store.newest_dead(NEWEST).await.map_err(unusable)?;
    Ok(letters.iter().map(Latest::from).collect())
}

/// One record.
pub(crate) async fn show(store: &dyn Store, id: Id) -> Result<letters::Letter, Problem> {
    let letter = store.show(id).await.map_err(unusable)?.ok_or_else(|| no_such(id))?;
    Ok(letters::Letter::from(&letter))
}

/// Drops one record, and returns what it was.
pub(crate) async fn drop_one(store: &dyn Store, id: Id) -> Result<Latest, Problem> {
    let letter = store.show(id).await.map_err(unusable)?.ok_or_else(|| no_such(id))?;
    if store.remove(id).await.map_err(unusable)? {
        return Ok(Latest::from(&letter));
    }
    match store.show(id).await.map_err(unusable)? {
        None => Err(no_such(id)),
        Some(_) => {
            let said = format!("record {id} is being delivered; try again in a moment");
            Err(Fault::new(Class::Conflict, said).code("being_delivered").into())
        }
    }
}

/// Drops some of the records that are asked for; those that are being delivered stay.
pub(crate) async fn drop_all(store: &dyn Store, which: &Which) -> Result<Dropped, Problem> {
    if which.is_all() {
        return Err(Problem::new(
            Class::BadRequest,
            "this would drop everything; say which: state, route, target, type, since, until, \
             event_id or where",
        ));
    }
    let wanted = which.read()?;
    let mut ids = Vec::new();
    let mut left = 0;
    let take = |letter: Letter| match letter.state {
        State::Delivering => left += 1,
        _ => ids.push(letter.id),
    };
    let next = look(store, &wanted, wanted.limit, take).await.map_err(unusable)?;
    // Together, so that a store that syncs does so once for many.
    let removed = join_all(ids.into_iter().map(|id| store.remove(id))).await;
    let mut dropped = Dropped { dropped: 0, left, next: next.map(|id| id.0) };
    for removed in removed {
        if removed.map_err(unusable)? { dropped.dropped += 1 } else { dropped.left += 1 }
    }
    Ok(dropped)
}
