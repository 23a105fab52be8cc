//! One connection to one server, confirmed in order.
//!
//! **A session connects once.** What was handed to it goes down with it: nothing waits in a queue
//! to be sent after its caller has been told that it failed. The client library would connect
//! again by itself and send what it still holds, so its second attempt is refused in the
//! authentication callback, and it gives up; [`super::link`] opens the next session.
//!
//! **A publish is confirmed by a fence**: an empty message to our own inbox, sent after it on the
//! same connection. The server works through a connection in order, so when the fence comes back
//! every publish before it has been processed, or its refusal (`-ERR`) came first. One fence
//! serves all that wait.
//!
//! The library hands us messages and refusals over two queues. Both end in tasks of this core's
//! one thread, whose run queue is first in, first out: when the fence's task has run once more
//! after it has seen the fence, the refusals that came before have been worked off. The queue of
//! refusals holds 128 and drops what is over, so fewer messages than that are ever without their
//! fence.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, HeaderMap, Message, PublishErrorKind, Subscriber,
    client::traits::Publisher as _, message::OutboundMessage,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use schemas::Class;
use tokio::{sync::oneshot, task::JoinSet};

use super::{
    config::Target,
    refusal::{Refusal, no_tls},
    sync::{self, Monitor, Sync},
    under_way::{Greeting, UnderWay},
};
use crate::{
    Tools,
    link::{self, Broker, Why},
};

/// A server that does not answer two of these is gone.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// The servers of an upstream, and what is needed to connect to them.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) target: Arc<Target>,
    pub(crate) tools: Tools,
}

impl Broker for Servers {
    type Session = Session;

    const NAME: &'static str = "NATS server";

    fn servers(&self) -> usize {
        self.target.servers.len()
    }

    fn at(&self, server: usize) -> String {
        self.target.servers[server].clone()
    }

    async fn open(&self, server: usize) -> Result<Session, Why> {
        Session::open(&self.target, &self.tools, &self.target.servers[server]).await
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    inbox: String,
    /// Whether fences come back: the user may publish to the inbox.
    fenced: bool,
    under_way: Arc<UnderWay>,
    /// Nobody has said over this connection when the servers sync: it is not asked again, as one
    /// whose user may not ask has that written into the server's log each time.
    unsaid: AtomicBool,
    /// The readers of the inbox and the sender of fences; they end with the session.
    _tasks: JoinSet<()>,
}

impl Session {
    /// Connects and subscribes the inbox.
    pub(super) async fn open(
        target: &Arc<Target>,
        tools: &Tools,
        server: &str,
    ) -> Result<Self, Why> {
        match tokio::time::timeout(target.connect_timeout, connect(target, tools, server)).await {
            Ok(opened) => opened,
            Err(_) => {
                Err(Why::new(Class::Unavailable, "connecting to the NATS server took too long"))
            }
        }
    }

    /// The largest message that the server takes, headers included.
    pub(super) fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// Publishes, and returns when the server has processed the message.
    pub(super) async fn publish(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), Refusal> {
        if !self.fenced {
            return Err(Refusal::NoFence);
        }
        let (done, outcome) = oneshot::channel();
        let entry = self.under_way.enter(subject, Some(done)).await?;
        self.put(subject, None, headers, payload).await?;
        entry.sent();
        outcome.await.unwrap_or(Err(Refusal::Lost))
    }

    /// Publishes, and returns what comes back to the inbox.
    pub(super) async fn request(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Message, Refusal> {
        let (awaited, reply) = self.under_way.expect(subject)?;
        let inbox = format!("{}.{}", self.inbox, awaited.token);
        // Its refusal would take a place in the same queue as those of publishes.
        let entry =
            if self.fenced { Some(self.under_way.enter(subject, None).await?) } else { None };
        self.put(subject, Some(inbox), headers, payload).await?;
        if let Some(entry) = entry {
            entry.sent();
        }
        reply.await.unwrap_or(Err(Refusal::Lost))
    }

    /// When the servers sync what they have acknowledged.
    pub(super) async fn sync(&self, monitor: Option<&Monitor>, tools: &Tools) -> Sync {
        if monitor.is_none() && self.unsaid.load(Relaxed) {
            return Sync::Unknown;
        }
        let said = sync::read(monitor, Some(&self.client), tools).await;
        self.unsaid.store(said == Sync::Unknown, Relaxed);
        said
    }

    async fn put(
        &self,
        subject: &str,
        reply: Option<String>,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), Refusal> {
        let message = OutboundMessage {
            subject: subject.into(),
            reply: reply.map(Into::into),
            payload,
            headers: (!headers.is_empty()).then_some(headers),
        };
        self.client.publish_message(message).await.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => Refusal::TooLarge(self.max_payload()),
            PublishErrorKind::InvalidSubject => Refusal::Subject,
            PublishErrorKind::Send => Refusal::Down,
        })
    }
}

