//! A channel with many messages under way, for an exchange that is known to be there.
//!
//! **What has to be known.** RabbitMQ confirms a message that no queue takes as it confirms any
//! other; what tells the two apart is that it has returned the message before, on the same channel.
//! The client library (lapin 4) does not say of which message that was: it queues what is returned,
//! and attaches the head of the queue to whichever confirmation comes next (`acknowledgement.rs`,
//! `complete_pending`). So each message has a number of ours in its `correlation-id`, which comes
//! back with it, and one task owns the confirmations of a channel and answers nobody too early.
//!
//! **The rule.** The task first collects all confirmations that have come. It answers them when
//! every returned message that was attached to one of them is the message of one of them.
//!
//! **Why nobody is told a false 202.** Be S what has been collected, and suppose that the message
//! of some c in S was returned and still waits in the library's queue.
//! 1. It was queued before c was confirmed: the broker returns before it confirms, and the library
//!    reads a connection on one thread, in order.
//! 2. S has each confirmation that came before one that it has. The thread completes one after the
//!    other and wakes the task for each, and the task goes on until nothing is left that was woken
//!    ([`collect`]). The confirmations of one frame (`multiple`) come in any order, which does not
//!    matter here.
//! 3. Go back to when the queue was empty for the last time. All that was returned since then was
//!    confirmed or will be later than that, and every confirmation since then, c among them, took
//!    a message out of the queue. By the rule those were messages of confirmations in S, and of
//!    ones since then: so as many messages as there were confirmations belong to as many
//!    different confirmations, which are all of them. One is c, so its message was taken out.
//!
//! Nor does anybody wait for long: where all is confirmed the queue is empty, by the same count, and
//! the broker confirms what it returns without a wait for a disk.
//!
//! **What a channel's end says.** A missing exchange or a message too large ends the channel, and
//! the broker does not say which message it was. If one was under way, it was that one. Of several
//! each is told that it may be there, and the exchange has no such channel from then on
//! ([`Pipelines`]), so that this happens once.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{
    Stream,
    stream::{FuturesUnordered, StreamExt as _},
};
use lapin::{
    Channel, Confirmation, message::BasicReturnMessage, options::BasicPublishOptions,
    types::ShortString,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    refusal::Refusal,
    wire::{Outgoing, short},
};

/// How many exchanges of a connection may have such a channel.
const PIPELINES_MAX: usize = 64;

/// What is larger has a channel to itself: it may be more than the broker takes, and it would hold
/// up others.
const DATA_MAX: usize = 64 * 1024;

/// A message, its place among those under way, and who waits for its outcome.
#[derive(Debug)]
struct Handed {
    outgoing: Outgoing,
    room: OwnedSemaphorePermit,
    tell: Tell,
}

type Tell = oneshot::Sender<Result<(), Refusal>>;

/// The pipelines of a connection, by exchange.
///
/// An exchange gets one when a message that had a channel to itself has shown that it is there and
/// that the user may publish to it, and never a second: what has ended one would end the next.
#[derive(Debug)]
pub(super) struct Pipelines {
    known: Mutex<HashMap<ShortString, Option<mpsc::Sender<Handed>>>>,
    /// How many messages may be under way on the connection.
    most: usize,
}

impl Pipelines {
    pub(super) fn new(most: usize) -> Self {
        Self { known: Mutex::default(), most }
    }

