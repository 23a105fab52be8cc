//! Giving records out, and what becomes of them.

use std::time::Duration;

use async_nats::HeaderMap;

use super::{
    Shared,
    api::{Get, Refused},
    hands::{Given, Gone, Leaves, Note},
    waiting::Waits,
};
use crate::{
    Attempt, Claim, Id, Millis, Record, Then,
    entry::{DeadHead, Progress, encode_dead},
};

/// When a dead letter is tried again that could not be stored, and a record that could not be read.
const AGAIN: Duration = Duration::from_secs(5);

impl Shared {
    /// Reads a record that is not in memory any more.
    pub(super) async fn read(&self, id: Id) -> Result<Option<Record>, Refused> {
        let kept = self.api.get(self.api.names.work(), Get::Number(id.0)).await?;
        Ok(kept.and_then(|kept| Record::decode(&kept.data).ok()))
    }

    pub(super) async fn claim(&self, max: usize) -> Vec<Claim> {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let now = Millis::now();
            let (given, next) = {
                let mut hands = self.hands();
                if hands.stopped {
                    return Vec::new();
                }
                let given = hands.claim(now, std::time::Instant::now(), max);
                (given, hands.schedule.next_due())
            };
            if given.is_empty() {
                match next {
                    None => changed.await,
                    Some(at) => {
                        let wait = at.since(now).max(Duration::from_millis(1));
                        drop(tokio::time::timeout(wait, changed).await);
                    }
                }
                continue;
            }
            let mut claims = Vec::with_capacity(given.len());
            for one in given {
                let record = match &one.data {
                    Some(data) => Ok(Record::decode(data).ok()),
                    None => self.read(one.id).await,
                };
                match record {
                    Ok(Some(mut record)) => {
                        record.head.after_poison |= one.after_poison;
                        let Given { id, attempts, trouble, .. } = one;
                        claims.push(Claim { id, record, attempts, trouble });
                    }
                    // Somebody has dropped it.
                    Ok(None) => self.change(|hands| hands.let_go(one.id)),
                    Err(_) => {
                        let again = Then::Again { at: now.plus(AGAIN), hold: None };
                        self.change(|hands| drop(hands.fail(one.id, None, &again)));
                    }
                }
            }
            if !claims.is_empty() {
                return claims;
            }
        }
    }

    /// The server hears that a record has left.
    pub(super) async fn gone(&self, id: Id, gone: Option<Gone>) {
        let Some(Gone { reply, noted }) = gone else { return };
        let heard = match reply {
            Some(reply) => self.api.ack(reply).await,
            None => self.api.delete(self.api.names.work(), id.0).await.map(drop),
        };
        // If it has not heard, the record comes again, and is known again.
        if heard.is_ok() {
            self.hands().confirmed(id);
            if let Some(partition) = noted {
                let subject = self.api.names.progress(partition, id);
                // What stays is removed when the partition is taken next.
                self.api.purge(&self.api.names.state(), &subject).await.ok();
            }
        }
    }

    /// Writes down how far a record has come. If that is lost, it is tried once more than it was to.
    pub(super) async fn note(&self, id: Id, partition: u16, progress: &Progress) {
        let subject = self.api.names.progress(partition, id);
        let data = serde_json::to_vec(progress).unwrap_or_default();
        self.api.publish(subject, HeaderMap::new(), data.into()).await.ok();
    }

    pub(super) async fn fail(&self, claim: Claim, attempt: Option<Attempt>, then: Then) {
        let Claim { id, record, .. } = claim;
        let Then::Dead { why, park } = &then else {
            let note = self.change(|hands| hands.fail(id, attempt, &then));
            if let Note::Write { partition, progress } = note {
                self.note(id, partition, &progress).await;
            }
            return;
        };
        let progress = {
            let hands = self.hands();
            hands.progress(id).filter(|_| hands.is_in_charge(id)).cloned()
        };
        let Some(mut progress) = progress else {
            // Another gateway has it by now, and decides for itself.
            return self.change(|hands| hands.let_go(id));
        };
        if let Some(attempt) = &attempt {
            progress.tried(attempt.clone());
        }
        progress.why = Some(why.clone());
        let order = record.head.order.clone().filter(|_| *park);
        let waits = order.map(|order| Waits { target: record.head.target.clone(), order });
        let park = waits.is_some();
        let letter = encode_dead(&record, &DeadHead { at: Millis::now(), park, progress });
        let stored = async {
            if let Some(waits) = &waits {
                self.wait_for(id, waits).await?;
            }
            let subject = self.api.names.dead_letter(id);
            self.api.publish(subject, HeaderMap::new(), letter.into()).await
        };
        match stored.await {
            Ok(_) => {
                let gone = self.change(|hands| hands.leave_with(id, Leaves::Dead { park }));
                self.gone(id, gone).await;
            }
            Err(_) => {
                let again = Then::Again { at: Millis::now().plus(AGAIN), hold: None };
                self.change(|hands| drop(hands.fail(id, attempt, &again)));
            }
        }
    }
}
