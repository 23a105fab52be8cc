//! What this gateway has in hand: the partitions that are its own, and the records of them that it
//! has pulled and the server waits for. Pure state: no connection, no clock.
//!
//! A record is given out only while the lease of its partition runs, by this machine's own clock:
//! a gateway that stood still for longer than its lease gives out nothing that another has by now.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Instant,
};

use async_nats::Subject;
use bytes::Bytes;

use crate::{
    Attempt, Held, Id, Millis, Record, Then,
    entry::Progress,
    schedule::{Entry, Schedule},
};

/// What the payloads of records in hand may take, in bytes. What is over is read again.
const PAYLOADS_MAX: u64 = 64 << 20;

/// So many deliveries are remembered at most whose acknowledgement was not confirmed.
const DELIVERED_MAX: usize = 100_000;

/// A partition that is this gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// The number by which it was taken, which no other lease has.
    pub(super) epoch: u64,
    /// The number of its last renewal.
    pub(super) seq: u64,
    /// Nothing is given out from this moment on.
    pub(super) until: Instant,
    /// It is about to be given to somebody else.
    pub(super) leaving: bool,
    /// Its records may be pulled.
    pub(super) ready: bool,
}

/// A record in hand.
#[derive(Debug)]
struct Hand {
    partition: u16,
    epoch: u64,
    reply: Subject,
    data: Option<Bytes>,
    progress: Progress,
    /// Whether its progress is written down.
    noted: bool,
}

/// A record that is given out.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) id: Id,
    pub(super) attempts: u32,
    pub(super) trouble: u32,
    pub(super) after_poison: bool,
    /// Its bytes, if they are still here.
    pub(super) data: Option<Bytes>,
}

/// What becomes of a record that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pulled {
    /// It is in hand.
    Taken,
    /// It was delivered before, and the server has not heard of it.
    AckAgain,
    /// Its partition is not this gateway's any more.
    NotOurs,
    /// It cannot be read.
    Damaged,
}

/// How a record leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    /// It was delivered.
    Delivered,
    /// It is a dead letter; with `park` its key waits for that.
    Dead { park: bool },
}

/// What is to be said to the server of a record that has left.
#[derive(Debug)]
pub(super) struct Gone {
    /// How: by its acknowledgement, or, where the lease has run out, by its number alone.
    pub(super) reply: Option<Subject>,
    /// Its progress is written down here, in this partition.
    pub(super) noted: Option<u16>,
}

/// What a failed try changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// Nothing that is this gateway's to write.
    Nothing,
    /// This is written down.
    Write { partition: u16, progress: Progress },
}

#[derive(Debug)]
pub(super) struct Hands {
    pub(super) schedule: Schedule<()>,
    hands: HashMap<Id, Hand>,
    leases: Vec<Option<Lease>>,
    /// Delivered, and the acknowledgement is not confirmed.
    delivered: BTreeSet<Id>,
    damaged: BTreeSet<Id>,
    /// The dead letters that keys wait for, and of which partition those are.
    waiting: BTreeMap<Id, u16>,
    payloads: u64,
    /// Partitions whose lease ran out here, and that nobody has looked at since.
    pub(super) lapsed: BTreeSet<u16>,
    pub(super) stopped: bool,
    pub(super) closed: bool,
}

impl Hands {
    pub(super) fn new(partitions: u16) -> Self {
        Self {
            schedule: Schedule::default(),
            hands: HashMap::new(),
            leases: vec![None; usize::from(partitions)],
            delivered: BTreeSet::new(),
            damaged: BTreeSet::new(),
            waiting: BTreeMap::new(),
            payloads: 0,
            lapsed: BTreeSet::new(),
            stopped: false,
            closed: false,
        }
    }

    /// The lease of a partition, if it runs.
    pub(super) fn lease(&self, partition: u16) -> Option<Lease> {
        self.leases.get(usize::from(partition)).copied().flatten()
    }

    /// All leases that run.
    pub(super) fn leases(&self) -> Vec<(u16, Lease)> {
        (0..).zip(&self.leases).filter_map(|(at, lease)| Some((at, (*lease)?))).collect()
    }

    /// A partition is this gateway's now, or for longer.
    pub(super) fn hold(&mut self, partition: u16, lease: Lease) {
        if let Some(place) = self.leases.get_mut(usize::from(partition)) {
            *place = Some(lease);
        }
    }

    /// Changes a lease that still runs.
    pub(super) fn change(&mut self, partition: u16, epoch: u64, change: impl FnOnce(&mut Lease)) {
        let place = self.leases.get_mut(usize::from(partition)).and_then(Option::as_mut);
        if let Some(lease) = place.filter(|lease| lease.epoch == epoch) {
            change(lease);
        }
    }

