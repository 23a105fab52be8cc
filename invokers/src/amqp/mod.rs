//! AMQP 0.9.1, as RabbitMQ speaks it.
//!
//! A lane owns one connection (`../link.rs`, `session.rs`). A call becomes a message (`wire.rs`) and
//! is published beside others on its exchange's channel (`pipeline.rs`) or on a channel of its own
//! (`channels.rs`), always `mandatory` and with a confirmation: a 202 says that the broker has taken
//! it into a queue. `ack: replied` waits for a reply on the channel (direct reply-to). docs/amqp.md
//! tells users what each of these promises.

mod channels;
mod config;
mod consume;
mod declare;
mod follow;
mod pipeline;
mod refusal;
mod reply;
mod session;
mod wire;

use std::{cell::OnceCell, sync::Arc};

use futures_util::future::LocalBoxFuture;
use schemas::{Ack, Call, Class, Fault, Guarantee, Invoker, Ran, Receipt, Reply};

pub(crate) use self::consume::{give_back, settle};
pub(crate) use self::session::Servers;
pub use self::{
    config::{Target, Written},
    consume::{Consumer, consume, look, queue},
    declare::{Argument, Arguments, Binding, Declare, Exchange, Queue, QueueKind, Routing},
    follow::{Following, follow},
};
use self::{session::Session, wire::Outgoing};
use crate::{Tools, link::Link};

/// One core's connection.
#[derive(Debug)]
pub struct Lane {
    target: Arc<Target>,
    tools: Tools,
    link: OnceCell<Link<Servers>>,
}

impl Lane {
    /// Makes the lane; it connects with its first call.
    #[must_use]
    pub fn new(target: Arc<Target>, tools: Tools) -> Self {
        Self { target, tools, link: OnceCell::new() }
    }

    /// `idle`, `connecting`, `up` or `down`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.link.get().map_or("idle", Link::name)
    }

    async fn send(&self, mut call: Call) -> Result<Reply, Fault> {
        let link = self.link.get_or_init(|| {
            Link::start(Servers { target: Arc::clone(&self.target), tools: self.tools.clone() })
        });
        let session = match link.session().await {
            Ok(session) => session,
            Err(fault) => return Err(fault.unsent(call)),
        };
        let outgoing = Outgoing::of(&mut call, &self.target, session.frame_max()).await?;
        let sent = match call.ack {
            Ack::Published => self.publish(&session, outgoing).await,
            Ack::Replied => request(&session, outgoing, &call).await,
            Ack::Stored => {
                Err(Fault::new(Class::Internal, "the upstream does not know this `ack`"))
            }
        };
        // The body is whole by now, so that what was not sent can go by another way.
        sent.map_err(|fault| match fault.class {
            Class::Unavailable if fault.ran == Ran::No => fault.unsent(call),
            _ => fault,
        })
    }

    /// Publishes, and makes the receipt when the broker has confirmed the message.
    async fn publish(&self, session: &Session, outgoing: Outgoing) -> Result<Reply, Fault> {
        let (exchange, key) = outgoing.place();
        if let Err(refusal) = session.publish(outgoing).await {
            return Err(refusal.fault(&exchange, &key));
        }
        let durable = self.target.declare.is_durable(&exchange, &key);
        let mut receipt = serde_json::Map::new();
        receipt.insert("exchange".to_owned(), exchange.into());
        receipt.insert("key".to_owned(), key.into());
        Ok(Reply::published(Receipt {
            ack: Ack::Published,
            guarantee: if durable { Guarantee::BrokerDisk } else { Guarantee::BrokerMemory },
            duplicate: false,
            receipt,
        }))
    }
}

impl Invoker for Lane {
    fn call(&self, call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(self.send(call))
    }
}

/// Publishes a request, and makes the answer of its reply.
async fn request(session: &Session, outgoing: Outgoing, call: &Call) -> Result<Reply, Fault> {
    let (exchange, key) = outgoing.place();
    match session.request(outgoing, call.deadline).await {
        Ok(reply) => reply::read(reply),
        Err(refusal) => Err(refusal.fault(&exchange, &key)),
    }
}
