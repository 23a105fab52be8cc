//! How a store writes down who a record is, how far it has come, and that it was given up.
//!
//! In front of a record stands what the store itself wants to know of it, so that a start reads no
//! JSON. Numbers are little-endian.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    Attempt, Millis, Record,
    log::{Place, frame::number},
};

/// Of so many tries the first ones are kept, and of so many the last.
const FIRST_ATTEMPTS: usize = 4;
const LAST_ATTEMPTS: usize = 12;

/// How long a reason is kept, in bytes.
const REASON_MAX: usize = 300;

/// Who a record is, for deduplication: its identity and its target, and what its data was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Who {
    pub(crate) key: [u8; 16],
    pub(crate) data: [u8; 16],
}

/// What stands in front of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index<'a> {
    pub(crate) accepted: Millis,
    pub(crate) target: &'a str,
    pub(crate) order: Option<&'a str>,
    pub(crate) who: Option<Who>,
}

const HAS_ORDER: u8 = 1;
const HAS_WHO: u8 = 2;

impl Who {
    /// Who a record is. A replay is nobody: it is sent because somebody wants it again.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let identity =
            record.head.identity.as_ref().filter(|_| record.head.replay == 0)?.bytes()?;
        let target = record.head.target.as_bytes();
        let key = Sha256::new().chain_update(identity).chain_update(target).finalize();
        let data = Sha256::digest(&record.data);
        Some(Self { key: half(&key), data: half(&data) })
    }
}

fn half(whole: &[u8]) -> [u8; 16] {
    whole.first_chunk().copied().unwrap_or_default()
}

impl<'a> Index<'a> {
    pub(crate) fn of(record: &'a Record, who: Option<Who>) -> Self {
        let head = &record.head;
        Self { accepted: head.accepted, target: &head.target, order: head.order.as_deref(), who }
    }

    /// Writes it.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        let has =
            u8::from(self.order.is_some()) * HAS_ORDER + u8::from(self.who.is_some()) * HAS_WHO;
        into.extend_from_slice(&self.accepted.0.to_le_bytes());
        into.push(has);
        text(into, self.target);
        if let Some(order) = self.order {
            text(into, order);
        }
        if let Some(who) = self.who {
            into.extend_from_slice(&who.key);
            into.extend_from_slice(&who.data);
        }
    }

    /// Reads it, and says what is behind it.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (accepted, bytes) = bytes.split_first_chunk()?;
        let (has, mut bytes) = bytes.split_first()?;
        let target = take_text(&mut bytes)?;
        let order = if has & HAS_ORDER > 0 { Some(take_text(&mut bytes)?) } else { None };
        let mut who = None;
        if has & HAS_WHO > 0 {
            let (key, rest) = bytes.split_first_chunk()?;
            let (data, rest) = rest.split_first_chunk()?;
            who = Some(Who { key: *key, data: *data });
            bytes = rest;
        }
        let accepted = Millis(u64::from_le_bytes(*accepted));
        Some((Self { accepted, target, order, who }, bytes))
    }
}

fn text(into: &mut Vec<u8>, text: &str) {
    into.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    into.extend_from_slice(text.as_bytes());
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *bytes = rest;
    str::from_utf8(text).ok()
}

/// The payload of a record that is put.
pub(crate) fn encode_put(record: &Record, who: Option<Who>) -> Vec<u8> {
    let bytes = record.encode();
    let mut payload = Vec::with_capacity(bytes.len() + 128);
    Index::of(record, who).encode(&mut payload);
    payload.extend_from_slice(&bytes);
    payload
}

/// Reads the record of a payload.
pub(crate) fn decode_put(payload: Vec<u8>) -> Option<Record> {
    let payload = Bytes::from(payload);
    let (_, record) = Index::decode(&payload)?;
    Record::decode(&payload.slice_ref(record)).ok()
}

/// How far a record has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// How often it was tried.
    pub(crate) attempted: u32,
    /// When it is due.
    pub(crate) due: Millis,
    /// It waits for somebody.
    pub(crate) parked: bool,
    /// Why it waits, or was given up.
    pub(crate) why: Option<Cow<'static, str>>,
    /// The tries, but for middle ones of very many.
    pub(crate) attempts: Vec<Attempt>,
}

/// What a start wants to know of how far a record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) place: Place,
    pub(crate) attempted: u32,
    pub(crate) due: Millis,
    pub(crate) parked: bool,
}

/// Where the mark of one that is parked stands.
const PARKED_AT: usize = 12;

