//! Listening on a subject, for `gusset subscribe`. What JetStream takes is heard here too.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use async_nats::{Client, ConnectOptions, Event, ServerError, Subscriber};
use futures_util::StreamExt as _;
use schemas::{Class, Fault};
use tokio::sync::mpsc;

use super::{config::Target, reply::pairs, session::of_every_connection};
use crate::{Tools, message::Message};

/// What is published to a subject from now on. The connection is made again when it is lost; what
/// was published in between is not heard.
#[derive(Debug)]
pub struct Following {
    subscriber: Subscriber,
    refused: mpsc::Receiver<String>,
    _client: Client,
}

/// Subscribes to a subject, in which `*` may stand for one token and `>` for the rest.
///
/// # Errors
/// If no server can be reached or the subject is none.
pub async fn follow(
    target: &Arc<Target>,
    tools: &Tools,
    subject: &str,
) -> Result<Following, Fault> {
    let (tell, refused) = mpsc::channel(1);
    let client = connect(target, tools, "subscribe", move |event| {
        if let Event::ServerError(ServerError::Other(said)) = event
            && said.starts_with("Permissions Violation for Subscription")
        {
            // The first refusal is enough; a second finds the queue full.
            drop(tell.try_send(said));
        }
        ready(())
    });
    let client = client.await?;
    let subscriber = client.subscribe(subject.to_owned()).await.map_err(|error| {
        Fault::new(Class::BadRequest, "this is not a subject that can be subscribed to")
            .because(error)
    })?;
    client.flush().await.map_err(|error| unreachable(error.into()))?;
    Ok(Following { subscriber, refused, _client: client })
}

/// Connects for something that listens. The connection is made again when it is lost. `heard` is
/// told of what happens to it.
pub(super) async fn connect(
    target: &Arc<Target>,
    tools: &Tools,
    what_for: &str,
    heard: impl Fn(Event) -> Ready<()> + Send + Sync + 'static,
) -> Result<Client, Fault> {
    let (credential, secrets) = (Arc::clone(target), tools.clone());
    let options = ConnectOptions::with_auth_callback(move |nonce| {
        ready(credential.credential.answer(&secrets, &nonce))
    })
    .event_callback(heard);
    let tls = target.servers.iter().any(|server| server.starts_with("tls://"));
    let options = of_every_connection(options, target, tools, tls).map_err(|why| why.fault())?;
    options
        .name(format!("gusset {what_for} {}", target.name))
        .connect(target.servers.as_slice())
        .await
        .map_err(|error| unreachable(error.into()))
}

fn unreachable(error: async_nats::Error) -> Fault {
    Fault::new(Class::Unavailable, "no connection to the NATS server").because(error)
}

impl Following {
    /// The next message and the subject that it was published to; none when the connection has
    /// ended for good.
    ///
    /// # Errors
    /// If the server does not let the user subscribe.
    pub async fn next(&mut self) -> Option<Result<(String, Message), Fault>> {
        tokio::select! {
            biased;
            Some(said) = self.refused.recv() => Some(Err(Fault::new(
                Class::UpstreamAuth,
                "the NATS user may not subscribe to this subject",
            )
            .because(said))),
            message = self.subscriber.next() => message.map(|message| {
                let headers = pairs(message.headers.as_ref());
                Ok((message.subject.to_string(), Message::from_wire(headers, message.payload)))
            }),
        }
    }
}
