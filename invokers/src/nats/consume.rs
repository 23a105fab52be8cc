//! Consuming a subject for a source: from the stream that keeps it, by a durable consumer whose
//! place the server remembers; or from core NATS, where what nobody hears is gone.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{
    Client, Event,
    jetstream::{
        self,
        consumer::{AckPolicy, PullConsumer, pull},
    },
};
use futures_util::StreamExt as _;
use schemas::{Class, Fault};

use super::{
    config::Target,
    follow,
    heard::{self, Heard},
    reply::pairs,
};
use crate::{
    Tools,
    consume::{Hold, Taken, Wanted},
    message::Message,
};

/// How long the server waits for word of a message before it gives it to somebody else. To store
/// one takes milliseconds, and one that waits for room is spoken of every second.
const ACK_WAIT: Duration = Duration::from_secs(5);

/// How often the server says that it is there while nothing comes.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long one question for messages stands.
const EXPIRES: Duration = Duration::from_secs(30);

/// Messages of a subject.
pub struct Consumer {
    from: From,
    _client: Client,
}

enum From {
    Stream {
        messages: Box<pull::Stream>,
        /// Its name and when it was made, so that the numbers of another are not taken for its own.
        stream: String,
    },
    Subject(Heard),
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Consumer")
    }
}

/// Begins to consume. What core NATS sends and nobody has taken when 64 MiB of it wait is lost, and
/// counted in `lost`.
///
/// # Errors
/// If no server can be reached, no stream keeps the subject, or the consumer of this name is
/// another one.
pub async fn consume(
    target: Arc<Target>,
    tools: &Tools,
    wanted: &Wanted,
    lost: &Arc<AtomicU64>,
) -> Result<Consumer, Fault> {
    let dropped = Arc::clone(lost);
    let client = follow::connect(&target, tools, "source", move |event| {
        // The client library has dropped a message before it was heard.
        if let Event::SlowConsumer(_) = event {
            dropped.fetch_add(1, Relaxed);
        }
        ready(())
    });
    let client = client.await?;
    let from = if target.jetstream {
        stream(&client, &target, wanted).await?
    } else {
        // Those of one name share what comes, so that several gateways do not each take it.
        let subscribed = client.queue_subscribe(wanted.from.to_string(), wanted.name.to_string());
        let subscriber = subscribed.await.map_err(|error| {
            Fault::new(Class::BadRequest, "this is not a subject that can be subscribed to")
                .because(error)
        })?;
        From::Subject(Heard::new(subscriber, heard::BYTES_MAX, Arc::clone(lost)))
    };
    Ok(Consumer { from, _client: client })
}

async fn stream(client: &Client, target: &Target, wanted: &Wanted) -> Result<From, Fault> {
    let context = jetstream::new(client.clone());
    let name = match &target.stream {
        Some(name) => name.clone(),
        None => context.stream_by_subject(wanted.from.to_string()).await.map_err(|error| {
            Fault::new(
                Class::NotFound,
                format!("no stream keeps {}; create it on the server", wanted.from),
            )
            .code("no_stream")
            .because(error)
        })?,
    };
    let stream = context.get_stream(&name).await.map_err(|error| {
        Fault::new(Class::NotFound, format!("there is no stream {name}; create it on the server"))
            .code("no_stream")
            .because(error)
    })?;
    let config = pull::Config {
        durable_name: Some(wanted.name.to_string()),
        filter_subject: wanted.from.to_string(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: i64::try_from(wanted.at_once).unwrap_or(i64::MAX),
        ..pull::Config::default()
    };
    let made = stream.get_or_create_consumer(&wanted.name, config).await;
    let consumer: PullConsumer = made.map_err(|error| {
        Fault::new(
            Class::UpstreamProtocol,
            format!("the stream {name} lets nobody consume {} as {}", wanted.from, wanted.name),
        )
        .code("no_consumer")
        .because(error)
    })?;
    let there = &consumer.cached_info().config;
    if there.filter_subject != *wanted.from || there.ack_policy != AckPolicy::Explicit {
        return Err(Fault::new(
            Class::UpstreamProtocol,
            format!(
                "the consumer {} of the stream {name} is another one: it takes \"{}\"; delete it, \
                 or give the source another name",
                wanted.name, there.filter_subject
            ),
        )
        .code("other_consumer"));
    }
    let created = stream.cached_info().created.unix_timestamp_nanos();
    let messages = consumer
        .stream()
        .max_messages_per_batch(wanted.at_once)
        .heartbeat(HEARTBEAT)
        .expires(EXPIRES)
        .messages()
        .await
        .map_err(lost)?;
    Ok(From::Stream { messages: Box::new(messages), stream: format!("{name}.{created}") })
}

fn lost(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
    Fault::new(Class::Unavailable, "the NATS server gives no more messages").because(error)
}

fn ended() -> Fault {
    Fault::new(Class::Unavailable, "the connection to the NATS server has ended")
}

impl Consumer {
    /// The next message.
    ///
    /// # Errors
    /// If the connection was lost, or the consumer was taken away.
    pub async fn next(&mut self) -> Result<Taken, Fault> {
        let (message, hold, id) = match &mut self.from {
            From::Subject(heard) => (heard.next().await.ok_or_else(ended)?, Hold::Nothing, None),
            From::Stream { messages, stream } => {
                let message = messages.next().await.ok_or_else(ended)?.map_err(lost)?;
                let number = message.info().map_err(lost)?.stream_sequence;
                let (message, acker) = message.split();
                (message, Hold::JetStream(Box::new(acker)), Some(format!("{stream}.{number}")))
            }
        };
        let headers = pairs(message.headers.as_ref());
        Ok(Taken {
            topic: message.subject.to_string(),
            message: Message::from_wire(headers, message.payload),
            id,
            hold,
        })
    }
}
