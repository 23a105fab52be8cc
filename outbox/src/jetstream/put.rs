//! Storing records: one is one message, several are one atomic batch. Who a record is, is written
//! before the record, so that nobody is told of a repetition of what was never stored.

use std::sync::atomic::Ordering;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::Duration;

use super::{
    Shared,
    api::{Acked, Refused},
    names::{PARTITIONS, partition},
};
use crate::{Id, NotStored, Record, Taken, entry::Who, record::Hex};

/// How many records are stored together at most: what the server takes in one batch.
pub const TOGETHER_MAX: usize = 1000;

/// How much larger a dead letter may be than its record, in bytes: it says why, and what was tried.
const LETTER: usize = 16 << 10;

/// How often a batch is tried again that finds too many others open.
const CROWDED: u32 = 20;

/// How often it is asked whether somebody who was first has come to an end.
const LOOKS: u32 = 5;

/// What is kept of somebody who was seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    /// The hash of the data.
    data: String,
    /// The number of the record, once it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
}

/// What is known of who a record is.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// Nobody: it is stored whatever else there is.
    Nobody,
    /// Seen for the first time, as a message of this number says.
    New { who: Who, note: u64 },
    /// Seen before with the same data, and perhaps not stored: the server knows.
    Perhaps { who: Who },
    /// It repeats this one.
    Repeats(Id),
    /// It repeats another of the same put, at this place.
    Like(usize),
}

/// A record as it goes to the server.
struct Ready {
    subject: String,
    headers: HeaderMap,
    data: Bytes,
}

impl Shared {
    pub(super) async fn put(&self, records: Vec<Record>) -> Result<Vec<Taken>, NotStored> {
        if let Some(refused) = self.refuses() {
            return Err(refused);
        }
        if records.len() > TOGETHER_MAX {
            return Err(NotStored::TooMany { limit: TOGETHER_MAX });
        }
        let limit = self.api.client.max_payload().saturating_sub(LETTER);
        let mut ready = Vec::with_capacity(records.len());
        for record in &records {
            let data = record.encode();
            if data.len() > limit {
                return Err(NotStored::TooLarge { records: 1, limit });
            }
            ready.push((self.place(record), data));
        }
        self.shares(&records)?;
        let known = self.identify(&records).await?;
        let places = ready.iter().map(|(subject, data)| (subject.clone(), data.len())).collect();
        let mut wanted = Vec::new();
        for (known, (subject, data)) in known.iter().zip(ready) {
            let mut headers = HeaderMap::new();
            if let Known::New { who, .. } | Known::Perhaps { who } = known {
                let id = format!("{}{}", Hex::of(&who.key), Hex::of(&who.data));
                headers.insert("Nats-Msg-Id", id);
            }
            if !matches!(known, Known::Repeats(_) | Known::Like(_)) {
                wanted.push(Ready { subject, headers, data });
            }
        }
        let stored = match self.store(wanted).await {
            Ok(stored) => stored,
            Err(refused) => {
                if !refused.is_certain() {
                    return Err(NotStored::Unanswered);
                }
                self.unsee(&known).await;
                return Err(match NotStored::from(refused) {
                    NotStored::TooLarge { .. } => NotStored::TooLarge { records: 1, limit },
                    other => other,
                });
            }
        };
        let taken = self.settle(&known, stored).await;
        self.stored(&records, places);
        Ok(taken)
    }

    /// Where a record goes.
    fn place(&self, record: &Record) -> String {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let partition = partition(record.head.order.as_deref(), turn, PARTITIONS);
        self.api.names.record(partition, &record.head.target)
    }