    /// A place beside others for this message, if it may have one.
    pub(super) fn place(&self, outgoing: &Outgoing) -> Option<Place> {
        if outgoing.data.len() > DATA_MAX {
            return None;
        }
        let mut known = self.lock();
        let pipeline = known.get_mut(&outgoing.exchange)?;
        match pipeline.clone()?.try_reserve_owned() {
            Ok(place) => Some(Place(place)),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                *pipeline = None;
                None
            }
            Err(mpsc::error::TrySendError::Full(_)) => None,
        }
    }

    /// Whether the exchange is to have one.
    pub(super) fn wants(&self, exchange: &str) -> bool {
        let known = self.lock();
        known.len() < PIPELINES_MAX && !known.contains_key(exchange)
    }

    /// Makes a pipeline of a channel on which a message to this exchange was dealt with, and on
    /// which nothing is under way.
    pub(super) fn adopt(&self, exchange: &str, channel: Channel) {
        let (open, handed) = mpsc::channel(self.most);
        self.lock().insert(short(exchange), Some(open));
        drop(tokio::spawn(keep(channel, handed)));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ShortString, Option<mpsc::Sender<Handed>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a pipeline.
#[derive(Debug)]
pub(super) struct Place(mpsc::OwnedPermit<Handed>);

impl Place {
    /// Has the message published. Its outcome is told.
    pub(super) fn take(
        self,
        outgoing: Outgoing,
        room: OwnedSemaphorePermit,
    ) -> oneshot::Receiver<Result<(), Refusal>> {
        let (tell, told) = oneshot::channel();
        drop(self.0.send(Handed { outgoing, room, tell }));
        told
    }
}

/// A message of which the library has said something.
struct Said {
    number: u64,
    waiting: Waiting,
    said: lapin::Result<Confirmation>,
}

/// Who waits for an outcome. The place is free when it is told.
struct Waiting {
    tell: Tell,
    _room: OwnedSemaphorePermit,
}

impl Waiting {
    fn told(self, outcome: Result<(), Refusal>) {
        // The caller may have left.
        self.tell.send(outcome).unwrap_or_default();
    }
}

/// Publishes on a channel until nobody can hand it anything more and all is confirmed.
async fn keep(channel: Channel, mut handed: mpsc::Receiver<Handed>) {
    let mut under_way = FuturesUnordered::new();
    let mut ledger = Ledger::default();
    loop {
        tokio::select! {
            biased;
            Some(said) = under_way.next() => {
                ledger.enter(said);
                collect(&mut under_way, |said| ledger.enter(said));
                ledger.settle(under_way.is_empty());
            }
            Some(first) = handed.recv() => {
                // What other callers are about to hand in goes to the broker in the same write.
                tokio::task::yield_now().await;
                let mut next = Some(first);
                while let Some(Handed { outgoing, room, tell }) = next {
                    let waiting = Waiting { tell, _room: room };
                    match channel.status().connected() {
                        true => under_way.push(publish(&channel, outgoing, waiting)),
                        false => waiting.told(Err(Refusal::Down)),
                    }
                    next = handed.try_recv().ok();
                }
            }
            else => break,
        }
        if ledger.over || !channel.status().connected() {
            handed.close();
        }
    }
    if channel.status().connected() {
        // It ends with its connection too.
        channel.close(200, short("unused")).await.unwrap_or_default();
    }
}

/// Publishes a message. What it is told is kept with whom to tell.
async fn publish(channel: &Channel, outgoing: Outgoing, waiting: Waiting) -> Said {
    let Outgoing { exchange, key, properties, data, number } = outgoing;
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let said = match channel.basic_publish(exchange, key, options, &data, properties).await {
        Ok(confirmed) => confirmed.await,
        Err(error) => Err(error),
    };
    Said { number, waiting, said }
}

/// Takes all that is there by now. A stream of many may say that it has nothing although it has, so
/// as to let others run, and wakes its reader then: only one that has not done so is empty.
fn collect<T>(stream: &mut (impl Stream<Item = T> + Unpin), mut enter: impl FnMut(T)) {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    while woken.0.swap(false, Ordering::AcqRel) {
        while let Poll::Ready(Some(item)) = stream.poll_next_unpin(&mut context) {
            enter(item);
        }
    }
}

/// Whether there may be more.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// What has come and is not told yet.
#[derive(Default)]
struct Ledger {
    confirmed: HashMap<u64, (Waiting, Result<(), Refusal>)>,
    /// The numbers of the messages that were returned.
    returned: HashSet<u64>,
    failed: Vec<(Waiting, Refusal)>,
    /// A message was returned of which nobody can say which it is.
    blind: bool,
    /// Whether the channel has ended, or cannot be believed any more.
    over: bool,
}

impl Ledger {
    fn enter(&mut self, said: Said) {
        let Said { number, waiting, said } = said;
        let (returned, outcome) = match said {
            Ok(Confirmation::Ack(returned)) => (returned, Ok(())),
            Ok(Confirmation::Nack(returned)) => (returned, Err(Refusal::Nacked)),
            // The channel was opened with confirmations.
            Ok(Confirmation::NotRequested) => return self.failed.push((waiting, Refusal::Odd)),
            Err(error) => return self.failed.push((waiting, Refusal::of(&error))),
        };
        self.confirmed.insert(number, (waiting, outcome));
        match returned.map(|message| number_of(&message)) {
            Some(Some(number)) => drop(self.returned.insert(number)),
            // It could be anybody's.
            Some(None) => (self.blind, self.over) = (true, true),
            None => {}
        }
    }

    /// Tells all who can be told. `last`: no other message is under way.
    fn settle(&mut self, last: bool) {
        if !self.failed.is_empty() {
            let alone = last && self.failed.len() == 1 && self.confirmed.is_empty() && !self.over;
            for (waiting, refusal) in self.failed.drain(..) {
                waiting.told(Err(if alone { refusal } else { refusal.among_others() }));
            }
            self.over = true;
        }
        let certain =
            !self.blind && self.returned.iter().all(|number| self.confirmed.contains_key(number));
        if !certain && !self.over {
            return;
        }
        for (number, (waiting, outcome)) in self.confirmed.drain() {
            waiting.told(match (self.returned.remove(&number), certain) {
                (true, _) => Err(Refusal::Unroutable),
                (false, true) => outcome,
                (false, false) => Err(Refusal::Beside),
            });
        }
    }
}

/// The number that we gave to a message.
fn number_of(message: &BasicReturnMessage) -> Option<u64> {
    message.delivery.properties.correlation_id().as_ref()?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use lapin::{BasicProperties, message::Delivery};
    use proptest::prelude::*;
    use tokio::sync::Semaphore;

    use super::*;

    type Told = oneshot::Receiver<Result<(), Refusal>>;

    fn waiting() -> (Waiting, Told) {
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let (tell, told) = oneshot::channel();
        (Waiting { tell, _room: room }, told)
    }

    fn returned(number: u64) -> BasicReturnMessage {
        let mut delivery = Delivery::mock(0, short("e"), short("k"), false, Vec::new());
        delivery.properties =
            BasicProperties::default().with_correlation_id(short(&number.to_string()));
        BasicReturnMessage { delivery, reply_code: 312, reply_text: short("NO_ROUTE") }
    }

    /// What comes of messages when it is entered in these batches: a number, and the number of the
    /// message that the library attached.
    fn settled(batches: &[&[(u64, Option<u64>)]]) -> HashMap<u64, Result<(), Refusal>> {
        let mut ledger = Ledger::default();
        let mut all = HashMap::new();
        for batch in batches {
            for (number, attached) in *batch {
                let (waiting, told) = waiting();
                all.insert(*number, told);
                let said = Ok(Confirmation::Ack(attached.map(returned)));
                ledger.enter(Said { number: *number, waiting, said });
            }
            ledger.settle(false);
        }
        all.into_iter().filter_map(|(n, mut told)| Some((n, told.try_recv().ok()?))).collect()
    }

    #[test]
    fn a_returned_message_is_told_to_its_own_caller_whichever_confirmation_has_it() {
        let told = settled(&[&[(1, Some(2)), (2, None), (3, None)]]);
        let expected = [(1, Ok(())), (2, Err(Refusal::Unroutable)), (3, Ok(()))];
        assert_eq!(told, expected.into());
    }

    #[test]
    fn nobody_is_told_while_the_confirmation_of_a_returned_message_is_to_come() {
        // 3 was returned too, and its message waits behind that of 2.
        assert_eq!(settled(&[&[(3, Some(2))]]), HashMap::new());
        let told = settled(&[&[(3, Some(2))], &[(2, Some(3))]]);
        let expected = [(2, Err(Refusal::Unroutable)), (3, Err(Refusal::Unroutable))];
        assert_eq!(told, expected.into());
    }

    #[test]
    fn a_returned_message_without_a_number_makes_nobody_sure() {
        let mut ledger = Ledger::default();
        let (one, mut told) = waiting();
        let mut nameless = returned(1);
        nameless.delivery.properties = BasicProperties::default();
        let said = Ok(Confirmation::Ack(Some(nameless)));
        ledger.enter(Said { number: 1, waiting: one, said });
        ledger.settle(true);
        assert!(ledger.over);
        assert_eq!(told.try_recv(), Ok(Err(Refusal::Beside)));
    }

    #[test]
    fn what_ends_a_channel_is_said_of_a_message_only_if_it_was_alone() {
        let missing = || {
            let kind = lapin::protocol::AMQPSoftError::NOTFOUND.into();
            let said = lapin::protocol::AMQPError::new(kind, "no exchange 'e'".into());
            lapin::Error::from(lapin::ErrorKind::ProtocolError(said))
        };
        for (batches, expected) in [
            (vec![1], Refusal::NoExchange),
            (vec![2], Refusal::Beside),
            // The library ends one after the other.
            (vec![1, 1], Refusal::Beside),
        ] {
            let mut ledger = Ledger::default();
            let mut left: u64 = batches.iter().sum();
            for count in batches {
                let mut all = Vec::new();
                for _ in 0..count {
                    let (waiting, told) = waiting();
                    ledger.enter(Said { number: left, waiting, said: Err(missing()) });
                    left -= 1;
                    all.push(told);
                }
                ledger.settle(left == 0);
                for mut told in all {
                    assert_eq!(told.try_recv(), Ok(Err(expected)));
                }
            }
        }
    }

    proptest! {
        // A model of the broker and of the library: messages are returned and confirmed in any
        // order in which no message is confirmed before it was returned; each confirmation takes
        // the oldest returned message with it, whosever it is; and they are collected in batches.
        #[test]
        fn in_any_order_each_message_is_told_its_own_truth(
            messages in proptest::collection::vec((any::<bool>(), any::<u16>(), any::<u16>()), 1..60),
            cuts in proptest::collection::vec(any::<bool>(), 60),
        ) {
            let mut happenings = Vec::new();
            for (number, (unroutable, one, other)) in messages.iter().enumerate() {
                let number = number as u64;
                if *unroutable {
                    happenings.push((*one.min(other), 0, number));
                }
                happenings.push((*one.max(other), 1, number));
            }
            happenings.sort_unstable();
            let (mut queue, mut ledger) = (VecDeque::new(), Ledger::default());
            let (mut told, mut left, mut cuts) = (Vec::new(), messages.len(), cuts.iter());
            for (_, what, number) in happenings {
                if what == 0 {
                    queue.push_back(number);
                    continue;
                }
                let (waiting, tells) = waiting();
                told.push((number, tells));
                let said = Ok(Confirmation::Ack(queue.pop_front().map(returned)));
                ledger.enter(Said { number, waiting, said });
                left -= 1;
                if left == 0 || *cuts.next().unwrap() {
                    ledger.settle(left == 0);
                }
            }
            for (number, mut tells) in told {
                let expected = match messages[usize::try_from(number).unwrap()].0 {
                    true => Err(Refusal::Unroutable),
                    false => Ok(()),
                };
                prop_assert_eq!(tells.try_recv(), Ok(expected));
            }
        }
    }

    #[test]
    fn all_that_is_there_is_collected_although_a_stream_lets_others_run() {
        let mut left = 500;
        let mut pauses = 0;
        let mut stream = futures_util::stream::poll_fn(move |context| {
            pauses += 1;
            if pauses % 3 == 0 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if left == 0 {
                return Poll::Pending;
            }
            left -= 1;
            Poll::Ready(Some(left))
        });
        let mut all = Vec::new();
        collect(&mut stream, |item| all.push(item));
        assert_eq!(all.len(), 500);
    }
}
