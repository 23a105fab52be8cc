//! `gusset health`: is the gateway ready? For container health checks.

use std::time::Duration;

use bytes::Bytes;
use http::Method;

use crate::{
    cli::{Done, Stop, arguments, print},
    client::{Admin, block_on},
};

const EXAMPLES: &str = "\
Examples:
  gusset health
  gusset health --admin http://127.0.0.1:9081

Exit code 0: it is ready; 1: it is not, or nothing answers. In a Dockerfile:
  HEALTHCHECK CMD [\"gusset\", \"health\"]";

const WITHIN: Duration = Duration::from_secs(5);

/// Say whether a gateway is ready, for container health checks
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    admin: arguments::Admin,
}

/// Asks `/readyz`.
pub(crate) fn run(args: &Args) -> Done {
    let admin = Admin::new(&args.admin)?;
    let asked = admin.ask_within(WITHIN, Method::GET, "/readyz", Bytes::new());
    match block_on(asked)?? {
        answer if answer.ok => print::line("ready"),
        _ => Err(Stop::failed("the gateway is not ready: it is stopping")),
    }
}
