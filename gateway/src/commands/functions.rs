//! `gusset functions`: the functions that routes name.

use admin::views::{self, FunctionView};

use super::list;
use crate::cli::{Done, arguments::List};

const EXAMPLES: &str = "\
Examples:
  gusset functions                       of the running gateway
  gusset functions -c gateway.yaml       of a file
  gusset functions -o json

These are the addresses that the routes name. What a platform has beside them is listed once there
are kinds of upstream whose platforms can be asked.";

/// List the functions that routes name
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    list: List,
}

/// Lists the functions.
pub(crate) fn run(args: &Args) -> Done {
    let head = ["function", "kind", "breaker", "routes"];
    list::list(&args.list, "/api/v1/functions", views::functions, head, |one: &FunctionView| {
        let breaker = one.breaker.as_ref().and_then(|breaker| {
            let state = serde_json::to_value(breaker.state).ok()?;
            state.as_str().map(str::to_owned)
        });
        let breaker = breaker.unwrap_or_else(|| "–".to_owned());
        [one.address.clone(), one.kind.clone(), breaker, one.routes.join(", ")]
    })
}