impl Progress {
    /// One more try.
    pub(crate) fn tried(&mut self, mut attempt: Attempt) {
        if attempt.reason.len() > REASON_MAX {
            let end = attempt.reason.floor_char_boundary(REASON_MAX);
            attempt.reason.to_mut().truncate(end);
        }
        self.attempted = self.attempted.saturating_add(1);
        self.attempts.push(attempt);
        if self.attempts.len() > FIRST_ATTEMPTS + LAST_ATTEMPTS {
            self.attempts.remove(FIRST_ATTEMPTS);
        }
    }

    /// Its payload; a `short` one has only numbers.
    pub(crate) fn encode(&self, short: bool) -> Vec<u8> {
        let mut payload = Vec::with_capacity(256);
        payload.extend_from_slice(&self.attempted.to_le_bytes());
        payload.extend_from_slice(&self.due.0.to_le_bytes());
        payload.push(u8::from(self.parked));
        if !short {
            // Texts and numbers: there is nothing in it that JSON cannot say.
            serde_json::to_writer(&mut payload, self).unwrap_or_default();
        }
        payload
    }

    /// Reads a payload.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let came = Came::decode(payload, Place { segment: 0, at: 0, len: 0 })?;
        let rest = &payload[PARKED_AT + 1..];
        let told =
            if rest.is_empty() { Self::default() } else { serde_json::from_slice(rest).ok()? };
        let Came { attempted, due, parked, .. } = came;
        Some(Self { attempted, due, parked, ..told })
    }

    /// Says in a payload that it is not parked any more.
    pub(crate) fn unpark(payload: &mut [u8]) {
        if let Some(parked) = payload.get_mut(PARKED_AT) {
            *parked = 0;
        }
    }
}

impl Came {
    pub(crate) fn decode(payload: &[u8], place: Place) -> Option<Self> {
        let parked = *payload.get(PARKED_AT)? != 0;
        let due = u64::from(number(payload, 4)) | u64::from(number(payload, 8)) << 32;
        Some(Self { place, attempted: number(payload, 0), due: Millis(due), parked })
    }
}

/// What is said of a dead letter in front of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadHead {
    /// When it was given up.
    pub(crate) at: Millis,
    /// Those behind it that have the same key wait for it.
    pub(crate) park: bool,
    /// How far it came.
    pub(crate) progress: Progress,
}

/// The payload of a dead letter: when, whether its key is parked, the index, how far it came, the
/// record.
pub(crate) fn encode_dead(record: &Record, head: &DeadHead) -> Vec<u8> {
    let bytes = record.encode();
    let progress = head.progress.encode(false);
    let mut payload = Vec::with_capacity(bytes.len() + progress.len() + 128);
    payload.extend_from_slice(&head.at.0.to_le_bytes());
    payload.push(u8::from(head.park));
    Index::of(record, None).encode(&mut payload);
    payload.extend_from_slice(&u32::try_from(progress.len()).unwrap_or(u32::MAX).to_le_bytes());
    payload.extend_from_slice(&progress);
    payload.extend_from_slice(&bytes);
    payload
}

/// When a letter died, whether its key is parked, and its index; the rest is behind.
pub(crate) fn decode_dead_index(payload: &[u8]) -> Option<(Millis, bool, Index<'_>, &[u8])> {
    let (at, rest) = payload.split_first_chunk()?;
    let (park, rest) = rest.split_first()?;
    let (index, rest) = Index::decode(rest)?;
    Some((Millis(u64::from_le_bytes(*at)), *park != 0, index, rest))
}

/// Reads a dead letter.
pub(crate) fn decode_dead(payload: Vec<u8>) -> Option<(DeadHead, Record)> {
    let payload = Bytes::from(payload);
    let (at, park, _, rest) = decode_dead_index(&payload)?;
    let (len, rest) = rest.split_first_chunk()?;
    let (progress, record) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    let head = DeadHead { at, park, progress: Progress::decode(progress)? };
    Some((head, Record::decode(&payload.slice_ref(record)).ok()?))
}

/// What one of those that were seen takes.
pub(crate) const SEEN: usize = 16 + 16 + 8 + 8;

/// Writes that somebody was seen.
pub(crate) fn encode_seen(into: &mut Vec<u8>, who: Who, id: u64, at: Millis) {
    into.extend_from_slice(&who.key);
    into.extend_from_slice(&who.data);
    into.extend_from_slice(&id.to_le_bytes());
    into.extend_from_slice(&at.0.to_le_bytes());
}

/// Reads all that were seen.
pub(crate) fn decode_seen(payload: &[u8]) -> impl Iterator<Item = (Who, u64, Millis)> {
    payload.chunks_exact(SEEN).filter_map(|one| {
        let (key, one) = one.split_first_chunk()?;
        let (data, one) = one.split_first_chunk()?;
        let (id, at) = one.split_first_chunk()?;
        let at = u64::from_le_bytes(*at.first_chunk()?);
        Some((Who { key: *key, data: *data }, u64::from_le_bytes(*id), Millis(at)))
    })
}
