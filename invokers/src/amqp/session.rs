//! One connection to one broker.
//!
//! **A session connects once.** The client library would connect again by itself where it is asked
//! to, and it is not: what was handed to a connection goes down with it, and [`crate::link`] opens
//! the next.
//!
//! **Threads.** The library (lapin) reads and writes each connection on a thread of its own and runs
//! the rest as tasks of the runtime that connects, which is the core's. A core hands it a message
//! through a queue and is woken when the broker has answered, so that a connection costs a thread
//! and each message two wake-ups; under load they are shared by all that is under way.
//!
//! **Nothing waits for a broker that takes nothing.** A broker that is short of memory or of disk
//! says so (`connection.blocked`) and reads no more. From then on callers are refused at once, and
//! those whose message is under way are told so.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd as _,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties, ConnectionStatus, Event,
    auth::AuthProvider,
    message::Delivery,
    tcp::{AMQPUriTcpExt as _, RustlsConnector},
    types::{LongString, ShortString},
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use schemas::{Class, Revealed};
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot, watch},
    task::AbortHandle,
};

use super::{
    channels::{Pool, Slot},
    config::{Credential, Server, Target},
    pipeline::Pipelines,
    refusal::{self, Refusal},
    wire::{Outgoing, short},
};
use crate::{
    Tools, late,
    link::{self, Broker, Why},
};

/// In seconds. A broker that says nothing for two of these is gone.
const HEARTBEAT: u16 = 10;

/// How many messages may be under way on a connection; more wait for their turn.
const PUBLISHING_MAX: usize = 256;

/// How many requests may wait for their replies on one connection; more are refused.
const WAITING_MAX: usize = 1024;

/// The channels of both, those of the pipelines, and one to declare on.
const CHANNELS_MAX: u16 = 1345;

/// How often the library's own view of the connection is looked at, beside the events that it tells.
const LOOK: Duration = Duration::from_millis(250);

/// The servers of an upstream, and what is needed to connect to them.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) target: Arc<Target>,
    pub(crate) tools: Tools,
}

impl Broker for Servers {
    type Session = Session;

    const NAME: &'static str = "AMQP broker";

    fn servers(&self) -> usize {
        self.target.servers.len()
    }

    fn at(&self, server: usize) -> String {
        self.target.servers[server].url()
    }

    async fn open(&self, server: usize) -> Result<Session, Why> {
        Session::open(&self.target, &self.tools, &self.target.servers[server]).await
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    line: watch::Receiver<Line>,
    publishing: Arc<Pool>,
    asking: Arc<Pool>,
    pipelines: Arc<Pipelines>,
    socket: Arc<OnceLock<TcpStream>>,
    watching: AbortHandle,
}

/// How a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Open,
    Blocked,
    Over,
}

/// What is said to a broker of who the gateway is. There is no `Debug`, which would show it.
enum Said {
    Password(String, Revealed),
    Certificate,
}

impl AuthProvider for Said {
    fn mechanism(&self) -> ShortString {
        short(match self {
            Self::Password(..) => "PLAIN",
            Self::Certificate => "EXTERNAL",
        })
    }

    fn auth_starter(&self) -> Result<LongString, String> {
        Ok(match self {
            Self::Password(username, password) => {
                format!("\0{username}\0{}", password.expose()).into()
            }
            Self::Certificate => "".into(),
        })
    }
}

impl Session {
    /// Connects, and declares what is to be declared.
    pub(super) async fn open(
        target: &Arc<Target>,
        tools: &Tools,
        server: &Server,
    ) -> Result<Self, Why> {
        let socket = Arc::new(OnceLock::new());
        let opening = connect(target, tools, server, &socket);
        match tokio::time::timeout(target.connect_timeout, opening).await {
            Ok(opened) => opened,
            Err(_) => {
                // The library waits for as long as the other side keeps the connection.
                cut(&socket);
                Err(Why::new(Class::Unavailable, "connecting to the AMQP broker took too long"))
            }
        }
    }

