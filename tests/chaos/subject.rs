//! What is put to the test: the gateway with a broker, or a small gateway that breaks the promise.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    journal::{Journal, Report},
    senders,
};
use crate::support::{
    Gateway, Peer, eventually, free_port, gateway::FILE, gusset, nats::Server, shell,
};

/// Something that takes events and delivers them, and can be killed.
pub(super) trait Subject {
    /// Where it takes events.
    fn address(&self) -> SocketAddr;
    /// Starts it, with the service that it delivers to.
    fn deliver_to(&mut self, sink: Peer);
    /// Kills it.
    fn kill(&mut self);
    /// Kills its broker, if it has one, else itself.
    fn kill_broker(&mut self);
    /// Lets it stand still for a while.
    fn pause(&mut self, wait: Duration);
    /// Lets its broker stand still for a while, if it has one, else itself.
    fn pause_broker(&mut self, wait: Duration) {
        self.pause(wait);
    }
    /// Starts again what was killed.
    fn all_up(&mut self);
    /// How many events are pending, as it says itself.
    fn pending(&mut self) -> Option<u64>;
    /// Looks at what only it knows.
    fn check(&mut self, report: &mut Report, journal: &Journal);
}

/// Where the gateway keeps what it has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outbox {
    Files,
    /// On the same server as the stream, and so killed with it.
    Jetstream,
}

/// The gateway, delivering to a service in order by key, and to a stream.
pub(super) struct Gusset {
    port: u16,
    outbox: Outbox,
    gateway: Option<Gateway>,
    folder: Option<TempDir>,
    nats: Server,
    nats_is_down: bool,
    sink: Option<Peer>,
}

impl Gusset {
    /// Not started yet.
    pub(super) fn start(outbox: Outbox) -> Self {
        let nats = Server::start();
        nats.add_stream("CHAOS", &["chaos.>"]);
        let folder = Some(tempfile::tempdir().unwrap());
        let port = free_port();
        Self { port, outbox, gateway: None, folder, nats, nats_is_down: false, sink: None }
    }

    fn run(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        self.gateway = Some(Gateway::run_silent(folder, &["-c", FILE]));
    }
}

impl Subject for Gusset {
    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn deliver_to(&mut self, sink: Peer) {
        let (web, js, port) = (sink.url(), self.nats.url(), self.port);
        let outbox = match self.outbox {
            Outbox::Files => String::new(),
            Outbox::Jetstream => format!("outbox: {{ kind: jetstream, url: \"{js}\" }}\n"),
        };
        let config = format!(
            "version: 1\nlisten: 127.0.0.1:{port}\nadmin: 127.0.0.1:0\n{outbox}upstreams:\n  web: \
             {{ kind: http, url: \"{web}\" }}\n  js: {{ kind: nats, url: \"{js}\", jetstream: {{ \
             stream: CHAOS }} }}\nroutes:\n  - {{ name: in, match: {{ path: /in, event: {{}} }}, \
             to_all: [web, js/chaos.in], order_by: \"{{event.subject}}\", delivery: {{ backoff: {{ \
             base: 20ms, max: 500ms }} }}, policy: {{ timeout: 5s, try_timeout: 5s }} }}\n"
        );
        fs::write(self.folder.as_ref().unwrap().path().join(FILE), config).unwrap();
        self.sink = Some(sink);
        self.run();
    }

    fn kill(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            self.folder = Some(gateway.crash());
        }
    }

    fn kill_broker(&mut self) {
        self.nats.kill();
        self.nats_is_down = true;
    }

    fn pause(&mut self, wait: Duration) {
        let Some(gateway) = &self.gateway else { return };
        shell::signal("STOP", gateway.id());
        thread::sleep(wait);
        shell::signal("CONT", gateway.id());
    }

    fn pause_broker(&mut self, wait: Duration) {
        let Some(id) = self.nats.id() else { return };
        shell::signal("STOP", id);
        thread::sleep(wait);
        shell::signal("CONT", id);
    }

    fn all_up(&mut self) {
        if std::mem::take(&mut self.nats_is_down) {
            self.nats.restart();
        }
        self.run();
    }

    fn pending(&mut self) -> Option<u64> {
        let answer = self.gateway.as_ref()?.ask_admin("/metrics");
        // One that is still read says that nothing is pending.
        answer.text().lines().find(|line| *line == "gusset_outbox_ready 1")?;
        let pending =
            answer.text().lines().filter(|line| line.starts_with("gusset_outbox_pending{"));
        Some(pending.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum())
    }

    fn check(&mut self, report: &mut Report, journal: &Journal) {
        let gateway = self.gateway.as_ref().unwrap();
        let answer = gateway.ask_admin("/metrics");
        if report.lost > 0 {
            let kept = gateway.ask_admin("/api/v1/outbox/records");
            println!("lost {:?}\n{}\n{}", journal.lost(), kept.text(), answer.text());
        }
        let dead =
            answer.text().lines().find_map(|line| line.strip_prefix("gusset_outbox_dead_letters "));
        assert_eq!(dead, Some("0"), "the service refuses nothing for good");
        self.nats.read_stream("CHAOS", |_, message| {
            let (id, _) = message.text().split_once(' ').unwrap();
            journal.streamed(id, message.body == senders::data(journal.seed, id));
        });
        journal.compare_stream(report);
    }
}

/// A small gateway over the same store and worker, which breaks the promise in one way.
pub(super) struct Mutant {
    how: &'static str,
    port: u16,
    folder: TempDir,
    child: Option<Child>,
    sink: Option<Peer>,
}

impl Mutant {
    /// Not started yet.
    pub(super) fn start(how: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { how, port: free_port(), folder, child: None, sink: None }
    }
}

impl Subject for Mutant {
    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn deliver_to(&mut self, sink: Peer) {
        self.sink = Some(sink);
        self.all_up();
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn kill_broker(&mut self) {
        self.kill();
    }

    fn pause(&mut self, _: Duration) {}

    fn all_up(&mut self) {
        if self.child.is_some() {
            return;
        }
        let sink = self.sink.as_ref().unwrap().address();
        let mut command = Command::new(gusset().with_file_name("mutant"));
        command.args([self.how, &self.address().to_string(), &sink.to_string()]);
        let child = command.arg(self.folder.path()).stdin(Stdio::null()).spawn().unwrap();
        self.child = Some(child);
        let began = Instant::now();
        eventually("the mutant listens", || {
            std::net::TcpStream::connect(self.address())
                .ok()
                .filter(|_| began.elapsed().as_secs() < 20)
        });
    }

    fn pending(&mut self) -> Option<u64> {
        Some(0)
    }

    fn check(&mut self, _: &mut Report, _: &Journal) {}
}

impl Drop for Mutant {
    fn drop(&mut self) {
        self.kill();
    }
}
