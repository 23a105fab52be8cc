//! What is under way on a connection: messages whose fence has not come back, requests whose
//! reply has not come, and what the server says of them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_nats::{Event, Message, ServerError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::refusal::{Refusal, Refused};
use crate::late;

/// How many messages may be under way without a fence behind them that has come back. The library
/// keeps 128 refusals and drops what is over.
const UNCONFIRMED_MAX: usize = 100;

/// How many requests may wait for their replies on one connection.
const WAITING_MAX: usize = 16 * 1024;

/// What is under way, shared by callers, the session's tasks and the library's callbacks.
#[derive(Debug)]
pub(super) struct UnderWay {
    opened: AtomicBool,
    state: Mutex<State>,
    /// Places for messages without a fence.
    room: Arc<Semaphore>,
    /// Told when something has been sent that has no fence behind it.
    unfenced: Notify,
    over: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    over: bool,
    inbox: String,
    /// Who waits for the first fence.
    greeted: Option<oneshot::Sender<Greeting>>,
    numbers: u64,
    fences: u64,
    /// In the order in which they were sent, so that refusals can be told apart.
    unconfirmed: Vec<Unconfirmed>,
    awaited: HashMap<u64, Awaited>,
}

/// What the user may do with its inbox.
#[derive(Debug)]
pub(super) enum Greeting {
    /// Subscribe and publish.
    Heard,
    /// Subscribe, not publish.
    Mute,
    /// Not subscribe.
    Deaf,
}

pub(super) type Done = oneshot::Sender<Result<(), Refusal>>;

/// A message whose fence has not come back.
#[derive(Debug)]
struct Unconfirmed {
    id: u64,
    subject: String,
    stage: Stage,
    /// Who waits for the fence; nobody where a reply is awaited.
    done: Option<Done>,
    _permit: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not yet handed to the connection.
    Unsent,
    /// Handed to the connection.
    Sent,
    /// And so was this fence, after it.
    Fenced(u64),
}

/// A request whose reply has not come.
#[derive(Debug)]
struct Awaited {
    subject: String,
    reply: oneshot::Sender<Result<Message, Refusal>>,
}

/// A place among the unconfirmed. Dropped before the message was sent, it gives the place back.
pub(super) struct Entry<'a> {
    under_way: &'a UnderWay,
    id: u64,
    sent: bool,
}

impl Entry<'_> {
    /// The message has been handed to the connection.
    pub(super) fn sent(mut self) {
        self.sent = true;
        let mut state = self.under_way.state();
        if let Some(one) = state.unconfirmed.iter_mut().find(|one| one.id == self.id) {
            one.stage = Stage::Sent;
            self.under_way.unfenced.notify_one();
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if !self.sent {
            self.under_way.state().unconfirmed.retain(|one| one.id != self.id);
        }
    }
}

/// A place among those who wait for replies, given back when the caller leaves.
pub(super) struct Waiting<'a> {
    under_way: &'a UnderWay,
    /// The last token of its reply subject.
    pub(super) token: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.under_way.state().awaited.remove(&self.token);
    }
}