    /// A channel to listen on.
    pub(super) async fn channel(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    /// The largest frame that both sides take.
    pub(super) fn frame_max(&self) -> usize {
        usize::try_from(self.connection.configuration().frame_max()).unwrap_or(usize::MAX)
    }

    /// Publishes, and returns when the broker has confirmed the message.
    pub(super) async fn publish(&self, outgoing: Outgoing) -> Result<(), Refusal> {
        self.ready()?;
        let room = self.meanwhile(self.publishing.room()).await??;
        self.ready()?;
        let told = match self.pipelines.place(&outgoing) {
            Some(place) => place.take(outgoing, room),
            None => self.alone(outgoing, room).await?,
        };
        match self.meanwhile(told).await {
            Ok(outcome) => outcome.unwrap_or(Err(Refusal::Lost)),
            Err(Refusal::Blocked) => Err(Refusal::BlockedMeanwhile),
            Err(_) => Err(Refusal::Lost),
        }
    }

    /// Publishes on a channel on which nothing else is under way.
    async fn alone(
        &self,
        outgoing: Outgoing,
        room: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Result<(), Refusal>>, Refusal> {
        let slot = self.meanwhile(self.publishing.with(room, &self.connection)).await??;
        self.ready()?;
        let (tell, told) = oneshot::channel();
        let pipelines = Arc::clone(&self.pipelines);
        // A task of its own, as the channel is busy until the broker has answered, though the caller
        // may have left by then.
        drop(tokio::spawn(async move {
            let exchange = outgoing.exchange.clone();
            let outcome = slot.publish(outgoing).await;
            slot.pipe(exchange.as_str(), &pipelines);
            // The caller may have left.
            tell.send(outcome).unwrap_or_default();
        }));
        Ok(told)
    }

    /// Publishes, and returns what is replied.
    pub(super) async fn request(
        &self,
        mut outgoing: Outgoing,
        deadline: Instant,
    ) -> Result<Delivery, Refusal> {
        self.ready()?;
        let slot = self.meanwhile(self.asking.try_take(&self.connection)).await??;
        self.ready()?;
        let within = deadline.saturating_duration_since(Instant::now());
        outgoing.asking(within.as_millis());
        let (tell, told) = oneshot::channel();
        drop(tokio::spawn(ask(slot, outgoing, tell)));
        // A broker that takes nothing from the gateway may still hand it a reply.
        tokio::select! {
            biased;
            reply = told => reply.unwrap_or(Err(Refusal::Lost)),
            () = link::Session::over(self) => Err(Refusal::Lost),
        }
    }

    /// Whether a message can be handed to it.
    fn ready(&self) -> Result<(), Refusal> {
        if !self.connection.status().connected() {
            return Err(Refusal::Down);
        }
        match *self.line.borrow() {
            Line::Open => Ok(()),
            Line::Blocked => Err(Refusal::Blocked),
            Line::Over => Err(Refusal::Down),
        }
    }

    /// What comes of it, unless the broker blocks or the connection ends before.
    async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> Result<T, Refusal> {
        let mut line = self.line.clone();
        tokio::select! {
            biased;
            done = work => Ok(done),
            changed = line.wait_for(|line| *line != Line::Open) => match changed.as_deref() {
                Ok(Line::Blocked) => Err(Refusal::Blocked),
                _ => Err(Refusal::Down),
            },
        }
    }
}

impl link::Session for Session {
    fn is_over(&self) -> bool {
        *self.line.borrow() == Line::Over
    }

    async fn over(&self) {
        let mut line = self.line.clone();
        drop(line.wait_for(|line| *line == Line::Over).await);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.watching.abort();
        // One that is open says good-bye; one that is blocked would never come to that.
        if *self.line.borrow() != Line::Open {
            cut(&self.socket);
        }
    }
}

fn cut(socket: &OnceLock<TcpStream>) {
    if let Some(socket) = socket.get() {
        // It may have been closed by the other side.
        socket.shutdown(Shutdown::Both).unwrap_or_default();
    }
}

/// Publishes a request and waits for the reply, until the caller leaves. The channel is used again
/// only when the broker has confirmed the request.
async fn ask(slot: Slot, outgoing: Outgoing, mut tell: oneshot::Sender<Result<Delivery, Refusal>>) {
    let mut reply = slot.replies().expect(outgoing.number.to_string());
    let outcome = slot.publish(outgoing).await;
    let outcome = match outcome {
        Ok(()) => tokio::select! {
            biased;
            reply = &mut reply => Some(reply.map_err(|_| Refusal::Lost)),
            () = tell.closed() => None,
        },
        // It may be here although the broker has not confirmed the request.
        Err(refusal) => Some(reply.try_recv().map_err(|_| refusal)),
    };
    slot.replies().forget();
    slot.give_back();
    if let Some(outcome) = outcome
        && let Err(Ok(_)) = tell.send(outcome)
    {
        late::count();
    }
}

async fn connect(
    target: &Arc<Target>,
    tools: &Tools,
    server: &Server,
    socket: &Arc<OnceLock<TcpStream>>,
) -> Result<Session, Why> {
    let said = match &target.credential {
        Credential::Password { username, password } => Said::Password(
            username.clone(),
            tools.secrets.reveal(password).map_err(refusal::no_secret)?,
        ),
        Credential::Certificate => Said::Certificate,
    };
    let tls = match server.tls {
        true => {
            let config = target.tls.client_config(&*tools.secrets).map_err(refusal::no_tls)?;
            let name = target.tls.server_name.clone().unwrap_or_else(|| server.host.clone());
            Some((RustlsConnector::from(config), name))
        }
        false => None,
    };
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("gusset {}", target.name).into())
        .with_auth_provider(said);
    let runtime = lapin::runtime::default_runtime().map_err(refusal::unopened)?;
    let (within, opened) = (target.connect_timeout, Arc::clone(socket));
    let connection = Connection::connector(
        uri(target, server),
        runtime,
        async move |uri: AMQPUri, runtime| {
            let connecting = async {
                let stream = uri.connect_async(&runtime).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    plain.get_ref().set_nodelay(true)?;
                    let same = plain.get_ref().as_fd().try_clone_to_owned()?;
                    opened.get_or_init(|| same.into());
                }
                match &tls {
                    Some((connector, name)) => stream.into_rustls(connector, name).await,
                    None => Ok(stream),
                }
            };
            match tokio::time::timeout(within, connecting).await {
                Ok(connected) => connected.map_err(lapin::Error::from),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        },
        properties,
    )
    .await
    .map_err(refusal::unopened)?;

    let (tell, line) = watch::channel(Line::Open);
    let events = connection.events_listener();
    let status = connection.status().clone();
    let watching = tokio::spawn(watch(status, events, tell)).abort_handle();
    let session = Session {
        connection,
        line,
        publishing: Arc::new(Pool::new(PUBLISHING_MAX, false)),
        asking: Arc::new(Pool::new(WAITING_MAX, true)),
        pipelines: Arc::new(Pipelines::new(PUBLISHING_MAX)),
        socket: Arc::clone(socket),
        watching,
    };
    let channel = session.connection.create_channel().await.map_err(refusal::unopened)?;
    target.declare.make(&channel).await?;
    channel.close(200, short("declared")).await.map_err(refusal::unopened)?;
    Ok(session)
}

/// Where the library shall connect to. TLS is put around it by us, and the credential is said by
/// [`Said`], so that neither is in it.
fn uri(target: &Target, server: &Server) -> AMQPUri {
    AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: String::new(), password: String::new() },
            host: server.host.clone(),
            port: server.port,
        },
        vhost: target.vhost.clone(),
        query: AMQPQueryString {
            heartbeat: Some(HEARTBEAT),
            channel_max: Some(CHANNELS_MAX),
            ..AMQPQueryString::default()
        },
    }
}

/// Tells how the connection is, until it is over.
async fn watch(
    status: ConnectionStatus,
    events: impl futures_util::Stream<Item = Event>,
    tell: watch::Sender<Line>,
) {
    let mut events = std::pin::pin!(events);
    let mut look = tokio::time::interval(LOOK);
    loop {
        let now = match (status.connected(), status.blocked()) {
            (false, _) => Line::Over,
            (true, true) => Line::Blocked,
            (true, false) => Line::Open,
        };
        tell.send_if_modified(|line| std::mem::replace(line, now) != now);
        if now == Line::Over {
            return;
        }
        tokio::select! {
            // The end of a channel is told here too, so that only the status says what has ended.
            event = events.next() => if event.is_none() {
                tell.send_replace(Line::Over);
                return;
            },
            _ = look.tick() => {}
        }
    }
}