    /// A partition is given to somebody else once nothing of it is under way: nothing of it is given
    /// out any more.
    pub(super) fn leave(&mut self, partition: u16) {
        if let Some(lease) = self.leases.get_mut(usize::from(partition)).and_then(Option::as_mut) {
            lease.leaving = true;
        }
        self.forget(partition);
    }

    /// A partition is this gateway's no more.
    pub(super) fn lose(&mut self, partition: u16) {
        if let Some(place) = self.leases.get_mut(usize::from(partition)) {
            *place = None;
        }
        self.forget(partition);
    }

    /// Gives up every lease that has run out.
    pub(super) fn lapse(&mut self, now: Instant) {
        for (partition, lease) in self.leases() {
            if lease.until <= now {
                self.lose(partition);
                self.lapsed.insert(partition);
            }
        }
    }

    /// Lets go of all records of a partition that are not being delivered: whoever has it next pulls
    /// them.
    fn forget(&mut self, partition: u16) {
        let of = |(id, hand): (&Id, &Hand)| (hand.partition == partition).then_some(*id);
        let ids: Vec<Id> = self.hands.iter().filter_map(of).collect();
        for id in ids {
            if self.schedule.remove(id).is_some() {
                self.drop_hand(id);
            }
        }
        let of = |(dead, at): (&Id, &u16)| (*at == partition).then_some(*dead);
        let dead: Vec<Id> = self.waiting.iter().filter_map(of).collect();
        for dead in dead {
            self.go_on(dead);
        }
    }

    /// A key of a partition waits for a dead letter.
    pub(super) fn wait_for(&mut self, partition: u16, dead: Id, target: &str, order: &str) {
        self.waiting.insert(dead, partition);
        self.schedule.dead_before(dead, target, order, true);
    }

    /// The key that waits for a dead letter waits no more.
    pub(super) fn go_on(&mut self, dead: Id) {
        self.waiting.remove(&dead);
        self.schedule.unpark_key(dead);
    }

    /// The dead letters that keys wait for, and of which partition those are.
    pub(super) fn waiting(&self) -> Vec<(Id, u16)> {
        self.waiting.iter().map(|(dead, partition)| (*dead, *partition)).collect()
    }

    /// How many records of a partition are being delivered.
    pub(super) fn under_way(&self, partition: u16) -> usize {
        self.hands.values().filter(|hand| hand.partition == partition).count()
    }

    fn drop_hand(&mut self, id: Id) -> Option<Hand> {
        let hand = self.hands.remove(&id)?;
        if let Some(data) = &hand.data {
            self.payloads -= data.len() as u64;
        }
        Some(hand)
    }

    fn is_ours(&self, partition: u16, epoch: u64) -> bool {
        self.lease(partition).is_some_and(|lease| lease.epoch == epoch)
    }

    /// A record came, for the first time or again.
    pub(super) fn pulled(
        &mut self,
        (partition, epoch): (u16, u64),
        id: Id,
        reply: Subject,
        data: &Bytes,
        progress: Option<Progress>,
    ) -> Pulled {
        if !self.is_ours(partition, epoch) {
            return Pulled::NotOurs;
        }
        if self.delivered.contains(&id) {
            return Pulled::AckAgain;
        }
        if let Some(hand) = self.hands.get_mut(&id) {
            (hand.reply, hand.partition, hand.epoch) = (reply, partition, epoch);
            return Pulled::Taken;
        }
        if self.lease(partition).is_some_and(|lease| lease.leaving) {
            return Pulled::NotOurs;
        }
        let Ok(record) = Record::decode(data) else {
            return if self.damaged.insert(id) { Pulled::Damaged } else { Pulled::NotOurs };
        };
        let noted = progress.is_some();
        let progress = progress.unwrap_or_default();
        let size = u32::try_from(data.len() + 64).unwrap_or(u32::MAX);
        let entry = Entry {
            target: &record.head.target,
            order: record.head.order.as_deref(),
            accepted: record.head.accepted,
            due: progress.due,
            bytes: size,
            attempts: progress.attempted,
            // What waited for somebody is looked at again: who had it before may not have known that
            // its target is back.
            parked: false,
            place: (),
        };
        self.schedule.insert(id, entry);
        let keep = self.payloads + data.len() as u64 <= PAYLOADS_MAX;
        self.payloads += if keep { data.len() as u64 } else { 0 };
        let data = keep.then(|| data.clone());
        self.hands.insert(id, Hand { partition, epoch, reply, data, progress, noted });
        Pulled::Taken
    }