impl link::Session for Session {
    fn is_over(&self) -> bool {
        self.under_way.is_over()
    }

    async fn over(&self) {
        self.under_way.over().await;
    }
}

async fn connect(target: &Arc<Target>, tools: &Tools, server: &str) -> Result<Session, Why> {
    let (greeted, greeting) = oneshot::channel();
    let under_way = Arc::new(UnderWay::new(greeted));
    let client = async_nats::connect_with_options(
        server,
        options(target, tools, server, &under_way)?,
    )
    .await
    .map_err(|error| {
        let (class, detail) = match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => (
                Class::UpstreamAuth,
                "the NATS server does not accept the gateway's credential, or it cannot be read",
            ),
            _ => (Class::Unavailable, "no connection to the NATS server"),
        };
        Why::new(class, detail).because(error)
    })?;
    if !client.server_info().headers {
        return Err(Why::new(
            Class::UpstreamProtocol,
            "the NATS server does not take headers; it must be 2.2 or newer",
        ));
    }

    let inbox = client.new_inbox();
    under_way.opened(&inbox);
    let gone = |_| Why::new(Class::Unavailable, "the connection to the NATS server was lost");
    let subscriber = client.subscribe(format!("{inbox}.*")).await.map_err(|_| gone(()))?;
    let mut tasks = JoinSet::new();
    tasks.spawn(read(subscriber, Arc::clone(&under_way), inbox.clone()));
    // The first fence shows what the user may do with the inbox.
    client.publish(fence(&inbox, 0), Bytes::new()).await.map_err(|_| gone(()))?;
    let fenced = match greeting.await.map_err(|_| gone(()))? {
        Greeting::Heard => true,
        Greeting::Mute => false,
        Greeting::Deaf => {
            return Err(Why::new(
                Class::UpstreamAuth,
                "the gateway's NATS user may not subscribe to its inbox; allow it `_INBOX.>`",
            ));
        }
    };
    // JetStream answers for itself.
    let fenced = fenced && !target.jetstream;
    if fenced {
        tasks.spawn(send_fences(client.clone(), Arc::clone(&under_way), inbox.clone()));
    }
    Ok(Session { client, inbox, fenced, under_way, unsaid: AtomicBool::new(false), _tasks: tasks })
}

fn options(
    target: &Arc<Target>,
    tools: &Tools,
    server: &str,
    under_way: &Arc<UnderWay>,
) -> Result<ConnectOptions, Why> {
    let (credential, secrets) = (Arc::clone(target), tools.clone());
    let (once, events) = (Arc::clone(under_way), Arc::clone(under_way));
    let options = ConnectOptions::with_auth_callback(move |nonce| {
        ready(if once.was_opened() {
            Err(async_nats::AuthError::new("a session connects once"))
        } else {
            credential.credential.answer(&secrets, &nonce)
        })
    })
    .event_callback(move |event| {
        events.hear(&event);
        ready(())
    })
    // What is left of a session tries one server once, and is refused there.
    .max_reconnects(1)
    .reconnect_delay_callback(|_| Duration::ZERO);
    let tls = server.starts_with("tls://");
    let options = of_every_connection(options, target, tools, tls)?;
    Ok(if tls { options.require_tls(true) } else { options })
}

/// What every connection to an upstream's servers has, whoever uses it.
pub(super) fn of_every_connection(
    options: ConnectOptions,
    target: &Target,
    tools: &Tools,
    tls: bool,
) -> Result<ConnectOptions, Why> {
    let options = options
        .name(format!("gusset {}", target.name))
        .connection_timeout(target.connect_timeout)
        .ping_interval(PING_INTERVAL)
        .ignore_discovered_servers();
    if !tls {
        return Ok(options);
    }
    let config = target.tls.client_config(&*tools.secrets).map_err(|bad| Why::from(no_tls(bad)))?;
    Ok(options.tls_client_config(config))
}

/// Hands what comes to the inbox to those who wait.
async fn read(mut inbox: Subscriber, under_way: Arc<UnderWay>, prefix: String) {
    while let Some(message) = inbox.next().await {
        let token = message.subject.get(prefix.len() + 1..).unwrap_or_default();
        if let Some(number) = token.strip_prefix('f') {
            let Ok(number) = number.parse() else { continue };
            // Lets the refusals that came before it be worked off first; see the module.
            tokio::task::yield_now().await;
            under_way.confirm(number);
        } else if let Ok(token) = token.parse() {
            under_way.replied(token, message);
        }
    }
    under_way.close();
}

/// Sends one fence for all that have been sent since the last.
async fn send_fences(client: Client, under_way: Arc<UnderWay>, inbox: String) {
    loop {
        under_way.unfenced().await;
        let Some(number) = under_way.cover() else { continue };
        if client.publish(fence(&inbox, number), Bytes::new()).await.is_err() {
            return under_way.close();
        }
    }
}

fn fence(inbox: &str, number: u64) -> String {
    format!("{inbox}.f{number}")
}
