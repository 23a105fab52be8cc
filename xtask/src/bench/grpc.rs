//! gRPC: a native call that passes through, and JSON in front of the same method, beside what nginx
//! needs for a small GET.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    cpu, interleaved,
    load::{self, Case, Measured},
    peers::{self, Kind, Lab, Peer, pinned},
    table,
};
use crate::process::{self, built};

const PROTO: &str = "syntax = \"proto3\";
package bench;
service Echo { rpc Echo(Message) returns (Message); }
message Message { string id = 1; string name = 2; int64 count = 3; }
";

const ROUTES: &str = "
upstreams:
  echo: { kind: grpc, url: http://127.0.0.1:PORT, descriptors: { proto: [bench.proto] } }
routes:
  - { name: native, match: { prefix: /bench.Echo }, to: echo }
  - { name: json, match: { path: /echo }, to: echo/bench.Echo/Echo }
";

/// Transcoding may cost so much more than passing through, and so much in all, in CPU time of nginx's
/// proxied small GET.
const ABOVE: f64 = 0.3;
const IN_ALL: f64 = 2.2;

/// Measures both.
pub(crate) fn run(lab: &Lab, secs: u64, rounds: usize) -> Result<()> {
    let port = peers::free_port()?;
    let mut server = pinned(1, built("dist", "grpc_lab")?);
    let mut server =
        peers::quietly(&lab.folder, "grpc_lab", server.args(["serve", &port.to_string()]))?;
    peers::listening(&mut server, port)?;
    fs::write(lab.folder.join("bench.proto"), PROTO).context("cannot write the descriptors")?;
    let gusset = lab.gusset(&ROUTES.replace("PORT", &port.to_string()))?;
    let nginx = lab.peer(Kind::Nginx, None)?;
    let measured = interleaved(rounds, 3, |at| match at {
        0 => load::measure(&nginx, Case::GetSmall, secs),
        1 => native(&gusset, secs),
        _ => load::measure(&gusset, Case::Message("/echo"), secs),
    })?;
    let names = ["nginx, GET", "gusset, native gRPC", "gusset, JSON"].map(str::to_owned);
    let title = "Unary gRPC: passed through, and from JSON";
    println!("{}", table::print(title, &names, &measured, &[&names[0]]));
    let ratio = |at: usize| {
        let mut all: Vec<f64> = measured.iter().map(|one| one[at].cpu_us / one[0].cpu_us).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let (passed, json) = (ratio(1), ratio(2));
    println!(
        "JSON costs {:.2} above the native call (bound {ABOVE}), {json:.2} in all (bound {IN_ALL}).\n",
        json - passed
    );
    ensure!(measured.iter().flatten().all(|one| one.bad == 0), "some calls did not go well");
    Ok(())
}

/// One round of native calls.
fn native(peer: &Peer, secs: u64) -> Result<Measured> {
    calls(peer, 1)?;
    let before = cpu::used_us(peer.pid())?;
    let (good, bad) = calls(peer, secs)?;
    let used = cpu::used_us(peer.pid())? - before;
    let took = Duration::from_secs(secs);
    Ok(Measured {
        cpu_us: used / good,
        per_second: good / took.as_secs_f64(),
        bad,
        fresh_mb: peer.fresh_mb,
    })
}

fn calls(peer: &Peer, secs: u64) -> Result<(f64, u64)> {
    let mut command: Command = pinned(1, built("dist", "grpc_lab")?);
    let said = process::output(command.args(["load", &peer.port.to_string(), &secs.to_string()]))?;
    let (good, bad) = said.trim().split_once(' ').context("grpc_lab printed no counts")?;
    let good: f64 = good.parse().context("grpc_lab printed no number")?;
    ensure!(good > 0.0, "no call went well");
    Ok((good, bad.parse().context("grpc_lab printed no number")?))
}