    /// Gives out up to `max` records.
    pub(super) fn claim(&mut self, now: Millis, at: Instant, max: usize) -> Vec<Given> {
        self.lapse(at);
        let next = self.schedule.claim(now, max);
        let given = next.into_iter().map(|next| Given {
            id: next.id,
            attempts: next.attempts,
            trouble: next.trouble,
            after_poison: next.after_poison,
            data: self.hands.get(&next.id).and_then(|hand| hand.data.clone()),
        });
        given.collect()
    }

    /// A record has left: it was delivered, or it is a dead letter.
    pub(super) fn leave_with(&mut self, id: Id, how: Leaves) -> Option<Gone> {
        match how {
            Leaves::Delivered => self.schedule.done(id),
            Leaves::Dead { park } => self.schedule.give_up(id, park),
        };
        let hand = self.drop_hand(id)?;
        if how == (Leaves::Dead { park: true }) {
            self.waiting.insert(id, hand.partition);
        }
        self.delivered.insert(id);
        if self.delivered.len() > DELIVERED_MAX {
            self.delivered.pop_first();
        }
        let ours = self.is_ours(hand.partition, hand.epoch);
        Some(Gone {
            reply: ours.then_some(hand.reply),
            noted: hand.noted.then_some(hand.partition),
        })
    }

    /// The server has heard that a record has left.
    pub(super) fn confirmed(&mut self, id: Id) {
        self.delivered.remove(&id);
    }

    /// Whether what becomes of a record is still this gateway's to say.
    pub(super) fn is_in_charge(&self, id: Id) -> bool {
        self.hands.get(&id).is_some_and(|hand| self.is_ours(hand.partition, hand.epoch))
    }

    /// A try failed, and the record stays. One whose lease has run out is let go of: who has it now
    /// tries it by its own count.
    pub(super) fn fail(&mut self, id: Id, attempt: Option<Attempt>, then: &Then) -> Note {
        if !self.is_in_charge(id) {
            self.let_go(id);
            return Note::Nothing;
        }
        let tried = attempt.is_some();
        let Some(hand) = self.hands.get_mut(&id) else { return Note::Nothing };
        if let Some(attempt) = attempt {
            hand.progress.tried(attempt);
        }
        match then {
            Then::Again { at, hold } => {
                hand.progress.due = *at;
                self.schedule.again(id, tried, *at, *hold);
                // A record that was not tried is as it was.
                if !tried {
                    return Note::Nothing;
                }
            }
            Then::Parked { why } => {
                (hand.progress.parked, hand.progress.why) = (true, Some(why.clone()));
                self.schedule.park(id);
            }
            Then::Dead { .. } => return Note::Nothing,
        }
        hand.noted = true;
        let (partition, progress) = (hand.partition, hand.progress.clone());
        self.leave_if_leaving(id, partition);
        Note::Write { partition, progress }
    }

    /// How far a record in hand has come.
    pub(super) fn progress(&self, id: Id) -> Option<&Progress> {
        self.hands.get(&id).map(|hand| &hand.progress)
    }

    /// A claim ends as if it had not been made.
    pub(super) fn release(&mut self, id: Id) {
        self.schedule.release(id);
        match self.hands.get(&id).map(|hand| hand.partition) {
            Some(partition) if self.is_in_charge(id) => self.leave_if_leaving(id, partition),
            _ => self.let_go(id),
        }
    }

    fn leave_if_leaving(&mut self, id: Id, partition: u16) {
        if self.lease(partition).is_some_and(|lease| lease.leaving) {
            self.let_go(id);
        }
    }

    /// The record is not this gateway's any more.
    pub(super) fn let_go(&mut self, id: Id) {
        self.schedule.release(id);
        self.schedule.remove(id);
        self.drop_hand(id);
    }

    /// Somebody takes a record out. Whether that may be: none if it is not in hand.
    pub(super) fn take_out(&mut self, id: Id) -> Option<bool> {
        self.hands.get(&id)?;
        let free = self.schedule.remove(id).is_some();
        if free {
            self.drop_hand(id);
        }
        Some(free)
    }