impl Unconfirmed {
    /// Tells who waits, once. One who has left has dropped its end, and is not told.
    fn tell(&mut self, outcome: Result<(), Refusal>) {
        if let Some(done) = self.done.take() {
            done.send(outcome).unwrap_or_default();
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

impl UnderWay {
    pub(super) fn new(greeted: oneshot::Sender<Greeting>) -> Self {
        Self {
            opened: AtomicBool::new(false),
            state: Mutex::new(State {
                over: false,
                inbox: String::new(),
                greeted: Some(greeted),
                numbers: 0,
                fences: 0,
                unconfirmed: Vec::new(),
                awaited: HashMap::new(),
            }),
            room: Arc::new(Semaphore::new(UNCONFIRMED_MAX)),
            unfenced: Notify::new(),
            over: watch::Sender::new(false),
        }
    }

    /// The session is up, with this inbox; from now on the library shall not connect again.
    pub(super) fn opened(&self, inbox: &str) {
        inbox.clone_into(&mut self.state().inbox);
        self.opened.store(true, Ordering::Relaxed);
    }

    /// Whether the session was up once.
    pub(super) fn was_opened(&self) -> bool {
        self.opened.load(Ordering::Relaxed)
    }

    /// Whether the connection has ended.
    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Returns when the connection has ended.
    pub(super) async fn over(&self) {
        let mut over = self.over.subscribe();
        drop(over.wait_for(|over| *over).await);
    }

    /// Takes a place among the messages that have no fence behind them yet, when one is free.
    pub(super) async fn enter(
        &self,
        subject: &str,
        done: Option<Done>,
    ) -> Result<Entry<'_>, Refusal> {
        let room = Arc::clone(&self.room);
        let permit = room.acquire_owned().await.map_err(|_| Refusal::Down)?;
        let mut state = self.state();
        if state.over {
            return Err(Refusal::Down);
        }
        let id = state.number();
        state.unconfirmed.push(Unconfirmed {
            id,
            subject: subject.to_owned(),
            stage: Stage::Unsent,
            done,
            _permit: permit,
        });
        Ok(Entry { under_way: self, id, sent: false })
    }

    /// Returns when something has been sent that has no fence behind it.
    pub(super) async fn unfenced(&self) {
        self.unfenced.notified().await;
    }

    /// A reply has come.
    pub(super) fn replied(&self, token: u64, message: Message) {
        let awaited = self.state().awaited.remove(&token);
        // One who no longer waits has given its place back, or has just dropped its end.
        if awaited.is_none_or(|awaited| awaited.reply.send(Ok(message)).is_err()) {
            late::count();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place among those who wait for replies.
    pub(super) fn expect(
        &self,
        subject: &str,
    ) -> Result<(Waiting<'_>, oneshot::Receiver<Result<Message, Refusal>>), Refusal> {
        let (reply, comes) = oneshot::channel();
        let mut state = self.state();
        if state.over {
            return Err(Refusal::Down);
        }
        if state.awaited.len() >= WAITING_MAX {
            return Err(Refusal::Busy);
        }
        let token = state.number();
        state.awaited.insert(token, Awaited { subject: subject.to_owned(), reply });
        Ok((Waiting { under_way: self, token }, comes))
    }

    /// Numbers the next fence and puts it behind everything that was sent; none if all have one.
    pub(super) fn cover(&self) -> Option<u64> {
        let mut state = self.state();
        let number = state.fences + 1;
        let mut any = false;
        for one in state.unconfirmed.iter_mut().filter(|one| one.stage == Stage::Sent) {
            one.stage = Stage::Fenced(number);
            any = true;
        }
        any.then(|| {
            state.fences = number;
            number
        })
    }

    /// A fence has come back.
    pub(super) fn confirm(&self, fence: u64) {
        let mut state = self.state();
        if fence == 0
            && let Some(greeted) = state.greeted.take()
        {
            drop(greeted.send(Greeting::Heard));
        }
        state.unconfirmed.retain_mut(|one| {
            let passed = matches!(one.stage, Stage::Fenced(number) if number <= fence);
            if passed {
                one.tell(Ok(()));
            }
            !passed
        });
    }

    /// What the library tells of the connection.
    pub(super) fn hear(&self, event: &Event) {
        match event {
            Event::Disconnected | Event::Closed => self.close(),
            Event::ServerError(ServerError::Other(said)) => self.refused(said),
            _ => {}
        }
    }

    /// The server has refused something; which, stands in its words.
    fn refused(&self, said: &str) {
        let mut state = self.state();
        match Refused::read(said) {
            Some(Refused::Subscribe) => {
                if let Some(greeted) = state.greeted.take() {
                    drop(greeted.send(Greeting::Deaf));
                }
            }
            Some(Refused::Publish(subject)) => state.refuse(&subject),
            Some(Refused::Reply(inbox)) => {
                let token = inbox.rsplit_once('.').and_then(|(_, token)| token.parse().ok());
                if let Some(awaited) = token.and_then(|token: u64| state.awaited.remove(&token)) {
                    drop(awaited.reply.send(Err(Refusal::Denied)));
                }
            }
            None => state.doubt(),
        }
    }

    /// The connection has ended.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.over = true;
        state.greeted = None;
        for mut one in std::mem::take(&mut state.unconfirmed) {
            let refusal = if one.stage == Stage::Unsent { Refusal::Down } else { Refusal::Lost };
            one.tell(Err(refusal));
        }
        // Who waits for a reply sees that nobody will send it any more.
        state.awaited.clear();
        drop(state);
        self.room.close();
        self.over.send_replace(true);
    }
}

impl State {
    /// The server has refused a publish to this subject: the first of those under way. Refusals
    /// come in the order of the publishes, and permissions know nothing but the subject.
    fn refuse(&mut self, subject: &str) {
        if subject.starts_with(&self.inbox) {
            match self.greeted.take() {
                Some(greeted) => drop(greeted.send(Greeting::Mute)),
                // The permission was taken away: fences no longer tell anything.
                None => self.doubt(),
            }
            return;
        }
        let waits = |one: &&mut Unconfirmed| one.done.is_some() && one.subject == subject;
        if let Some(one) = self.unconfirmed.iter_mut().find(waits) {
            return one.tell(Err(Refusal::Denied));
        }
        let first = self
            .awaited
            .iter()
            .filter(|(_, awaited)| awaited.subject == subject)
            .map(|(token, _)| *token)
            .min();
        match first.and_then(|token| self.awaited.remove(&token)) {
            Some(awaited) => drop(awaited.reply.send(Err(Refusal::Denied))),
            // A request whose caller has left is still among the unconfirmed.
            None if self.unconfirmed.iter().any(|one| one.subject == subject) => {}
            None => self.doubt(),
        }
    }

    /// The server has refused something that cannot be told: nothing that waits for a fence is
    /// confirmed by it.
    fn doubt(&mut self) {
        for one in self.unconfirmed.iter_mut().filter(|one| one.stage != Stage::Unsent) {
            one.tell(Err(Refusal::Doubt));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session without a connection, with these publishes under way: subject and whether sent.
    async fn with(
        messages: &[(&str, bool)],
    ) -> (UnderWay, Vec<oneshot::Receiver<Result<(), Refusal>>>) {
        let under_way = UnderWay::new(oneshot::channel().0);
        under_way.state().inbox = "_INBOX.x".to_owned();
        let mut outcomes = Vec::new();
        for (subject, sent) in messages {
            let (done, outcome) = oneshot::channel();
            outcomes.push(outcome);
            let permit = Arc::clone(&under_way.room).acquire_owned().await.unwrap();
            let mut state = under_way.state();
            let id = state.number();
            state.unconfirmed.push(Unconfirmed {
                id,
                subject: (*subject).to_owned(),
                stage: if *sent { Stage::Sent } else { Stage::Unsent },
                done: Some(done),
                _permit: permit,
            });
        }
        (under_way, outcomes)
    }

    #[tokio::test]
    async fn a_fence_confirms_what_was_sent_before_it_but_not_what_was_refused() {
        let (under_way, mut outcomes) =
            with(&[("a", true), ("b", true), ("a", true), ("c", false)]).await;
        assert_eq!(under_way.cover(), Some(1));
        assert_eq!(under_way.cover(), None);
        under_way.refused(r#"Permissions Violation for Publish to "a""#);
        under_way.confirm(1);
        let mut said = || outcomes.remove(0).try_recv();
        assert!(matches!(said(), Ok(Err(Refusal::Denied))));
        assert!(matches!(said(), Ok(Ok(()))));
        assert!(matches!(said(), Ok(Ok(()))));
        assert!(said().is_err());
        assert_eq!(under_way.room.available_permits(), UNCONFIRMED_MAX - 1);
    }

    #[tokio::test]
    async fn a_refusal_that_cannot_be_told_confirms_nothing() {
        let (under_way, mut outcomes) = with(&[("a", true), ("b", true)]).await;
        under_way.cover();
        under_way.refused("No Idea");
        under_way.confirm(1);
        for outcome in &mut outcomes {
            assert!(matches!(outcome.try_recv(), Ok(Err(Refusal::Doubt))));
        }
    }

    #[tokio::test]
    async fn what_was_not_sent_when_the_connection_ended_surely_did_not_run() {
        let (under_way, mut outcomes) = with(&[("a", true), ("b", false)]).await;
        let (_waiting, mut reply) = under_way.expect("r").unwrap();
        under_way.close();
        assert!(matches!(outcomes[0].try_recv(), Ok(Err(Refusal::Lost))));
        assert!(matches!(outcomes[1].try_recv(), Ok(Err(Refusal::Down))));
        assert!(reply.try_recv().is_err());
        assert!(matches!(under_way.expect("r"), Err(Refusal::Down)));
    }

    #[tokio::test]
    async fn one_who_leaves_gives_the_place_back() {
        let (under_way, _) = with(&[]).await;
        let (waiting, _reply) = under_way.expect("r").unwrap();
        assert_eq!(under_way.state().awaited.len(), 1);
        drop(waiting);
        assert_eq!(under_way.state().awaited.len(), 0);
    }
}
