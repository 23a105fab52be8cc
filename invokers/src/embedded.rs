//! Topics in the gateway's own outbox. An event that is published to a topic is stored for each
//! source that consumes it, and is heard by those who follow the topic now. What nobody consumes
//! waits for a source.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::LocalBoxFuture;
use outbox::{NotStored, Outbox, Record};
use schemas::{Ack, Body, Call, Class, Fault, Invoker, Name, Receipt, Reply, template::is_token};
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};

pub use crate::message::Message;

/// How many different topics and patterns may be followed at once.
const FOLLOWED_MAX: usize = 1024;

/// How many messages wait for a slow follower before it misses the oldest.
const WAITING_MAX: usize = 1024;

/// The largest message, as NATS has it.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Topics in memory. A message goes to those who follow its topic now; what nobody follows is
/// gone. A topic is made of tokens with dots between them, as a NATS subject is.
#[derive(Default)]
pub struct Bus {
    followed: Mutex<HashMap<String, broadcast::Sender<Arc<Published>>>>,
}

/// A message and the topic that it was published to.
#[derive(Debug, Serialize)]
pub struct Published {
    /// The topic.
    pub topic: String,
    /// The message.
    #[serde(flatten)]
    pub message: Message,
}

/// What a follower hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A message.
    Message(Arc<Published>),
    /// So many messages went by because the follower was too slow.
    Missed(u64),
}

/// Hears what is published to a topic, or to all topics that fit a pattern.
#[derive(Debug)]
pub struct Follower(broadcast::Receiver<Arc<Published>>);

/// Why a topic cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFollowed {
    /// It is no topic.
    #[error("not a topic; write tokens with dots between them, * for one token, > for the rest")]
    Topic,
    /// Too many are followed already.
    #[error("{FOLLOWED_MAX} topics are followed already, which is the limit")]
    Full,
}

impl Bus {
    /// Publishes to a topic and says how many followers the message went to.
    pub fn publish(&self, topic: &str, message: Message) -> usize {
        let mut followed = self.followed();
        followed.retain(|_, sender| sender.receiver_count() > 0);
        let mut all = followed.iter().filter(|(pattern, _)| fits(pattern, topic)).peekable();
        if all.peek().is_none() {
            return 0;
        }
        let published = Arc::new(Published { topic: topic.to_owned(), message });
        // A sender whose last follower has left in between has sent to nobody: 0.
        all.map(|(_, sender)| sender.send(Arc::clone(&published)).unwrap_or(0)).sum()
    }

    /// Whether anybody follows a topic.
    #[must_use]
    pub fn is_followed(&self, topic: &str) -> bool {
        let followed = self.followed();
        followed.iter().any(|(pattern, sender)| sender.receiver_count() > 0 && fits(pattern, topic))
    }

    /// Follows a topic from now on. `*` stands for one token, `>` at the end for one or more.
    ///
    /// # Errors
    /// [`NotFollowed`] if this is no topic, or if too many are followed.
    pub fn follow(&self, pattern: &str) -> Result<Follower, NotFollowed> {
        if !is_pattern(pattern) {
            return Err(NotFollowed::Topic);
        }
        let mut followed = self.followed();
        followed.retain(|_, sender| sender.receiver_count() > 0);
        if let Some(sender) = followed.get(pattern) {
            return Ok(Follower(sender.subscribe()));
        }
        if followed.len() >= FOLLOWED_MAX {
            return Err(NotFollowed::Full);
        }
        let (sender, receiver) = broadcast::channel(WAITING_MAX);
        followed.insert(pattern.to_owned(), sender);
        Ok(Follower(receiver))
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<String, broadcast::Sender<Arc<Published>>>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// The next message, or how many were missed; none when the bus is gone.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(published) => Some(Heard::Message(published)),
            Err(RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Bus({} topics followed)", self.followed().len())
    }
}

/// An upstream of topics.
#[derive(Debug)]
pub struct Target {
    /// The upstream's name.
    pub name: Name,
    /// Who follows its topics.
    pub bus: Arc<Bus>,
    /// Who consumes them.
    pub sources: Box<[Source]>,
}

/// Who consumes some of the topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: Name,
    /// Which topics: one, or a pattern as it is followed.
    pub topics: Box<str>,
}

/// What stands before the name of a source where a record's target does.
pub const SOURCE: &str = "source:";

impl Target {
    /// Who consumes a topic.
    pub fn sources_of<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Source> {
        self.sources.iter().filter(move |source| fits(&source.topics, topic))
    }

    /// The records of an event that is published to a topic, which is the record's function: one
    /// for each source, or one that waits for a source.
    #[must_use]
    pub fn spread(&self, record: Record) -> Vec<Record> {
        let mut all: Vec<Record> = self
            .sources_of(&record.head.function)
            .map(|source| {
                let mut one = record.clone();
                one.head.target = format!("{SOURCE}{}", source.name);
                one
            })
            .collect();
        if all.is_empty() {
            all.push(record);
        }
        all
    }

