//! What the tests against real brokers share: a cable that can be cut, secrets, calls, and a core to
//! run a lane on.

use std::{
    collections::HashMap,
    fs,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use invokers::Tools;
use schemas::{
    Ack, Attributes, Body, Call, Context, Fault, FileRef, Format, Invoker, Mode, Reply, Reveal,
    Revealed, Secret, secret::NoSecret,
};
use tokio::{
    io::copy_bidirectional,
    task::{JoinSet, LocalSet},
};

/// A cable between the gateway and the server, which can be cut while the server lives on. It lies
/// on a thread of its own, so that it can be cut between any two steps of a test.
pub(crate) struct Cable {
    pub(crate) port: u16,
    orders: tokio::sync::mpsc::Sender<(Order, mpsc::Sender<()>)>,
}

enum Order {
    /// End every connection and refuse new ones.
    Cut,
    /// Take connections again.
    Mend,
    /// End every connection, and go on taking new ones.
    Jolt,
}

impl Cable {
    /// To a server on this machine.
    pub(crate) fn lay(port: u16) -> Self {
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (orders, taken) = tokio::sync::mpsc::channel(1);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(carry(listener, to, taken));
        });
        Self { port, orders }
    }

    pub(crate) fn cut(&self) {
        self.order(Order::Cut);
    }

    pub(crate) fn mend(&self) {
        self.order(Order::Mend);
    }

    pub(crate) fn jolt(&self) {
        self.order(Order::Jolt);
    }

    /// Returns when it is done; until then nothing else happens on this thread.
    fn order(&self, order: Order) {
        let (done, wait) = mpsc::channel();
        self.orders.try_send((order, done)).unwrap();
        wait.recv().unwrap();
    }

    /// Where it begins, with the scheme of the server.
    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }
}

async fn carry(
    listener: TcpListener,
    to: SocketAddr,
    mut orders: tokio::sync::mpsc::Receiver<(Order, mpsc::Sender<()>)>,
) {
    let here = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut listener = Some(tokio::net::TcpListener::from_std(listener).unwrap());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some((order, done)) = order else { return };
                match order {
                    Order::Cut => {
                        listener = None;
                        connections.shutdown().await;
                    }
                    Order::Jolt => connections.shutdown().await,
                    Order::Mend => {
                        listener = Some(tokio::net::TcpListener::bind(here).await.unwrap());
                    }
                }
                done.send(()).unwrap();
            }
            accepted = async { listener.as_ref().unwrap().accept().await },
                if listener.is_some() =>
            {
                let (mut from, _) = accepted.unwrap();
                connections.spawn(async move {
                    let mut to = tokio::net::TcpStream::connect(to).await.unwrap();
                    drop(copy_bidirectional(&mut from, &mut to).await);
                });
            }
        }
    }
}

/// Secrets by name, and files as they are on the disk.
#[derive(Default)]
pub(crate) struct Secrets(HashMap<String, String>);

impl Secrets {
    pub(crate) fn tools(pairs: &[(&str, &str)]) -> Tools {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Tools { secrets: Arc::new(Self(pairs.collect())), outbox: Default::default() }
    }
}

impl Reveal for Secrets {
    fn reveal(&self, secret: &Secret) -> Result<Revealed, NoSecret> {
        match secret {
            Secret::Env(name) => self.0.get(name).map(|value| Revealed::new(value.as_str())),
            Secret::File(path) => {
                fs::read_to_string(path).ok().map(|text| Revealed::new(text.trim_end()))
            }
        }
        .ok_or_else(|| NoSecret("there is no such secret".to_owned()))
    }

    fn read(&self, file: &FileRef) -> Result<Vec<u8>, NoSecret> {
        fs::read(&file.file).map_err(|error| NoSecret(error.to_string()))
    }
}

/// Runs a test as the data plane runs its calls: on one thread, and never longer than a minute.
pub(crate) fn on_core<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test hangs");
    });
}

/// A call that publishes data alone.
pub(crate) fn publish(subject: &str, data: impl Into<Bytes>) -> Call {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut call = Call::new(subject, Body::from(data.into()), deadline);
    call.ack = Ack::Published;
    call.format = Format::Plain;
    call
}

/// A call that waits for a service's reply.
pub(crate) fn request(subject: &str, data: impl Into<Bytes>) -> Call {
    let mut call = publish(subject, data);
    call.ack = Ack::Replied;
    call
}

/// A call that publishes an event.
pub(crate) fn event(
    subject: &str,
    attributes: Attributes,
    format: Format,
    data: &'static str,
) -> Call {
    let mut call = publish(subject, data);
    call.format = format;
    call.event.context = Context::Event(Box::new(attributes), Mode::Binary);
    call
}

/// Calls many at once, as the connections of one core do.
pub(crate) async fn all<L: Invoker + 'static>(
    lane: &Rc<L>,
    calls: impl IntoIterator<Item = Call>,
) -> Vec<Result<Reply, Fault>> {
    let calls = calls.into_iter().map(|call| {
        let lane = Rc::clone(lane);
        tokio::task::spawn_local(async move { lane.call(call).await })
    });
    let tasks: Vec<_> = calls.collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

/// Calls again until it succeeds, as a caller does after a 503.
pub(crate) async fn until_ok(lane: &Rc<impl Invoker>, call: impl Fn() -> Call) -> Reply {
    loop {
        if let Ok(reply) = lane.call(call()).await {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a receipt says, as the caller reads it.
pub(crate) fn receipt(reply: Result<Reply, Fault>) -> serde_json::Value {
    serde_json::to_value(reply.unwrap().receipt.expect("a receipt")).unwrap()
}
