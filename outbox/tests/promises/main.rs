//! What every store promises, held against all of them: the one in memory, the one in files, and
//! the one in JetStream on a real nats-server. Then what the one in JetStream promises beside: that
//! several gateways share the work, and any may die.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and the runner shows what it prints"
)]

mod all;
mod many;
mod nats;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use outbox::{Attempt, Claim, Id, Record, Store, Then, record::Hex};
use schemas::{Ack, Body, Call, Class, Ran};

/// The longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

fn record(target: &str, data: impl Into<Bytes>) -> Record {
    let call = Call::new("/", Body::empty(), std::time::Instant::now());
    Record::of(&call, data.into(), "orders", target, Ack::Replied)
}

fn keyed(target: &str, key: &str, data: impl Into<Bytes>) -> Record {
    let mut record = record(target, data);
    record.head.order = Some(key.to_owned());
    record
}

fn with_identity(target: &str, data: &'static str, identity: u8) -> Record {
    let mut record = record(target, data);
    record.head.identity = Some(Hex::of(&[identity; 32]));
    record
}

async fn put_one(store: &dyn Store, record: Record) -> Id {
    store.put(vec![record]).await.unwrap()[0].id
}

async fn claim_one(store: &dyn Store) -> Claim {
    let mut claims = claim(store, 1).await;
    claims.pop().unwrap()
}

async fn claim(store: &dyn Store, max: usize) -> Vec<Claim> {
    tokio::time::timeout(PATIENCE, store.claim(max)).await.expect("something to claim")
}

/// Asks again until there is an answer.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = tokio::time::Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn refused() -> Attempt {
    Attempt::now(Class::Conflict, Ran::No, "it said no")
}

fn dead() -> Then {
    Then::Dead { why: "it was poison".into(), park: false }
}

fn dead_and_parked() -> Then {
    Then::Dead { why: "it was poison".into(), park: true }
}

/// A store, and what it lives by.
struct Held {
    store: Arc<dyn Store>,
    name: &'static str,
    _lives_by: Box<dyn std::any::Any>,
}