    /// Lets those hear of an event who follow its topic, once it is stored. Says how many.
    pub async fn announce(&self, topic: &str, call: &mut Call) -> usize {
        if !self.bus.is_followed(topic) {
            return 0;
        }
        // What cannot be shown is stored all the same.
        match Message::of(call, usize::MAX).await {
            Ok(message) => self.bus.publish(topic, message),
            Err(_) => 0,
        }
    }
}

/// Whether this can be published to.
#[must_use]
pub fn is_topic(text: &str) -> bool {
    text.split('.').all(is_token)
}

/// One core's way to the topics of an upstream, for calls that no route has stored already.
#[derive(Debug)]
pub struct Lane {
    target: Arc<Target>,
    outbox: Arc<Outbox>,
}

impl Lane {
    /// Makes the lane.
    #[must_use]
    pub fn new(target: Arc<Target>, outbox: Arc<Outbox>) -> Self {
        Self { target, outbox }
    }

    async fn publish(&self, mut call: Call) -> Result<Reply, Fault> {
        let topic = Arc::clone(&call.function);
        if !is_topic(&topic) {
            return Err(Fault::new(
                Class::BadRequest,
                "this is not a topic that can be published to; write tokens with dots between them",
            ));
        }
        let data = std::mem::take(&mut call.event.data).collect(MESSAGE_BYTES_MAX).await;
        let data = data.map_err(|error| {
            Fault::new(Class::TooLarge, "the event is too large, or broke off").because(error)
        })?;
        call.event.data = Body::from(data.clone());
        let address = format!("{}/{topic}", self.target.name);
        let record = Record::of(&call, data, "", &address, Ack::Stored);
        let taken = self.outbox.put(self.target.spread(record)).await;
        let taken = taken.map_err(|error| not_stored(&error))?;
        let followers = self.target.announce(&topic, &mut call).await;
        let receipt = [
            ("topic".to_owned(), serde_json::Value::from(&*topic)),
            ("stored".to_owned(), taken.iter().map(|taken| taken.id.0).collect()),
            ("followers".to_owned(), followers.into()),
        ];
        Ok(Reply::published(Receipt {
            ack: Ack::Stored,
            guarantee: self.outbox.guarantee(),
            duplicate: taken.iter().all(|taken| taken.duplicate),
            receipt: receipt.into_iter().collect(),
        }))
    }
}

impl Invoker for Lane {
    fn call(&self, call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(self.publish(call))
    }
}

/// Why nothing was stored, for whoever publishes. Nothing was sent anywhere.
#[must_use]
pub fn not_stored(error: &NotStored) -> Fault {
    let soon = Duration::from_secs(1);
    let later = Duration::from_secs(10);
    match error {
        NotStored::Recovering => {
            Fault::new(Class::Unavailable, "the outbox is being read after a start; come again")
                .code("outbox_recovering")
                .after(soon)
        }
        NotStored::Away => Fault::new(
            Class::Unavailable,
            "the server of the outbox cannot be reached now; nothing was stored",
        )
        .code("outbox_away")
        .after(soon),
        NotStored::Unanswered => Fault::new(
            Class::Unavailable,
            "the server of the outbox has not answered: the event may be stored; send it again with \
             the same id",
        )
        .code("outbox_unanswered")
        .maybe()
        .after(soon),
        NotStored::TooMany { limit } => Fault::new(
            Class::TooLarge,
            format!("these are more than {limit} events, which is what the outbox takes at once"),
        )
        .code("too_many_events"),
        NotStored::TargetFull { target } => Fault::new(
            Class::Overloaded,
            format!("as many events wait for {target} as may; nothing was stored"),
        )
        .code("outbox_target_full")
        .after(later),
        NotStored::Full => Fault::new(Class::Overloaded, "the outbox is full; nothing was stored")
            .code("outbox_full")
            .after(later),
        NotStored::DiskFull => {
            Fault::new(Class::StorageFull, "the disk of the outbox is full; nothing was stored")
                .code("disk_full")
                .after(later)
        }
        NotStored::TooLarge { .. } => Fault::new(Class::TooLarge, error.to_string()),
        NotStored::Conflict => Fault::new(
            Class::Unprocessable,
            "this id was used before for an event with other data; nothing was stored",
        )
        .code("idempotency_conflict"),
        NotStored::Broken(why) => {
            Fault::new(Class::Unavailable, "the outbox cannot be written; nothing was stored")
                .code("outbox_broken")
                .after(later)
                .because(why.to_string())
        }
    }
}

