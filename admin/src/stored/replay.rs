//! Replaying: records are stored once more, for a target that somebody names, and then marked. It
//! is stored first: whatever dies in between, nothing is lost, and what is done twice is known by
//! the same identity.

use ::outbox::{Id, Letter, NotStored, Record, State, Store, worker::Elsewhere};
use futures_util::future::join_all;
use ingress::Table;
use invokers::{
    Target,
    embedded::{self, SOURCE},
};
use schemars::JsonSchema;
use schemas::{Ack, Class, Fault, Format};
use serde::{Deserialize, Serialize};

use super::{
    Counted, Which, unusable,
    work::{count, look},
};
use crate::{Problem, invoke};

/// What is to be replayed, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// The target: `upstream/function` without placeholders, or `source:` and the name of a source.
    pub to: String,
    /// Which records: dead letters, unless `state` says `parked`.
    #[serde(default)]
    pub records: Which,
    /// Only check the target and count.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replayed {
    /// How many records; of a dry run how many would be.
    pub replayed: u64,
    /// What their data takes, in bytes.
    pub bytes: u64,
    /// The number of the last of them.
    pub last: Option<u64>,
    /// What to write as `after` to go on; null if there are no more.
    pub next: Option<u64>,
}

/// Whom an address means in this table, with what its kind does by default.
///
/// # Errors
/// If it means nobody, or more than one.
fn destination(table: &Table, to: &str) -> Result<Elsewhere, Problem> {
    if let Some(name) = to.strip_prefix(SOURCE) {
        if !table.sources.contains_key(name) {
            let said = format!("there is no source `{name}`");
            return Err(Problem::new(Class::BadRequest, said));
        }
        // Its routes say how it is delivered.
        return Ok(Elsewhere {
            target: to.to_owned(),
            function: String::new(),
            ack: Ack::Stored,
            format: Format::Auto,
        });
    }
    let (address, upstream, function) = invoke::function(table, to)?;
    let kind = &upstream.target;
    if matches!(kind, Target::Embedded(_)) && !embedded::is_topic(&function) {
        let said = format!("`{address}` is no topic that can be published to; write whole names");
        return Err(Problem::new(Class::BadRequest, said));
    }
    Ok(Elsewhere {
        target: address.to_string(),
        ack: kind.acks(&function).first().copied().unwrap_or(Ack::Replied),
        format: kind.default_format(&function),
        function,
    })
}

/// Replays some of the records that are asked for.
pub(crate) async fn replay(
    table: &Table,
    store: &dyn Store,
    asked: &Replay,
) -> Result<Replayed, Problem> {
    let to = destination(table, &asked.to)?;
    let state = asked.records.state.unwrap_or(State::Dead);
    if !matches!(state, State::Dead | State::Parked) {
        let said = "only dead letters and parked events can be replayed: what is pending is delivered \
                    anyhow, and what was replayed has a record of its own";
        return Err(Problem::new(Class::BadRequest, said));
    }
    let which = Which { state: Some(state), ..asked.records.clone() };
    if asked.dry_run {
        let Counted { count, bytes, last, next } = count(store, &which).await?;
        return Ok(Replayed { replayed: count, bytes, last, next });
    }
    let wanted = which.read()?;
    let mut ids: Vec<Id> = Vec::new();
    let mut copies: Vec<Record> = Vec::new();
    let take = |letter: Letter| {
        ids.push(letter.id);
        copies.push(letter.record.replay_to(&to));
    };
    let mut next = look(store, &wanted, wanted.limit, take).await.map_err(unusable)?;
    let mut bytes: Vec<u64> = copies.iter().map(|copy| copy.data.len() as u64).collect();
    let stored = put(store, copies).await?;
    if stored < ids.len() {
        ids.truncate(stored);
        bytes.truncate(stored);
        // The next request meets what has stopped this one, and tells it.
        next = ids.last().copied();
    }
    let (replayed, last) = (ids.len() as u64, ids.last().map(|id| id.0));
    let marks = ids.into_iter().map(|id| match state {
        State::Dead => store.replayed(id),
        // Its copy goes where it could not.
        _ => store.remove(id),
    });
    for marked in join_all(marks).await {
        // One that has gone by itself meanwhile is not there to be marked.
        marked.map_err(|error| {
            let said = format!(
                "what was replayed could not be marked, and may be replayed again: {error}"
            );
            Problem::from(Fault::new(Class::Unavailable, said).maybe())
        })?;
    }
    let bytes = bytes.iter().sum();
    Ok(Replayed { replayed, bytes, last, next: next.map(|id| id.0) })
}

/// Stores these, and says how many of them, from the first on: at least one, or it has failed.
async fn put(store: &dyn Store, copies: Vec<Record>) -> Result<usize, Problem> {
    let count = copies.len();
    if count == 0 {
        return Ok(0);
    }
    match store.put(copies.clone()).await {
        Ok(_) => return Ok(count),
        // Each alone may be small enough.
        Err(NotStored::TooLarge { .. } | NotStored::TooMany { .. }) if count > 1 => {}
        Err(error) => return Err(unusable(error)),
    }
    for (stored, copy) in copies.into_iter().enumerate() {
        match store.put(vec![copy]).await {
            Ok(_) => {}
            Err(error) if stored == 0 => return Err(unusable(error)),
            Err(_) => return Ok(stored),
        }
    }
    Ok(count)
}
