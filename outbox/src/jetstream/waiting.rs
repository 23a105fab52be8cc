//! Keys that wait for a dead letter (`on_poison: park`). That one does is a message of its own beside
//! the letter, written before it, so that whoever takes the partition over knows it before it pulls
//! anything; and it is there until somebody, by whichever gateway, has dealt with the letter.

use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    api::{Get, Kept, Refused},
    names::{PARTITIONS, last_number, partition},
};
use crate::{Id, entry::decode_dead};

/// The key that waits.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Waits {
    pub(super) target: String,
    pub(super) order: String,
}

impl Shared {
    /// Writes down that a key waits for a dead letter.
    pub(super) async fn wait_for(&self, dead: Id, waits: &Waits) -> Result<(), Refused> {
        let subject = self.api.names.waiting(of(&waits.order), dead);
        let data = serde_json::to_vec(waits).unwrap_or_default();
        self.api.publish(subject, HeaderMap::new(), data.into()).await.map(drop)
    }

    /// The keys of a partition that wait, for whoever has just taken it. What is said of letters that
    /// are gone is removed.
    pub(super) async fn keys_that_wait(&self, partition: u16) -> Result<Vec<(Id, Waits)>, Refused> {
        let (api, names) = (&self.api, &self.api.names);
        let stream = names.state();
        let (_, subjects) = api.amount(&stream, Some(&names.waiting_of(partition))).await?;
        let mut all = Vec::with_capacity(subjects.len());
        for subject in subjects.into_keys() {
            let Some(id) = last_number(&subject).map(Id) else { continue };
            let is_dead = self.is_there(id).await?
                // One that died just before its gateway did is tried once more, and says it again.
                && api.get(names.work(), Get::Number(id.0)).await?.is_none();
            if !is_dead {
                api.purge(&stream, &subject).await?;
            } else if let Some(kept) = api.get(&stream, Get::LastOf(&subject)).await? {
                let waits = serde_json::from_slice(&kept.data).ok();
                all.extend(waits.map(|waits| (id, waits)));
            }
        }
        Ok(all)
    }

    async fn is_there(&self, dead: Id) -> Result<bool, Refused> {
        let names = &self.api.names;
        let letter = names.dead_letter(dead);
        Ok(self.api.get(&names.dead(), Get::LastOf(&letter)).await?.is_some())
    }

    /// Somebody has dealt with this letter: the key goes on that waited for it, if one did.
    pub(super) async fn deal_with(&self, dead: Id, letter: Kept) {
        let Some((head, record)) = decode_dead(letter.data.to_vec()) else { return };
        let Some(order) = record.head.order.filter(|_| head.park) else { return };
        let subject = self.api.names.waiting(of(&order), dead);
        // If this is not heard, whoever has the partition finds out that the letter is gone.
        self.api.purge(&self.api.names.state(), &subject).await.ok();
        self.change(|hands| hands.go_on(dead));
    }

    /// Lets those keys go on whose letters were dealt with by another gateway, or, if `letters` are
    /// looked for too, are gone by their age. What cannot be asked now is asked the next time.
    pub(super) async fn look_for_letters(&self, letters: bool) {
        // What begins to wait from here on was not asked for.
        let waiting = self.hands().waiting();
        if waiting.is_empty() {
            return;
        }
        let (api, names) = (&self.api, &self.api.names);
        let asked = api.amount(&names.state(), Some(&names.all_waiting())).await;
        let Ok((_, there)) = asked else { return };
        for (dead, partition) in waiting {
            let subject = names.waiting(partition, dead);
            if !there.contains_key(&subject) {
                self.change(|hands| hands.go_on(dead));
            } else if letters && matches!(self.is_there(dead).await, Ok(false)) {
                api.purge(&names.state(), &subject).await.ok();
            }
        }
    }
}

/// The partition of a key.
fn of(order: &str) -> u16 {
    partition(Some(order), 0, PARTITIONS)
}
