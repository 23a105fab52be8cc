//! The command line: its words, how a command ends, and the only place that prints.

pub(crate) mod arguments;
pub(crate) mod print;
pub(crate) mod table;
pub(crate) mod words;
pub(crate) mod yaml;

use std::{io, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::commands::{
    apply, check, completions, dev, explain, functions, health, init, invoke, outbox, publish,
    replay, routes, run, schema, subscribe, unbuilt, upstreams,
};

const EXAMPLES: &str = "\
Start here:
  gusset dev                           a gateway, a bus in memory and two functions, to play with
  gusset init nats > gateway.yaml      a commented file to begin with
  gusset check -c gateway.yaml         is it right?
  gusset run -c gateway.yaml           serve it

An address names a function everywhere: upstream/function, such as bus/orders.created.";

/// Turns any HTTP request or CloudEvent into a call on any function, or a message on a broker.
#[derive(Debug, Parser)]
#[command(name = "gusset", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Gusset {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(run::Args),
    Dev(dev::Args),
    Check(check::Args),
    Init(init::Args),
    Routes(routes::Args),
    Upstreams(upstreams::Args),
    Functions(functions::Args),
    Explain(explain::Args),
    Apply(apply::Args),
    Invoke(invoke::Args),
    Publish(publish::Args),
    Subscribe(subscribe::Args),
    Outbox(outbox::Args),
    Replay(replay::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Health(health::Args),
    #[command(hide = true)]
    Tap(unbuilt::Args),
    #[command(hide = true)]
    Top(unbuilt::Args),
}

/// What a command comes to.
pub(crate) type Done = Result<(), Stop>;

/// Why a command ends before it has done what it was asked for.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It failed: the exit code, and what to say.
    Failed(u8, String),
    /// Everything has been said already: the exit code.
    Said(u8),
    /// Nobody reads what it prints any more, which is no failure: `gusset routes | head`.
    Unread,
}

impl Stop {
    /// It failed, with exit code 1.
    pub(crate) fn failed(said: impl Into<String>) -> Self {
        Self::Failed(1, said.into())
    }

    /// What it was given cannot be used, with exit code 2.
    pub(crate) fn unusable(said: impl Into<String>) -> Self {
        Self::Failed(2, said.into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::failed(error.to_string()),
        }
    }
}

/// Reads the arguments and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    // Who else would have installed one; and if somebody has, it is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    match run(Gusset::parse().command) {
        Ok(()) | Err(Stop::Unread) => ExitCode::SUCCESS,
        Err(Stop::Said(code)) => ExitCode::from(code),
        Err(Stop::Failed(code, said)) => {
            print::error(&format!("gusset: {said}"));
            ExitCode::from(code)
        }
    }
}

fn run(command: Command) -> Done {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Dev(args) => dev::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Routes(args) => routes::run(&args),
        Command::Upstreams(args) => upstreams::run(&args),
        Command::Functions(args) => functions::run(&args),
        Command::Apply(args) => apply::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Invoke(args) => invoke::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Subscribe(args) => subscribe::run(&args),
        Command::Outbox(args) => outbox::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Tap(_) => unbuilt::refuse("tap"),
        Command::Top(_) => unbuilt::refuse("top"),
    }
}

#[cfg(test)]
mod tests;