    /// What is parked at a target waits no more. Returns what is to be written down.
    pub(super) fn unpark(&mut self, target: &str) -> Vec<(Id, u16, Progress)> {
        let ids = self.schedule.unpark(target);
        let mut notes = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(hand) = self.hands.get_mut(&id) {
                (hand.progress.parked, hand.progress.due) = (false, Millis(0));
                hand.progress.why = None;
                notes.push((id, hand.partition, hand.progress.clone()));
            }
        }
        notes
    }

    /// Where the server is told that records in hand are worked on.
    pub(super) fn replies(&self) -> Vec<Subject> {
        let ours = |hand: &&Hand| self.is_ours(hand.partition, hand.epoch);
        self.hands.values().filter(ours).map(|hand| hand.reply.clone()).collect()
    }

    pub(super) fn held(&self) -> Vec<Held> {
        self.schedule.held()
    }

    pub(super) fn damaged(&self) -> u64 {
        self.damaged.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use schemas::{Ack, Body, Call, Class, Ran};

    use super::*;

    fn bytes(order: Option<&str>) -> Bytes {
        let call = Call::new("/", Body::empty(), Instant::now());
        let mut record = Record::of(&call, Bytes::from_static(b"x"), "r", "web", Ack::Replied);
        record.head.order = order.map(str::to_owned);
        record.encode()
    }

    /// Hands with a lease of partition 0 that runs for a second, at the moment that is given back.
    fn hands() -> (Hands, Instant) {
        let now = Instant::now();
        let mut hands = Hands::new(2);
        let until = now + Duration::from_secs(1);
        hands.hold(0, Lease { epoch: 7, seq: 7, until, leaving: false, ready: true });
        (hands, now)
    }

    fn pull(hands: &mut Hands, id: u64) -> Pulled {
        hands.pulled((0, 7), Id(id), "reply".into(), &bytes(Some("k")), None)
    }

    #[test]
    fn a_lease_that_has_run_out_gives_out_nothing_more() {
        let (mut hands, now) = hands();
        assert_eq!(pull(&mut hands, 1), Pulled::Taken);
        let later = now + Duration::from_secs(1);
        assert!(hands.claim(Millis::now(), later, 10).is_empty());
        assert_eq!(hands.lease(0), None);
        assert_eq!(pull(&mut hands, 1), Pulled::NotOurs);
        assert!(hands.schedule.is_empty());
    }

    #[test]
    fn what_is_under_way_when_a_lease_runs_out_is_delivered_and_taken_out_by_its_number() {
        let (mut hands, now) = hands();
        pull(&mut hands, 1);
        pull(&mut hands, 2);
        assert_eq!(hands.claim(Millis::now(), now, 10).len(), 1);
        hands.lapse(now + Duration::from_secs(1));
        assert_eq!(hands.schedule.len(), 1);
        let gone = hands.leave_with(Id(1), Leaves::Delivered).unwrap();
        assert_eq!(gone.reply, None);
        assert!(hands.schedule.is_empty());
    }

    #[test]
    fn a_failure_after_the_lease_is_not_this_gateways_to_count() {
        let (mut hands, now) = hands();
        pull(&mut hands, 1);
        hands.claim(Millis::now(), now, 1);
        hands.lapse(now + Duration::from_secs(1));
        let attempt = Attempt::now(Class::Conflict, Ran::No, "no");
        let again = Then::Again { at: Millis::now(), hold: None };
        assert_eq!(hands.fail(Id(1), Some(attempt), &again), Note::Nothing);
        assert!(hands.schedule.is_empty());
    }

    #[test]
    fn one_that_comes_again_stands_once_and_one_that_was_delivered_is_acknowledged_again() {
        let (mut hands, now) = hands();
        pull(&mut hands, 1);
        assert_eq!(pull(&mut hands, 1), Pulled::Taken);
        assert_eq!(hands.claim(Millis::now(), now, 10).len(), 1);
        hands.leave_with(Id(1), Leaves::Delivered).unwrap();
        assert_eq!(pull(&mut hands, 1), Pulled::AckAgain);
        hands.confirmed(Id(1));
        assert_eq!(pull(&mut hands, 1), Pulled::Taken);
    }

    #[test]
    fn a_partition_is_left_once_nothing_of_it_is_under_way() {
        let (mut hands, now) = hands();
        pull(&mut hands, 1);
        pull(&mut hands, 2);
        hands.claim(Millis::now(), now, 10);
        hands.leave(0);
        assert_eq!(hands.under_way(0), 1);
        assert_eq!(pull(&mut hands, 3), Pulled::NotOurs);
        hands.release(Id(1));
        assert_eq!(hands.under_way(0), 0);
    }

    #[test]
    fn payloads_in_hand_are_bounded_and_what_is_over_is_read_again() {
        let (mut hands, now) = hands();
        hands.payloads = PAYLOADS_MAX;
        pull(&mut hands, 1);
        let given = hands.claim(Millis::now(), now, 1);
        assert!(given[0].data.is_none());
        hands.leave_with(Id(1), Leaves::Delivered).unwrap();
        assert_eq!(hands.payloads, PAYLOADS_MAX);
    }
}
