//! The bus in memory, for `gusset dev`: topics that keep nothing and say so.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::LocalBoxFuture;
use schemas::{Ack, Call, Class, Fault, Guarantee, Invoker, Receipt, Reply, template::is_token};
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

/// One core's way to the bus.
#[derive(Debug)]
pub struct Lane {
    bus: Arc<Bus>,
}

impl Lane {
    /// Makes the lane.
    #[must_use]
    pub fn new(bus: Arc<Bus>) -> Self {
        Self { bus }
    }

    async fn publish(&self, mut call: Call) -> Result<Reply, Fault> {
        if call.ack != Ack::Published {
            return Err(Fault::new(Class::Internal, "the bus in memory can only publish"));
        }
        if !call.function.split('.').all(is_token) {
            return Err(Fault::new(
                Class::BadRequest,
                "this is not a topic that can be published to; write tokens with dots between them",
            ));
        }
        let message = Message::of(&mut call, MESSAGE_BYTES_MAX).await?;
        let followers = self.bus.publish(&call.function, message);
        let receipt = [
            ("topic".to_owned(), serde_json::Value::from(&*call.function)),
            ("followers".to_owned(), followers.into()),
        ];
        Ok(Reply::published(Receipt {
            ack: Ack::Published,
            guarantee: Guarantee::None,
            duplicate: false,
            receipt: receipt.into_iter().collect(),
        }))
    }
}

impl Invoker for Lane {
    fn call(&self, call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(self.publish(call))
    }
}

/// Whether this can be followed: a topic in which `*` and a last `>` may stand for tokens.
fn is_pattern(text: &str) -> bool {
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
fn fits(pattern: &str, topic: &str) -> bool {
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
    async fn the_receipt_says_that_nothing_is_kept() {
        let bus = Arc::new(Bus::default());
        let mut follower = bus.follow("t").unwrap();
        let lane = Lane::new(Arc::clone(&bus));
        let mut call = Call::new("t", Body::from(Bytes::from_static(b"hi")), Instant::now());
        call.ack = Ack::Published;
        let reply = lane.call(call).await.unwrap();
        assert_eq!(
            serde_json::to_value(reply.receipt.unwrap()).unwrap(),
            serde_json::json!({
                "ack": "published", "guarantee": "none", "duplicate": false,
                "receipt": {"topic": "t", "followers": 1}
            })
        );
        assert_eq!(heard(&mut follower).await, "t hi");
    }
}
