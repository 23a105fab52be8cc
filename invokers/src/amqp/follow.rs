//! Listening to an exchange, for `gusset subscribe`.
//!
//! The listener has a queue of its own, bound to the exchange beside those that are there already:
//! each queue gets a copy, so nothing is taken from anybody. The queue goes with its connection.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use lapin::{
    Consumer, ErrorKind,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable},
};
use schemas::{Class, Fault};

use super::{
    config::Target,
    reply,
    session::{Servers, Session},
    wire::{no_address, short, split},
};
use crate::{
    Tools,
    link::{self, Broker as _, Why},
    message::Message,
};

/// How many messages wait for a slow reader; what is older than these is dropped by the broker.
const WAITING_MAX: i64 = 10_000;

/// How many of them are fetched ahead.
const AHEAD: u16 = 256;

/// What is published to an exchange from now on, until the connection is lost.
#[derive(Debug)]
pub struct Following {
    /// None when its end was told.
    consumer: Option<Consumer>,
    _session: Session,
}

/// Listens to `exchange/key`, in which the key is that of a binding: for a topic exchange `*` stands
/// for one word and `#` for any.
///
/// # Errors
/// If it is the default exchange, the exchange is not there, the user may not, or no broker can be
/// reached.
pub async fn follow(
    target: &Arc<Target>,
    tools: &Tools,
    pattern: &str,
) -> Result<Following, Fault> {
    let (exchange, key) = split(pattern).ok_or_else(no_address)?;
    if exchange.is_empty() {
        return Err(Fault::new(
            Class::BadRequest,
            format!(
                "{pattern:?} is a queue, which hands each message to one reader: listening would \
                 take it from yours; listen to the exchange that fills the queue, as in \
                 {}/exchange/key",
                target.name
            ),
        ));
    }
    let session = open(target, tools).await.map_err(|why| why.fault())?;
    let consumer = listen(&session, exchange, key)
        .await
        .map_err(|error| refused(exchange, &error).because(error))?;
    Ok(Following { consumer: Some(consumer), _session: session })
}

/// A session with the first server that takes it, and with what is declared, as a lane has.
pub(super) async fn open(target: &Arc<Target>, tools: &Tools) -> Result<Session, Why> {
    let servers = Servers { target: Arc::clone(target), tools: tools.clone() };
    let mut last = Why::from(link::down(Servers::NAME));
    for server in 0..servers.servers() {
        match servers.open(server).await {
            Ok(session) => return Ok(session),
            Err(why) => last = why,
        }
    }
    Err(last)
}

async fn listen(session: &Session, exchange: &str, key: &str) -> lapin::Result<Consumer> {
    let channel = session.channel().await?;
    let own = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let mut bounded = FieldTable::default();
    bounded.insert(short("x-max-length"), AMQPValue::LongLongInt(WAITING_MAX));
    let queue = channel.queue_declare(short(""), own, bounded).await?;
    let bind = QueueBindOptions::default();
    channel
        .queue_bind(queue.name().clone(), short(exchange), short(key), bind, FieldTable::default())
        .await?;
    channel.basic_qos(AHEAD, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
    channel.basic_consume(queue.name().clone(), short(""), options, FieldTable::default()).await
}

/// Why an exchange cannot be listened to.
fn refused(exchange: &str, error: &lapin::Error) -> Fault {
    let kind = match error.kind() {
        ErrorKind::ProtocolError(said) => Some(said.kind()),
        _ => None,
    };
    match kind {
        Some(AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)) => Fault::new(
            Class::FunctionNotDeployed,
            format!("the AMQP broker has no exchange {exchange:?}"),
        )
        .code("no_exchange"),
        Some(AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)) => Fault::new(
            Class::UpstreamAuth,
            format!(
                "the gateway's AMQP user may not listen to the exchange {exchange:?}: that needs \
                 `read` on it, and `configure`, `write` and `read` on queues named amq.gen-…"
            ),
        ),
        _ => lost(),
    }
}

fn lost() -> Fault {
    Fault::new(Class::Unavailable, "the connection to the AMQP broker was lost")
}

impl Following {
    /// The next message, and the exchange and key that it was published to; none after its end was
    /// told.
    ///
    /// # Errors
    /// If the connection is lost.
    pub async fn next(&mut self) -> Option<Result<(String, Message), Fault>> {
        let next = match self.consumer.as_mut()?.next().await {
            Some(Ok(delivery)) => match delivery.ack(BasicAckOptions::default()).await {
                Ok(_) => Ok(delivery),
                Err(error) => Err(lost().because(error)),
            },
            Some(Err(error)) => Err(lost().because(error)),
            None => Err(lost()),
        };
        if next.is_err() {
            self.consumer = None;
        }
        Some(next.map(|delivery| {
            let place = format!("{}/{}", delivery.exchange, delivery.routing_key);
            let headers = reply::headers(&delivery.properties);
            (place, Message::from_wire(headers, Bytes::from(delivery.data)))
        }))
    }
}
