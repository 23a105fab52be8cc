//! Looking into the streams, and taking out of them: for people.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::{HeaderMap, Request};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::{
    Shared,
    api::{Get, Kept, Refused},
};
use crate::{
    Filter, Id, Letter, NotStored, Page, Record, State,
    entry::{Progress, decode_dead},
};

/// A page of a list ends after so many records were looked at.
const LOOK_AT: usize = 1000;

/// How long the gateway that has a record may take to say whether it is being delivered.
const ASKING: Duration = Duration::from_millis(500);

/// Between two tries to listen for such questions.
const AGAIN: Duration = Duration::from_secs(1);

/// What is answered of a record that is being delivered.
const BUSY: &[u8] = b"busy";

/// Where a letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Dead,
    Replayed,
}

impl Shared {
    fn stream_of(&self, place: Place) -> String {
        match place {
            Place::Dead => self.api.names.dead(),
            Place::Replayed => self.api.names.replayed(),
        }
    }

    async fn kept_letter(&self, place: Place, id: Id) -> Result<Option<Kept>, Refused> {
        let names = &self.api.names;
        let subject = match place {
            Place::Dead => names.dead_letter(id),
            Place::Replayed => names.replayed_letter(id),
        };
        self.api.get(&self.stream_of(place), Get::LastOf(&subject)).await
    }

    async fn letter(&self, place: Place, id: Id) -> Result<Option<Letter>, Refused> {
        let Some(kept) = self.kept_letter(place, id).await? else { return Ok(None) };
        let Some((head, record)) = decode_dead(kept.data.to_vec()) else { return Ok(None) };
        let Progress { attempted, why, attempts, .. } = head.progress;
        let state = match place {
            Place::Dead => State::Dead,
            Place::Replayed => State::Replayed,
        };
        Ok(Some(Letter { id, state, record, attempts, attempted, due: None, why }))
    }

    /// A record that waits, as it is known here or was written down by whoever has it.
    async fn waiting(&self, kept: Kept) -> Result<Option<Letter>, Refused> {
        let id = Id(kept.seq);
        let Ok(record) = Record::decode(&kept.data) else { return Ok(None) };
        let own = {
            let hands = self.hands();
            hands.schedule.state(id).zip(hands.progress(id).cloned())
        };
        let ((state, due), progress) = match own {
            Some(own) => own,
            None => {
                let progress = self.written(&kept, id).await?.unwrap_or_default();
                let state = if progress.parked { State::Parked } else { State::Pending };
                let due = (state == State::Pending).then_some(progress.due);
                ((state, due), progress)
            }
        };
        let Progress { attempted, why, attempts, .. } = progress;
        Ok(Some(Letter { id, state, record, attempts, attempted, due, why }))
    }

    async fn written(&self, kept: &Kept, id: Id) -> Result<Option<Progress>, Refused> {
        let names = &self.api.names;
        let Some((partition, _)) = names.read_record(&kept.subject) else { return Ok(None) };
        let subject = names.progress(partition, id);
        let found = self.api.get(&names.state(), Get::LastOf(&subject)).await?;
        Ok(found.and_then(|found| serde_json::from_slice(&found.data).ok()))
    }

    pub(super) async fn show(&self, id: Id) -> Result<Option<Letter>, NotStored> {
        if let Some(refused) = self.refuses() {
            return Err(refused);
        }
        if let Some(kept) = self.api.get(self.api.names.work(), Get::Number(id.0)).await? {
            return Ok(self.waiting(kept).await?);
        }
        if let Some(letter) = self.letter(Place::Dead, id).await? {
            return Ok(Some(letter));
        }
        Ok(self.letter(Place::Replayed, id).await?)
    }

    /// The letters that a filter may want, by rising number after `after`.
    async fn letters(
        &self,
        filter: &Filter,
        after: Option<Id>,
    ) -> Result<VecDeque<(Id, Place)>, Refused> {
        let mut all = Vec::new();
        for (state, place, kind) in
            [(State::Dead, Place::Dead, "dead"), (State::Replayed, Place::Replayed, "replayed")]
        {
            if filter.state.is_none_or(|wanted| wanted == state) {
                let ids = self.api.letters(&self.stream_of(place), kind).await?;
                let wanted = ids.into_iter().filter(|id| after.is_none_or(|after| *id > after));
                all.extend(wanted.map(|id| (id, place)));
            }
        }
        all.sort_unstable_by_key(|(id, _)| *id);
        Ok(all.into())
    }