    /// Stores these. Returns what the server says of each.
    async fn store(&self, mut wanted: Vec<Ready>) -> Result<Vec<Acked>, Refused> {
        match wanted.len() {
            0 => return Ok(Vec::new()),
            1 => {
                let Some(Ready { subject, headers, data }) = wanted.pop() else {
                    return Ok(Vec::new());
                };
                return Ok(vec![self.api.publish(subject, headers, data).await?]);
            }
            _ => {}
        }
        // Whoever closes the store closes this too.
        let _permit = self.batches.acquire().await.map_err(|_| Refused::Away)?;
        let mut tries = 0;
        loop {
            let messages = wanted.iter();
            let messages =
                messages.map(|one| (one.subject.clone(), one.headers.clone(), one.data.clone()));
            match self.api.batch(messages.collect()).await {
                Ok(last) => {
                    let first = last.seq + 1 - wanted.len() as u64;
                    let each = first..=last.seq;
                    return Ok(each.map(|seq| Acked { seq, duplicate: false }).collect());
                }
                Err(refused) if refused.is_crowded() && tries < CROWDED => {
                    tries += 1;
                    let wait = u64::from(tries) * 5 + u64::from(std::process::id() % 7);
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                // Some were stored by somebody whose answer was lost, perhaps this caller itself.
                Err(Refused::Said { err_code: 10_201, .. }) => break,
                Err(other) => return Err(other),
            }
        }
        let mut stored = Vec::with_capacity(wanted.len());
        for Ready { subject, headers, data } in wanted {
            // What is stored of them already can be told no more from what is not.
            let acked = self.api.publish(subject, headers, data).await;
            stored.push(acked.map_err(|_| Refused::Silent)?);
        }
        Ok(stored)
    }

    /// Writes down who each record is, and says what is known.
    async fn identify(&self, records: &[Record]) -> Result<Vec<Known>, NotStored> {
        let whos: Vec<Option<Who>> = records.iter().map(Who::of).collect();
        let mut alike = vec![None; whos.len()];
        for (at, who) in whos.iter().enumerate() {
            let Some(who) = who else { continue };
            let same = |one: &Option<Who>| one.as_ref().is_some_and(|one| one.key == who.key);
            let first = whos.iter().position(same).filter(|first| *first < at);
            if let Some(first) = first {
                if whos[first].is_some_and(|one| one.data != who.data) {
                    return Err(NotStored::Conflict);
                }
                alike[at] = Some(first);
            }
        }
        let each = whos.iter().zip(&alike).map(async |(who, like)| match (who, like) {
            (_, Some(first)) => Ok(Known::Like(*first)),
            (None, None) => Ok(Known::Nobody),
            (Some(who), None) => self.see(who).await,
        });
        let results: Vec<Result<Known, NotStored>> = join_all(each).await;
        let mut known = Vec::with_capacity(results.len());
        let mut failed = None;
        for result in results {
            match result {
                Ok(one) => known.push(one),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            None => Ok(known),
            Some(error) => {
                self.unsee(&known).await;
                Err(error)
            }
        }
    }

    /// Writes down who one record is, unless it is known.
    async fn see(&self, who: &Who) -> Result<Known, NotStored> {
        let subject = self.api.names.seen_as(who);
        let data = Hex::of(&who.data).to_string();
        let note = Seen { data: data.clone(), id: None }.encode();
        for look in 0..=LOOKS {
            let new = self.api.swap(subject.clone(), 0, HeaderMap::new(), note.clone()).await?;
            if let Ok(note) = new {
                return Ok(Known::New { who: *who, note });
            }
            let last = self.api.last_for_sure(&self.api.names.seen(), &subject).await?;
            // Its time was up in between.
            let Some(kept) = last else { continue };
            let seen: Seen = serde_json::from_slice(&kept.data)
                .map_err(|_| NotStored::Broken("who was seen cannot be read".into()))?;
            if seen.data != data {
                return Err(NotStored::Conflict);
            }
            if let Some(id) = seen.id {
                return Ok(Known::Repeats(Id(id)));
            }
            // Whoever was first is about to store it, or has died.
            if look < LOOKS {
                tokio::time::sleep(Duration::from_millis(10 << look)).await;
            }
        }
        Ok(Known::Perhaps { who: *who })
    }

    /// Nothing was stored of those who were seen for the first time.
    async fn unsee(&self, known: &[Known]) {
        let stream = self.api.names.seen();
        for one in known {
            if let Known::New { note, .. } = one {
                // What stays is forgotten in time; until then other data is a conflict.
                self.api.delete(&stream, *note).await.ok();
            }
        }
    }

    /// Says what became of each record, and writes down the numbers of those who were seen.
    async fn settle(&self, known: &[Known], stored: Vec<Acked>) -> Vec<Taken> {
        let mut stored = stored.into_iter();
        let mut taken: Vec<Taken> = Vec::with_capacity(known.len());
        for one in known {
            let next = match one {
                Known::Repeats(id) => Taken { id: *id, duplicate: true },
                Known::Like(first) => Taken { id: taken[*first].id, duplicate: true },
                Known::Nobody | Known::New { .. } | Known::Perhaps { .. } => {
                    let Some(acked) = stored.next() else { continue };
                    let id = Id(acked.seq);
                    if let Known::New { who, .. } | Known::Perhaps { who } = one {
                        let data = Hex::of(&who.data).to_string();
                        let note = Seen { data, id: Some(id.0) }.encode();
                        let subject = self.api.names.seen_as(who);
                        // Nobody waits for it: until it is there, and if it never is, the stream
                        // itself knows the message again.
                        self.api.client.publish(subject, note).await.ok();
                    }
                    Taken { id, duplicate: acked.duplicate }
                }
            };
            taken.push(next);
        }
        taken
    }
}

impl Seen {
    fn encode(&self) -> Bytes {
        // Texts and numbers: there is nothing in it that JSON cannot say.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}
