//! Events that are synced before they are answered: by the gateway's own outbox, and by JetStream
//! with a sync for every message, both behind the same gateway on the same disk.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use anyhow::{Context, Result};

use super::{
    nats,
    peers::{self, Lab, Peer, pinned},
    throughput::{self, Round, post},
};
use crate::{
    foreign,
    tools::{self, Tool},
};

const ROUTES: &str = "
upstreams:
  down: { kind: http, url: http://127.0.0.1:1 }
  web: { kind: http, url: http://UPSTREAM }
  js: { kind: nats, url: nats://127.0.0.1:PORT, jetstream: { stream: BENCH } }
outbox: { path: OUTBOX, max_size: 4GiB, per_target: 100% }
routes:
  - { name: paused, match: { path: /paused }, to: down, ack: stored }
  - { name: delivered, match: { path: /delivered }, to: web, ack: stored }
  - { name: jetstream, match: { path: /jetstream }, to: js/bench.jetstream }
";

/// Measures what is accepted in a second with delivery paused, with delivery under way, and by
/// JetStream.
pub(crate) fn run(lab: &Lab, secs: u64, rounds: usize) -> Result<()> {
    tools::ensure(&[Tool { program: "nats-server", package: "nats-server" }])?;
    let (store, outbox) = (lab.folder.join("jetstream-synced"), lab.folder.join("outbox"));
    for folder in [&store, &outbox] {
        // What an earlier run has left behind would cost this one.
        if folder.exists() {
            fs::remove_dir_all(folder).context("cannot empty a folder of an earlier run")?;
        }
    }
    let port = peers::free_port()?;
    let config = lab.folder.join("nats-synced.conf");
    let text = format!(
        "listen: 127.0.0.1:{port}\njetstream {{ store_dir: {:?}, sync_interval: always }}\n",
        store.display()
    );
    fs::write(&config, text)?;
    // An old one knows no sync for every message.
    let mut command = pinned(1, "nats-server");
    command.env("PATH", foreign::path()).arg("-c").arg(&config);
    let mut server = peers::quietly(&lab.folder, "nats-server-synced", &mut command)?;
    peers::listening(&mut server, port)?;
    // It makes the stream.
    nats::raw(port, "jetstream-file", 1)?;
    let routes =
        ROUTES.replace("PORT", &port.to_string()).replace("OUTBOX", &outbox.display().to_string());
    let gusset = lab.gusset(&routes)?;
    let (mut jetstream, mut paused) = (Vec::new(), Vec::new());
    let (mut accepted, mut delivered) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        jetstream.push(post(&gusset, "/jetstream", 1, secs)?);
        paused.push(post(&gusset, "/paused", 1, secs)?);
        let before = count(&gusset)?;
        let round = post(&gusset, "/delivered", 1, secs)?;
        // The second of warming up counts on both sides.
        let per_second = (count(&gusset)? - before) / (secs + 1) as f64;
        accepted.push(round);
        delivered.push(Round { per_second, p99_ms: f64::NAN });
    }
    throughput::print(
        "POST of 1 KiB, synced before the answer, 64 callers",
        "answered a second",
        &[
            ("JetStream, sync_interval: always", jetstream),
            ("stored, delivery paused", paused),
            ("stored, delivery under way", accepted),
            ("of those, delivered meanwhile", delivered),
        ],
    );
    Ok(())
}

/// How many events have been delivered.
fn count(peer: &Peer) -> Result<f64> {
    let mut socket = TcpStream::connect(("127.0.0.1", peer.admin))?;
    let host = format!("127.0.0.1:{}", peer.admin);
    write!(socket, "GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut said = String::new();
    socket.read_to_string(&mut said)?;
    let line = "gusset_deliveries_total{target=\"web\",outcome=\"delivered\"} ";
    let count = said.lines().find_map(|one| one.strip_prefix(line));
    Ok(count.and_then(|count| count.trim().parse().ok()).unwrap_or(0.0))
}
