//! HTTP to NATS beside a raw client: what the gateway adds to a publish.

use std::{fs, process::Command};

use anyhow::{Context, Result};

use super::{
    interleaved,
    load::{self, Case, Measured},
    peers::{self, Lab, pinned},
    table,
    throughput::{self, Round, number},
};
use crate::{
    process::{self, Beside, built},
    tools::{self, Tool},
};

/// What both sides have under way at a time: one message for each of wrk's connections.
const WINDOW: &str = "50";
const SIZE: &str = "1024";

const ROUTES: &str = "
upstreams:
  bus: { kind: nats, url: nats://127.0.0.1:PORT }
  js: { kind: nats, url: nats://127.0.0.1:PORT, jetstream: { stream: BENCH } }
routes:
  - { name: core, match: { path: /core }, to: bus/bench.core }
  - { name: jetstream, match: { path: /jetstream }, to: js/bench.jetstream }
";

/// Measures core publishes and JetStream publishes, each beside the raw client's.
pub(crate) fn run(lab: &Lab, secs: u64, rounds: usize) -> Result<()> {
    tools::ensure(&[Tool { program: "nats-server", package: "nats-server" }])?;
    let port = peers::free_port()?;
    let _server = server(lab, port)?;
    let gusset = lab.gusset(&ROUTES.replace("PORT", &port.to_string()))?;
    for (title, raw_case, path) in [
        ("POST of 1 KiB to core NATS", "core", "/core"),
        ("POST of 1 KiB to JetStream, stored in a file", "jetstream-file", "/jetstream"),
    ] {
        // The raw client goes first: it makes the stream.
        let measured = interleaved(rounds, 2, |at| match at {
            0 => raw(port, raw_case, secs),
            _ => load::measure(&gusset, Case::Publish(path), secs),
        })?;
        let names = ["raw client".to_owned(), "gusset".to_owned()];
        println!("{}", table::print(title, &names, &measured, &["raw client"]));
    }
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        direct.push(waits(port, secs)?);
        through.push(throughput::post(&gusset, "/jetstream", 1, secs)?);
    }
    throughput::print(
        "POST of 1 KiB to JetStream, 64 under way, each acknowledged",
        "acknowledged a second",
        &[("raw client", direct), ("gusset", through)],
    );
    Ok(())
}

/// A server of its own on core 1, with JetStream in the lab's folder.
fn server(lab: &Lab, port: u16) -> Result<Beside> {
    let store = lab.folder.join("jetstream");
    // What an earlier run has left behind would cost this one.
    if store.exists() {
        fs::remove_dir_all(&store).context("cannot empty the folder of JetStream")?;
    }
    let program = process::find("nats-server").context("nats-server is not here")?;
    let mut command = pinned(1, program);
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(&store);
    let mut server = peers::quietly(&lab.folder, "nats-server", &mut command)?;
    peers::listening(&mut server, port)?;
    Ok(server)
}

/// One round of the raw client, which accounts for its own time.
pub(super) fn raw(port: u16, case: &str, secs: u64) -> Result<Measured> {
    let said = say(port, case, WINDOW, secs)?;
    Ok(Measured {
        cpu_us: number(&said, "cpu_us_per_request")?,
        per_second: number(&said, "per_second")?,
        bad: 0,
        fresh_mb: f64::NAN,
    })
}

/// One round of the raw client on JetStream, by how long its messages wait.
fn waits(port: u16, secs: u64) -> Result<Round> {
    let said = say(port, "jetstream-file", throughput::WINDOW, secs)?;
    Ok(Round { per_second: number(&said, "per_second")?, p99_ms: number(&said, "p99_ms")? })
}

fn say(port: u16, case: &str, window: &str, secs: u64) -> Result<String> {
    let url = format!("nats://127.0.0.1:{port}");
    let mut command: Command = pinned(0, built("dist", "nats_raw")?);
    process::output(command.args([&url, case, window, SIZE, &secs.to_string()]))
}
