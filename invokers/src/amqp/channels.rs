//! The channels of a connection, kept for the next message.
//!
//! **A channel of these has one message under way.** What the broker says of a channel says it of
//! that message then, and of no other: a return, a confirmation, the end of the channel because an
//! exchange is not there. Requests, the first messages to an exchange and large ones go this way,
//! the others by a pipeline (`pipeline.rs`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lapin::{
    Channel, Confirmation, Connection,
    message::{Delivery, DeliveryResult},
    options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions},
    types::FieldTable,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    pipeline::Pipelines,
    refusal::Refusal,
    wire::{Outgoing, REPLY_TO, short},
};
use crate::late;

/// The channels of one purpose.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Vec<Opened>>,
    room: Arc<Semaphore>,
    /// Whether replies come to them.
    replying: bool,
}

/// A channel with confirmations.
#[derive(Debug)]
struct Opened {
    channel: Channel,
    replies: Arc<Replies>,
}

/// A channel in use. Given back where nothing is under way on it any more; else it is closed.
#[derive(Debug)]
pub(super) struct Slot {
    opened: Opened,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

/// Who waits for a reply on a channel.
#[derive(Debug, Default)]
pub(super) struct Replies(Mutex<Option<(String, oneshot::Sender<Delivery>)>>);

impl Replies {
    /// The reply to the request with this correlation id.
    pub(super) fn expect(&self, correlation: String) -> oneshot::Receiver<Delivery> {
        let (reply, comes) = oneshot::channel();
        *self.lock() = Some((correlation, reply));
        comes
    }

    /// Nobody waits any more.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    /// Something has come.
    fn arrived(&self, delivery: Delivery) {
        let correlation = delivery.properties.correlation_id().as_ref().map(|id| id.as_str());
        let awaited = self.lock().take_if(|(awaited, _)| Some(awaited.as_str()) == correlation);
        if awaited.is_none_or(|(_, reply)| reply.send(delivery).is_err()) {
            late::count();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(String, oneshot::Sender<Delivery>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    pub(super) fn new(most: usize, replying: bool) -> Self {
        Self { idle: Mutex::default(), room: Arc::new(Semaphore::new(most)), replying }
    }

    /// Room for one more under way, when there is some.
    pub(super) async fn room(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.room).acquire_owned().await.map_err(|_| Refusal::Down)
    }

    /// A channel, if one is free.
    pub(super) async fn try_take(
        self: &Arc<Self>,
        connection: &Connection,
    ) -> Result<Slot, Refusal> {
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Refusal::Busy)?;
        self.with(permit, connection).await
    }

    /// A channel for who has room.
    pub(super) async fn with(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        connection: &Connection,
    ) -> Result<Slot, Refusal> {
        let kept = loop {
            match self.lock().pop() {
                Some(kept) if !kept.channel.status().connected() => {}
                kept => break kept,
            }
        };
        let opened = match kept {
            Some(kept) => kept,
            // Nothing of a message has been sent yet.
            None => self.open(connection).await.map_err(|_| Refusal::Down)?,
        };
        Ok(Slot { opened, pool: Arc::clone(self), _permit: permit })
    }

    async fn open(&self, connection: &Connection) -> lapin::Result<Opened> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let replies = Arc::new(Replies::default());
        if self.replying {
            let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
            let consumer = channel
                .basic_consume(short(REPLY_TO), short(""), options, FieldTable::default())
                .await?;
            let arrived = Arc::clone(&replies);
            consumer.set_delegate(move |delivery: DeliveryResult| {
                if let Ok(Some(delivery)) = delivery {
                    arrived.arrived(delivery);
                }
                std::future::ready(())
            });
        }
        Ok(Opened { channel, replies })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Opened>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Publishes, and returns when the broker has said what has become of it. Not to be dropped in
    /// between: the next message on the channel would be told what is said of this one.
    pub(super) async fn publish(&self, outgoing: Outgoing) -> Result<(), Refusal> {
        let Outgoing { exchange, key, properties, data, .. } = outgoing;
        let channel = &self.opened.channel;
        if !channel.status().connected() {
            return Err(Refusal::Down);
        }
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let sent = channel.basic_publish(exchange, key, options, &data, properties).await;
        let said = match sent {
            Ok(confirmed) => confirmed.await,
            Err(error) => Err(error),
        };
        match said {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
                Err(Refusal::Unroutable)
            }
            Ok(Confirmation::Nack(None)) => Err(Refusal::Nacked),
            // The channel was opened with confirmations.
            Ok(Confirmation::NotRequested) => Err(Refusal::Odd),
            Err(error) => Err(Refusal::of(&error)),
        }
    }

    /// Who waits for a reply on it.
    pub(super) fn replies(&self) -> &Replies {
        &self.opened.replies
    }

    /// Keeps the channel for the next, if it is still open.
    pub(super) fn give_back(self) {
        let Self { opened, pool, _permit } = self;
        if opened.channel.status().connected() {
            pool.lock().push(opened);
        }
    }

    /// Makes a pipeline of the channel, which has shown that the exchange is there, unless the
    /// exchange has one or had one.
    pub(super) fn pipe(self, exchange: &str, pipelines: &Pipelines) {
        match self.opened.channel.status().connected() && pipelines.wants(exchange) {
            true => pipelines.adopt(exchange, self.opened.channel),
            false => self.give_back(),
        }
    }
}
