//! NATS, core and JetStream.
//!
//! A lane owns one connection (`../link.rs`, `session.rs`). A call becomes a message and is published
//! and confirmed, sent and replied to, or stored by JetStream and acknowledged, by what its `ack`
//! and the upstream's `jetstream` say. docs/nats.md tells users what each of these promises.

mod auth;
mod config;
mod consume;
mod follow;
mod heard;
mod look;
mod refusal;
mod reply;
mod session;
mod standing;
mod stream;
pub mod sync;
mod under_way;

use std::{cell::OnceCell, sync::Arc};

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use schemas::{Ack, Call, Class, Fault, Guarantee, Invoker, Receipt, Reply, template::is_token};

pub(crate) use self::session::Servers;
pub use self::{
    config::{JetStream, Target, Written},
    consume::{Consumer, consume},
    follow::{Following, follow},
    look::{Looked, look},
    standing::stand,
};
use self::{
    refusal::Refusal,
    session::Session,
    stream::{Storages, Stored},
};
use crate::{
    Tools,
    link::Link,
    message::{self, Message},
};

/// One core's connection.
#[derive(Debug)]
pub struct Lane {
    target: Arc<Target>,
    tools: Tools,
    link: OnceCell<Link<Servers>>,
    storages: Storages,
}

impl Lane {
    /// Makes the lane; it connects with its first call.
    #[must_use]
    pub fn new(target: Arc<Target>, tools: Tools) -> Self {
        Self { target, tools, link: OnceCell::new(), storages: Storages::default() }
    }

    /// `idle`, `connecting`, `up` or `down`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.link.get().map_or("idle", Link::name)
    }

    async fn send(&self, mut call: Call) -> Result<Reply, Fault> {
        if !call.function.split('.').all(is_token) {
            return Err(Refusal::Subject.into());
        }
        let link = self.link.get_or_init(|| {
            Link::start(Servers { target: Arc::clone(&self.target), tools: self.tools.clone() })
        });
        let session = match link.session().await {
            Ok(session) => session,
            Err(fault) => return Err(fault.unsent(call)),
        };
        let message = Message::of(&mut call, session.max_payload()).await?;
        let (headers, data) = self.wire(&call, message)?;
        let sent = match (call.ack, self.target.jetstream) {
            (Ack::Published, true) => self.store(&session, &call, headers, data).await,
            (Ack::Published, false) => publish(&session, &call, headers, data).await,
            (Ack::Replied, false) => match session.request(&call.function, headers, data).await {
                Ok(message) => reply::read(message),
                Err(refusal) => Err(refusal.into()),
            },
            (Ack::Replied, true) | (Ack::Stored, _) => {
                Err(Fault::new(Class::Internal, "the upstream does not know this `ack`"))
            }
        };
        // The body is whole by now, so that what was not sent can go by another way.
        sent.map_err(|fault| match fault.class {
            Class::Unavailable if fault.ran == schemas::Ran::No => fault.unsent(call),
            _ => fault,
        })
    }

    /// Publishes to JetStream and waits for its acknowledgement.
    async fn store(
        &self,
        session: &Arc<Session>,
        call: &Call,
        headers: HeaderMap,
        data: Bytes,
    ) -> Result<Reply, Fault> {
        let answer = session.request(&call.function, headers, data).await?;
        let stored = Stored::read(&answer)?;
        let kept = self.storages.kept(&stored, session, &self.target, &self.tools);
        Ok(Reply::published(stored.receipt(&call.function, kept)))
    }

    /// The headers of the message and what JetStream is told with them, and the data.
    fn wire(&self, call: &Call, message: Message) -> Result<(HeaderMap, Bytes), Fault> {
        let (pairs, data) = message.into_wire();
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value: async_nats::HeaderValue = value.parse().map_err(|_| unfit(&name))?;
            let name: async_nats::HeaderName = name.parse().map_err(|_| unfit(&name))?;
            headers.append(name, value);
        }
        if self.target.jetstream {
            if let Some(identity) = &call.identity {
                let id = message::id(identity, &self.target.name, &call.function);
                headers.insert("Nats-Msg-Id", id);
            }
            if let Some(stream) = &self.target.stream {
                headers.insert("Nats-Expected-Stream", stream.as_str());
            }
        }
        Ok((headers, data))
    }
}

impl Invoker for Lane {
    fn call(&self, call: Call) -> LocalBoxFuture<'_, Result<Reply, Fault>> {
        Box::pin(self.send(call))
    }
}

/// Publishes to core NATS and waits until the server has processed the message.
async fn publish(
    session: &Session,
    call: &Call,
    headers: HeaderMap,
    data: Bytes,
) -> Result<Reply, Fault> {
    session.publish(&call.function, headers, data).await?;
    let mut receipt = serde_json::Map::new();
    receipt.insert("subject".to_owned(), (*call.function).into());
    Ok(Reply::published(Receipt {
        ack: Ack::Published,
        guarantee: Guarantee::None,
        duplicate: false,
        receipt,
    }))
}

fn unfit(name: &str) -> Fault {
    Fault::new(Class::BadRequest, format!("the header {name} cannot be carried by a message"))
}
