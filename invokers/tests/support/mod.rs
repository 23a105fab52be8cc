//! What the tests against a real nats-server share: the server itself, a cable that can be cut,
//! secrets, and a core to run a lane on.

use std::{
    collections::HashMap,
    fs,
    io::Read as _,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    rc::Rc,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use invokers::{Tools, nats};
use schemas::{
    Ack, Attributes, Body, Call, Context, Fault, FileRef, Format, Invoker as _, Mode, Reply,
    Reveal, Revealed, Secret, secret::NoSecret,
};
use tokio::{
    io::copy_bidirectional,
    task::{JoinSet, LocalSet},
};

/// A private nats-server on a free port, with a folder of its own. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) dir: tempfile::TempDir,
}

impl Server {
    /// Starts a server with this configuration. `DIR` in it is the server's folder.
    pub(crate) fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start_in(dir, config)
    }

    /// Starts a server in a folder in which files are already.
    pub(crate) fn start_in(dir: tempfile::TempDir, config: &str) -> Self {
        let config = config.replace("DIR", dir.path().to_str().unwrap());
        fs::write(dir.path().join("nats.conf"), config).unwrap();
        // Another process may take the port between the look and the start.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(child) = launch(dir.path(), port) {
                return Self { child, port, dir };
            }
        }
        panic!("nats-server does not start: {}", log(dir.path()));
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends the server at once, as a power cut ends a process.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the server to end, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }

    /// Starts the server again on the same port with the same data.
    pub(crate) fn restart(&mut self) {
        for _ in 0..50 {
            if let Some(child) = launch(self.dir.path(), self.port) {
                self.child = child;
                return;
            }
        }
        panic!("nats-server does not start again: {}", log(self.dir.path()));
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts the server and waits until it greets; none if it ends before.
fn launch(dir: &Path, port: u16) -> Option<Child> {
    let mut child = Command::new("nats-server")
        .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-c"])
        .arg(dir.join("nats.conf"))
        .arg("-l")
        .arg(dir.join("log"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is no nats-server: run `cargo xtask test`, which installs it");
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until && child.try_wait().unwrap().is_none() {
        let greeted = TcpStream::connect(("127.0.0.1", port)).is_ok_and(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            let mut first = [0; 4];
            stream.read_exact(&mut first).is_ok() && &first == b"INFO"
        });
        if greeted {
            return Some(child);
        }
        pause(10);
    }
    drop(child.kill());
    drop(child.wait());
    None
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "the server is waited for outside of any runtime")]
fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

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
    pub(crate) fn lay(server: &Server) -> Self {
        let to = SocketAddr::from(([127, 0, 0, 1], server.port));
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

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
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

/// A lane to an upstream as it would be written.
pub(crate) fn lane(written: serde_json::Value, tools: Tools) -> Rc<nats::Lane> {
    Rc::new(nats::Lane::new(target(written), tools))
}

pub(crate) fn target(written: serde_json::Value) -> Arc<nats::Target> {
    let written = serde_json::from_value(written).unwrap();
    Arc::new(nats::Target::build(&"bus".parse().unwrap(), written).unwrap())
}

/// A lane to a server without credentials.
pub(crate) fn plain_lane(url: &str) -> Rc<nats::Lane> {
    lane(serde_json::json!({ "url": url }), Secrets::tools(&[]))
}

/// A lane to JetStream.
pub(crate) fn stream_lane(url: &str, jetstream: serde_json::Value) -> Rc<nats::Lane> {
    lane(serde_json::json!({ "url": url, "jetstream": jetstream }), Secrets::tools(&[]))
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
pub(crate) async fn all(
    lane: &Rc<nats::Lane>,
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
pub(crate) async fn until_ok(lane: &Rc<nats::Lane>, call: impl Fn() -> Call) -> Reply {
    loop {
        if let Ok(reply) = lane.call(call()).await {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Subscribes, and returns when the server knows: what is published anywhere from now on is heard.
pub(crate) async fn subscribe(client: &Client, subject: &'static str) -> Subscriber {
    let subscriber = client.subscribe(subject).await.unwrap();
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.unwrap();
    client.publish(inbox, Bytes::new()).await.unwrap();
    echo.next().await.unwrap();
    subscriber
}

/// What a receipt says, as the caller reads it.
pub(crate) fn receipt(reply: Result<Reply, Fault>) -> serde_json::Value {
    serde_json::to_value(reply.unwrap().receipt.expect("a receipt")).unwrap()
}
