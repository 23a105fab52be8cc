//! The chores of this repository: `cargo xtask help` lists them. Each is a plain cargo line or two,
//! so that nothing has to be installed for them; this program only remembers which.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore talks to the person who runs it"
)]

mod bench;
mod chaos;
mod checks;
mod dev;
mod foreign;
mod options;
mod process;
mod soak;
mod test;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};
use options::Options;

/// A chore: its name, what it does in one line, and the function that does it.
struct Chore {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    run: fn(Options) -> Result<()>,
}

const CHORES: [Chore; 10] = [
    Chore {
        name: "dev",
        usage: "[ARGS…]",
        about: "builds gusset and runs `gusset dev`: a gateway, a bus in memory and sample functions",
        run: dev::run,
    },
    Chore {
        name: "test",
        usage: "[--group unit|doc|whole]",
        about: "runs every test, with real brokers; installs with apt-get what they need",
        run: test::run,
    },
    Chore { name: "fmt", usage: "", about: "formats all code", run: checks::fmt },
    Chore { name: "lint", usage: "", about: "runs clippy, warnings denied", run: checks::lint },
    Chore { name: "doc", usage: "", about: "builds rustdoc, warnings denied", run: checks::doc },
    Chore {
        name: "bless",
        usage: "",
        about: "writes the golden files anew (the schema among them); look at the difference",
        run: checks::bless,
    },
    Chore {
        name: "check",
        usage: "",
        about: "does all that CI does: format, lint, doc, test",
        run: checks::check,
    },
    Chore {
        name: "bench",
        usage: "[--secs 5] [--rounds 3] [--cases A,B] [--peers A,B]",
        about: "measures CPU time per request beside bare hyper, nginx and Envoy",
        run: bench::run,
    },
    Chore {
        name: "chaos",
        usage: "[--events 200000] [--kills 100] [--seed 1] [--outbox jetstream]",
        about: "kills gateway and broker while events are sent, and compares the books",
        run: chaos::run,
    },
    Chore {
        name: "soak",
        usage: "[--seconds 60] [--seed N] [--traffic 600]",
        about: "feeds random input to decoder and loader, then mixed traffic to a gateway",
        run: soak::run,
    },
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_else(|| "help".to_owned());
    match chore(&name, Options::new(args.collect())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("cargo xtask {name}: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn chore(name: &str, options: Options) -> Result<()> {
    if matches!(name, "help" | "--help" | "-h") {
        help();
        return Ok(());
    }
    match CHORES.iter().find(|chore| chore.name == name) {
        Some(chore) => (chore.run)(options),
        None => bail!("there is no such chore; `cargo xtask help` lists them"),
    }
}

fn help() {
    println!("cargo xtask CHORE\n");
    for Chore { name, usage, about, .. } in &CHORES {
        println!("  {:<14}{about}", format!("{name} "));
        if !usage.is_empty() {
            println!("  {:<14}{name} {usage}", "");
        }
    }
}
