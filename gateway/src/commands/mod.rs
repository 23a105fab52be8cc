//! The command line: its words, and the commands, one file each with its help, examples and what it
//! does.

mod apply;
mod check;
mod completions;
mod dev;
mod explain;
mod functions;
mod health;
mod init;
mod invoke;
mod list;
mod outbox;
mod publish;
mod replay;
mod routes;
mod run;
mod schema;
mod subscribe;
mod unbuilt;
mod upstreams;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cli::{Done, Stop, print};

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

/// Reads the arguments of `gusset` and does what they say.
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
