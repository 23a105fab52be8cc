//! Consuming a queue for a source: each message is the broker's until it is acknowledged.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use lapin::{
    ErrorKind,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
        QueueDeclareOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
};
use schemas::{Class, Fault};

use super::{
    config::Target,
    follow, reply,
    session::Session,
    wire::{short, split},
};
use crate::{
    Tools,
    consume::{Hold, Taken, Wanted},
    link::Session as _,
    message::Message,
};

/// How often is looked whether a message that is held still can be given back.
const LOOK: Duration = Duration::from_secs(1);

/// Messages of a queue.
pub struct Consumer {
    messages: lapin::Consumer,
    session: Session,
}

impl fmt::Debug for Consumer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Consumer")
    }
}

/// The queue that a source consumes, by the function part of its address; none if that names no
/// queue.
#[must_use]
pub fn queue(function: &str) -> Option<&str> {
    match split(function)? {
        ("", queue) => Some(queue),
        _ => None,
    }
}

/// Begins to consume.
///
/// # Errors
/// If no broker can be reached, the queue is not there, or the user may not read from it.
pub async fn consume(
    target: &Arc<Target>,
    tools: &Tools,
    wanted: &Wanted,
) -> Result<Consumer, Fault> {
    let queue = queue(&wanted.from).ok_or_else(no_queue)?;
    let session = follow::open(target, tools).await.map_err(|why| why.fault())?;
    let begun = async {
        let channel = session.channel().await?;
        let at_once = u16::try_from(wanted.at_once).unwrap_or(u16::MAX);
        channel.basic_qos(at_once, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        channel.basic_consume(short(queue), short(""), options, FieldTable::default()).await
    };
    let messages = begun.await.map_err(|error| refused(queue, &error).because(error))?;
    Ok(Consumer { messages, session })
}

/// How many messages of a queue wait, and how many consumers it has, for `gusset check --live`.
///
/// # Errors
/// As [`consume`] has them.
pub async fn look(
    target: &Arc<Target>,
    tools: &Tools,
    wanted: &Wanted,
) -> Result<(u32, u32), Fault> {
    let queue = queue(&wanted.from).ok_or_else(no_queue)?;
    let session = follow::open(target, tools).await.map_err(|why| why.fault())?;
    let asked = async {
        let channel = session.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(short(queue), passive, FieldTable::default()).await
    };
    let there = asked.await.map_err(|error| refused(queue, &error).because(error))?;
    Ok((there.message_count(), there.consumer_count()))
}

impl Consumer {
    /// The next message.
    ///
    /// # Errors
    /// If the connection was lost, or the queue was deleted.
    pub async fn next(&mut self) -> Result<Taken, Fault> {
        let delivery = tokio::select! {
            biased;
            delivery = self.messages.next() => delivery,
            () = self.session.over() => return Err(lost()),
        };
        let mut delivery = match delivery {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => return Err(lost().because(error)),
            None => {
                let detail = "the AMQP broker gives no more messages of the queue; it was deleted, \
                              or the connection is lost";
                return Err(Fault::new(Class::Unavailable, detail));
            }
        };
        let table = delivery.properties.headers().as_ref();
        if table.is_some_and(|table| table.inner().contains_key("x-stream-offset")) {
            let detail = "the queue is a stream, and a source of one is not built yet; bind a queue \
                          to the same exchange, and consume that";
            return Err(Fault::new(Class::UpstreamProtocol, detail).code("stream_queue"));
        }
        let headers = reply::headers(&delivery.properties);
        let id = delivery.properties.message_id().as_ref();
        let id = id.map(ToString::to_string).filter(|id| !id.is_empty());
        Ok(Taken {
            topic: format!("{}/{}", delivery.exchange, delivery.routing_key),
            message: Message::from_wire(headers, Bytes::from(std::mem::take(&mut delivery.data))),
            id,
            hold: Hold::Amqp(Box::new(delivery)),
        })
    }
}

/// The message is safe elsewhere.
pub(crate) async fn settle(delivery: &Delivery) {
    // What is lost with the connection comes again.
    delivery.ack(BasicAckOptions::default()).await.unwrap_or_default();
}

/// The message goes back to its queue. A broker knows no time to wait, so it is held until then, or
/// until its channel ends, which gives it back too.
pub(crate) async fn give_back(delivery: &Delivery, after: Duration) {
    let until = Instant::now() + after;
    while delivery.usable() && Instant::now() < until {
        tokio::time::sleep(LOOK.min(after)).await;
    }
    let again = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
    delivery.nack(again).await.unwrap_or_default();
}

/// Why a queue cannot be consumed.
fn refused(queue: &str, error: &lapin::Error) -> Fault {
    let kind = match error.kind() {
        ErrorKind::ProtocolError(said) => Some(said.kind()),
        _ => None,
    };
    match kind {
        Some(AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)) => Fault::new(
            Class::NotFound,
            format!(
                "the AMQP broker has no queue {queue:?}; write it under `declare`, or create it"
            ),
        )
        .code("no_queue"),
        Some(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)) => Fault::new(
            Class::UpstreamAuth,
            format!(
                "the gateway's AMQP user may not read from the queue {queue:?}, or somebody else has \
                 it for himself"
            ),
        ),
        _ => lost(),
    }
}

fn no_queue() -> Fault {
    Fault::new(Class::BadRequest, "this names no queue; write one such as rabbit//orders")
}

fn lost() -> Fault {
    Fault::new(Class::Unavailable, "the connection to the AMQP broker was lost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_names_a_queue_and_no_exchange() {
        for (function, name) in [
            ("/orders", Some("orders")),
            ("/a/b", Some("a/b")),
            ("orders/created", None),
            ("orders", None),
            ("/", None),
        ] {
            assert_eq!(queue(function), name, "{function}");
        }
    }
}
