//! `gusset invoke`: call one function by its address.

use std::time::Duration;

use admin::{
    data::Data,
    invoke::{Asked, Outcome},
};
use schemas::units::Span;

use crate::{
    caller::{Caller, Failed},
    cli::{
        Done, Stop,
        arguments::{self, Header, Source},
        print,
    },
    client::block_on,
};

const EXAMPLES: &str = "\
Examples:
  gusset invoke echo --path '/hi?name=ada'              a GET of an HTTP service
  gusset invoke echo -d '{\"a\":1}' -H 'content-type: application/json'
  gusset invoke bus/orders.created -d @order.json       a message, as it is
  gusset invoke bus/quotes.ACME --ack replied           request and reply over NATS
  gusset invoke bus/hello -d hi -c gateway.yaml         from here, without a gateway

The status goes to standard error, the body to standard output. Exit code 0: it did what it was
called for; 1: it was refused or failed; 3: nobody knows, it may have run.";

/// Call a function by its address
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The function: upstream/function, such as bus/orders.created
    address: String,
    /// The data: a text, @FILE, or - for standard input
    #[arg(short, long, value_name = "TEXT|@FILE|-")]
    data: Option<String>,
    /// A header, 'name: value'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<Header>,
    /// The method, for an HTTP service [default: POST with data, else GET]
    #[arg(short = 'X', long, value_name = "METHOD")]
    method: Option<String>,
    /// Path and query, for an HTTP service
    #[arg(long, value_name = "PATH", default_value = "/")]
    path: String,
    /// What to wait for [default: the first that the kind can tell]
    #[arg(long, value_name = "ACK")]
    ack: Option<Ack>,
    /// How long to wait for it
    #[arg(long, value_name = "SPAN", default_value = "15s", value_parser = arguments::duration)]
    timeout: Duration,
    #[command(flatten)]
    source: Source,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Ack {
    /// The function's own answer
    Replied,
    /// That a broker has taken it
    Published,
}

/// Calls it, and prints what it answers.
pub(crate) fn run(args: &Args) -> Done {
    let asked = args.asked()?;
    let caller = Caller::new(&args.source)?;
    tell(block_on(caller.call(&asked))??)
}

impl Args {
    fn asked(&self) -> Result<Asked, Stop> {
        let data = self.data.as_deref().map(arguments::data).transpose()?;
        let Data { data, data_base64 } = Data::from(data.as_deref().unwrap_or_default());
        Ok(Asked {
            address: self.address.clone(),
            method: self.method.clone(),
            path: Some(self.path.clone()),
            headers: self
                .headers
                .iter()
                .map(|Header(name, value)| (name.clone(), value.clone()))
                .collect(),
            event: None,
            data,
            data_base64,
            ack: self.ack.map(|ack| match ack {
                Ack::Replied => schemas::Ack::Replied,
                Ack::Published => schemas::Ack::Published,
            }),
            timeout: Some(Span(self.timeout)),
        })
    }
}

fn tell(called: Result<Outcome, Failed>) -> Done {
    let outcome = called.map_err(Failed::stop)?;
    match (&outcome.receipt, outcome.status) {
        (Some(receipt), _) => print::line(&receipt.to_string())?,
        (None, status) => {
            print::error(&format!("status {}", status.unwrap_or_default()));
            let body = outcome.data.bytes().map_err(Stop::failed)?;
            print::bytes(&body)?;
        }
    }
    if outcome.ok { Ok(()) } else { Err(Stop::Said(1)) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::commands::{Command, Gusset};

    #[test]
    fn what_is_written_is_what_is_asked() {
        let line = [
            "gusset",
            "invoke",
            "echo",
            "-d",
            "{\"a\": 1}",
            "-H",
            "X-One: 1",
            "-X",
            "PUT",
            "--path",
            "/x?y",
            "--timeout",
            "2s",
            "--ack",
            "replied",
        ];
        let Command::Invoke(args) = Gusset::parse_from(line).command else { panic!() };
        let asked = serde_json::to_value(args.asked().unwrap()).unwrap();
        assert_eq!(
            asked,
            serde_json::json!({
                "address": "echo", "method": "PUT", "path": "/x?y", "headers": [["X-One", "1"]],
                "data": "{\"a\": 1}", "ack": "replied", "timeout": "2s"
            })
        );
    }

    #[test]
    fn the_exit_code_tells_failed_from_unknown() {
        let failed = Outcome { ok: false, status: Some(500), ..Outcome::default() };
        assert!(matches!(tell(Ok(failed)), Err(Stop::Said(1))));
        for (maybe, code) in [(false, 1), (true, 3)] {
            let stop = tell(Err(Failed { said: "x".into(), maybe })).unwrap_err();
            assert!(matches!(stop, Stop::Failed(found, _) if found == code), "{stop:?}");
        }
    }
}