/// Whether this can be followed or consumed: a topic in which `*` and a last `>` may stand for tokens.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    let mut tokens = text.split('.').peekable();
    while let Some(token) = tokens.next() {
        let wild = token == "*" || (token == ">" && tokens.peek().is_none());
        if !wild && !is_token(token) {
            return false;
        }
    }
    true
}

/// Whether the topic is one of those that the pattern stands for.
#[must_use]
pub fn fits(pattern: &str, topic: &str) -> bool {
    let mut topic = topic.split('.');
    for token in pattern.split('.') {
        match (token, topic.next()) {
            (">", Some(_)) => return true,
            (_, None) => return false,
            ("*", Some(_)) => {}
            (token, Some(found)) if token == found => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;
    use schemas::Body;

    use super::*;

    fn message(data: &'static str) -> Message {
        Message { data: Bytes::from_static(data.as_bytes()), ..Message::default() }
    }

    async fn heard(follower: &mut Follower) -> String {
        match follower.next().await.unwrap() {
            Heard::Message(published) => {
                format!("{} {}", published.topic, String::from_utf8_lossy(&published.message.data))
            }
            Heard::Missed(count) => format!("missed {count}"),
        }
    }

    #[tokio::test]
    async fn followers_of_the_topic_and_of_patterns_hear_it_and_others_do_not() {
        let bus = Bus::default();
        let mut exact = bus.follow("orders.made").unwrap();
        let mut one = bus.follow("orders.*").unwrap();
        let mut rest = bus.follow("orders.>").unwrap();
        assert_eq!(bus.publish("orders.made", message("1")), 3);
        assert_eq!(bus.publish("orders.made.late", message("2")), 1);
        assert_eq!(bus.publish("orders", message("3")), 0);
        assert_eq!(heard(&mut exact).await, "orders.made 1");
        assert_eq!(heard(&mut one).await, "orders.made 1");
        assert_eq!(heard(&mut rest).await, "orders.made 1");
        assert_eq!(heard(&mut rest).await, "orders.made.late 2");
        drop(bus);
        assert!(exact.next().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_follower_is_told_how_many_it_missed() {
        let bus = Bus::default();
        let mut slow = bus.follow("t").unwrap();
        for _ in 0..WAITING_MAX + 7 {
            bus.publish("t", message("x"));
        }
        assert_eq!(heard(&mut slow).await, "missed 7");
        assert_eq!(heard(&mut slow).await, "t x");
    }

    #[test]
    fn followed_topics_are_bounded_and_forgotten_with_their_last_follower() {
        let bus = Bus::default();
        let followers: Vec<_> =
            (0..FOLLOWED_MAX).map(|n| bus.follow(&format!("t{n}")).unwrap()).collect();
        assert!(bus.follow("t0").is_ok());
        assert_eq!(bus.follow("more").unwrap_err(), NotFollowed::Full);
        drop(followers);
        assert!(bus.follow("more").is_ok());
        for bad in ["", "a..b", "a.>.b", "a b", "a*"] {
            assert_eq!(bus.follow(bad).unwrap_err(), NotFollowed::Topic, "{bad}");
        }
    }

    #[tokio::test]
    async fn an_event_is_stored_for_each_source_of_its_topic_and_heard_by_followers() {
        let outbox = Arc::new(Outbox::default());
        outbox.open(Arc::new(outbox::memory::Memory::default()));
        let source = |name: &str, topics: &str| Source {
            name: name.parse().unwrap(),
            topics: topics.into(),
        };
        let bus = Arc::new(Bus::default());
        let mut follower = bus.follow("orders.>").unwrap();
        let sources = [source("a", "orders.*"), source("b", "orders.made"), source("c", "other")];
        let name = "local".parse().unwrap();
        let target = Arc::new(Target { name, bus, sources: sources.into() });
        let lane = Lane::new(target, Arc::clone(&outbox));
        let call = |topic: &str| {
            let mut call = Call::new(topic, Body::from(Bytes::from_static(b"hi")), Instant::now());
            call.ack = Ack::Stored;
            call
        };
        let reply = lane.call(call("orders.made")).await.unwrap();
        let receipt = serde_json::to_value(reply.receipt.unwrap()).unwrap();
        assert_eq!(
            (&receipt["ack"], &receipt["receipt"]["followers"]),
            (&"stored".into(), &1.into())
        );
        assert_eq!(heard(&mut follower).await, "orders.made hi");
        lane.call(call("nobody")).await.unwrap();
        let claims = outbox.store().unwrap().claim(10).await;
        let mut targets: Vec<_> = claims.iter().map(|one| &*one.record.head.target).collect();
        targets.sort_unstable();
        assert_eq!(targets, ["local/nobody", "source:a", "source:b"]);
        assert!(lane.call(call("a..b")).await.is_err());
    }
}
