//! HTTP to RabbitMQ beside a raw client: what the gateway leaves of a broker's throughput.

use std::{fs, process::Command};

use anyhow::{Context, Result};

use super::{
    peers::{self, Lab, pinned},
    throughput::{self, Round, WINDOW, number},
};
use crate::{
    process::{self, Beside, built},
    tools::{self, Tool},
};

const SIZE: &str = "1024";

const USER: &str = "bench";

const ROUTES: &str = "
upstreams:
  rabbit:
    kind: amqp
    url: amqp://127.0.0.1:PORT
    username: bench
    password: { file: PASSWORD }
    declare: { queues: [{ name: bench, arguments: { x-max-length: 1000 } }] }
routes:
  - { name: all, match: { path: /amqp }, to: rabbit//bench, format: plain }
";

/// A broker of its own on core 1, and the server of names that it needs.
struct Broker {
    _node: Beside,
    _names: Beside,
    port: u16,
}

/// Measures durable, confirmed publishes through the gateway and through the raw client, in turn.
pub(crate) fn run(lab: &Lab, secs: u64, rounds: usize) -> Result<()> {
    tools::ensure(&[Tool { program: "rabbitmq-server", package: "rabbitmq-server" }])?;
    let broker = broker(lab)?;
    let password = lab.folder.join("amqp-password");
    fs::write(&password, USER).context("cannot write the password")?;
    let routes = ROUTES
        .replace("PORT", &broker.port.to_string())
        .replace("PASSWORD", &password.display().to_string());
    let gusset = lab.gusset(&routes)?;
    let (mut bare, mut whole, mut gusset_rounds) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare.push(raw(&broker, "bare", secs)?);
        // What of the difference is the broker's, which reads more of each message.
        whole.push(raw(&broker, "whole", secs)?);
        // The callers are on the gateway's core: the broker's is what limits both sides.
        gusset_rounds.push(throughput::post(&gusset, "/amqp", 0, secs)?);
    }
    throughput::print(
        "POST of 1 KiB to a durable queue of RabbitMQ, 64 under way",
        "confirmed a second",
        &[("raw client", bare), ("raw, same message", whole), ("gusset", gusset_rounds)],
    );
    Ok(())
}

fn broker(lab: &Lab) -> Result<Broker> {
    let folder = lab.folder.join("rabbit");
    // What an earlier run has left behind would cost this one.
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot empty the broker's folder")?;
    }
    fs::create_dir_all(&folder)?;
    let (port, names, distribution) =
        (peers::free_port()?, peers::free_port()?, peers::free_port()?);
    let config = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\ndefault_user = {USER}\ndefault_pass = {USER}\n\
         vm_memory_high_watermark.absolute = 2GiB\ndisk_free_limit.absolute = 1MB\n"
    );
    fs::write(folder.join("rabbitmq.conf"), config)?;
    fs::write(folder.join("plugins"), "[].")?;
    let environment = |command: &mut Command| {
        command.envs([
            ("ERL_EPMD_PORT", names.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODENAME", format!("bench{port}@localhost")),
            ("RABBITMQ_DIST_PORT", distribution.to_string()),
            // It becomes the node itself then, and ends with a signal.
            ("RUNNING_UNDER_SYSTEMD", "1".to_owned()),
        ]);
        for (name, place) in [
            ("HOME", "."),
            ("RABBITMQ_CONFIG_FILE", "rabbitmq"),
            ("RABBITMQ_CONF_ENV_FILE", "none"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
            ("RABBITMQ_GENERATED_CONFIG_DIR", "generated"),
            ("RABBITMQ_MNESIA_BASE", "mnesia"),
            ("RABBITMQ_LOG_BASE", "log"),
        ] {
            command.env(name, folder.join(place));
        }
    };
    let mut command = pinned(1, "epmd");
    environment(&mut command);
    let names = peers::quietly(&folder, "epmd", &mut command)?;
    let mut command = pinned(1, "/usr/lib/rabbitmq/bin/rabbitmq-server");
    environment(&mut command);
    let mut node = peers::quietly(&folder, "rabbitmq-server", &mut command)?;
    // It takes longer than the others.
    for _ in 0..5 {
        if peers::listening(&mut node, port).is_ok() {
            break;
        }
    }
    peers::listening(&mut node, port)?;
    Ok(Broker { _node: node, _names: names, port })
}

/// One round of the raw client on the gateway's core.
fn raw(broker: &Broker, message: &str, secs: u64) -> Result<Round> {
    let url = format!("amqp://{USER}:{USER}@127.0.0.1:{}/%2f", broker.port);
    let mut command = pinned(0, built("dist", "amqp_raw")?);
    let secs = secs.to_string();
    let line = process::output(command.args([&url, "bench", WINDOW, SIZE, &secs, message]))?;
    Ok(Round { per_second: number(&line, "per_second")?, p99_ms: number(&line, "p99_ms")? })
}
