//! A real nats-server on a free port, and a client that speaks its protocol in the open, so that a
//! test sees what stands on the wire.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{PATIENCE, eventually, free_port, shell};

/// Where the inboxes of this client are.
const INBOX: &str = "_INBOX.test.";

/// A server that can be killed and started again on its port with what it has on disk.
pub(crate) struct Server {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
}

/// A message as a subscriber gets it.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Its subject.
    pub(crate) subject: String,
    /// Where an answer goes.
    pub(crate) reply: Option<String>,
    /// Its headers in their order.
    pub(crate) headers: Vec<(String, String)>,
    /// Its payload.
    pub(crate) body: Vec<u8>,
}

/// A connection to a server.
pub(crate) struct Wire {
    socket: BufReader<TcpStream>,
    subscriptions: usize,
}

impl Server {
    /// A server with JetStream on disk.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// A server with JetStream on disk and these lines in its configuration.
    pub(crate) fn start_with(config: &str) -> Self {
        let mut server = Self::new(config);
        server.restart();
        server
    }

    /// Servers of one cluster, each with its lines. None is ready before most of them are there.
    pub(crate) fn start_all(configs: &[String]) -> Vec<Self> {
        let mut servers: Vec<Self> = configs.iter().map(|config| Self::new(config)).collect();
        servers.iter_mut().for_each(Self::spawn);
        servers.iter().for_each(Self::await_ready);
        servers
    }

    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let store = folder.path().join("store");
        let text = format!(
            "listen: 127.0.0.1:{port}\njetstream {{ store_dir: {:?} }}\n{config}\n",
            store.display()
        );
        fs::write(folder.path().join("nats.conf"), text).unwrap();
        Self { child: None, port, folder }
    }

    /// Starts it (again) on its port, and waits until it accepts.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.spawn();
        self.await_ready();
    }

    fn spawn(&mut self) {
        let log = fs::File::create(self.log()).unwrap();
        let child = Command::new(program())
            .arg("-c")
            .arg(self.folder.path().join("nats.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    fn await_ready(&self) {
        eventually("nats-server is ready", || {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            assert!(!log.contains("[FTL]"), "{log}");
            log.contains("Server is ready").then_some(())
        });
    }

    /// The version of the program.
    pub(crate) fn version() -> (u32, u32, u32) {
        let said = Command::new(program()).arg("--version").output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let numbers: Vec<u32> = said
            .trim()
            .rsplit('v')
            .next()
            .unwrap()
            .split(['.', '-'])
            .filter_map(|number| number.parse().ok())
            .collect();
        (numbers[0], numbers[1], numbers[2])
    }

    /// Ends it in good order: it writes what it has acknowledged.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            shell::signal("TERM", child.id());
            eventually("nats-server ends", || child.try_wait().unwrap());
        }
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The process, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Connects to it without credentials.
    pub(crate) fn connect(&self) -> Wire {
        self.connect_as(&json!({}))
    }

    /// Connects to it with what a CONNECT may say, such as `user` and `pass`.
    pub(crate) fn connect_as(&self, options: &Value) -> Wire {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut wire = Wire { socket: BufReader::new(socket), subscriptions: 0 };
        assert!(wire.line().starts_with("INFO "));
        let mut said = json!({ "verbose": false, "headers": true, "no_responders": true });
        said.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        wire.send(format!("CONNECT {said}\r\n"));
        wire.flush();
        wire
    }

    /// Makes a stream on disk.
    pub(crate) fn add_stream(&self, name: &str, subjects: &[&str]) {
        let config = json!({
            "name": name, "subjects": subjects, "retention": "limits", "storage": "file",
            "discard": "old", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0,
            "max_msg_size": -1, "num_replicas": 1, "duplicate_window": 120_000_000_000_u64,
        });
        let subject = format!("$JS.API.STREAM.CREATE.{name}");
        let answer = self.connect().request(&subject, config.to_string());
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(answer.get("error").is_none(), "{answer}");
    }

    /// How many messages a stream holds.
    pub(crate) fn stream_length(&self, name: &str) -> u64 {
        let answer = self.connect().request(&format!("$JS.API.STREAM.INFO.{name}"), "");
        let info: Value = serde_json::from_slice(&answer.body).unwrap();
        info["state"]["messages"].as_u64().unwrap()
    }

    /// All payloads of a stream as texts, by their numbers.
    pub(crate) fn stream_bodies(&self, stream: &str) -> BTreeMap<u64, String> {
        let mut bodies = BTreeMap::new();
        self.read_stream(stream, |sequence, message| {
            bodies.insert(sequence, message.text().to_owned());
        });
        bodies
    }

    /// Shows every message of a stream with its number. They are pulled some at a time: a server
    /// that pushed a long stream would cut off a reader that is slower than the disk.
    pub(crate) fn read_stream(&self, stream: &str, mut show: impl FnMut(u64, &Message)) {
        const PULL: u64 = 500;
        let mut api = self.connect();
        let consumer = json!({ "stream_name": stream, "config": {
            "ack_policy": "none", "deliver_policy": "all",
        }});
        let made = api.request(&format!("$JS.API.CONSUMER.CREATE.{stream}"), consumer.to_string());
        let made: Value = serde_json::from_slice(&made.body).unwrap();
        let name = made["name"].as_str().unwrap_or_else(|| panic!("{made}"));
        let inbox = &format!("{INBOX}read");
        let mut wire = self.connect();
        wire.subscribe(inbox);
        let mut left = self.stream_length(stream);
        while left > 0 {
            let batch = left.min(PULL);
            wire.ask(
                &format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"),
                inbox,
                json!({ "batch": batch }).to_string(),
            );
            for _ in 0..batch {
                let message = wire.next();
                // $JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<…>
                let reply = message.reply.as_deref().unwrap();
                show(reply.split('.').nth(5).unwrap().parse().unwrap(), &message);
            }
            left -= batch;
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Wire {
    /// Follows a subject; what matches arrives with [`Wire::next`].
    pub(crate) fn subscribe(&mut self, subject: &str) {
        self.subscriptions += 1;
        self.send(format!("SUB {subject} {}\r\n", self.subscriptions));
        self.flush();
    }

    /// Publishes, and waits until the server has it.
    pub(crate) fn publish(&mut self, subject: &str, body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        self.send([format!("PUB {subject} {}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat());
        self.flush();
    }

    /// Publishes with headers.
    pub(crate) fn publish_with(&mut self, subject: &str, headers: &[(&str, &str)], body: &[u8]) {
        let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let head = format!("NATS/1.0\r\n{}\r\n", lines.collect::<String>());
        let line = format!("HPUB {subject} {} {}\r\n", head.len(), head.len() + body.len());
        self.send([line.as_bytes(), head.as_bytes(), body, b"\r\n"].concat());
        self.flush();
    }

    /// Publishes with an inbox and waits for the answer.
    pub(crate) fn request(&mut self, subject: &str, body: impl AsRef<[u8]>) -> Message {
        let inbox = format!("{INBOX}{}", self.subscriptions);
        self.subscribe(&inbox);
        self.ask(subject, &inbox, body);
        self.next()
    }

    /// Publishes with an inbox, where the answers go.
    fn ask(&mut self, subject: &str, inbox: &str, body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let line = format!("PUB {subject} {inbox} {}\r\n", body.len());
        self.send([line.as_bytes(), body, b"\r\n"].concat());
    }

    /// The next message of any subscription. A subscription to everything is shown what goes to
    /// other connections' inboxes too; that is left out.
    pub(crate) fn next(&mut self) -> Message {
        loop {
            let message = self.next_of_all();
            if !message.subject.starts_with("_INBOX.") || message.subject.starts_with(INBOX) {
                return message;
            }
        }
    }

    fn next_of_all(&mut self) -> Message {
        loop {
            let line = self.line();
            let words: Vec<_> = line.split(' ').collect();
            match words.as_slice() {
                ["PING"] => self.send("PONG\r\n"),
                ["MSG", subject, _, rest @ .., length] => {
                    return self.message(subject, rest, 0, length.parse().unwrap());
                }
                ["HMSG", subject, _, rest @ .., head, length] => {
                    let head = head.parse().unwrap();
                    return self.message(subject, rest, head, length.parse().unwrap());
                }
                _ => assert!(!line.starts_with("-ERR"), "{line}"),
            }
        }
    }

    fn message(&mut self, subject: &str, reply: &[&str], head: usize, length: usize) -> Message {
        let mut payload = vec![0; length + 2];
        self.socket.read_exact(&mut payload).unwrap();
        payload.truncate(length);
        let body = payload.split_off(head);
        let lines = String::from_utf8(payload).unwrap();
        let fields = lines.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        Message {
            subject: subject.to_owned(),
            reply: reply.first().map(|reply| (*reply).to_owned()),
            headers: fields
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
            body,
        }
    }

    /// Waits until the server has done everything that was sent before.
    fn flush(&mut self) {
        self.send("PING\r\n");
        loop {
            let line = self.line();
            match line.as_str() {
                "PONG" => return,
                "PING" => self.send("PONG\r\n"),
                _ => panic!("expected a PONG: {line}"),
            }
        }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.socket.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Message {
    /// The first header of this name, as it is spelt.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The payload as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = [PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")];
    std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join("nats-server"))
        .find(|file| file.is_file())
        .expect("nats-server is missing; `cargo xtask test` installs it")
}