    pub(super) async fn list(
        &self,
        filter: &Filter,
        after: Option<Id>,
        max: usize,
    ) -> Result<Page, NotStored> {
        if let Some(refused) = self.refuses() {
            return Err(refused);
        }
        let names = &self.api.names;
        let mut letters = self.letters(filter, after).await?;
        let waits = !matches!(filter.state, Some(State::Dead | State::Replayed));
        let mut from = waits.then(|| after.map_or(1, |after| after.0.saturating_add(1)));
        let mut next_record = None;
        let mut page = Page::default();
        for _ in 0..LOOK_AT {
            if let (Some(at), None) = (from, &next_record) {
                let next = self.api.get(names.work(), Get::NextOf(&names.records(), at)).await?;
                from = next.as_ref().map(|kept| kept.seq.saturating_add(1));
                next_record = next;
            }
            let record_first = match (&next_record, letters.front()) {
                (None, None) => {
                    page.next = None;
                    return Ok(page);
                }
                (Some(kept), Some((id, _))) => kept.seq < id.0,
                (Some(_), None) => true,
                (None, Some(_)) => false,
            };
            let (id, letter) = if record_first {
                let Some(kept) = next_record.take() else { break };
                (Id(kept.seq), self.waiting(kept).await?)
            } else {
                let Some((id, place)) = letters.pop_front() else { break };
                (id, self.letter(place, id).await?)
            };
            page.next = Some(id);
            page.letters.extend(letter.filter(|letter| filter.fits(&letter.record, letter.state)));
            if page.letters.len() >= max {
                break;
            }
        }
        Ok(page)
    }

    pub(super) async fn newest_dead(&self, max: usize) -> Result<Vec<Letter>, NotStored> {
        if let Some(refused) = self.refuses() {
            return Err(refused);
        }
        let ids = self.api.letters(&self.api.names.dead(), "dead").await?;
        let mut newest = Vec::with_capacity(max.min(ids.len()));
        for id in ids.into_iter().rev().take(max) {
            newest.extend(self.letter(Place::Dead, id).await?);
        }
        Ok(newest)
    }

    pub(super) async fn replayed(&self, id: Id) -> Result<bool, NotStored> {
        if let Some(refused) = self.refuses() {
            return Err(refused);
        }
        let Some(kept) = self.kept_letter(Place::Dead, id).await? else {
            return Ok(self.kept_letter(Place::Replayed, id).await?.is_some());
        };
        let subject = self.api.names.replayed_letter(id);
        self.api.publish(subject, HeaderMap::new(), kept.data.clone()).await?;
        self.api.delete(&self.api.names.dead(), kept.seq).await?;
        self.deal_with(id, kept).await;
        Ok(true)
    }

    pub(super) async fn remove(&self, id: Id) -> Result<bool, NotStored> {
        if let Some(refused) = self.refuses() {
            return Err(refused);
        }
        for place in [Place::Dead, Place::Replayed] {
            if let Some(kept) = self.kept_letter(place, id).await? {
                let removed = self.api.delete(&self.stream_of(place), kept.seq).await?;
                if removed && place == Place::Dead {
                    self.deal_with(id, kept).await;
                }
                return Ok(removed);
            }
        }
        let names = &self.api.names;
        let Some(kept) = self.api.get(names.work(), Get::Number(id.0)).await? else {
            return Ok(false);
        };
        let Some((partition, _)) = names.read_record(&kept.subject) else { return Ok(false) };
        let free = match self.may_go(id, partition) {
            Some(own) => own,
            None => self.ask(id, partition).await,
        };
        if !free || !self.api.delete(names.work(), id.0).await? {
            return Ok(false);
        }
        let subject = names.progress(partition, id);
        // What stays is removed when the partition is taken next.
        self.api.purge(&names.state(), &subject).await.ok();
        self.changed.notify_waiters();
        Ok(true)
    }

    /// Whether a record may be taken out, if that is this gateway's to say. It is let go of then.
    fn may_go(&self, id: Id, partition: u16) -> Option<bool> {
        let mut hands = self.hands();
        let is_ours = hands.lease(partition).is_some();
        hands.take_out(id).or(is_ours.then_some(true))
    }

    /// Asks whoever has the partition. If nobody has it, nobody delivers the record.
    async fn ask(&self, id: Id, partition: u16) -> bool {
        let question = Bytes::from(format!("{partition} {id}"));
        let request = Request::new().payload(question).timeout(Some(ASKING));
        match self.api.client.send_request(self.api.names.ask(), request).await {
            Ok(answer) => answer.payload != BUSY,
            Err(_) => true,
        }
    }
}

/// Answers other gateways that want to take a record out.
pub(super) async fn answer(shared: Arc<Shared>) {
    loop {
        let subject = shared.api.names.ask();
        let Ok(mut questions) = shared.api.client.subscribe(subject).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        while let Some(question) = questions.next().await {
            let text = str::from_utf8(&question.payload).unwrap_or_default();
            let parts = text.split_once(' ');
            let numbers = parts.and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
            let (Some((partition, id)), Some(reply)) = (numbers, question.reply) else { continue };
            if let Some(free) = shared.may_go(Id(id), partition) {
                let said = if free { Bytes::from_static(b"free") } else { BUSY.into() };
                shared.changed.notify_waiters();
                // Who asked waits no longer than a moment.
                shared.api.client.publish(reply, said).await.ok();
            }
        }
    }
}
