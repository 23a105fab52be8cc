//! What the tests against a real nats-server share: the server itself and lanes to it.

mod core;

use std::{
    fs,
    io::Read as _,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use invokers::{Tools, nats};

pub(crate) use self::core::{
    Cable, Secrets, all, event, on_core, publish, receipt, request, until_ok,
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

/// Subscribes, and returns when the server knows: what is published anywhere from now on is heard.
pub(crate) async fn subscribe(client: &Client, subject: &'static str) -> Subscriber {
    let subscriber = client.subscribe(subject).await.unwrap();
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.unwrap();
    client.publish(inbox, Bytes::new()).await.unwrap();
    echo.next().await.unwrap();
    subscriber
}
