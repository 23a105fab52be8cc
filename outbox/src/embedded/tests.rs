//! The store over a disk that is simulated, and over the real one.

mod cuts;
mod damage;
mod figures;
mod promises;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use schemas::{Ack, Body, Call, Class, Ran};

use super::*;
use crate::{disk::simulated::Simulated, record::Hex};

/// Everything that a store has told.
type Told = Arc<Mutex<Vec<Trouble>>>;

/// A store of segments so small that they come and go.
const SEGMENT: u32 = 16 << 10;

fn settings(segments: u64) -> (Settings, Told) {
    let told = Told::default();
    let tell = Tell::new({
        let told = Arc::clone(&told);
        move |trouble| told.lock().unwrap().push(trouble)
    });
    let settings = Settings {
        max_size: segments * u64::from(SEGMENT),
        per_target: 100,
        dead_max_size: 1 << 20,
        dead_keep: Duration::from_hours(1),
        dedupe: Duration::from_mins(10),
        tell,
    };
    (settings, told)
}

fn open_small(disk: &Simulated, settings: Settings) -> Embedded {
    Embedded::with_segments(Arc::new(disk.clone()), settings, SEGMENT, SEGMENT).unwrap()
}

/// A store that is ready.
async fn ready(disk: &Simulated, segments: u64) -> (Embedded, Told) {
    let (settings, told) = settings(segments);
    let store = open_small(disk, settings);
    store.ready().await.unwrap();
    (store, told)
}

fn record(target: &str, data: impl Into<Bytes>) -> Record {
    let call = Call::new("/", Body::empty(), std::time::Instant::now());
    Record::of(&call, data.into(), "orders", target, Ack::Replied)
}

fn with_identity(target: &str, data: &'static str, identity: u8) -> Record {
    let mut record = record(target, data);
    record.head.identity = Some(Hex::of(&[identity; 32]));
    record
}

async fn put_one(store: &Embedded, record: Record) -> Id {
    store.put(vec![record]).await.unwrap()[0].id
}

async fn claim_one(store: &Embedded) -> Claim {
    let claim = store.claim(1);
    let mut claims = tokio::time::timeout(Duration::from_secs(10), claim).await.unwrap();
    claims.pop().unwrap()
}

fn refused() -> Attempt {
    Attempt::now(Class::Conflict, Ran::No, "it said no")
}

fn dead() -> Then {
    Then::Dead { why: "it was poison".into(), park: false }
}
