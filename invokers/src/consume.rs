//! Consuming what a broker keeps, for a source: each message is the broker's until it is settled,
//! so that whoever dies in between loses nothing.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use schemas::Fault;

use crate::{Target, Tools, amqp, message::Message, nats};

/// What is consumed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The function part of the source's address: a subject, or an exchange and a queue.
    pub from: Box<str>,
    /// By which name the broker remembers how far this consumer has come.
    pub name: Box<str>,
    /// How many messages may be taken and not settled.
    pub at_once: usize,
}

/// A message that was taken, and is the broker's until it is settled.
#[derive(Debug)]
pub struct Taken {
    /// Where it was published to.
    pub topic: String,
    /// The message.
    pub message: Message,
    /// By what the broker knows it again; none if it does not.
    pub id: Option<String>,
    pub(crate) hold: Hold,
}

/// What the broker is told of a message.
pub(crate) enum Hold {
    /// Nothing: it keeps none.
    Nothing,
    /// An acknowledgement to JetStream.
    JetStream(Box<async_nats::jetstream::message::Acker>),
    /// An acknowledgement to an AMQP broker: the delivery without its data.
    Amqp(Box<lapin::message::Delivery>),
}

impl fmt::Debug for Hold {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Hold")
    }
}

/// Messages as they come.
#[derive(Debug)]
pub enum Consumer {
    /// From NATS.
    Nats(nats::Consumer),
    /// From an AMQP broker.
    Amqp(Box<amqp::Consumer>),
}

/// Begins to consume. What a broker keeps nothing of and nobody takes in time is counted in `lost`.
///
/// # Errors
/// If the broker cannot be reached, or has not what is wanted.
pub async fn consume(
    target: &Target,
    tools: &Tools,
    wanted: &Wanted,
    lost: &Arc<AtomicU64>,
) -> Result<Consumer, Fault> {
    match target {
        Target::Nats(target) => {
            nats::consume(Arc::clone(target), tools, wanted, lost).await.map(Consumer::Nats)
        }
        Target::Amqp(target) => {
            amqp::consume(target, tools, wanted).await.map(Box::new).map(Consumer::Amqp)
        }
        Target::Http(_)
        | Target::Grpc(_)
        | Target::Embedded(_)
        | Target::Lambda(_)
        | Target::OpenFaas(_)
        | Target::Azure(_)
        | Target::Knative(_)
        | Target::Google(_) => Err(Fault::new(
            schemas::Class::Internal,
            "this kind of upstream has nothing that could be consumed here",
        )),
    }
}

impl Consumer {
    /// The next message.
    ///
    /// # Errors
    /// If the connection was lost or the broker took the consumer away; then it has ended.
    pub async fn next(&mut self) -> Result<Taken, Fault> {
        match self {
            Self::Nats(consumer) => consumer.next().await,
            Self::Amqp(consumer) => consumer.next().await,
        }
    }
}

impl Taken {
    /// A message that no broker waits to hear of.
    #[must_use]
    pub fn new(topic: &str, message: Message, id: Option<String>) -> Self {
        Self { topic: topic.to_owned(), message, id, hold: Hold::Nothing }
    }

    /// Whether the broker has it until it is settled.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !matches!(self.hold, Hold::Nothing)
    }

    /// It is safe elsewhere: the broker may forget it. If the broker does not hear of it, it gives
    /// the message again.
    pub async fn settle(&self) {
        match &self.hold {
            Hold::Nothing => {}
            Hold::JetStream(acker) => {
                // What is lost with the connection comes again.
                acker.ack().await.unwrap_or_default();
            }
            Hold::Amqp(delivery) => amqp::settle(delivery).await,
        }
    }

    /// It cannot be taken now: the broker shall give it again, not before this time.
    pub async fn give_back(&self, after: Duration) {
        match &self.hold {
            Hold::Nothing => {}
            Hold::JetStream(acker) => {
                let kind = async_nats::jetstream::AckKind::Nak(Some(after));
                acker.ack_with(kind).await.unwrap_or_default();
            }
            Hold::Amqp(delivery) => amqp::give_back(delivery, after).await,
        }
    }

    /// It is still being worked on: the broker shall give it to nobody else yet.
    pub async fn keep(&self) {
        match &self.hold {
            // An AMQP broker waits for as long as the connection is there.
            Hold::Nothing | Hold::Amqp(_) => {}
            Hold::JetStream(acker) => {
                let kind = async_nats::jetstream::AckKind::Progress;
                acker.ack_with(kind).await.unwrap_or_default();
            }
        }
    }
}
